"""What must always hold, through real processes.

What the nine situations, the matrix and the kills have shown already is not repeated here.
"""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.campaign.lab import Lab, Runner, bash, eventually, takes_less_than
from trio_recipes import CancellationStatus
from trio_recipes.events import CancelRequested
from trio_recipes.testing import assert_no_survivors, survivors

pytestmark = pytest.mark.slow


def held_at_a(lab: Lab, *steps: dict[str, Any], **content: Any) -> Runner:
    """A runner whose first step ``a`` is in hand."""
    lab.hold("a")
    runner = lab.run(lab.write("held", steps=[lab.step("a"), *steps], **content))
    eventually(lambda: lab.begun("a"))
    return runner


# --- 1: no request is lost ---------------------------------------------------------------------------------------


def test_an_acknowledged_request_survives_the_death_of_its_runner(lab: Lab) -> None:
    runner = held_at_a(lab, lab.step("b"))
    lab.freeze(runner)  # it can neither notice nor answer
    lab.cancel(runner.session_id)
    assert lab.manager.get_cancellation_status(runner.session_id, lab.root) is CancellationStatus.REQUESTED
    assert lab.answers(runner.session_id) == [(1, None)]
    runner.kill()
    eventually(lambda: lab.status(runner.session_id) == "interrupted")
    assert lab.manager.get_cancellation_status(runner.session_id, lab.root) is CancellationStatus.REQUESTED


def test_every_request_gets_an_answer(lab: Lab) -> None:
    runner = held_at_a(lab, lab.step("b"))
    for options in (["--at", "b"], [], ["--immediate"]):
        lab.cancel(runner.session_id, *options)
    assert runner.ended()["status"] == "cancelled"
    answers = lab.answers(runner.session_id)
    assert len(answers) == 3
    assert all(answer is not None for _, answer in answers)


def test_a_request_to_a_session_that_nobody_runs_is_done_at_once(lab: Lab) -> None:
    runner = held_at_a(lab, lab.step("b"))
    runner.kill()
    eventually(lambda: lab.status(runner.session_id) == "interrupted")
    lab.cancel(runner.session_id)
    assert lab.status(runner.session_id) == "cancelled"
    assert [answer for _, answer in lab.answers(runner.session_id)] == ["applied"]


# --- 2: levels only rise -----------------------------------------------------------------------------------------


def test_levels_only_rise(lab: Lab) -> None:
    runner = held_at_a(lab)
    seen = []
    with ThreadPoolExecutor() as pool:
        ending = pool.submit(runner.ended)
        lab.cancel(runner.session_id)
        while not ending.done():
            seen.append(lab.manager.get_cancellation_status(runner.session_id, lab.root))
            if len(seen) == 3:
                lab.cancel(runner.session_id, "--immediate")
    seen.append(lab.manager.get_cancellation_status(runner.session_id, lab.root))
    order = [CancellationStatus.REQUESTED, CancellationStatus.IMMEDIATE, CancellationStatus.CANCELLED]
    assert seen == sorted(seen, key=order.index)
    assert seen[0] is order[0]
    assert seen[-1] is order[-1]


def test_a_second_graceful_request_means_now(lab: Lab) -> None:
    runner = held_at_a(lab)
    lab.cancel(runner.session_id)
    lab.cancel(runner.session_id, "--wait")
    assert runner.ended()["status"] == "cancelled"
    assert lab.show(runner.session_id)["cancellation"]["was_immediate"]


def test_completed_stays_completed(lab: Lab) -> None:
    runner = lab.run(lab.write("quick", steps=[lab.step("a")]))
    assert runner.ended()["status"] == "completed"
    for options in ([], ["--immediate"]):
        assert lab.command("cancel", runner.session_id, *options).code == 5
    lab.manager.mark_cancelled(runner.session_id, lab.root)
    lab.manager.clear_cancellation(runner.session_id, lab.root)
    assert lab.status(runner.session_id) == "completed"
    assert lab.resume(runner.session_id).wait() == 2


def test_cancelled_is_said_to_who_asks_again(lab: Lab) -> None:
    runner = held_at_a(lab)
    lab.cancel(runner.session_id, "--immediate", "--wait")
    runner.ended()
    assert "already" in lab.cancel(runner.session_id).stdout


