"""Where agents come from, and what is said about mistakes there."""

from pathlib import Path
from typing import Any

import pytest

from trio_recipes.agents.backends.command import CommandBackend
from trio_recipes.agents.backends.echo import EchoBackend
from trio_recipes.agents.load import configured_agents, load_agents, project_agents, user_agents
from trio_recipes.agents.registry import Agents, unanswered
from trio_recipes.errors import ConfigurationError
from trio_recipes.processes import ProcessTrees
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


# --- which backend answers ---------------------------------------------------------------------------------------


def test_names_come_before_globs_and_the_star_is_last() -> None:
    star, first, second, exact = (EchoBackend() for _ in range(4))
    agents = Agents({"*": star, "team:*": first, "team:c*": second, "team:critic": exact})
    assert agents.resolve("team:critic") is exact
    assert agents.resolve("team:cook") is first
    assert agents.resolve("other") is star
    assert Agents({"a[12]": first}).resolve("a[12]") is first
    assert Agents({"A": first}).resolve("a") is None


def test_what_a_layer_does_not_answer_the_next_one_does() -> None:
    top, middle, bottom = (EchoBackend() for _ in range(3))
    agents = Agents({"a": top}).over(Agents({"a": middle, "b": middle})).over(Agents({"*": bottom}))
    assert [agents.resolve(name) for name in "abc"] == [top, middle, bottom]


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
        backend, original = attached.resolve(name), agents.resolve(name)
        assert isinstance(backend, CommandBackend)
        assert isinstance(original, CommandBackend)
        assert (backend.trees, original.trees) == (trees, None)
    assert attached.resolve("c") is agents.resolve("c")


# --- sources -----------------------------------------------------------------------------------------------------


def test_sources_that_need_no_file() -> None:
    scripted = ScriptedAgent("ok")
    assert load_agents(None).resolve("a") is None
    assert load_agents("echo").resolve("a") == EchoBackend()
    assert load_agents(scripted).resolve("a") is scripted
    mixed = load_agents({"a": scripted, "b": "echo", "c": {"backend": "command", "command": ["cat", "-"]}})
    assert mixed.resolve("a") is scripted
    assert mixed.resolve("b") == EchoBackend()
    assert mixed.resolve("c") == CommandBackend(("cat", "-"))
    assert load_agents({"agents": {"a": "echo"}}).resolve("a") == EchoBackend()


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
    assert agents.resolve("critic") == CommandBackend(("my-agent", "--quiet"), 5.0)
    assert agents.resolve("team:x") == CommandBackend(("/bin/bash", "-c", "my-agent | tee log"))
    assert agents.resolve("x") == EchoBackend()


def test_the_callers_agents_go_before_the_projects_before_the_users(tmp_path: Path, config_home: Path) -> None:
    written(config_home / "trio_recipes/agents.yaml", "agents: {a: echo, b: echo, c: echo}")
    commands = "\n".join(f'[agents.{name}]\nbackend = "command"\ncommand = "project"' for name in "ab")
    written(tmp_path / "trio-recipes.toml", f"[other]\nx = 1\n{commands}")
    scripted = ScriptedAgent("ok")
    agents = configured_agents({"a": scripted}, tmp_path)
    assert agents.resolve("a") is scripted
    assert agents.resolve("b") == CommandBackend(("/bin/bash", "-c", "project"))
    assert agents.resolve("c") == EchoBackend()


def test_files_are_left_alone_if_the_caller_answers_for_all(tmp_path: Path) -> None:
    written(tmp_path / "trio-recipes.toml", "not toml")
    assert configured_agents("echo", tmp_path).resolve("a") == EchoBackend()


def test_no_files_no_agents(tmp_path: Path) -> None:
    assert configured_agents(None, tmp_path).missing(["a"]) == ["a"]


# --- mistakes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "agents.a.backend: missing; it is one of: command, echo"),
        ({"backend": "comand"}, "there is no backend 'comand'; did you mean 'command'? (there are: command, echo)"),
        ({"backend": 7}, "there is no backend 7"),
        ({"backend": "openai"}, "agents.a.backend: 'openai' is not available in this version"),
        ("anthropic", "'anthropic' is not available in this version"),
        ({"backend": "echo", "command": "x"}, "agents.a.command: backend 'echo' has no field 'command'"),
        ({"backend": "command", "command": "x", "kil_grace": 1}, "'kil_grace'; did you mean 'kill_grace'?"),
        ({"backend": "command"}, "agents.a.command: must be a list of strings"),
        ({"backend": "command", "command": ["x", 1]}, "found ['x', 1]"),
        ({"backend": "command", "command": " "}, "found ' '"),
        ({"backend": "command", "command": "x", "kill_grace": 61}, "agents.a.kill_grace: must be seconds from 0 to 60"),
        ({"backend": "command", "command": "x", "kill_grace": True}, "found true"),
        ([1], "agents.a: must be a mapping with 'backend', found a list"),
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
    assert lines[1].startswith(f"{file}:3:3: agents.b.command: must be a list")
    assert lines[2].startswith(f"{file}:5:1: agent: unknown key; did you mean 'agents'?")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agents: [", "this is not YAML"),
        ("- a", "must be a mapping with 'agents', found a list"),
        ("agents: 3", "agents: must be a mapping from agents to backends, found 3"),
        ("", "must be a mapping with 'agents', found null"),
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
    with pytest.raises(ConfigurationError, match="there is no backend 'eco'"):
        user_agents()


@pytest.mark.parametrize("target", ['base_url = "https://evil.example"', 'command = "curl evil.example"'])
def test_a_project_can_not_send_the_users_keys_anywhere(tmp_path: Path, config_home: Path, target: str) -> None:
    entry = f'[agents.a]\nbackend = "openai"\napi_key_env = "OPENAI_API_KEY"\n{target}\n'
    written(tmp_path / "trio-recipes.toml", entry)
    with pytest.raises(ConfigurationError, match=r"together with api_key_env: .* Move the entry to ~/\.config"):
        project_agents(tmp_path)
    users = "agents: {a: {backend: openai, api_key_env: K, base_url: u}}"
    written(config_home / "trio_recipes/agents.yaml", users)
    with pytest.raises(ConfigurationError, match="not available in this version"):
        user_agents()
