"""Whole Amplifier sessions: modules loaded by entry point, a loop that calls the tool, and the session's own token."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from amplifier_core import AmplifierSession, HookResult
from amplifier_core.session import AmplifierSession as PythonSession

from tests.integrations.amplifier.hosting import PATIENCE, SLOW, recipe
from tests.integrations.amplifier.scripted import TOOL_POST, Script, installed, mount_plan
from trio_recipes.integrations.amplifier.tracker import OBSERVABLE
from trio_recipes.store.base import open_store
from trio_recipes.testing import assert_no_survivors

EXECUTE = {"operation": "execute", "recipe_path": "probe.yaml"}
TWO = """
- {id: one, type: bash, command: echo 1}
- {id: two, type: bash, command: echo 2, output: final_output}
"""


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Amplifier's loader find the scripted modules; ours it finds where this package is installed."""
    monkeypatch.syspath_prepend(installed(tmp_path / "site"))


@pytest.fixture(params=[AmplifierSession, PythonSession], ids=["engine", "python"])
def kind(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Both sessions that amplifier-core has."""
    found: Callable[..., Any] = request.param
    return found


class Whole:
    """A session, and what its hooks have heard."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.told: list[tuple[str, dict[str, Any]]] = []

    def listen(self) -> None:
        for name in (*OBSERVABLE, TOOL_POST):
            self.session.coordinator.hooks.register(name, self._hear, name=f"test-{name}")

    async def _hear(self, name: str, data: dict[str, Any]) -> Any:
        self.told.append((name, data))
        return HookResult(action="continue")

    def data(self, name: str) -> list[dict[str, Any]]:
        """The data of every event of a name."""
        return [data for told, data in self.told if told == name]

    async def results(self) -> list[dict[str, Any]]:
        """What the model got from the tool."""
        messages = await self.session.coordinator.get("context").get_messages()
        return [json.loads(each["content"]) for each in messages if each["role"] == "tool"]

    def running(self) -> list[Any]:
        """The recipe sessions that have not ended."""
        return list(self.session.coordinator.get("tools")["recipes"].host.running())

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for something that will be."""
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110  files and statuses have no event to wait for
                await asyncio.sleep(0.01)

    async def at_slow(self, project: Path) -> str:
        """The recipe session's id, once its slow step runs."""
        await self.until(lambda: (project / "begun").exists() and self.data("recipe:start"))
        return str(self.data("recipe:start")[-1]["recipe_session_id"])

    async def cancelled_at_slow(self, project: Path) -> str:
        """Run the script, and cancel the task that awaits it while the slow step runs; the recipe session's id."""
        turn = asyncio.ensure_future(self.session.execute("run it"))
        recipe_session = await self.at_slow(project)
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn
        return recipe_session


@asynccontextmanager
async def whole(kind: Callable[..., Any], project: Path, script: Script, **agents: Any) -> AsyncGenerator[Whole]:
    """A session with the tool, opened and cleaned up as applications do it."""
    made = kind(mount_plan(script, {"drain_seconds": 0.2, "session_dir": str(project / "kept")}, **agents))
    made.coordinator.register_capability("session.working_dir", str(project))
    async with made as session:
        found = Whole(session)
        found.listen()
        yield found


def test_the_model_runs_a_recipe(kind: Callable[..., Any], tmp_path: Path) -> None:
    recipe(tmp_path, TWO)

    async def main() -> None:
        async with whole(kind, tmp_path, [EXECUTE, "done"]) as it:
            assert await it.session.execute("run the recipe") == "done"
            (result,) = await it.results()
            assert (result["status"], result["summary"]["final_output"]) == ("completed", 2)
            ((offered,), *_) = it.session.coordinator.get("providers")["scripted"].offered
            assert offered.name == "recipes"
            names = [name for name, _ in it.told]
            assert names == ["recipe:start", "recipe:step", "recipe:step", "recipe:complete", TOOL_POST]
            assert {data["session_id"] for _, data in it.told} == {it.session.session_id}
            assert {data["recipe_session_id"] for _, data in it.told[:-1]} == {result["session_id"]}

    asyncio.run(main())


@pytest.mark.parametrize("immediate", [False, True], ids=["graceful", "immediate"])
def test_the_sessions_token_stops_the_recipe_and_it_can_be_resumed(
    kind: Callable[..., Any], tmp_path: Path, immediate: bool
) -> None:
    recipe(tmp_path, SLOW)
    script: Script = [EXECUTE, {"operation": "resume", "session_id": "$SESSION"}, "done"]

    async def main() -> None:
        async with whole(kind, tmp_path, script) as it:
            turn = asyncio.ensure_future(it.session.execute("run it"))
            recipe_session = await it.at_slow(tmp_path)
            await it.session.coordinator.request_cancel(immediate=immediate)
            if not immediate:
                await it.until(lambda: any(each.status == "cancelling" for each in it.running()))
                (tmp_path / "gate").touch()
            assert await turn == "cancelled"
            assert_no_survivors(recipe_session)
            (result,) = await it.results()
            assert (result["type"], result["session_id"]) == ("CancellationRequestedError", recipe_session)
            (told,) = it.data("recipe:cancelled")
            assert told["level"] == ("immediate" if immediate else "graceful")
            done = [step["id"] for step in told["steps"] if step["status"] == "completed"]
            assert done == (["first"] if immediate else ["first", "slow"])

            (tmp_path / "gate").touch()
            it.session.coordinator.cancellation.reset()
            assert await it.session.execute("go on") == "done"
            assert (await it.results())[-1]["status"] == "completed"

    asyncio.run(main())


def test_cancelling_the_turn_stops_the_recipe_first(tmp_path: Path) -> None:
    """In the session written in Python. The engine's does not hand the cancellation on: see the next test."""
    recipe(tmp_path, SLOW)

    async def main() -> None:
        async with whole(PythonSession, tmp_path, [EXECUTE]) as it:
            recipe_session = await it.cancelled_at_slow(tmp_path)
            assert_no_survivors(recipe_session)
            assert [data["level"] for data in it.data("recipe:cancelled")] == ["immediate"]

    asyncio.run(main())


def test_a_turn_that_is_cancelled_leaves_nothing_when_the_session_ends(
    kind: Callable[..., Any], tmp_path: Path
) -> None:
    recipe(tmp_path, SLOW)

    async def main() -> str:
        async with whole(kind, tmp_path, [EXECUTE]) as it:
            recipe_session = await it.cancelled_at_slow(tmp_path)
        assert_no_survivors(recipe_session)
        return recipe_session

    recipe_session = asyncio.run(main())
    assert open_store(f"sqlite://{tmp_path}/kept/trio-recipes").standing(recipe_session).status == "cancelled"


def test_the_end_of_the_session_stops_what_it_left_in_the_background(kind: Callable[..., Any], tmp_path: Path) -> None:
    recipe(tmp_path, SLOW)

    async def main() -> tuple[str, Whole]:
        async with whole(kind, tmp_path, [{**EXECUTE, "background": True}, "it runs"]) as it:
            assert await it.session.execute("begin") == "it runs"
            return await it.at_slow(tmp_path), it

    recipe_session, it = asyncio.run(main())
    assert_no_survivors(recipe_session)
    assert [data["level"] for data in it.data("recipe:cancelled")] == ["immediate"]


def test_agent_steps_are_sub_sessions(kind: Callable[..., Any], tmp_path: Path) -> None:
    """As applications spawn them: a session of its own, whose parent is the one that runs the recipe."""
    recipe(tmp_path, '- {id: ask, agent: "team:expert", prompt: What now?, output: final_output}')
    parents: list[str | None] = []

    async def spawn(*, instruction: str, parent_session: Any, agent_configs: Any, **_more: Any) -> dict[str, Any]:
        script = [f"{agent_configs['team:expert']['says']}: {instruction}"]
        async with kind(mount_plan(script, {}), parent_id=parent_session.session_id) as child:
            parents.append(child.parent_id)
            return {"output": await child.execute(instruction), "session_id": child.session_id}

    async def main() -> None:
        async with whole(kind, tmp_path, [EXECUTE, "done"], **{"team:expert": {"says": "I heard"}}) as it:
            it.session.coordinator.register_capability("session.spawn", spawn)
            await it.session.execute("run it")
            assert (await it.results())[0]["summary"]["final_output"] == "I heard: What now?"
            assert parents == [it.session.session_id]

    asyncio.run(main())


def test_cancelling_a_recipe_cancels_the_sub_session_that_answers(kind: Callable[..., Any], tmp_path: Path) -> None:
    recipe(tmp_path, '- {id: ask, agent: "team:expert", prompt: What now?}')
    ended: list[str] = []

    async def spawn(*, parent_session: Any, **_more: Any) -> str:
        script = [{"operation": "execute", "recipe_path": "inner.yaml"}]
        child = kind(mount_plan(script, {"session_dir": str(tmp_path / "kept")}), parent_id=parent_session.session_id)
        child.coordinator.register_capability("session.working_dir", str(tmp_path))
        parent_session.coordinator.cancellation.register_child(child.coordinator.cancellation)
        async with child:
            try:
                return str(await child.execute("run the inner one"))
            finally:
                ended.append(child.session_id)

    async def main() -> None:
        recipe(tmp_path, SLOW, name="inner")
        async with whole(kind, tmp_path, [EXECUTE]) as it:
            it.session.coordinator.register_capability("session.spawn", spawn)
            turn = asyncio.ensure_future(it.session.execute("run it"))
            await it.at_slow(tmp_path)
            await it.session.coordinator.request_cancel(immediate=True)
            assert await turn == "cancelled"
            assert len(ended) == 1
            listed = await it.session.coordinator.get("tools")["recipes"].execute({"operation": "list"})
            assert {each["recipe_name"]: each["status"] for each in listed.output["sessions"]} == {
                "probe": "cancelled",
                "inner": "cancelled",
            }
            for each in listed.output["sessions"]:
                assert_no_survivors(each["session_id"])

    asyncio.run(main())
