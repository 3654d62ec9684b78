"""Approval gates as their users meet them: from the command line, in loops and sub-recipes, in programs."""

from __future__ import annotations

import json

import pytest
import trio

from tests.campaign.gates import nested, resume, run, staged, waiting
from tests.campaign.lab import Lab, eventually
from trio_recipes import (
    ApprovalGatePausedError,
    ApprovalStatus,
    SessionBusyError,
    SessionError,
    SessionFinishedError,
    SessionNotFoundError,
    SessionStatus,
    load_recipe,
)
from trio_recipes.events import ApprovalDecided

pytestmark = pytest.mark.slow


# --- the command line --------------------------------------------------------------------------------------------


def test_a_run_pauses_is_approved_and_goes_on(lab: Lab) -> None:
    paused = lab.command("run", str(staged(lab)))
    assert paused.code == 3
    session_id = lab.manager.list_sessions(lab.root)[0]["session_id"]
    assert "Ship this? value of build" in paused.stdout
    for command in (f"approve {session_id} make", f"deny {session_id} make", f"resume {session_id}"):
        assert f"trio-recipes {command}\n" in paused.stdout
    assert "paused" in lab.command("list").stdout
    listed = lab.command("approvals")
    assert "Ship this? value of build" in listed.stdout
    assert f"trio-recipes approve {session_id} make" in listed.stdout
    (pending,) = [json.loads(line) for line in lab.command("approvals", "--json").stdout.splitlines()]
    assert (pending["session_id"], pending["stage_name"], pending["status"]) == (session_id, "make", "paused")

    assert lab.command("approve", "@last", "make", "--message", "fine").code == 0
    assert lab.command("approvals").stdout.startswith("nothing")
    assert lab.resume(session_id).ended()["status"] == "completed"
    assert lab.context(session_id)["ship"].startswith("fine/")
    assert lab.context(session_id)["ship"].endswith("/user\n")
    assert lab.executions() == {"build": 1, "ship": 1}
    (shown,) = lab.show(session_id)["approvals"]
    assert (shown["path"], shown["decision"]["decision"], shown["decision"]["message"]) == ("make", "approved", "fine")


def test_a_paused_session_shows_who_is_asked_what(lab: Lab) -> None:
    session_id = lab.run(staged(lab, timeout=3600, default="approve")).ended()["session_id"]
    shown = lab.show(session_id)
    assert (shown["status"], shown["current_step"]) == ("paused", "make")
    (pending,) = shown["approvals"]
    assert (pending["stage"], pending["default"], pending["timeout"]) == ("make", "approve", 3600)
    assert pending["decision"] is None
    text = lab.command("show", session_id).stdout
    assert "Ship this? value of build" in text
    assert "(then: approve)" in text
    watched = lab.command("watch", session_id)
    assert watched.code == 3
    assert f"trio-recipes approve {session_id} make" in watched.stdout


def test_a_denial_is_final(lab: Lab) -> None:
    session_id = lab.run(staged(lab)).ended()["session_id"]
    assert lab.command("deny", session_id, "make", "--reason", "too early").code == 0
    assert lab.status(session_id) == "denied"
    assert "too early" in lab.command("show", session_id).stdout
    for late in (["resume", session_id], ["approve", session_id, "make"], ["cancel", session_id]):
        refused = lab.command(*late)
        assert refused.code in (2, 5)
        assert "denied" in refused.stdout + refused.stderr
    assert lab.executions() == {"build": 1}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["approve", "nobody", "make"], "no session"),
        (["approve", "@last", "send"], "Stage mismatch: pending approval is for 'make', not 'send'"),
    ],
)
def test_what_can_not_be_decided_is_refused(lab: Lab, arguments: list[str], says: str) -> None:
    lab.run(staged(lab)).ended()
    refused = lab.command(*arguments)
    assert refused.code == 2
    assert says in refused.stderr


def test_a_run_that_stays_up_goes_on_by_itself(lab: Lab) -> None:
    runner = lab.run(staged(lab), "--wait-approval")
    eventually(lambda: runner.saw("approval_requested", path="make"))
    assert lab.status(runner.session_id) == "running"
    assert "its runner has been told" in lab.command("approve", runner.session_id, "make", "--message", "go").stdout
    assert runner.ended()["status"] == "completed"
    assert runner.saw("approval_decided", path="make", approved=True, message="go")


