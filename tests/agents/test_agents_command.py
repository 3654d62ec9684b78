"""The command ``agents``: what answers a recipe, told without a connection; and with one, if asked for."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.frontends.running import invoke, write_recipe
from trio_recipes.frontends.cli.main import main
from trio_recipes.testing.model_server import serving

STEPS = """
- {id: one, agent: critic, prompt: p}
- {id: two, agent: critic, prompt: q}
- {id: three, agent: critic, prompt: q, model: "test-small-*"}
- {id: four, agent: "team:cook", prompt: p}
- id: five
  foreach: "{{items}}"
  steps:
    - {id: six, agent: nobody, prompt: p, provider: gone}
"""
AGENTS = """
providers:
  local: {{backend: openai, base_url: "{url}", model: test-large-2, models: {{fast: "test-small-*"}}}}
  hosted: {{backend: anthropic, base_url: "https://nowhere.example", api_key_env: NO_SUCH_VARIABLE_ANYWHERE}}
agents:
  critic: {{provider_preferences: [{{provider: hosted}}, {{provider: local}}]}}
  "team:*": {{class: fast}}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_recipe(tmp_path, STEPS, "context: {items: []}")
    (tmp_path / "agents.yaml").write_text(AGENTS.format(url="http://127.0.0.1:9/v1"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["agents", *arguments, "--json"])
    document: dict[str, Any] = json.loads(capfd.readouterr().out)
    return code, document


def by_agent(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (each["agent"], each["steps"], each["provider"] and each["provider"]["name"], each["model"])
        for each in document["agents"]
    ]


def test_what_a_recipe_would_use_is_told_without_asking_anybody(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, document = asked(capfd, "probe.yaml", "--agents", "agents.yaml")
    assert code == 2
    assert by_agent(document) == [
        ("critic", ["one", "two"], "local", "test-large-2"),
        ("critic", ["three"], "local", "test-small-*"),
        ("team:cook", ["four"], "local", "test-small-*"),
        ("nobody", ["six"], None, None),
    ]
    assert "gone: no provider of this name is configured" in document["agents"][3]["problem"]
    assert {each["name"]: each["reachable"] for each in document["providers"]} == {"local": None, "hosted": None}
    assert document["providers"][1]["key_is_set"] is False


async def test_with_check_it_connects_and_settles_globs(project: Path) -> None:
    async with serving() as server:
        (project / "agents.yaml").write_text(AGENTS.format(url=server.url))
        write_recipe(project, "- {id: a, agent: critic, prompt: p, model: 'test-small-*'}")
        arguments = ("agents", "probe.yaml", "--agents", "agents.yaml")
        done = await trio.to_thread.run_sync(lambda: invoke(*arguments, "--check", "--json", cwd=project))
        assert done.returncode == 0, done.stderr
        (seat,) = json.loads(done.stdout)["agents"]
        assert (seat["model"], seat["provider"]["reachable"]) == ("test-small-2", True)
        text = await trio.to_thread.run_sync(lambda: invoke(*arguments, "--check", cwd=project))
    assert "can be reached, and has 3 models" in text.stdout
    assert server.visits == []  # nobody was asked for an answer


def test_what_can_not_be_reached_fails_the_check(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, document = asked(capfd, "--agents", "agents.yaml", "--check")
    assert code == 1
    problems = {each["name"]: each["problem"] for each in document["providers"]}
    assert "127.0.0.1:9" in problems["local"]
    assert "NO_SUCH_VARIABLE_ANYWHERE" in problems["hosted"]


def test_everything_that_is_configured_as_tables(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = project / ".claude/agents"
    folder.mkdir(parents=True)
    (folder / "reader.md").write_text("---\nname: reader\nmodel: opus\n---\nYou read.")
    (folder / "bad.md").write_text("---\nname: bad\napi_key: x\n---\n\x1b[31m")
    assert main(["agents", "--agents", "agents.yaml"]) == 0
    told = capfd.readouterr().out
    assert [line.split()[0] for line in told.splitlines() if line] == [
        *("AGENT", "critic", "team:*", "reader", "PROVIDER", "local", "hosted", "not")
    ]
    assert "not usable" in told
    assert "bad.md" in told


def test_no_agents_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["agents"]) == 0
    assert "no agents" in capfd.readouterr().out


def test_bad_files_are_refused(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (project / "agents.yaml").write_text("providers: {a: {backend: opnai}}")
    assert main(["agents", "--agents", "agents.yaml"]) == 2
    assert "there is no backend 'opnai'; did you mean 'openai'?" in capfd.readouterr().err
