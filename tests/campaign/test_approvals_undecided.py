"""Gates that nobody answers: their session is cancelled, their time runs out, their runner is killed."""

from __future__ import annotations

import time

import pytest
import trio

from tests.campaign.gates import gate, resume, run, staged, waiting
from tests.campaign.lab import Lab, eventually
from trio_recipes import (
    ApprovalGatePausedError,
    ApprovalStatus,
    SessionError,
    SessionStatus,
)
from trio_recipes.events import ApprovalDecided, ApprovalRequested
from trio_recipes.testing import kill_at, run_until

pytestmark = pytest.mark.slow


# --- cancelling what waits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["command line", "SessionManager", "Runtime", "Session"])
async def test_cancelling_a_paused_session_ends_it_at_once(lab: Lab, door: str) -> None:
    recipe = staged(lab)
    async with lab.runtime() as runtime:
        session = await runtime.start(recipe)
        assert (await session.wait()).status is SessionStatus.PAUSED
        if door == "command line":
            await trio.to_thread.run_sync(lab.cancel, session.id)
        elif door == "SessionManager":
            assert lab.manager.request_cancellation(session.id, lab.root)[0]
        elif door == "Runtime":
            assert await runtime.cancel(session.id)
        else:
            reply = session.cancel("no longer needed")
            assert reply.accepted
            await reply.durable()
        assert lab.status(session.id) == "cancelled"
    assert waiting(lab) == []
    with pytest.raises(SessionError, match="too late"):
        lab.manager.set_stage_approval_status(session.id, lab.root, "make", ApprovalStatus.APPROVED)
    assert (await resume(lab, session.id)).status is SessionStatus.PAUSED
    assert len([event for event in lab.events(session.id) if isinstance(event, ApprovalRequested)]) == 2


async def test_a_decision_made_before_the_cancel_is_kept(lab: Lab) -> None:
    session_id = (await run(lab, staged(lab))).session_id
    lab.manager.set_stage_approval_status(session_id, lab.root, "make", ApprovalStatus.APPROVED, "fine", by="ada")
    assert lab.manager.request_cancellation(session_id, lab.root)[0]
    assert (await resume(lab, session_id)).context["ship"] == "fine/ada/api\n"


async def test_a_program_that_ends_leaves_what_waits_alone(lab: Lab) -> None:
    """Raising out of the runtime cancels what runs; a paused session is waiting for somebody else."""
    recipe = staged(lab)
    with pytest.raises(ApprovalGatePausedError) as paused:
        async with lab.runtime() as runtime:
            (await (await runtime.start(recipe)).wait()).unwrap()
    error = paused.value
    assert (error.stage_name, error.approval_prompt) == ("make", "Ship this? value of build\n")
    assert lab.status(error.session_id) == "paused"


async def test_draining_a_runtime_leaves_what_waits_alone(lab: Lab) -> None:
    recipe = staged(lab)
    async with lab.runtime() as runtime:
        session = await runtime.start(recipe)
        await session.wait()
        await runtime.drain()
    assert lab.status(session.id) == "paused"


@pytest.mark.parametrize("verb", ["deny", "cancel"])
def test_the_finally_of_a_paused_session_runs_when_it_is_ended(lab: Lab, verb: str) -> None:
    stage = {"name": "make", "steps": [lab.step("build")], "approval": gate()}
    clean_up = {"id": "tidy", "type": "bash", "command": f"echo {{{{_outcome}}}} > {lab.root}/tidied"}
    session_id = lab.run(lab.write("tidy", stages=[stage], **{"finally": [clean_up]})).ended()["session_id"]
    assert not (lab.root / "tidied").exists()
    assert lab.command(verb, session_id, *(["make"] if verb == "deny" else [])).code == 0
    eventually(lambda: lab.status(session_id) == {"deny": "denied", "cancel": "cancelled"}[verb])
    assert (lab.root / "tidied").read_text().strip() in ("failed", "cancelled")


# --- time --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("default", "code", "status"), [("approve", 0, "completed"), ("deny", 1, "denied")])
@pytest.mark.parametrize("look", ["resume", "approvals", "approve"])
def test_a_default_applies_at_the_next_look(lab: Lab, default: str, code: int, status: str, look: str) -> None:
    session_id = lab.run(staged(lab, timeout=1, default=default)).ended()["session_id"]
    time.sleep(1.1)
    assert lab.status(session_id) == "paused"
    if look == "approvals":
        assert f"its default holds: {default}" in lab.command("approvals").stderr
    elif look == "approve":
        late = lab.command("approve", session_id, "make")
        assert late.code == 2
        assert f"too late: nobody decided on 'make' within 1 s, so its default holds: {default}" in late.stderr
    if look == "resume" or status == "completed":
        assert lab.command("resume", session_id).code == code
    assert lab.status(session_id) == status
    (decided,) = [event for event in lab.events(session_id) if isinstance(event, ApprovalDecided)]
    assert decided.via == "timeout"


@pytest.mark.parametrize(("default", "status"), [("approve", SessionStatus.COMPLETED), ("deny", SessionStatus.DENIED)])
async def test_a_default_applies_at_once_while_a_run_waits(lab: Lab, default: str, status: SessionStatus) -> None:
    with trio.fail_after(20):
        result = await run(lab, staged(lab, timeout=1, default=default), wait_approval=True)
    assert result.status is status


# --- crashes -----------------------------------------------------------------------------------------------------


def test_a_runner_killed_right_after_it_asked_loses_nothing(lab: Lab) -> None:
    crash = run_until(staged(lab), kill_at("approval_requested"), store=lab.store, project=lab.root)
    assert crash.was_killed
    eventually(lambda: lab.status(crash.session_id) == "interrupted")
    assert lab.command("approve", crash.session_id, "make", "--message", "still").code == 0
    assert lab.resume(crash.session_id).ended()["status"] == "completed"
    assert lab.executions() == {"build": 1, "ship": 1}
    assert len([event for event in lab.events(crash.session_id) if isinstance(event, ApprovalRequested)]) == 1


@pytest.mark.parametrize(("verb", "status"), [("approve", "completed"), ("deny", "denied")])
def test_a_decision_outlives_the_runner_that_did_not_see_it(lab: Lab, verb: str, status: str) -> None:
    runner = lab.run(staged(lab), "--wait-approval")
    eventually(lambda: waiting(lab))
    lab.freeze(runner)
    assert lab.command(verb, runner.session_id, "make").code == 0
    late = lab.command("approve", runner.session_id, "make")
    assert late.code == 2
    assert "too late: 'make' was" in late.stderr
    runner.kill()
    eventually(lambda: lab.status(runner.session_id) == "interrupted")
    assert lab.resume(runner.session_id).ended()["status"] == status


def test_a_cancel_at_the_very_moment_of_the_pause_is_not_lost(lab: Lab) -> None:
    recipe = staged(lab)
    for _ in range(4):
        runner = lab.run(recipe)
        eventually(lambda runner=runner: runner.saw("approval_requested"))  # type: ignore[misc]
        assert lab.command("cancel", runner.session_id).code == 0
        runner.wait()
        assert lab.status(runner.session_id) == "cancelled"