def test_a_graceful_request_that_finds_nothing_left_comes_too_late(lab: Lab) -> None:
    runner = held_at_a(lab)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(lab.command, "cancel", runner.session_id, "--wait")
        eventually(lambda: runner.saw("cancel_requested"))
        lab.release()
        assert waiting.result().code == 5
    assert runner.ended()["status"] == "completed"
    assert runner.code == 0
    assert not lab.manager.is_cancellation_requested(runner.session_id, lab.root)


# --- 3 and 4: graceful, immediate --------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["graceful", "immediate"])
def test_a_back_off_ends_at_once(lab: Lab, level: str) -> None:
    retry = {"max_attempts": 5, "initial_delay": 60}
    runner = lab.run(lab.write("flaky", steps=[bash("flaky", "exit 1", retry=retry), lab.step("b")]))
    eventually(lambda: runner.saw("waiting"))
    with takes_less_than(3):
        lab.cancel(runner.session_id, *(["--immediate"] if level == "immediate" else []))
        assert runner.ended()["status"] == "cancelled"
    assert lab.executions() == {}


def test_waiting_for_a_parallel_slot_ends_at_once(lab: Lab) -> None:
    loop: dict[str, Any] = {"foreach": "{{items}}", "parallel": 1, "collect": "results"}
    step = lab.step("{{item}}", id="scan", **{**loop, "parallel": 2})
    runner_file = lab.write("slots", context={"items": [*"abcdef"]}, steps=[step])
    lab.hold("a", "b")
    runner = lab.run(runner_file)
    eventually(lambda: lab.begun("a", "b"))
    lab.cancel(runner.session_id)
    eventually(lambda: runner.saw("cancel_requested"))
    lab.release()
    assert runner.ended()["status"] == "cancelled"
    assert lab.executions() == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    ("command", "processes"),
    [
        ("(trap '' TERM; while :; do sleep 1; done) & sleep 300", 3),
        ("setsid sleep 300 & sleep 300", 3),
        ("sleep 300 & disown; sleep 300 > /dev/null & wait", 3),
        ('bash -c "bash -c \'trap \\"\\" TERM; sleep 300; sleep 300\' & wait"', 3),
    ],
    ids=["ignores-sigterm", "setsid-daemon", "holds-the-pipe", "grandchild"],
)
def test_immediate_leaves_no_process(lab: Lab, command: str, processes: int) -> None:
    runner = lab.run(lab.write("tree", steps=[bash("tree", command, kill_grace=0.3)]))
    eventually(lambda: len(survivors(runner.session_id)) >= processes)
    with takes_less_than(4):
        lab.cancel(runner.session_id, "--immediate", "--wait")
    assert_no_survivors(runner.session_id)
    assert runner.ended()["status"] == "cancelled"


def test_immediate_leaves_no_temporary_file(lab: Lab, tmp_path: Path) -> None:
    """Output beyond 8 MB is spilled to a file; it is gone when the step is."""
    (folder := tmp_path / "tmp").mkdir()
    recipe = lab.write("big", steps=[bash("big", f"head -c 12000000 /dev/zero; touch {lab.root}/up; sleep 300")])
    host = lab.python(
        *("-m", "trio_recipes", "run", str(recipe), "--json", "--store", str(lab.store)), env={"TMPDIR": str(folder)}
    ).started()
    eventually((lab.root / "up").exists)
    lab.cancel(host.session_id, "--immediate", "--wait")
    assert host.ended()["status"] == "cancelled"
    assert list(folder.iterdir()) == []


def test_a_grace_period_that_passes_is_a_deadline(lab: Lab) -> None:
    runner = held_at_a(lab)
    lab.cancel(runner.session_id, "--grace", "0.2", "--wait")
    assert runner.ended()["status"] == "cancelled"
    assert lab.show(runner.session_id)["cancellation"]["was_immediate"]
    asked = [event.cancellation for event in lab.events(runner.session_id) if isinstance(event, CancelRequested)]
    assert [str(cancellation.source) for cancellation in asked] == ["user", "deadline"]


# --- 5 and 6: siblings, and nothing swallows ---------------------------------------------------------------------