def test_people_are_told_how_to_approve_from_another_terminal(lab: Lab) -> None:
    runner = lab.spawn("run", str(staged(lab)), "--wait-approval")
    eventually(lambda: "from another terminal" in runner.stdout)
    session_id = lab.manager.list_sessions(lab.root)[0]["session_id"]
    assert f"trio-recipes approve {session_id} make\n" in runner.stdout
    assert lab.command("deny", session_id, "make").code == 0
    assert runner.wait() == 1
    assert "? make denied by" in runner.stdout


def test_of_two_who_decide_at_once_one_wins(lab: Lab) -> None:
    session_id = lab.run(staged(lab)).ended()["session_id"]
    deciders = [lab.spawn(verb, session_id, "make") for verb in ("approve", "deny", "approve", "deny")]
    assert sorted(decider.wait() for decider in deciders) == [0, 2, 2, 2]
    assert all("too late" in decider.stderr for decider in deciders if decider.code)
    assert len([event for event in lab.events(session_id) if isinstance(event, ApprovalDecided)]) == 1


def test_deciding_loads_neither_trio_nor_cattrs(lab: Lab) -> None:
    session_id = lab.run(staged(lab)).ended()["session_id"]
    program = "import sys; from trio_recipes.frontends.cli.main import main; code = main(sys.argv[1:]); "
    program += "sys.exit(code or str({'trio', 'cattrs', 'yaml'} & set(sys.modules)).replace('set()', ''))"
    for arguments in (["approvals"], ["approvals", "--json"], ["deny", session_id, "make"]):
        done = lab.python("-c", program, *arguments, "--store", str(lab.store))
        assert done.wait() in (0, 1)
        assert done.stderr.strip() == ""


# --- gates anywhere ----------------------------------------------------------------------------------------------


def test_gates_of_a_parallel_loop_are_decided_one_by_one(lab: Lab) -> None:
    ended = lab.run(nested(lab)).ended()
    session_id = ended["session_id"]
    assert {found["path"] for found in ended["approvals"]} == {"audit/each[0]/check", "audit/each[1]/check"}
    ambiguous = lab.command("approve", session_id, "audit/check")
    assert ambiguous.code == 2
    assert all(path in ambiguous.stderr for path in ("audit/each[0]/check", "audit/each[1]/check"))
    assert lab.command("approve", session_id, "audit/each[1]/check", "--message", "second").code == 0
    assert lab.resume(session_id).ended()["status"] == "paused"
    assert "use-y" in lab.executions()
    assert lab.command("approve", session_id, "audit/check", "--message", "first").code == 0
    assert lab.resume(session_id).ended()["status"] == "completed"
    assert [one["used"] for one in lab.context(session_id)["all"]] == ["x first\n", "y second\n"]
    assert set(lab.executions().values()) == {1}


async def test_gates_of_a_sequential_loop_come_one_after_the_other(lab: Lab) -> None:
    result = await run(lab, nested(lab, parallel=False))
    for item in "xy":
        assert result.status is SessionStatus.PAUSED
        assert waiting(lab) == [f"audit/each[{'xy'.index(item)}]/check"]
        lab.manager.set_stage_approval_status(result.session_id, lab.root, "check", ApprovalStatus.APPROVED, item)
        result = await resume(lab, result.session_id)
    assert [one["used"] for one in lab.context(result.session_id)["all"]] == ["x x\n", "y y\n"]
    assert set(lab.executions().values()) == {1}


async def test_an_approval_takes_effect_while_another_branch_runs(lab: Lab) -> None:
    recipe = nested(lab)
    lab.hold("check-y")
    async with lab.runtime() as runtime:
        session = await runtime.start(recipe)
        await trio.to_thread.run_sync(eventually, lambda: waiting(lab))
        await runtime.approve(session.id, "check", "early", by="ada")
        await trio.to_thread.run_sync(eventually, lambda: lab.begun("use-x"))
        lab.release()
        assert (await session.wait()).current_step == "audit/each[1]/check"


@pytest.mark.parametrize("depth", [1, 3])
async def test_a_gate_is_passed_up_from_any_depth(lab: Lab, depth: int) -> None:
    inner = staged(lab).name
    for level in range(depth):
        call = {"id": "call", "type": "recipe", "recipe": inner, "output": "called"}
        inner = lab.write(f"level{level}", stages=[{"name": f"s{level}", "steps": [call]}]).name
    result = await run(lab, lab.root / inner)
    with pytest.raises(ApprovalGatePausedError) as paused:
        result.unwrap()
    assert paused.value.stage_name == f"s{depth - 1}/make"
    lab.manager.set_stage_approval_status(
        result.session_id, lab.root, paused.value.stage_name, ApprovalStatus.APPROVED, "deep"
    )
    assert (await resume(lab, result.session_id)).status is SessionStatus.COMPLETED
    assert lab.executions() == {"build": 1, "ship": 1}


