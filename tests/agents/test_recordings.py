"""Sessions as recordings: from the store, into files, under a recipe's tests; through the public doors."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_recipes
from tests.frontends.running import environment, invoke, write_recipe
from trio_recipes.errors import ConfigurationError, SessionNotFoundError
from trio_recipes.sessions.recordings import read_recording, recording_of
from trio_recipes.store.base import open_store
from trio_recipes.testing import ScriptedAgent, failing, in_turn, save_recording

STEPS = """
- id: each
  foreach: "{{items}}"
  as: item
  parallel: true
  collect: lengths
  agent: counter
  prompt: "how long is {{item}}?"
- id: structured
  agent: maker
  prompt: "make of {{lengths}}"
  output: made
- id: flaky
  agent: flaky
  prompt: "try"
  retry: {max_attempts: 2, initial_delay: 0}
- id: tolerated
  agent: broken
  prompt: "can you?"
  on_error: continue
"""
HEAD = "context: {items: [one, three]}"


def scripted() -> ScriptedAgent:
    return ScriptedAgent(
        agents={
            "counter": lambda request: str(len(request.prompt)),
            "maker": {"output": {"a": [1, None]}},
            "flaky": failing(1, then="at last"),
            "broken": trio_recipes.BackendError("no", retryable=False),
        }
    )


async def run(recipe: Path, agents: Any, **context: Any) -> trio_recipes.SessionResult:
    async with trio_recipes.open_runtime(agents=agents, project=recipe.parent) as runtime:
        session = await runtime.start(recipe, context)
        return await session.wait()


async def test_a_replayed_session_comes_to_the_same_as_the_one_before(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, STEPS, HEAD)
    first = await run(recipe, scripted())
    again = await run(recipe, f"replay:{first.session_id}")
    plain = {name: value for name, value in first.context.items() if name != "session"}
    assert {name: value for name, value in again.context.items() if name != "session"} == plain
    assert (again.context["lengths"], again.context["made"]) == ([16, 18], {"a": [1, None]})
    assert again.status == "completed"
    once_more = await run(recipe, f"replay:{again.session_id}")  # a replay is as good a recording
    assert once_more.context["made"] == again.context["made"]


async def test_a_replay_of_another_prompt_shows_the_difference_and_asks_nobody(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, STEPS, HEAD)
    first = await run(recipe, scripted())
    with pytest.raises(trio_recipes.StepFailedError) as caught:
        (await run(recipe, f"replay:{first.session_id}", items=["one", "four"])).unwrap()
    assert "-how long is three?\n+how long is four?" in str(caught.value)


async def test_what_is_not_recorded_may_go_to_somebody_else(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, STEPS, HEAD)
    first = await run(recipe, scripted())
    agents = {"*": {"backend": "replay", "session": first.session_id, "otherwise": "echo"}}
    result = await run(recipe, agents, items=["one", "four"])
    assert result.context["lengths"] == [16, "how long is four?"]


async def test_no_such_recording_is_said_before_anything_runs(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, STEPS, HEAD)
    with pytest.raises(SessionNotFoundError):
        await run(recipe, "replay:nobody")
    with pytest.raises(ConfigurationError, match=r"gone\.json: there is no such recording; .*save_recording makes one"):
        await run(recipe, f"replay:{tmp_path}/gone.json")
    (tmp_path / "none.json").write_text('{"answers": {"a": {"agnt": 1}}}')
    with pytest.raises(ConfigurationError, match=r"none\.json: this is no recording"):
        await run(recipe, f"replay:{tmp_path}/none.json")
    assert list(open_store().standings()) == []


async def test_answers_of_a_session_that_was_stopped_count_as_far_as_they_came(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, "- {id: a, agent: x, prompt: p}\n- {id: b, agent: x, prompt: q}")
    agent = ScriptedAgent(steps={"a": "first", "b": in_turn(trio.sleep_forever)})
    async with trio_recipes.open_runtime(agents=agent) as runtime:
        session = await runtime.start(recipe)
        with trio.fail_after(20):
            await agent.wait_started(2)
            session.cancel(immediate=True)
            await session.wait()
    recording = recording_of(open_store().file(session.id))
    assert {path: answer.text for path, answer in recording.answers.items()} == {"a": "first"}


async def test_a_file_keeps_no_secrets_and_can_be_replayed_with_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("token", "hunter2-hunter2")
    recipe = write_recipe(tmp_path, '- {id: a, agent: x, prompt: "use {{token}} now"}', "secrets: [token]")
    first = await run(recipe, "echo")
    file = tmp_path / "answers.json"
    await trio.to_thread.run_sync(save_recording, first.session_id, file)
    assert "hunter2" not in file.read_text()
    assert read_recording(file).answers["a"].prompt == "use *** now"
    assert "hunter2" not in str(recording_of(open_store().file(first.session_id)).answers["a"].prompt)
    monkeypatch.setenv("token", "another-secret")
    again = await run(recipe, f"replay:{file}")
    assert again.final_output == "use *** now"


def test_replay_on_the_command_line(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, '- {id: a, agent: x, prompt: "hello"}')
    assert invoke("run", recipe, "--agents", "echo", cwd=tmp_path).returncode == 0
    done = invoke("run", recipe, "--agents", "replay:@last", cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "hello")
    recipe.write_text(recipe.read_text().replace("hello", "good-bye"))
    missed = invoke("run", recipe, "--agents", "replay:@last", cwd=tmp_path)
    assert missed.returncode == 1
    assert "-hello\n+good-bye" in missed.stdout


TEST_OF_A_USER = """
def test_recipe(replay):
    result = replay("probe.yaml", "recordings/probe.json", {"word": "hello"})
    assert result.unwrap()["final_output"] == "say hello"

async def test_recipe_in_trio(replay):
    result = await replay.run("probe.yaml", "recordings/probe.json", {"word": "hello"})
    assert result.status == "completed"
"""


def pytest_in(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Pytest with the plugins that it needs, not with whatever else is installed here."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "pytest_trio.plugin", "-o", "trio_mode=true", *options]
    env = environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, env=env, check=False)


def test_the_fixture_records_and_replays(tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    tests.mkdir()
    steps = '- {id: a, agent: x, prompt: "say {{word}}", output: final_output}'
    recipe = write_recipe(tests, steps, "context: {word: nothing}")
    (tests / "conftest.py").write_text('pytest_plugins = ["trio_recipes.testing.replaying"]\n')
    (tests / "test_probe.py").write_text(textwrap.dedent(TEST_OF_A_USER))
    recorded = pytest_in(tests, "--record-agents", "echo")
    assert "2 passed" in recorded.stdout, recorded.stdout
    assert "say hello" in (tests / "recordings/probe.json").read_text()
    assert "2 passed" in pytest_in(tests).stdout
    recipe.write_text(recipe.read_text().replace("say {", "shout {"))
    changed = pytest_in(tests)
    assert "2 failed" in changed.stdout
    assert "+shout hello" in changed.stdout
