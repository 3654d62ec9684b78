"""Where agents come from, and what is said about mistakes there."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from trio_recipes.agents.backends.command import CommandBackend
from trio_recipes.agents.backends.echo import EchoBackend
from trio_recipes.agents.backends.openai import OPENAI_URL, OpenAIBackend
from trio_recipes.agents.listing import seats_configured
from trio_recipes.agents.load import configured_agents, load_agents, name_of, project_agents, user_agents
from trio_recipes.agents.prices import Prices, load_prices
from trio_recipes.agents.registry import Agents, unanswered
from trio_recipes.agents.resolver import StandardResolver
from trio_recipes.errors import ConfigurationError
from trio_recipes.language.model import AgentStep
from trio_recipes.language.template import Template
from trio_recipes.processes import ProcessTrees
from trio_recipes.runtime.ports import AgentBackend
from trio_recipes.testing import ScriptedAgent


@pytest.fixture(autouse=True)
def config_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "config"
    (folder / "trio_recipes").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    return folder


def written(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def answers(agents: Agents, name: str) -> AgentBackend | None:
    entry = agents.entry(name)
    return entry.pinned.backend if entry and entry.pinned else None


# --- which backend answers ---------------------------------------------------------------------------------------


def test_names_come_before_globs_and_the_star_is_last() -> None:
    star, first, second, exact = (EchoBackend() for _ in range(4))
    agents = Agents({"*": star, "team:*": first, "team:c*": second, "team:critic": exact})
    assert answers(agents, "team:critic") is exact
    assert answers(agents, "team:cook") is first
    assert answers(agents, "other") is star
    assert answers(Agents({"a[12]": first}), "a[12]") is first
    assert answers(Agents({"A": first}), "a") is None


def test_what_a_layer_does_not_answer_the_next_one_does() -> None:
    top, middle, bottom = (EchoBackend() for _ in range(3))
    agents = Agents({"a": top}).over(Agents({"a": middle, "b": middle})).over(Agents({"*": bottom}))
    assert [answers(agents, name) for name in "abc"] == [top, middle, bottom]


def test_missing_agents_and_what_to_do_about_them() -> None:
    missing = Agents({"a": EchoBackend()}).missing(["b", "a", "c", "b"])
    assert missing == ["b", "c"]
    message = unanswered(missing)
    for part in ("b, c", "trio-recipes.toml", '[agents."*"]', "--agents echo", "~/.config/trio_recipes/agents.yaml"):
        assert part in message


def test_attaching_leaves_the_original_as_it_was() -> None:
    agents = Agents({"a": CommandBackend(("cat",))}).over(Agents({"b": CommandBackend(("cat",)), "c": EchoBackend()}))
    trees = ProcessTrees("runner")
    attached = agents.attached(trees)
    for name in "ab":
        backend, original = answers(attached, name), answers(agents, name)
        assert isinstance(backend, CommandBackend)
        assert isinstance(original, CommandBackend)
        assert (backend.trees, original.trees) == (trees, None)
    assert answers(attached, "c") is answers(agents, "c")


# --- sources -----------------------------------------------------------------------------------------------------


def test_sources_that_need_no_file() -> None:
    scripted = ScriptedAgent("ok")
    assert answers(load_agents(None), "a") is None
    assert answers(load_agents("echo"), "a") == EchoBackend()
    assert answers(load_agents(scripted), "a") is scripted
    mixed = load_agents({"a": scripted, "b": "echo", "c": {"backend": "command", "command": ["cat", "-"]}})
    assert answers(mixed, "a") is scripted
    assert answers(mixed, "b") == EchoBackend()
    assert answers(mixed, "c") == CommandBackend(("cat", "-"))
    assert answers(load_agents({"agents": {"a": "echo"}}), "a") == EchoBackend()


AGENTS_FILE = """
agents:
  critic: {backend: command, command: [my-agent, --quiet], kill_grace: 5}
  "team:*": {backend: command, command: "my-agent | tee log"}
  "*": {backend: echo}
