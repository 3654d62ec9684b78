"""The choice of a provider through the whole of a run: made, recorded, refused; with real endpoints."""

from pathlib import Path
from typing import Any

import pytest
import trio

import trio_recipes
from tests.frontends.running import write_recipe
from trio_recipes.agents.registry import Agents
from trio_recipes.agents.resolver import Resolver, StandardResolver
from trio_recipes.events import AgentAnswered, AgentAsked, Event
from trio_recipes.language.model import AgentStep
from trio_recipes.runtime.ports import AgentRequest, Choice
from trio_recipes.store.base import open_store
from trio_recipes.store.codec import from_row
from trio_recipes.testing import ScriptedAgent, in_turn
from trio_recipes.testing.model_server import refuses, says, serving

KEY = "sk-of-a-canary-4711"

STEPS = """
- id: ask
  agent: critic
  prompt: hello
  provider_preferences: [{provider: missing}, {provider: dead}, {provider: live, model: "test-small-*"}]
  output: final_output
"""


def providers(url: str) -> dict[str, Any]:
    return {
        "dead": {"backend": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"},
        "live": {"backend": "openai", "base_url": url, "api_key_env": "CANARY_KEY", "model": "test-large-2"},
    }


async def run(recipe: Path, agents: Any, **options: Any) -> trio_recipes.SessionResult:
    with trio.fail_after(20):
        async with trio_recipes.open_runtime(agents=agents, project=recipe.parent, **options) as runtime:
            return await (await runtime.start(recipe)).wait()


def events_of(session_id: str) -> list[Event]:
    file = open_store().file(session_id)
    with file.reading() as connection:
        return [from_row(row).event for row in file.rows(connection)]


def everything_in(folder: Path) -> list[bytes]:
    found = [file.read_bytes() for file in folder.rglob("*") if file.is_file()]
    assert found
    return found


async def test_the_first_that_can_be_reached_answers_and_the_record_says_who(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private_home: Path
) -> None:
    monkeypatch.setenv("CANARY_KEY", KEY)
    async with serving(says("fine"), key=KEY) as server:
        result = await run(write_recipe(tmp_path, STEPS), {"providers": providers(server.url)})
    assert result.final_output == "fine"
    events = events_of(result.session_id)
    (asked,) = [event for event in events if isinstance(event, AgentAsked)]
    (answered,) = [event for event in events if isinstance(event, AgentAnswered)]
    assert (asked.agent, asked.provider, asked.model, asked.data) == ("critic", "live", "test-small-2", b"hello")
    assert (answered.provider, answered.model) == ("live", "test-small-2")
    assert not any(KEY.encode() in data for data in everything_in(private_home))


async def test_nobody_is_available_and_nothing_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CANARY_KEY", raising=False)
    recipe = write_recipe(tmp_path, "- {id: ask, agent: a, prompt: p, provider: live}")
    with pytest.raises(trio_recipes.ConfigurationError, match="CANARY_KEY, which holds its key, is not set"):
        await run(recipe, {"providers": providers("http://127.0.0.1:9/v1")})
    assert list(open_store().standings()) == []


async def test_an_endpoint_that_is_gone_fails_the_step_and_may_be_tried_again(tmp_path: Path) -> None:
    steps = "- {id: ask, agent: a, prompt: p, provider: dead, model: 'm-*', retry: {max_attempts: 2, initial_delay: 0}}"
    result = await run(write_recipe(tmp_path, steps), {"providers": providers("http://127.0.0.1:9/v1")})
    assert result.failure is not None
    assert "dead: " in result.failure.message
    assert (result.failure.retryable, result.failure.attempt) == (True, 2)


async def test_an_endpoint_that_refuses_the_key_is_not_available(tmp_path: Path) -> None:
    steps = "- {id: a, agent: a, prompt: p, provider_preferences: [{provider: one}, {provider: two}]}"
    async with serving(says("from one"), key="another") as one, serving(says("from two")) as two:
        urls = {"one": one.url, "two": two.url}
        known = {name: {"backend": "openai", "base_url": url, "model": "m"} for name, url in urls.items()}
        assert (await run(write_recipe(tmp_path, steps), {"providers": known})).final_output == "from two"


async def test_what_an_endpoint_says_no_to_is_not_asked_of_another_one(tmp_path: Path) -> None:
    """Being available is one thing; a failure to answer is the step's, and its retry's."""
    steps = "- {id: a, agent: a, prompt: p, provider_preferences: [{provider: one}, {provider: two}]}"
    async with serving(refuses(400)) as one, serving(says("no")) as two:
        urls = {"one": one.url, "two": two.url}
        known = {name: {"backend": "openai", "base_url": url, "model": "m"} for name, url in urls.items()}
        result = await run(write_recipe(tmp_path, steps), {"providers": known})
        assert (result.status, len(two.visits)) == ("failed", 0)


class Contrary:
    """A resolver of an application's own: answers from one agent, and knows what it refuses."""

    def __init__(self, agent: ScriptedAgent) -> None:
        self.agent = agent
        self.seen: list[tuple[str, int]] = []

    def problems(self, steps: Any, known: Agents) -> list[str]:
        asking: list[AgentStep] = list(steps)
        return [f"{step.id}: not here" for step in asking if step.agent == "forbidden"]

    async def resolve(self, request: AgentRequest, known: Agents) -> Choice:
        await trio.lowlevel.checkpoint()
        self.seen.append((request.path, request.attempt))
        return Choice(self.agent, request)


async def test_an_application_may_choose_by_itself(tmp_path: Path) -> None:
    agent = ScriptedAgent(in_turn(trio_recipes.BackendError("busy"), "mine"))
    resolver: Resolver = Contrary(agent)
    steps = "- {id: ask, agent: a, prompt: p, provider: x, retry: {max_attempts: 2, initial_delay: 0}}"
    result = await run(write_recipe(tmp_path, steps), None, resolver=resolver)
    assert result.final_output == "mine"
    assert isinstance(resolver, Contrary)
    assert resolver.seen == [("ask", 1), ("ask", 2)]
    assert agent.requests[0].provider == "x"
    forbidden = write_recipe(tmp_path, "- {id: ask, agent: forbidden, prompt: p}", name="other")
    with pytest.raises(trio_recipes.ConfigurationError, match="ask: not here"):
        await run(forbidden, None, resolver=resolver)


async def test_a_resolver_that_fails_is_the_steps_failure_and_a_cancel_ends_it(tmp_path: Path) -> None:
    class Stuck(StandardResolver):
        async def resolve(self, request: AgentRequest, known: Agents) -> Choice:
            if request.step_id == "broken":
                raise RuntimeError("lost")
            started.set()
            await trio.sleep_forever()
            raise AssertionError

    started = trio.Event()
    broken = write_recipe(tmp_path, "- {id: broken, agent: a, prompt: p}")
    result = await run(broken, "echo", resolver=Stuck())
    assert result.failure is not None
    assert "RuntimeError: lost" in result.failure.message
    waiting = write_recipe(tmp_path, "- {id: waiting, agent: a, prompt: p}", name="waiting")
    async with trio_recipes.open_runtime(agents="echo", resolver=Stuck()) as runtime:
        with trio.fail_after(20):
            session = await runtime.start(waiting)
            await started.wait()
            session.cancel(immediate=True)
            assert (await session.wait()).status == "cancelled"