@pytest.mark.parametrize("on_error", ["continue", "skip_remaining"])
async def test_no_on_error_handles_a_denial(lab: Lab, on_error: str) -> None:
    call = {"id": "call", "type": "recipe", "recipe": staged(lab).name, "on_error": on_error, "retry": {}}
    result = await run(lab, lab.write("caller", steps=[call, lab.step("after")]), wait_approval=False)
    async with lab.runtime() as runtime:
        await runtime.deny(result.session_id, "make", "no")
        with pytest.raises(SessionFinishedError):
            await runtime.resume(result.session_id)
    assert lab.executions() == {"build": 1}


# --- SessionManager ----------------------------------------------------------------------------------------------


async def test_the_methods_of_session_manager(lab: Lab) -> None:
    session_id, manager = (await run(lab, staged(lab, timeout=3600))).session_id, lab.manager
    pending = manager.get_pending_approval(session_id, lab.root)
    assert pending is not None
    assert (pending["session_id"], pending["recipe_name"], pending["stage_name"]) == (session_id, "staged", "make")
    assert (pending["approval_timeout"], pending["approval_default"]) == (3600, "deny")
    assert manager.list_pending_approvals(lab.root) == [pending]
    assert manager.list_pending_approvals(lab.root / "hold") == []
    assert manager.get_stage_approval_status(session_id, lab.root, "make") is ApprovalStatus.PENDING
    assert manager.get_stage_approval_status(session_id, lab.root, "send") is ApprovalStatus.NOT_REQUIRED
    assert manager.check_approval_timeout(session_id, lab.root) is None
    state = manager.load_state(session_id, lab.root)
    assert state["stage_approvals"] == {"make": "pending"}
    assert (state["pending_approval_stage"], state["pending_approval_prompt"]) == (
        "make",
        "Ship this? value of build\n",
    )

    manager.set_stage_approval_status(session_id, lab.root, "make", ApprovalStatus.APPROVED, "fine", by="ada")
    assert manager.get_pending_approval(session_id, lab.root) is None
    assert manager.get_stage_approval_status(session_id, lab.root, "make") is ApprovalStatus.APPROVED
    state = manager.load_state(session_id, lab.root)
    assert [(entry["stage"], entry["status"], entry["reason"]) for entry in state["approval_history"]] == [
        ("make", "approved", "fine")
    ]
    assert "pending_approval_stage" not in state
    assert (await resume(lab, session_id)).status is SessionStatus.COMPLETED


async def test_what_session_manager_refuses(lab: Lab) -> None:
    recipe, manager = staged(lab, by="human"), lab.manager
    async with lab.runtime(wait_approval=True) as runtime:
        session = await runtime.start(recipe)
        await trio.to_thread.run_sync(eventually, lambda: waiting(lab))
        with pytest.raises(SessionBusyError):
            manager.set_pending_approval(session.id, lab.root, "send", "Really?")
        with pytest.raises(SessionBusyError):
            manager.clear_pending_approval(session.id, lab.root)
        with pytest.raises(SessionError, match="asks for a person"):
            manager.set_stage_approval_status(session.id, lab.root, "make", ApprovalStatus.APPROVED, via="tool")
        with pytest.raises(ValueError, match="not set to pending"):
            manager.set_stage_approval_status(session.id, lab.root, "make", ApprovalStatus.PENDING)
        with pytest.raises(SessionNotFoundError):
            manager.get_pending_approval("nobody", lab.root)
        await runtime.deny(session.id, "make", by="bob")
        assert (await session.wait()).status is SessionStatus.DENIED
    assert manager.get_stage_approval_status(session.id, lab.root, "make") is ApprovalStatus.DENIED


async def test_a_stage_can_be_approved_before_the_run_comes_to_it(lab: Lab) -> None:
    recipe, manager = staged(lab), lab.manager
    session_id = manager.create_session(load_recipe(recipe), lab.root, recipe)
    manager.set_pending_approval(session_id, lab.root, "make", "May I?", timeout=3600)
    assert waiting(lab) == ["make"]
    manager.set_stage_approval_status(session_id, lab.root, "make", ApprovalStatus.APPROVED)
    assert (await resume(lab, session_id)).status is SessionStatus.COMPLETED


async def test_a_cleared_question_is_asked_again(lab: Lab) -> None:
    session_id = (await run(lab, staged(lab))).session_id
    lab.manager.clear_pending_approval(session_id, lab.root)
    assert waiting(lab) == []
    assert (await resume(lab, session_id)).status is SessionStatus.PAUSED
    assert waiting(lab) == ["make"]
