"""The example ``docs/examples/code-review.yaml``: with any backend, in repositories of all kinds."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_recipes
from tests.frontends.running import invoke
from trio_recipes.agents.load import Source
from trio_recipes.events import Stamped
from trio_recipes.runtime.ports import AgentRequest
from trio_recipes.testing import ScriptedAgent, after
from trio_recipes.testing.model_server import Asked, Stream, says, serving

RECIPE = Path(__file__).parents[2] / "docs/examples/code-review.yaml"


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    for name in ("a.py", "b c.json", "unchanged.py"):
        (folder / name).write_text("x = [1]\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    (folder / "a.py").write_text("x = [1]\ny = {}\n")
    (folder / "b c.json").write_text('{"b": [2]}\n')
    return folder


async def review(folder: Path, agents: Source, **context: Any) -> trio_recipes.SessionResult:
    with trio.fail_after(20):
        async with trio_recipes.open_runtime(agents=agents, project=folder) as runtime:
            session = await runtime.start(RECIPE, context)
            return await session.wait()


def summary(result: trio_recipes.SessionResult) -> str:
    return str(result.unwrap()["final_output"])


def reviewer() -> ScriptedAgent:
    def read(request: AgentRequest) -> str:
        (name,) = [line for line in request.prompt.splitlines() if line.startswith("File: ")]
        return f"{name}: looks odd"

    return ScriptedAgent(steps={"read": read, "summary": lambda request: f"IN ALL {request.prompt}"})


async def test_each_changed_file_is_read_and_all_is_summed_up(repository: Path) -> None:
    agent = reviewer()
    result = await review(repository, agent)
    assert summary(result).startswith("IN ALL ")
    assert '["File: a.py: looks odd", "File: b c.json: looks odd"]' in summary(result)
    prompts = {request.path: request.prompt for request in agent.requests}
    assert set(prompts) == {"review[0]/read", "review[1]/read", "summary"}
    assert "+y = {}" in prompts["review[0]/read"]
    assert '-x = [1]\n+{"b": [2]}' in prompts["review[1]/read"]  # as it stands in the file: no value was made of it


@pytest.mark.parametrize("kind", ["clean", "empty", "none"])
async def test_where_nothing_has_changed_nobody_is_asked(tmp_path: Path, repository: Path, kind: str) -> None:
    folder = {"clean": repository, "empty": tmp_path / "empty", "none": tmp_path / "none"}[kind]
    folder.mkdir(exist_ok=True)
    if kind == "clean":
        git(repository, "checkout", "-q", ".")
    elif kind == "empty":
        git(folder, "init", "-q")
    result = await review(folder, ScriptedAgent())
    assert result.status == "completed"
    assert str(result.final_output).startswith("Nothing to review: ")


async def test_another_commit_and_what_is_left_out(repository: Path) -> None:
    git(repository, "commit", "-qam", "second")
    agent = reviewer()
    result = await review(repository, agent, base="HEAD~1", max_files=1)
    assert "Further files that were left out: 1" in summary(result)
    assert agent.started == 2
    with pytest.raises(trio_recipes.StepFailedError, match="there is no commit '--upload-pack=x' here"):
        (await review(repository, agent, base="--upload-pack=x")).unwrap()


async def test_a_file_that_can_not_be_read_leaves_the_others(repository: Path) -> None:
    agent = reviewer()
    broken = trio_recipes.BackendError("no", retryable=False)
    agent.steps = {"summary": lambda request: request.prompt}  # pyright: ignore[reportAttributeAccessIssue]
    agent.paths = {"review[0]/read": broken, "review[1]/read": "fine"}
    assert 'Reviews: [null, "fine"]' in summary(await review(repository, agent))


async def test_stopped_in_the_middle_it_goes_on_with_the_files_that_are_left(repository: Path) -> None:
    agent = reviewer()
    agent.paths = {"review[1]/read": after(float("inf"))}
    recorded = trio.Event()

    def watch(_session_id: str, stamped: Stamped) -> None:
        if (stamped.event.name, stamped.event.path) == ("scope_finished", "review[0]/read"):
            recorded.set()

    async with trio_recipes.open_runtime(agents=agent, project=repository, observe=watch) as runtime:
        session = await runtime.start(RECIPE)
        with trio.fail_after(20):
            await recorded.wait()
            session.cancel(immediate=True)
            assert (await session.wait()).status == "cancelled"
    second = reviewer()
    async with trio_recipes.open_runtime(agents=second, project=repository) as runtime:
        with trio.fail_after(20):
            result = await (await runtime.resume(session.id)).wait()
    assert result.status == "completed"
    assert [request.path for request in second.requests] == ["review[1]/read", "summary"]


def test_with_echo_on_the_command_line(repository: Path) -> None:
    done = invoke("run", "-q", RECIPE, "--agents", "echo", cwd=repository)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Files: ["a.py", "b c.json"]' in done.stdout


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
async def test_with_a_model_over_http(repository: Path, backend: str) -> None:
    definition = repository / ".claude/agents/code-reviewer.md"
    definition.parent.mkdir(parents=True)
    definition.write_text(
        "---\nname: code-reviewer\ndescription: reads: code\nmodel: test-small-?\n---\nYou are strict."
    )

    def answer(asked: Asked) -> Stream:
        return says("All ", "in all." if "Sum up" in asked.prompt else "is fine.")

    async with serving(answer) as server:
        provider = {"backend": backend, "base_url": server.url}
        result = await review(repository, {"providers": {"local": provider}, "agents": {"*": "local"}})
    assert result.final_output == "All in all."
    assert {visit.asked.model for visit in server.visits} == {"test-small-2"}
    assert all("You are strict." in str(visit.asked.body) for visit in server.visits)
    assert len(server.visits) == 3