@pytest.mark.parametrize("on_error", ["fail", "continue"])
def test_cancelling_a_part_leaves_its_siblings_alone(lab: Lab, on_error: str) -> None:
    loop: dict[str, Any] = {"foreach": "{{items}}", "parallel": True, "collect": "results", "on_error": on_error}
    step = lab.step("{{item}}", id="scan", **loop)
    lab.hold("a", "b", "c")
    runner = lab.run(lab.write("loop", context={"items": [*"abc"]}, steps=[step, lab.step("after")]))
    eventually(lambda: lab.begun("a", "b", "c"))
    lab.cancel(runner.session_id, "--at", "scan[1]", "--immediate")
    eventually(lambda: runner.saw("scope_finished", path="scan[1]"))
    lab.release()
    last = runner.ended()
    if on_error == "continue":
        assert last["status"] == "completed"
        assert lab.context(runner.session_id)["results"] == ["value of a\n", None, "value of c\n"]
    else:
        assert last["status"] == "failed"  # at its edge it is one failure of that step
        assert last["failure"]["kind"] == "cancelled"
    assert [answer for _, answer in lab.answers(runner.session_id)] == ["applied"]


@pytest.mark.parametrize(
    "fields",
    [
        {"on_error": "continue"},
        {"on_error": "skip_remaining"},
        {"retry": {"max_attempts": 5, "initial_delay": 0.01}},
        {"timeout": 600},
    ],
    ids=["continue", "skip_remaining", "retry", "timeout"],
)
def test_nothing_swallows_a_cancellation(lab: Lab, fields: dict[str, Any]) -> None:
    lab.hold("a")
    runner = lab.run(lab.write("held", steps=[lab.step("a", **fields), lab.step("b")]))
    eventually(lambda: lab.begun("a"))
    lab.cancel(runner.session_id, "--immediate")
    assert runner.ended()["status"] == "cancelled"
    assert lab.executions() == {"a": 1}


def test_a_sub_recipe_with_retry_and_continue_swallows_nothing(lab: Lab) -> None:
    lab.write("sub", steps=[lab.step("a", on_error="continue")])
    retry = {"max_attempts": 3, "initial_delay": 0.01}
    call = {"id": "call", "type": "recipe", "recipe": "sub.yaml", "retry": retry, "on_error": "continue", "timeout": 60}
    lab.hold("a")
    runner = lab.run(lab.write("caller", steps=[call, lab.step("b")]))
    eventually(lambda: lab.begun("a"))
    lab.cancel(runner.session_id, "--immediate")
    assert runner.ended()["status"] == "cancelled"
    assert lab.executions() == {"a": 1}


# --- 7: who, how, why --------------------------------------------------------------------------------------------


def test_who_how_and_why_are_recorded(lab: Lab) -> None:
    runner = held_at_a(lab, lab.step("b"))
    lab.cancel(runner.session_id, "--reason", "the build is red")
    eventually(lambda: runner.saw("cancel_requested"))
    lab.release()
    runner.ended()
    told = lab.show(runner.session_id)["cancellation"]
    assert told["status"] == "cancelled"
    assert told["reason"] == "the build is red"
    assert "cancel command" in told["requested_by"]
    assert told["requested_at"] <= told["cancelled_at"]
    assert told["cancelled_at_step"] == "b"
    assert told["was_immediate"] is False


def test_a_signal_is_recorded_as_one(lab: Lab) -> None:
    runner = held_at_a(lab, lab.step("b"))
    runner.signal(signal.SIGTERM)
    eventually(lambda: runner.saw("cancel_requested"))
    lab.release()
    assert runner.ended()["cancellation"]["source"] == "signal"
    assert runner.code == 143
    assert lab.show(runner.session_id)["cancellation"]["requested_by"] == "SIGTERM"


# --- 8: resume re-runs only what had not finished ----------------------------------------------------------------


