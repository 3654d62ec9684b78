"""Approval gates as their users meet them: from the command line, from other processes, in programs, after crashes."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.campaign.lab import Lab, eventually
from trio_recipes import (
    ApprovalGatePausedError,
    ApprovalStatus,
    Runtime,
    SessionBusyError,
    SessionError,
    SessionFinishedError,
    SessionNotFoundError,
    SessionResult,
    SessionStatus,
    load_recipe,
    open_runtime,
)
from trio_recipes.events import ApprovalDecided, ApprovalRequested
from trio_recipes.testing import ScriptedAgent, kill_at, run_until

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"

pytestmark = pytest.mark.slow


def gate(prompt: str = "Ship this? {{build}}", **rules: Any) -> dict[str, Any]:
    return {"required": True, "prompt": prompt, **rules}


def staged(lab: Lab, **rules: Any) -> Path:
    """Two stages with a gate between them; the second tells what it knows of the decision."""
    tell = lab.step("ship", "{{_approval_message}}/{{_approval.by}}/{{_approval.via}}")
    stages = [
        {"name": "make", "steps": [lab.step("build")], "approval": gate(**rules)},
        {"name": "send", "steps": [tell]},
    ]
    return lab.write("staged", stages=stages)


def nested(lab: Lab, parallel: int | bool = True) -> Path:
    """A stage with a loop over sub-recipes, each with a gate of its own."""
    stages = [
        {"name": "check", "steps": [lab.step("check-{{item}}", id="look")], "approval": gate("Is {{item}} right?")},
        {
            "name": "use",
            "steps": [lab.step("use-{{item}}", "'{{item}} {{_approval_message}}'", id="use", output="used")],
        },
    ]
    lab.write("sub", context={"item": ""}, stages=stages)
    each = {"id": "each", "type": "recipe", "recipe": "sub.yaml", "context": {"item": "{{item}}"}, "collect": "all"}
    loop = {"foreach": "{{items}}", "parallel": parallel}
    return lab.write("nested", context={"items": ["x", "y"]}, stages=[{"name": "audit", "steps": [{**each, **loop}]}])


@asynccontextmanager
async def runtime_in(lab: Lab, **options: Any) -> AsyncGenerator[Runtime]:
    async with open_runtime(store=str(lab.store), project=lab.root, durability="process", **options) as runtime:
        yield runtime


async def run(lab: Lab, recipe: Path, **options: Any) -> SessionResult:
    async with runtime_in(lab, **options) as runtime:
        return await (await runtime.start(recipe)).wait()


async def resume(lab: Lab, session_id: str, **options: Any) -> SessionResult:
    async with runtime_in(lab, **options) as runtime:
        return await (await runtime.resume(session_id)).wait()


def waiting(lab: Lab) -> list[str]:
    """What ``SessionManager`` says waits, by path."""
    return [pending["path"] for pending in lab.manager.list_pending_approvals(lab.root)]


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


# --- cancelling what waits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["command line", "SessionManager", "Runtime", "Session"])
async def test_cancelling_a_paused_session_ends_it_at_once(lab: Lab, door: str) -> None:
    recipe = staged(lab)
    async with runtime_in(lab) as runtime:
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
        async with runtime_in(lab) as runtime:
            (await (await runtime.start(recipe)).wait()).unwrap()
    error = paused.value
    assert (error.stage_name, error.approval_prompt) == ("make", "Ship this? value of build\n")
    assert lab.status(error.session_id) == "paused"


async def test_draining_a_runtime_leaves_what_waits_alone(lab: Lab) -> None:
    recipe = staged(lab)
    async with runtime_in(lab) as runtime:
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
    async with runtime_in(lab) as runtime:
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
    async with runtime_in(lab) as runtime:
        await runtime.deny(result.session_id, "make", "no")
        with pytest.raises(SessionFinishedError):
            await runtime.resume(result.session_id)
    assert lab.executions() == {"build": 1}


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
    runner.signal(signal.SIGSTOP)
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
    async with runtime_in(lab, wait_approval=True) as runtime:
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


# --- the corpus --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is no part of the project")
async def test_the_upgrade_recipe_is_approved_stage_by_stage(lab: Lab) -> None:
    agent = ScriptedAgent(lambda request: f"answer of {request.path}")
    async with runtime_in(lab, agents=agent) as runtime:
        session = await runtime.start(CORPUS / "dependency-upgrade-staged-recipe.yaml", {"project_path": "src"})
        result = await session.wait()
        passed = []
        while result.status is SessionStatus.PAUSED:
            assert result.gate is not None
            passed.append(result.gate.asked.stage)
            assert "answer of" in result.gate.asked.prompt
            await runtime.approve(result.session_id, passed[-1], f"to {passed[-1]}")
            result = await (await runtime.resume(result.session_id)).wait()
    assert result.status is SessionStatus.COMPLETED
    assert passed == ["validation", "phase-1-security", "phase-2-minor", "phase-3-major"]
    assert agent.started == 6
    assert result.final_output == "answer of phase-3-major/generate-phase3-commands"
