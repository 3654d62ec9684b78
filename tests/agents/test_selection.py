"""Which provider and model answer: the rules of the language as a table, and as properties."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_recipes.agents.entry import Entry
from trio_recipes.agents.provider import Provider, best_match, is_glob
from trio_recipes.agents.registry import Agents
from trio_recipes.agents.selection import select
from trio_recipes.agents.settings import as_settings, merged, settled
from trio_recipes.errors import ConfigurationError
from trio_recipes.runtime.ports import AgentCall, AgentReply, AgentRequest


class Listing:
    """A backend with a list of models."""

    async def ask(self, request: AgentRequest, call: AgentCall) -> AgentReply:
        raise AssertionError("choosing who answers asks nobody")

    async def models(self) -> Sequence[str]:
        raise AssertionError("what is pure asks no endpoint")


class Plain:
    """A backend without one."""

    async def ask(self, request: AgentRequest, call: AgentCall) -> AgentReply:
        raise AssertionError("choosing who answers asks nobody")


KEYLESS = "NO_SUCH_VARIABLE_ANYWHERE"

PROVIDERS = {
    "main": Provider("main", Listing(), "anthropic", models={"reasoning": "big-*", "fast": "small"}),
    "local": Provider("local", Listing(), "openai", model="tiny", models={"fast": "tiny-*", "sonnet": "mine"}),
    "locked": Provider("locked", Listing(), "openai", key=KEYLESS, models={"vision": "eye"}),
}
ROLES: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "coding": ({"provider": "gone"}, {"provider": "local", "model": "code-*"}),
    "dreaming": ({"provider": "locked"},),
}
ENTRIES = {
    "plain": Entry(settings={"provider": "main"}),
    "classy": Entry(settings={"class": "fast"}),
    "picky": Entry(settings={"provider_preferences": [{"provider": "locked"}, {"provider": "local", "model": "m"}]}),
    "coder": Entry(settings={"model_role": "coding"}),
    "modelled": Entry(settings={"provider": "local", "model": "big"}),
    "named": Entry(settings={"model": "sonnet"}),
}
KNOWN = Agents(ENTRIES, PROVIDERS, ROLES)


def chosen(agent: str, known: Agents = KNOWN, **wishes: Any) -> list[tuple[str, str | None]]:
    """The options that remain, by provider and model."""
    options = select(AgentRequest(agent=agent, prompt="", **wishes), known).possible
    return [(option.name, option.model) for option in options]


OF_AMPLIFIER = [{"module": "provider-local", "config": {"default_model": "z"}}]

TABLE: list[tuple[str, dict[str, Any], list[tuple[str, str | None]]]] = [
    # What the agent says, where the step says nothing.
    ("plain", {}, [("main", None)]),
    ("unknown", {}, [("main", None)]),  # the first provider there is
    ("classy", {}, [("main", "small"), ("local", "tiny-*")]),
    ("picky", {}, [("local", "m")]),
    ("coder", {}, [("local", "code-*"), ("main", None)]),
    ("modelled", {}, [("local", "big")]),
    ("named", {}, [("main", "claude-*sonnet*")]),
    # A step's provider and model.
    ("plain", {"provider": "local"}, [("local", "tiny")]),
    ("plain", {"provider": "local", "model": "huge-*"}, [("local", "huge-*")]),
    ("plain", {"model": "huge"}, [("main", "huge")]),
    ("modelled", {"model": "huge"}, [("local", "huge")]),
    ("modelled", {"provider": "main"}, [("main", None)]),
    ("plain", {"provider": "local", "model": "sonnet"}, [("local", "mine")]),
    ("plain", {"provider": "local", "model": "opus"}, [("local", "tiny")]),
    ("plain", {"provider": "gone"}, []),  # meant as it is written: nobody answers in its place
    ("plain", {"provider": "locked"}, []),
    # A step's preferences.
    ("plain", {"provider_preferences": ({"provider": "locked"}, {"provider": "local"})}, [("local", "tiny")]),
    ("plain", {"provider_preferences": ({"provider": "gone"}, {"class": "reasoning"})}, [("main", "big-*")]),
    ("modelled", {"provider_preferences": ({"class": "fast"},)}, [("local", "tiny-*"), ("main", "small")]),
    ("plain", {"provider_preferences": ({"class": "vision"},)}, []),
    ("plain", {"provider_preferences": ({"class": "research"},)}, []),
    # A step's role, and what comes after it.
    ("plain", {"model_role": "coding"}, [("local", "code-*"), ("main", None)]),
    ("modelled", {"model_role": "nobody-knows"}, [("local", "big")]),
    ("modelled", {"model_role": "dreaming"}, [("local", "big")]),
    # A step's agent_config is part of what is said of the agent.
    ("plain", {"agent_config": {"provider": "local"}}, [("local", "tiny")]),
    ("classy", {"agent_config": {"model": "x"}}, [("main", "x")]),
    ("classy", {"agent_config": {"provider": "local"}, "model": "y"}, [("local", "y")]),
    (
        "plain",
        {"agent_config": {"providers": [{"module": "provider-local", "config": {"model": "z"}}]}},
        [("local", "z")],
    ),
    ("plain", {"agent_config": {"provider_preferences": [{"class": "reasoning"}]}}, [("main", "big-*")]),
]


@pytest.mark.parametrize(("agent", "wishes", "options"), TABLE)
def test_the_rules(agent: str, wishes: dict[str, Any], options: list[tuple[str, str | None]]) -> None:
    assert chosen(agent, **wishes) == options


def test_why_nobody_is_left_is_told_of_each() -> None:
    request = AgentRequest(
        agent="plain", prompt="", provider_preferences=({"provider": "lokal"}, {"provider": "locked"})
    )
    assert select(request, KNOWN).complaint == (
        "lokal: no provider of this name is configured; did you mean 'local'? (there are: local, locked, main); "
        f"locked: the environment variable {KEYLESS}, which holds its key, is not set"
    )


PINNED = Provider("openai", Listing(), "openai", model="own", models={"fast": "quick"})


@pytest.mark.parametrize(
    ("wishes", "model"),
    [
        ({}, "own"),
        ({"model": "x-*"}, "x-*"),
        ({"provider": "openai", "model": "x"}, "x"),
        ({"provider": "anthropic", "model": "claude"}, "own"),  # another's model is none of its
        (
            {"provider_preferences": ({"provider": "anthropic", "model": "c"}, {"provider": "openai", "model": "x"})},
            "x",
        ),
        ({"provider_preferences": ({"class": "fast"},)}, "quick"),
        ({"provider_preferences": ({"provider": "anthropic", "model": "c"},)}, "own"),
        ({"agent_config": {"model": "said"}}, "said"),
    ],
)
def test_a_backend_of_the_agents_own_answers_whatever_recipes_wish(wishes: dict[str, Any], model: str) -> None:
    known = Agents({"*": Entry(PINNED)}, PROVIDERS)
    assert chosen("a", known, **wishes) == [("openai", model)]


def test_a_backend_that_knows_no_models_gets_wishes_as_they_are_written() -> None:
    known = Agents({"*": Entry(Provider("command", Plain(), "command", model="m", models={"fast": "f"}))})
    assert chosen("a", known, provider="anthropic", model="claude-*") == [("command", "claude-*")]
    assert chosen("a", known, model="sonnet") == [("command", "sonnet")]
    assert chosen("a", known, model="fast") == chosen("a", known, provider_preferences=({"class": "fast"},))
    assert chosen("a", known, model="fast") == [("command", "f")]
    assert chosen("a", known) == [("command", "m")]


def test_an_applications_backend_gets_all_as_it_is_written() -> None:
    config = {"providers": OF_AMPLIFIER, "model": "x", "command": "y"}
    selection = select(AgentRequest(agent="a", prompt="", model="m-*", agent_config=config), Agents({"*": Plain()}))
    assert selection.settings == config
    assert [option.model for option in selection.possible] == ["m-*"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"base_url": "https://evil.example"}, "base_url: an agent's endpoint, program and key are not a recipe's"),
        ({"api_key_env": "K", "command": "x"}, "api_key_env, command: an agent's endpoint"),
        ({"model": 5}, "agent 'plain': model: takes text; found a whole number: 5"),
        ({"provider_preferences": "x"}, "takes a list of mappings with 'provider' or 'class'"),
        ({"provider_preferences": [{"provider": "a", "class": "b"}]}, "takes a list of mappings"),
    ],
)
def test_what_a_recipe_can_not_say_of_an_agent(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        chosen("plain", agent_config=config)
    assert message in str(caught.value)


# --- merging -----------------------------------------------------------------------------------------------------

plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(st.sampled_from("abc"), plain_values, max_size=3)


def slowly_merged(under: Any, over: Any) -> Any:
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    names = {*under, *over}
    return {
        name: slowly_merged(under[name], over[name]) if name in under and name in over else {**under, **over}[name]
        for name in names
    }


@given(mappings, mappings)
def test_merging_is_deep(under: Any, over: Any) -> None:
    assert merged(under, over) == slowly_merged(under, over)
    assert merged(under, {}) == merged({}, under) == merged(under, under) == under


def test_settings_of_a_step_go_over_those_of_its_agent() -> None:
    entry = Entry(settings={"provider": "main", "system": "s", "temperature": 0.5, "extra": {"a": 1, "b": 2}})
    known = Agents({"a": entry}, PROVIDERS)
    config = {"temperature": 0, "extra": {"b": 3}, "tools": "Read, Grep", "system_prompt": "t"}
    settings = select(AgentRequest(agent="a", prompt="", agent_config=config), known).settings
    assert settings == {"system": "t", "temperature": 0, "extra": {"a": 1, "b": 3}, "tools": ["Read", "Grep"]}


def test_who_says_anything_of_the_choice_says_all_of_it() -> None:
    assert settled({"provider": "a", "model": "m"}, {"provider": "b"}) == {"provider": "b"}
    assert settled({"provider": "a", "model": "m"}, {"model": "n"}) == {"provider": "a", "model": "n"}
    assert settled({"class": "fast", "system": "s"}, {"model": "n"}) == {"model": "n", "system": "s"}
    assert as_settings({"model": "inherit"}) == {}


# --- models ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "offered", "model"),
    [
        ("claude-*", ["claude-3", "gpt-5", "claude-4-mini", "claude-4"], "claude-4-mini"),
        ("claude-?", ["claude-3", "claude-4-mini", "claude-4"], "claude-4"),
        ("m[12]", ["m1", "m2", "m3"], "m2"),
        ("x-*", ["a"], "x-*"),
        ("exact", ["exact-2"], "exact"),
        ("M*", ["m1"], "M*"),
    ],
)
def test_the_highest_match_in_descending_order(wish: str, offered: list[str], model: str) -> None:
    assert best_match(wish, offered) == model


names = st.text(st.sampled_from("abc1-"), min_size=1, max_size=5)


@given(st.lists(names), st.text(st.sampled_from("abc1-*?"), max_size=5))
def test_a_match_is_offered_and_none_is_higher(offered: list[str], wish: str) -> None:
    found = best_match(wish, offered)
    if found == wish and wish not in offered:
        assert not is_glob(wish) or not any(best_match(wish, [name]) == name for name in offered)
        return
    assert found in offered or not is_glob(wish)
    if is_glob(wish):
        assert next(name for name in sorted(offered, reverse=True) if best_match(wish, [name]) == name) == found


wishes = st.fixed_dictionaries(
    {},
    optional={
        "provider": st.sampled_from([*PROVIDERS, "gone"]),
        "model": st.sampled_from(["tiny", "big-*", "sonnet"]),
        "model_role": st.sampled_from([*ROLES, "none"]),
        "provider_preferences": st.lists(
            st.builds(lambda name: {"provider": name}, st.sampled_from([*PROVIDERS, "gone"]))
            | st.builds(lambda name: {"class": name}, st.sampled_from(["fast", "reasoning", "vision", "research"])),
            max_size=3,
        ).map(tuple),
    },
)


@given(st.sampled_from([*ENTRIES, "unknown"]), wishes)
def test_every_option_is_told_or_possible_and_the_steps_own_come_first(agent: str, wishes: dict[str, Any]) -> None:
    selection = select(AgentRequest(agent=agent, prompt="", **wishes), KNOWN)
    assert selection.options
    for option in selection.options:
        assert bool(option.why_not) == (option.provider is None or option.name == "locked")
        assert option.provider is None or option.provider is PROVIDERS[option.name]
    preferences = wishes.get("provider_preferences")
    if preferences and "provider" in preferences[0]:
        assert selection.options[0].name == preferences[0]["provider"]
    elif not preferences and "model_role" not in wishes and "provider" in wishes:
        assert [option.name for option in selection.options] == [wishes["provider"]]
