"""`approvals`, `approve` and `deny`: what an agent may decide, and what it is told."""

from pathlib import Path

import trio

from tests.frontends.running import running, shown
from tests.frontends.tool.calling import calling


async def test_approve_and_resume(project: Path) -> None:
    async with calling(project) as call:
        paused = await call("execute", recipe_path=call.staged())
        waiting = await call("approvals")
        approved = await call("approve", session_id=paused["session_id"], stage_name="build", message="go")
        done = await call("resume", session_id=paused["session_id"])
        stands = shown(paused["session_id"])
    (gate,) = waiting["pending_approvals"]
    assert waiting["count"] == 1
    assert (gate["session_id"], gate["recipe_name"], gate["stage_name"]) == (paused["session_id"], "staged", "build")
    assert (gate["approval_prompt"], gate["approval_timeout"], gate["approval_default"]) == ("Ship it?", 0, "deny")
    assert (approved["status"], approved["approval_message"]) == ("approved", "go")
    assert "resume" in approved["message"]
    assert done["summary"]["final_output"] == "shipped: go\n"
    assert stands["approvals"][0]["decision"]["via"] == "tool"


async def test_deny_is_final(project: Path) -> None:
    async with calling(project) as call:
        paused = await call("execute", recipe_path=call.staged())
        denied = await call("deny", session_id=paused["session_id"], stage_name="build")
        again = await call("resume", session_id=paused["session_id"])
        looked = await call("status", session_id=paused["session_id"])
    assert (denied["status"], denied["reason"]) == ("denied", "Denied by user")
    assert again["type"] == "SessionFinishedError"
    assert looked["status"] == "denied"
    assert "resume_info" not in looked


async def test_a_gate_for_people_refuses_agents(project: Path) -> None:
    async with calling(project) as call:
        paused = await call("execute", recipe_path=call.staged(", by: human"))
        refused = [
            await call(operation, session_id=paused["session_id"], stage_name="build")
            for operation in ("approve", "deny")
        ]
        looked = await call("status", session_id=paused["session_id"])
    assert paused["approval_by"] == "human"
    assert all("asks for a person" in each["message"] for each in refused)
    assert (looked["status"], len(looked["pending_approvals"])) == ("paused", 1)


async def test_a_tool_that_may_not_approve(project: Path) -> None:
    async with calling(project, allow_approval=False) as call:
        paused = await call("execute", recipe_path=call.staged())
        refused = await call("approve", session_id=paused["session_id"], stage_name="build")
        assert "approve" not in call.tool.input_schema["properties"]["operation"]["enum"]
        assert "message" not in call.tool.input_schema["properties"]
    assert (refused["success"], refused["type"]) == (False, "InvalidCallError")
    assert shown(paused["session_id"])["approvals"][0]["decision"] is None


async def test_what_does_not_wait_can_not_be_decided(project: Path) -> None:
    async with calling(project) as call:
        paused = await call("execute", recipe_path=call.staged())
        other = await call("approve", session_id=paused["session_id"], stage_name="release")
        await call("approve", session_id=paused["session_id"], stage_name="build")
        twice = await call("deny", session_id=paused["session_id"], stage_name="build")
        nobody = await call("approve", session_id="0123abcd", stage_name="build")
    assert other["message"] == "Stage mismatch: pending approval is for 'build', not 'release'"
    assert twice["message"].startswith("too late: 'build' was approved by tool, pid")
    assert nobody["message"] == "Session not found: 0123abcd. Use 'list' to see those of this project."


async def test_a_session_that_waits_in_another_process_goes_on_by_itself(project: Path) -> None:
    async with calling(project) as call:
        with running("run", project / call.staged(), "--wait-approval", cwd=project) as run:
            await trio.to_thread.run_sync(lambda: run.until("approval_requested"))
            got = await call("approve", session_id=run.session_id, stage_name="build")
            last = await trio.to_thread.run_sync(run.end)
    assert got["message"] == "Stage 'build' approved. It goes on by itself."
    assert last["status"] == "completed"