"""


@pytest.mark.parametrize("as_path", [True, False])
def test_an_agents_file(tmp_path: Path, as_path: bool) -> None:
    file = written(tmp_path / "a.yaml", AGENTS_FILE)
    agents = load_agents(file if as_path else str(file))
    assert answers(agents, "critic") == CommandBackend(("my-agent", "--quiet"), 5.0)
    assert answers(agents, "team:x") == CommandBackend(("/bin/bash", "-c", "my-agent | tee log"))
    assert answers(agents, "x") == EchoBackend()


def test_the_callers_agents_go_before_the_projects_before_the_users(tmp_path: Path, config_home: Path) -> None:
    written(config_home / "trio_recipes/agents.yaml", "agents: {a: echo, b: echo, c: echo}")
    commands = "\n".join(f'[agents.{name}]\nbackend = "command"\ncommand = "project"' for name in "ab")
    written(tmp_path / "trio-recipes.toml", f"[other]\nx = 1\n{commands}")
    scripted = ScriptedAgent("ok")
    agents = configured_agents({"a": scripted}, tmp_path)
    assert answers(agents, "a") is scripted
    assert answers(agents, "b") == CommandBackend(("/bin/bash", "-c", "project"))
    assert answers(agents, "c") == EchoBackend()


def test_files_are_left_alone_if_the_caller_answers_for_all(tmp_path: Path) -> None:
    written(tmp_path / "trio-recipes.toml", "not toml")
    assert answers(configured_agents("echo", tmp_path), "a") == EchoBackend()


@contextmanager
def nobody_may_look_into(folder: Path) -> Generator[None]:
    """As a service has it that runs with the home of somebody else. Root has to be another user for that."""
    me = os.geteuid()
    folder.chmod(0)
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)
        folder.chmod(0o700)


def test_a_home_that_one_may_not_look_into_has_no_files(private_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    written_there = private_home / ".config/trio_recipes/agents.yaml"
    written_there.parent.mkdir(parents=True)
    written_there.write_text("nonsense")
    with nobody_may_look_into(private_home):
        agents = configured_agents({"a": "echo"}, "/")  # a project that everybody may look into
        assert load_prices() == Prices()
    assert agents.missing(["a", "b"]) == ["b"]


def test_no_files_no_agents(tmp_path: Path) -> None:
    assert configured_agents(None, tmp_path).missing(["a"]) == ["a"]


# --- mistakes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "agents.a: says nothing: name a 'backend' or a 'provider'"),
        ({"backend": None}, "agents.a.backend: missing; it is one of: anthropic, command, echo, openai, replay"),
        ({"backend": "comand"}, "there is no backend 'comand'; did you mean 'command'? (there are: anthropic, command"),
        ({"backend": 7}, "there is no backend 7"),
        ({"backend": "openai", "base_url": "u"}, "agents.a.base_url: must be an address such as"),
        ({"backend": "openai", "base_url": "https://me:pass@x/v1"}, "an address has no user, password"),
        ({"backend": "openai", "api_key": "sk-1"}, "agents.a.api_key: keys come from the environment only"),
        ({"backend": "openai", "api_key_env": "sk-1 2"}, "must be the name of an environment variable, not a key"),
        ({"backend": "openai", "api_key_env": "${A_KEY}"}, "write it without '$'"),
        ({"backend": "openai", "timeouts": {"frist": 1}}, "agents.a.timeouts.frist: unknown key"),
        ({"backend": "anthropic", "temperature": "hot"}, "agents.a.temperature: takes a number"),
        ({"backend": "replay"}, "agents.a: backend 'replay' needs 'session'"),
        ({"backend": "replay", "session": "x", "otherwise": "eco"}, "agents.a.otherwise.backend: there is no backend"),
        ({"provider": "x", "class": "fast"}, "takes one of 'provider', 'provider_preferences', 'class'"),
        ({"class": "quick"}, "agents.a.class: takes 'reasoning' or 'fast'"),
        ({"clas": "fast"}, "agents.a.clas: an agent without 'backend' has no field 'clas'; did you mean 'class'?"),
        ({"provider": "x", "base_url": "u"}, "agents.a.base_url: an agent without 'backend' has no field 'base_url'"),
        ({"provider_preferences": [{"provider": "x", "class": "fast"}]}, "takes either 'provider'"),
        ({"provider": "x", "tools": "a"}, "agents.a.tools: takes a list"),
        ({"backend": "echo", "command": "x"}, "agents.a.command: backend 'echo' has no field 'command'"),
        ({"backend": "command", "command": "x", "kil_grace": 1}, "'kil_grace'; did you mean 'kill_grace'?"),
        ({"backend": "command"}, "agents.a: backend 'command' needs 'command'"),
        ({"backend": "command", "command": ["x", 1]}, "found ['x', 1]"),
        ({"backend": "command", "command": " "}, "found ' '"),
        ({"backend": "command", "command": "x", "kill_grace": 61}, "agents.a.kill_grace: must be seconds from 0 to 60"),
        ({"backend": "command", "command": "x", "kill_grace": True}, "found true"),
        ([1], "agents.a: must be a mapping with 'backend' or 'provider', found a list"),
        ({"backend": {1}}, "a value of type set can't be stored"),
    ],
)
def test_mistakes_in_an_entry(entry: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_agents({"a": entry})
    assert message in str(caught.value)


def test_all_mistakes_of_a_file_are_told_with_their_lines(tmp_path: Path) -> None:
    file = written(tmp_path / "a.yaml", "agents:\n  a: {backend: eco}\n  b:\n    backend: command\nagent: 1\n")
    with pytest.raises(ConfigurationError) as caught:
        load_agents(file)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{file}:2:7: agents.a.backend: there is no backend 'eco'; did you mean 'echo'?")
    assert lines[1].startswith(f"{file}:3:3: agents.b: backend 'command' needs 'command'")
    assert lines[2].startswith(f"{file}:5:1: agent: unknown key; did you mean 'agents'?")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agents: [", "this is not YAML"),
        ("- a", "must be a mapping with 'agents' or 'providers', found a list"),
        ("agents: 3", "agents: must be a mapping by name, found 3"),
        ("", "must be a mapping with 'agents' or 'providers', found null"),
        ("agent_folders: [gone]", "agent_folders: there is no folder 'gone'"),
        ("roles: {a: {provider: x, class: fast}}", "roles.a: takes either 'provider'"),
        ("providers: {a: {model: x}}", "providers.a.backend: missing"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    file = written(tmp_path / "a.yaml", text)
    with pytest.raises(ConfigurationError) as caught:
        load_agents(file)
    assert str(file) in str(caught.value)
    assert message in str(caught.value)


def test_a_file_that_is_not_there_or_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such agents file"):
        load_agents(tmp_path / "gone.yaml")
    with pytest.raises(ConfigurationError, match="can't be read"):
        load_agents(tmp_path)


def test_mistakes_of_the_projects_and_the_users_files(tmp_path: Path, config_home: Path) -> None:
    file = written(tmp_path / "trio-recipes.toml", "x")
    with pytest.raises(ConfigurationError, match="this is not TOML"):
        project_agents(tmp_path)
    file.write_text('agents = "echo"')
    with pytest.raises(ConfigurationError, match=r"trio-recipes\.toml: agents: must be a mapping"):
        project_agents(tmp_path)
    written(config_home / "trio_recipes/agents.yaml", "agents: {a: eco}")
    file.unlink()
    with pytest.raises(
        ConfigurationError, match=r"agents\.yaml: agents\.a: there is no provider 'eco'; did you mean 'echo'"
    ):
        configured_agents(None, tmp_path)


# --- trust -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("section", ["agents", "providers"])
@pytest.mark.parametrize(
    "target", ['base_url = "https://evil.example"', 'command = "curl evil.example"', 'key_header = "x"', ""]
)
def test_a_project_can_not_send_the_users_keys_anywhere(tmp_path: Path, target: str, section: str) -> None:
    entry = f'[{section}.a]\nbackend = "openai"\napi_key_env = "AWS_SECRET"\n{target}\n'
    written(tmp_path / "trio-recipes.toml", entry)
    with pytest.raises(ConfigurationError, match=r"api_key_env: .* Move the entry to ~/\.config"):
        project_agents(tmp_path)


def test_the_same_words_count_from_the_user(config_home: Path) -> None:
    users = "agents: {a: {backend: openai, api_key_env: K, base_url: 'https://x.example/v1'}}"
    written(config_home / "trio_recipes/agents.yaml", users)
    entry = user_agents().entry("a")
    assert entry is not None
    assert entry.pinned is not None
    assert (entry.pinned.key, entry.pinned.target) == ("K", "https://x.example/v1")


def test_an_endpoint_that_a_project_names_gets_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    written(tmp_path / "trio-recipes.toml", '[agents.a]\nbackend = "openai"\nbase_url = "https://evil.example/v1"\n')
    backend = answers(project_agents(tmp_path), "a")
    assert isinstance(backend, OpenAIBackend)
    assert dict(backend.endpoint.authorised()) == {}


def test_the_makers_own_address_gets_the_makers_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    written(tmp_path / "trio-recipes.toml", '[agents.a]\nbackend = "openai"\n')
    backend = answers(project_agents(tmp_path), "a")
    assert isinstance(backend, OpenAIBackend)
    assert backend.endpoint.base_url == OPENAI_URL
    assert dict(backend.endpoint.authorised()) == {"Authorization": "Bearer sk-1"}


def test_a_project_adds_providers_and_replaces_none_of_the_users(tmp_path: Path, config_home: Path) -> None:
    mine = "providers: {main: {backend: openai, base_url: 'https://mine.example/v1', api_key_env: K}}"
    written(config_home / "trio_recipes/agents.yaml", mine)
    theirs = "".join(
        f'[providers.{name}]\nbackend = "openai"\nbase_url = "https://x.example"\n' for name in ("main", "own")
    )
    written(tmp_path / "trio-recipes.toml", theirs)
    providers = configured_agents(None, tmp_path).all_providers()
    assert {name: provider.target for name, provider in providers.items()} == {
        "main": "https://mine.example/v1",
        "own": "https://x.example",
    }
    assert next(iter(providers)) == "main"


def test_a_projects_folders_of_definitions_are_the_projects(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "agents").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    written(project / "trio-recipes.toml", 'agent_folders = ["agents", "../elsewhere"]')
    with pytest.raises(ConfigurationError, match=r"agent_folders: '\.\./elsewhere' is outside the project"):
        project_agents(project)


def test_a_program_of_the_project_is_only_named_until_a_step_asks_it(tmp_path: Path) -> None:
    """As with a recipe's own commands: reading, listing and checking start nothing."""
    written(tmp_path / "trio-recipes.toml", f'[agents.a]\nbackend = "command"\ncommand = "touch {tmp_path}/ran"\n')
    agents = configured_agents(None, tmp_path)
    assert [seat.agent for seat in seats_configured(agents)] == ["a"]
    assert StandardResolver().problems([], agents) == []
    assert not (tmp_path / "ran").exists()


