"""The mounted tool, called as orchestrators of Amplifier call it."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from amplifier_core import ToolResult
from amplifier_core.validation import ToolValidator

from tests.integrations.amplifier.hosting import SLOW, App, hosting, recipe
from trio_recipes import SessionManager
from trio_recipes.errors import ConfigurationError
from trio_recipes.integrations.amplifier import mount
from trio_recipes.integrations.amplifier.tracker import OBSERVABLE
from trio_recipes.store.base import open_store
from trio_recipes.testing import assert_no_survivors

QUICK = "- {id: quick, type: bash, command: echo quickly}"


def test_mounting(tmp_path: Path) -> None:
    async def main() -> None:
        app = App(tmp_path)
        app.coordinator.register_capability("observability.events", ["other:event", "recipe:step"])
        await mount(app.coordinator, {"session_dir": str(tmp_path / "sessions")})
        assert app.coordinator.mount_history[-1]["name"] == "recipes"
        assert app.tool.name == "recipes"
        assert app.tool.input_schema["required"] == ["operation"]
        assert "resume" in app.tool.description
        known = app.coordinator.get_capability("observability.events")
        assert known == ["other:event", "recipe:step", *(name for name in OBSERVABLE if name != "recipe:step")]
        await app.coordinator.cleanup()  # nothing was opened

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore:'asyncio.iscoroutinefunction':DeprecationWarning")  # its own, from Python 3.14 on
def test_amplifiers_own_validator_finds_nothing_wrong() -> None:
    async def main() -> Any:
        return await ToolValidator().validate("trio_recipes.integrations.amplifier")

    result = asyncio.run(main())
    assert result.passed, result
    assert result.warnings == []


def test_the_example_runs() -> None:
    example = Path(__file__).parents[3] / "docs" / "examples" / "amplifier_host.py"
    # Not its exit code: amplifier-core 2.0.2 now and then aborts a program that emits hooks, when Python shuts down.
    ran = subprocess.run([sys.executable, example], capture_output=True, text=True, timeout=30, check=False)
    assert ran.stdout.splitlines()[-2:] == [
        "recipe:complete 1 ['completed', 'completed']",
        '"views:two has read 57 characters"',
    ]


def test_a_configuration_that_is_wrong(tmp_path: Path) -> None:
    for config in ({"session_dir": 3}, {"auto_cleanup_days": "7"}, {"allow_approval": 1}, {"drain_seconds": True}):
        with pytest.raises(ConfigurationError, match=next(iter(config))):
            asyncio.run(mount(App(tmp_path).coordinator, config))


def test_running_a_recipe(tmp_path: Path) -> None:
    async def main() -> None:
        async with hosting(tmp_path) as app:
            result = await app.tool.execute({"operation": "execute", "recipe_path": recipe(tmp_path, QUICK)})
            assert isinstance(result, ToolResult)
            assert result.success
            assert result.output
            assert result.output["status"] == "completed"
            assert result.output["summary"]["final_output"] == "quickly\n"
            listed = await app("list")
            assert [each["session_id"] for each in listed["sessions"]] == [result.output["session_id"]]

    asyncio.run(main())


def test_errors_reach_the_agent(tmp_path: Path) -> None:
    async def main() -> None:
        async with hosting(tmp_path) as app:
            result = await app.tool.execute({"operation": "execute", "recipe_path": "nowhere.yaml"})
            assert not result.success
            assert result.error["type"] == "InvalidCallError"
            assert result.output == result.error["message"]

    asyncio.run(main())


def test_a_store_that_can_not_be_used(tmp_path: Path) -> None:
    (tmp_path / "trio-recipes").write_text("a file in the way")

    async def main() -> dict[str, Any]:
        async with hosting(tmp_path, session_dir=str(tmp_path)) as app:
            return await app("list")

    assert asyncio.run(main())["type"] == "StoreUnusableError"


def test_where_sessions_are_kept(tmp_path: Path) -> None:
    async def main(**config: Any) -> str:
        async with hosting(tmp_path, **config) as app:
            return str((await app("execute", recipe_path=recipe(tmp_path, QUICK)))["session_id"])

    mine, configured = asyncio.run(main()), asyncio.run(main(session_dir=str(tmp_path / "sessions")))
    assert SessionManager().session_exists(mine, tmp_path)
    assert SessionManager(tmp_path / "sessions" / "trio-recipes").session_exists(configured, tmp_path)


def test_approving(tmp_path: Path) -> None:
    (tmp_path / "staged.yaml").write_text(
        "name: staged\ndescription: d\nversion: 1.0.0\nstages:\n"
        '- {name: build, steps: [{id: make, type: bash, command: "true"}], approval: {required: true, prompt: "Go?"}}\n'
        "- {name: ship, steps: [{id: send, type: bash, command: echo sent}]}\n"
    )

    async def main() -> None:
        async with hosting(tmp_path) as app:
            paused = await app("execute", recipe_path="staged.yaml")
            assert paused["status"] == "paused_for_approval"
            (asked,) = app.data("recipe:approval")
            assert (asked["stage_name"], asked["prompt"], asked["status"]) == ("build", "Go?", "waiting_approval")
            assert [step["status"] for step in asked["steps"]] == ["waiting_approval", "pending"]
            assert asked["steps"][0]["is_approval_gate"] is True
            await app("approve", session_id=paused["session_id"], stage_name="build")
            assert (await app("resume", session_id=paused["session_id"]))["status"] == "completed"
            assert [data["recipe_session_id"] for data in app.data("recipe:start")] == [paused["session_id"]] * 2
            assert [data["current_step"] for data in app.data("recipe:step")] == [0, 1]

    asyncio.run(main())


def test_bundles_of_the_host(tmp_path: Path) -> None:
    class Mentions:
        def resolve(self, mention: str) -> Path | None:
            return tmp_path / "bundle" / mention.removeprefix("@tools:") if mention.startswith("@tools:") else None

    (tmp_path / "bundle").mkdir()
    recipe(tmp_path / "bundle", QUICK)

    async def main() -> None:
        async with hosting(tmp_path) as app:
            app.coordinator.register_capability("mention_resolver", Mentions())
            assert (await app("execute", recipe_path="@tools:probe.yaml"))["status"] == "completed"
            unknown = await app("execute", recipe_path="@other:probe.yaml")
            assert unknown["message"].startswith("Could not resolve @mention path: @other:probe.yaml (")

    asyncio.run(main())


def test_the_working_directory_is_that_of_the_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with hosting(tmp_path) as app:
            for name in ("one", "two"):
                (tmp_path / name).mkdir()
                recipe(tmp_path / name, "- {id: where, type: bash, command: pwd}")
                app.coordinator.register_capability("session.working_dir", str(tmp_path / name))
                got = await app("execute", recipe_path="probe.yaml")
                assert got["summary"]["final_output"] == f"{tmp_path / name}\n"
                assert (await app("list"))["count"] == 1

    asyncio.run(main())


def test_an_application_with_a_loop_for_each_turn(tmp_path: Path) -> None:
    app = App(tmp_path)
    asyncio.run(mount(app.coordinator))
    path = recipe(tmp_path, QUICK)
    for _ in range(2):
        assert asyncio.run(app("execute", recipe_path=path))["status"] == "completed"
    assert len(app.data("recipe:complete")) == 2

    async def clean_up() -> None:
        await app.coordinator.cleanup()

    asyncio.run(clean_up())


def test_cancelling_the_task_stops_the_session(tmp_path: Path) -> None:
    async def main() -> None:
        async with hosting(tmp_path) as app:
            call = app.begin("execute", recipe_path=recipe(tmp_path, SLOW))
            session_id = await app.at_slow()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert_no_survivors(session_id)
            looked = await app("status", session_id=session_id)
            assert (looked["status"], looked["current_step"]) == ("cancelled", "slow")
            (told,) = app.data("recipe:cancelled")
            assert (told["level"], told["cancelled_at_step"], told["status"]) == ("immediate", "slow", "cancelled")

    asyncio.run(main())


def test_the_end_of_the_amplifier_session_stops_what_runs_in_the_background(tmp_path: Path) -> None:
    async def main() -> str:
        async with hosting(tmp_path, drain_seconds=0.1) as app:
            started = await app("execute", recipe_path=recipe(tmp_path, SLOW), background=True)
            await app.at_slow()
            return str(started["session_id"])

    session_id = asyncio.run(main())
    assert_no_survivors(session_id)
    assert open_store().standing(session_id).status == "cancelled"


def test_old_sessions_are_cleaned_up(tmp_path: Path) -> None:
    async def main() -> int:
        async with hosting(tmp_path, auto_cleanup_days=0) as app:
            for _ in range(2):
                await app("execute", recipe_path=recipe(tmp_path, QUICK))
            return int((await app("list"))["count"])

    assert asyncio.run(main()) == 0