def test_a_resume_finds_recipes_variables_and_large_values_again(lab: Lab, tmp_path: Path) -> None:
    """Outside the project, with the caller's variables, edited meanwhile, and with an output of 3 MB."""
    (elsewhere := tmp_path / "elsewhere").mkdir()
    outside = Lab(elsewhere)
    sub = outside.write(
        "sub",
        context={"size": "0"},
        steps=[lab.step("a"), bash("big", "head -c {{size}} /dev/zero | tr '\\0' x", output="big")],
    )
    call = {"id": "call", "type": "recipe", "recipe": "sub.yaml", "context": {"size": "{{size}}"}, "output": "called"}
    recipe = outside.write("outside", context={"size": "1"}, steps=[call, lab.step("b"), lab.step("c")])
    lab.hold("b")
    runner = lab.run(recipe, "--set", "size=3000000")
    eventually(lambda: lab.begun("b"))
    lab.cancel(runner.session_id, "--immediate", "--wait")
    runner.ended()
    sub.write_text("this is no recipe any more")
    lab.release()
    assert lab.resume(runner.session_id).ended()["status"] == "completed"
    assert lab.context(runner.session_id)["called"]["big"] == "x" * 3_000_000
    assert lab.executions() == {"a": 1, "b": 2, "c": 1}


def test_a_failed_step_runs_again_and_nothing_else(lab: Lab) -> None:
    fails = lab.step("b")
    fails["command"] += f"; [ -e {lab.root}/mended ]"
    runner = lab.run(lab.write("fails", steps=[lab.step("a"), fails, lab.step("c")]))
    assert runner.ended()["status"] == "failed"
    assert runner.code == 1
    (lab.root / "mended").touch()
    assert lab.resume(runner.session_id).ended()["status"] == "completed"
    assert lab.executions() == {"a": 1, "b": 2, "c": 1}


# --- 10: one runner per session ----------------------------------------------------------------------------------


def test_a_second_runner_is_refused_and_told_who_has_the_session(lab: Lab) -> None:
    runner = held_at_a(lab)
    second = lab.resume(runner.session_id)
    assert second.wait() == 2
    assert str(runner.process.pid) in second.stderr
    lab.release()
    assert runner.ended()["status"] == "completed"


def test_of_two_that_resume_at_once_exactly_one_runs_it(lab: Lab) -> None:
    runner = held_at_a(lab, lab.step("b"))
    lab.cancel(runner.session_id, "--immediate", "--wait")
    runner.ended()
    racers = [lab.resume(runner.session_id) for _ in range(3)]
    eventually(lambda: sum(racer.code is not None for racer in racers) == 2)
    lab.release()
    assert sorted(racer.wait() for racer in racers) == [0, 2, 2]
    assert lab.executions() == {"a": 2, "b": 1}
    assert_no_survivors(runner.session_id)


def test_a_dead_owner_is_taken_over_and_that_is_said(lab: Lab) -> None:
    runner = held_at_a(lab)
    runner.kill()
    lab.release()
    eventually(lambda: lab.status(runner.session_id) == "interrupted")
    second = lab.resume(runner.session_id)
    assert second.ended()["status"] == "completed"
    (started,) = [line for line in second.lines() if line["event"] == "run_started"]
    assert started["took_over_from"]


# --- 11: bad input -----------------------------------------------------------------------------------------------

GOOD = "name: n\ndescription: d\nversion: 1.0.0\n"
BAD = {
    "not-yaml": "a: [1",
    "no-mapping": "- 1",
    "unknown-key": GOOD + "steps: [{id: a, type: bash, command: ls, comand: ls}]",
    "wrong-type": GOOD + "steps: [{id: a, type: bash, command: ls, timeout: soon}]",
    "duplicate-id": GOOD + "steps: [{id: a, type: bash, command: ls}, {id: a, type: bash, command: ls}]",
    "undefined-variable": GOOD + "steps: [{id: a, type: bash, command: 'ls {{nothing}}'}]",
    "no-sub-recipe": GOOD + "steps: [{id: a, type: recipe, recipe: absent.yaml}]",
    "empty-command": GOOD + "steps: [{id: a, type: bash, command: ''}]",
    "no-agents": GOOD + "steps: [{id: a, agent: b, prompt: c}]",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_bad_input_leaves_nothing_in_the_store(lab: Lab, text: str) -> None:
    (lab.root / "bad.yaml").write_text(text)
    done = lab.command("run", "bad.yaml", "--json")
    assert done.code == 2
    assert done.stderr
    assert "Traceback" not in done.stderr
    assert not list((lab.store / "sessions").glob("*"))


@pytest.mark.parametrize("command", ["cancel", "resume", "show"])
def test_an_unknown_session_is_refused(lab: Lab, command: str) -> None:
    done = lab.command(command, "0123456789abcdef-20200101-000000_recipe")
    assert done.code == 2
    assert "Traceback" not in done.stderr