# --- names that must be somebody's -------------------------------------------------------------------------------


def test_an_entry_may_only_name_a_provider_that_there_is(tmp_path: Path) -> None:
    file = written(tmp_path / "a.yaml", "providers: {local: echo}\nagents: {a: loacl, b: {provider: local}, c: local}")
    with pytest.raises(ConfigurationError) as caught:
        configured_agents(file, tmp_path)
    assert str(caught.value) == (
        f"{file}: agents.a: there is no provider 'loacl'; did you mean 'local'? (there are: local)"
    )


def test_an_entry_may_name_a_provider_of_another_file(tmp_path: Path, config_home: Path) -> None:
    written(config_home / "trio_recipes/agents.yaml", "providers: {local: echo}")
    written(tmp_path / "trio-recipes.toml", 'agents = {a = "local"}')
    assert configured_agents(None, tmp_path).missing(["a", "b"]) == []  # b: by the first provider there is


def test_a_key_that_is_missing_shows_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    entry = {"backend": "openai", "base_url": "https://x.example", "api_key_env": "SOME_KEY", "model": "m"}
    agents = load_agents({"a": entry})
    step = AgentStep(id="s", agent="a", prompt=Template.parse("p"))
    (problem,) = StandardResolver().problems([step], agents)
    assert problem.startswith("step 's': agent 'a': nobody who may answer is available (openai: the environment")
    monkeypatch.setenv("SOME_KEY", "k")
    assert StandardResolver().problems([step], agents) == []


# --- documentation -----------------------------------------------------------------------------------------------


def test_the_agents_file_of_the_how_to_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    page = (Path(__file__).parents[2] / "docs/how-to/agents.md").read_text()
    text = page.split("```yaml\n")[1].split("```")[0]
    agents = configured_agents(written(tmp_path / "agents.yaml", text), tmp_path)
    seats = {
        seat.agent: (seat.provider.name if seat.provider else None, seat.model) for seat in seats_configured(agents)
    }
    assert seats == {
        "code-reviewer": ("anthropic", "claude-sonnet-*"),
        "foundation:*": ("anthropic", "claude-opus-*"),
        "summariser": ("mine", None),
        "*": ("local", "qwen3*"),
    }
    assert [each["provider"] for each in agents.role("coding")] == ["anthropic", "local"]


def test_what_names_agents_in_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (name_of(None), name_of({}), name_of(EchoBackend())) == (None, None, None)
    names = ("echo", "replay:@last", "replay:run.json", "team.yaml", tmp_path / "team.yaml")
    assert [name_of(source) for source in names] == [
        "echo",
        "replay:@last",
        f"replay:{tmp_path}/run.json",
        f"{tmp_path}/team.yaml",
        f"{tmp_path}/team.yaml",
    ]
