"""`execute` and `resume`: what a run comes to, as an agent reads it."""

import json
from pathlib import Path

import pytest

from tests.frontends.running import QUICK
from tests.frontends.tool.calling import SLOW, calling, pending
from trio_recipes.testing import assert_no_survivors


async def test_a_recipe_that_completes(project: Path) -> None:
    async with calling(project) as call:
        got = await call("execute", recipe_path=call.recipe(QUICK, "context: {name: Ada}"), context={"name": "Eve"})
    assert (got["success"], got["status"], got["recipe"]) == (True, "completed", "probe")
    summary = got["summary"]
    assert summary["final_output"] == "quickly\n"
    assert summary["session"]["id"] == got["session_id"]
    assert summary["recipe_metadata"] == {"name": "probe", "version": "1.0.0", "description": "a probe"}
    assert summary["last_step"]["id"] == "quick"
    assert summary["available_outputs"] == ["name"]
    assert json.loads(json.dumps(got)) == got


async def test_the_last_steps_variable_is_named(project: Path) -> None:
    async with calling(project) as call:
        got = await call("execute", recipe_path=call.recipe(QUICK + "  output: word\n"))
    assert got["summary"]["final_output_key"] == "word"
    assert got["summary"]["available_outputs"] == ["word"]


async def test_a_long_output_is_cut_and_the_session_has_all_of_it(project: Path) -> None:
    step = "- {id: much, type: bash, command: \"printf 'x%.0s' {1..30000}\"}"
    async with calling(project) as call:
        got = await call("execute", recipe_path=call.recipe(step))
        whole = await call.tool.runtime.result(got["session_id"])
    shown = got["summary"]["final_output"]
    assert shown.startswith("x" * 10_000 + "\n\n[... truncated")
    assert whole is not None
    assert whole.final_output == "x" * 30_000


async def test_a_secret_stays_one(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("token", "hunter2-hunter2")
    step = "- {id: tell, type: bash, env_from_context: [token], command: echo $token}"
    async with calling(project) as call:
        got = await call("execute", recipe_path=call.recipe(step, "secrets: [token]"))
        looked = await call("status", session_id=got["session_id"])
    assert got["summary"]["final_output"] == "***\n"
    assert "hunter2" not in json.dumps([got, looked])


async def test_a_recipe_that_fails_can_be_resumed(project: Path) -> None:
    step = "- {id: shaky, type: bash, command: test -e gate}"
    async with calling(project) as call:
        failed = await call("execute", recipe_path=call.recipe(step))
        call.open_gate()
        again = await call("resume", session_id=failed["session_id"])
    assert not failed["success"]
    assert failed["type"] == "StepFailedError"
    assert failed["message"].startswith("Recipe execution failed: session ")
    assert failed["failed_step"] == "shaky"
    assert failed["session_id"] in failed["resume_info"]
    assert again["status"] == "completed"


async def test_what_has_completed_is_not_resumed(project: Path) -> None:
    async with calling(project) as call:
        done = await call("execute", recipe_path=call.recipe(QUICK))
        again = await call("resume", session_id=done["session_id"])
    assert (again["success"], again["type"]) == (False, "SessionFinishedError")


async def test_a_gate_pauses_it(project: Path) -> None:
    async with calling(project) as call:
        got = await call("execute", recipe_path=call.staged())
    assert (got["success"], got["status"]) == (True, "paused_for_approval")
    assert (got["stage_name"], got["approval_prompt"]) == ("build", "Ship it?")
    assert got["session_id"] in got["message"]


async def test_in_the_background_it_returns_at_once(project: Path) -> None:
    async with calling(project) as call:
        got = await call("execute", recipe_path=call.recipe(SLOW), background=True)
        assert got["status"] == "running"
        session = call.tool.runtime.get(got["session_id"])
        assert session.result is None
        call.open_gate()
        assert (await session.wait()).final_output == "three\n"


async def test_cancelling_the_call_stops_its_session_before_it_returns(project: Path) -> None:
    async with calling(project) as call, pending(call, operation="execute", recipe_path=call.recipe(SLOW)) as one:
        session = await one.reaches("slow")
        one.scope.cancel()
        await one.over()
        assert one.cancelled
        assert session.result is not None
        assert session.result.status == "cancelled"
        assert session.result.cancellation is not None
        assert session.result.cancellation.source == "tool"
        assert session.result.cancellation.level == 2
        assert_no_survivors(session.id)
        call.open_gate()
        again = await call("resume", session_id=session.id)
    assert again["summary"]["final_output"] == "three\n"


async def test_cancelling_the_call_spares_what_it_started_in_the_background(project: Path) -> None:
    async with calling(project) as call:
        async with pending(call, operation="execute", recipe_path=call.recipe(SLOW), background=True) as one:
            session = await one.session()
            one.scope.cancel()
            await one.over()
        assert session.result is None
        call.open_gate()
        result = await session.wait()
    assert result.status == "completed"


async def test_a_host_that_fails_when_told_of_the_session_leaves_none_running(project: Path) -> None:
    def fail(_session: object) -> None:
        raise RuntimeError("the host's own bug")

    async with calling(project) as call:
        arguments = {"operation": "execute", "recipe_path": call.recipe(SLOW)}
        result = await call.tool.execute(arguments, on_session=fail)
        assert call.tool.runtime.sessions == {}
        assert (await call.tool.runtime.result("@last")).status == "cancelled"
    assert result.error == {"message": "Recipe execution failed: the host's own bug", "type": "RuntimeError"}
