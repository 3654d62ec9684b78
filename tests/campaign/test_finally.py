"""``finally`` through real processes: stopped, killed, cancelled and denied while nobody runs the session."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.campaign.lab import DEATH_SECONDS, Lab, Runner, eventually
from trio_recipes.events import RunEnded, RunStarted, ScopeFinished, Warned, WorkEnded
from trio_recipes.sessions.requesting import start
from trio_recipes.testing import assert_no_survivors

pytestmark = pytest.mark.slow

GATE = {"required": True, "prompt": "go on?"}


def cleanup(lab: Lab, name: str = "f") -> dict[str, Any]:
    """A ``finally`` step whose name in the ledger says what it was told."""
    return lab.step(f"{name}-{{{{_outcome}}}}", id=name)


def flat(lab: Lab) -> Path:
    return lab.write("flat", steps=[lab.step("a"), lab.step("b")], **{"finally": [cleanup(lab), cleanup(lab, "g")]})


def staged(lab: Lab) -> Path:
    """Two stages with a gate between them, and a sub-recipe in the first."""
    lab.write("sub", steps=[lab.step("a")], **{"finally": [cleanup(lab, "sub")]})
    call = {"id": "call", "type": "recipe", "recipe": "sub.yaml"}
    one: dict[str, Any] = {"name": "one", "steps": [call], "finally": [cleanup(lab, "one")]}
    one["approval"] = {"required": True, "prompt": "go on?"}
    two = {"name": "two", "steps": [lab.step("b")], "finally": [cleanup(lab, "two")]}
    return lab.write("staged", stages=[one, two], **{"finally": [cleanup(lab)]})


def killed_in(lab: Lab, recipe: Path, step: str) -> str:
    """A session whose runner was killed while ``step`` was held; its id."""
    lab.hold(step)
    runner = lab.run(recipe)
    eventually(lambda: lab.begun(step))
    runner.kill()
    eventually(lambda: lab.status(runner.session_id) == "interrupted")
    lab.release(step)
    assert_no_survivors(runner.session_id, within=DEATH_SECONDS)
    return runner.session_id


def paused(lab: Lab) -> str:
    runner = lab.run(staged(lab))
    assert runner.ended()["status"] == "paused"
    assert lab.executions() == {"a": 1, "sub-completed": 1, "one-completed": 1}
    return runner.session_id


def ended_as(lab: Lab, session_id: str, status: str) -> None:
    eventually(lambda: lab.status(session_id) == status, status)
    assert_no_survivors(session_id)


def finisher(lab: Lab, session_id: str, runs: int) -> int:
    """The pid of the process that finishes a session, once it has taken it over."""
    found = eventually(lambda: [e for e in lab.events(session_id) if isinstance(e, RunStarted)][runs:])
    pid: int = found[-1].pid
    return pid


def told(lab: Lab, session_id: str) -> list[tuple[str, str]]:
    return [(e.path, str(e.outcome)) for e in lab.events(session_id) if isinstance(e, WorkEnded) and e.path]


# --- a live runner -----------------------------------------------------------------------------------------------


def test_ctrl_c_runs_it_and_a_resume_runs_it_again(lab: Lab) -> None:
    recipe = flat(lab)
    lab.hold("a")
    runner = lab.run(recipe)
    eventually(lambda: lab.begun("a"))
    runner.interrupt()
    lab.release("a")
    assert runner.ended()["status"] == "cancelled"
    assert runner.code == -signal.SIGINT
    assert lab.executions() == {"a": 1, "f-cancelled": 1, "g-cancelled": 1}

    assert lab.resume(runner.session_id).ended()["status"] == "completed"
    again = {"b": 1, "f-completed": 1, "g-completed": 1}
    assert lab.executions() == {"a": 1, "f-cancelled": 1, "g-cancelled": 1, **again}


def test_a_second_ctrl_c_leaves_it_alone_and_a_third_drops_it(lab: Lab) -> None:
    lab.hold("a", "f-cancelled")
    runner = lab.run(flat(lab))
    eventually(lambda: lab.begun("a"))
    runner.interrupt()
    runner.interrupt()
    eventually(lambda: lab.begun("f-cancelled"))
    assert lab.status(runner.session_id) == "cancelling"
    runner.interrupt()
    assert runner.ended()["status"] == "cancelled"
    assert "g-cancelled" not in lab.executions()


def test_after_a_crash_in_the_body_a_resume_runs_it_once_at_the_end(lab: Lab) -> None:
    session = killed_in(lab, flat(lab), "a")
    assert lab.resume(session).ended()["status"] == "completed"
    assert lab.executions() == {"a": 2, "b": 1, "f-completed": 1, "g-completed": 1}


def test_a_crash_inside_repeats_only_what_it_had_not_finished(lab: Lab) -> None:
    session = killed_in(lab, flat(lab), "g-completed")
    assert lab.resume(session).ended()["status"] == "completed"
    assert lab.executions() == {"a": 1, "b": 1, "f-completed": 1, "g-completed": 2}


# --- nobody runs it: cancelled -----------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["graceful", "immediate"])
def test_cancelling_an_interrupted_session_runs_what_is_due(lab: Lab, level: str) -> None:
    session = killed_in(lab, staged(lab), "a")
    lab.hold("one-cancelled")
    options = ["--immediate"] if level == "immediate" else []
    waiting = lab.spawn("cancel", session, "--wait", *options)
    eventually(lambda: lab.begun("one-cancelled"))
    assert lab.status(session) == "cancelling"
    assert waiting.code is None
    lab.release()

    assert waiting.wait() == 0, waiting.stderr
    assert f"{session} is cancelled" in waiting.stdout
    assert_no_survivors(session)
    assert lab.executions() == {"a": 1, "sub-cancelled": 1, "one-cancelled": 1, "f-cancelled": 1}
    assert [answer for _, answer in lab.answers(session)] == ["applied"]

    assert lab.resume(session).ended()["status"] == "paused"
    assert lab.executions()["a"] == 2
    assert told(lab, session)[3:] == [("one/call/~finally", "completed"), ("one/~finally", "completed")]


def test_cancelling_a_paused_session_runs_what_is_due(lab: Lab) -> None:
    session = paused(lab)
    lab.hold("f-cancelled")
    lab.cancel(session)
    assert lab.status(session) == "cancelling"
    eventually(lambda: lab.begun("f-cancelled"))
    assert lab.status(session) == "cancelling"
    lab.release()
    ended_as(lab, session, "cancelled")
    assert lab.executions() == {"a": 1, "sub-completed": 1, "one-completed": 1, "f-cancelled": 1}

    assert lab.resume(session).ended()["status"] == "paused"
    assert lab.command("approve", session, "one").code == 0
    assert lab.resume(session).ended()["status"] == "completed"
    assert told(lab, session)[-2:] == [("two/~finally", "completed"), ("~finally", "completed")]
    assert set(lab.executions().values()) == {1}


def test_a_finisher_finds_the_functions_of_the_project(lab: Lab) -> None:
    (lab.root / "of_the_project.py").write_text("def tidy(outcome):\n    open('tidied', 'w').write(outcome)\n")
    tidy = {"id": "t", "type": "function", "function": "of_the_project:tidy", "args": {"outcome": "{{_outcome}}"}}
    one = {"name": "one", "steps": [lab.step("a")], "approval": GATE}
    recipe = lab.write("calls", stages=[one, {"name": "two", "steps": [lab.step("b")]}], **{"finally": [tidy]})
    session = lab.run(recipe).ended()["session_id"]
    lab.cancel(session, "--wait")
    ended_as(lab, session, "cancelled")
    tidied = [event for event in lab.events(session) if isinstance(event, ScopeFinished) and event.path == "~finally/t"]
    assert [str(event.status) for event in tidied] == ["completed"], tidied


@pytest.mark.parametrize("how", ["paused", "killed"])
def test_a_finisher_asks_the_agents_of_the_run_before(lab: Lab, how: str) -> None:
    session = asking(lab, how)
    lab.cancel(session, "--wait")
    ended_as(lab, session, "cancelled")
    (record,) = [node for node in lab.show(session)["nodes"] if node["path"] == "~finally/report"]
    assert (record["status"], said(lab, session)) == ("completed", "noted by ada")


def test_agents_that_are_gone_leave_nobody_waiting(lab: Lab) -> None:
    session = asking(lab, "paused")
    (lab.root / "team.yaml").unlink()
    lab.cancel(session, "--wait")
    ended_as(lab, session, "cancelled")
    (warned,) = [event.message for event in lab.events(session) if isinstance(event, Warned)]
    assert f"{lab.root}/team.yaml: there is no such agents file" in warned


def said(lab: Lab, session_id: str) -> str:
    return lab.history(session_id).progress.records["~finally/report"].output("text").decode()


def asking(lab: Lab, how: str) -> str:
    """A session that was run with an agents file, and whose ``finally`` asks an agent; its id."""
    ada = {"backend": "command", "command": ["sh", "-c", "cat >/dev/null; echo noted by ada"]}
    (lab.root / "team.yaml").write_text(json.dumps({"agents": {"ada": ada}}))
    one = {"name": "one", "steps": [lab.step("a")], "approval": GATE}
    report = {"id": "report", "agent": "ada", "prompt": "{{_outcome}}"}
    recipe = lab.write("asks", stages=[one, {"name": "two", "steps": [lab.step("b")]}], **{"finally": [report]})
    if how == "paused":
        return str(lab.run(recipe, "--agents", "team.yaml").ended()["session_id"])
    lab.hold("a")
    runner = lab.run(recipe, "--agents", "team.yaml")
    eventually(lambda: lab.begun("a"))
    runner.kill()
    eventually(lambda: lab.status(runner.session_id) == "interrupted")
    lab.release("a")
    return runner.session_id


def test_what_a_finisher_starts_and_what_hides_from_it_is_killed(lab: Lab) -> None:
    """It has no terminal and no session of its own that anybody looks for: ancestry finds it, as in any runner."""
    hides = {
        "id": "hides",
        "type": "bash",
        "command": f"env -i setsid sleep 300 & echo $! > {lab.root}/hidden; sleep 0.2",
    }
    one = {"name": "one", "steps": [lab.step("a")], "approval": GATE}
    recipe = lab.write("hiding", stages=[one, {"name": "two", "steps": [lab.step("b")]}], **{"finally": [hides]})
    session = lab.run(recipe).ended()["session_id"]
    lab.cancel(session, "--wait")
    ended_as(lab, session, "cancelled")
    hidden = (lab.root / "hidden").read_text().strip()
    eventually(lambda: not Path(f"/proc/{hidden}").exists(), "the end of what hides")


def test_what_had_ended_is_not_told_as_cancelled(lab: Lab) -> None:
    session = killed_in(lab, flat(lab), "g-completed")
    lab.command("cancel", session, "--wait")
    assert lab.status(session) == "completed"  # nothing was left to stop
    assert lab.executions() == {"a": 1, "b": 1, "f-completed": 1, "g-completed": 2}
    assert [answer for _, answer in lab.answers(session)] == ["too_late"]


@pytest.mark.parametrize("mended", ["cancel", "resume"])
def test_a_finisher_that_is_killed(lab: Lab, mended: str) -> None:
    session = killed_in(lab, flat(lab), "a")
    lab.hold("g-cancelled")
    lab.cancel(session)
    eventually(lambda: lab.begun("g-cancelled"))
    os.kill(finisher(lab, session, runs=1), signal.SIGKILL)
    eventually(lambda: lab.status(session) == "interrupted")
    lab.release()
    assert_no_survivors(session, within=DEATH_SECONDS)

    if mended == "cancel":
        lab.cancel(session, "--wait")
        assert lab.status(session) == "cancelled"
        assert lab.executions() == {"a": 1, "f-cancelled": 1, "g-cancelled": 2}
    else:
        assert lab.resume(session).ended()["status"] == "completed"
        assert lab.executions()["f-completed"] == lab.executions()["g-completed"] == 1


def test_a_finisher_that_comes_too_late_changes_nothing(lab: Lab) -> None:
    session = killed_in(lab, flat(lab), "a")
    lab.cancel(session, "--wait")
    before = lab.events(session)
    late: Runner = lab.python("-m", "trio_recipes.sessions.finisher", str(lab.store), session)
    assert late.wait() != 0
    assert "nothing to finish" in late.stderr
    assert lab.events(session) == before
    assert lab.status(session) == "cancelled"


def test_two_finishers_are_no_harm(lab: Lab) -> None:
    session = killed_in(lab, flat(lab), "a")
    lab.hold("f-cancelled")
    lab.cancel(session)
    start(lab.file(session))
    eventually(lambda: lab.begun("f-cancelled"))
    lab.release()
    ended_as(lab, session, "cancelled")
    assert lab.executions() == {"a": 1, "f-cancelled": 1, "g-cancelled": 1}
    assert len([event for event in lab.events(session) if isinstance(event, RunEnded)]) == 1


def test_a_forced_stop_of_a_session_that_is_being_finished(lab: Lab) -> None:
    session = killed_in(lab, flat(lab), "a")
    lab.hold("f-cancelled")
    lab.cancel(session)
    eventually(lambda: lab.begun("f-cancelled"))
    lab.cancel(session, "--immediate")
    lab.cancel(session, "--immediate", "--wait")
    ended_as(lab, session, "cancelled")
    assert "g-cancelled" not in lab.executions()


# --- nobody runs it: denied --------------------------------------------------------------------------------------


def test_denying_a_paused_session_runs_what_is_due(lab: Lab) -> None:
    session = paused(lab)
    done = lab.command("deny", session, "one", "--reason", "not today")
    assert done.code == 0, done.stderr
    ended_as(lab, session, "denied")
    assert lab.executions() == {"a": 1, "sub-completed": 1, "one-completed": 1, "f-failed": 1}
    assert lab.command("resume", session).code == 2


def test_a_finisher_of_a_denied_session_that_is_killed(lab: Lab) -> None:
    session = paused(lab)
    lab.hold("f-failed")
    lab.command("deny", session, "one")
    eventually(lambda: lab.begun("f-failed"))
    os.kill(finisher(lab, session, runs=1), signal.SIGKILL)
    eventually(lambda: lab.status(session) == "interrupted")
    lab.release()
    assert lab.resume(session).ended()["status"] == "denied"
    assert lab.executions()["f-failed"] == 2
