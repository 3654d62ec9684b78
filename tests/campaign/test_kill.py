"""``kill -9`` of a runner, at every kind of event and at any time: an interruption, and nothing more."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.campaign.lab import DEATH_SECONDS, Lab, Runner, eventually
from trio_recipes.events import RunStarted, Signalled
from trio_recipes.testing import assert_no_survivors, kill_at, resume_until, run_until, survivors

pytestmark = pytest.mark.slow


def eventful(lab: Lab) -> Path:
    """A recipe whose run has most kinds of events: stages of it loop, retry, fail, call, print and warn."""
    lab.write(
        "sub", context={"name": ""}, steps=[lab.step("sub-{{name}}-1", id="p"), lab.step("sub-{{name}}-2", id="q")]
    )
    call = {"id": "call", "type": "recipe", "recipe": "sub.yaml", "context": {"name": "{{item}}"}}
    retry = {"max_attempts": 2, "initial_delay": 0.01}
    flaky = lab.step("flaky", retry=retry)
    flaky["command"] += f"; [ -e {lab.root}/second ] || {{ touch {lab.root}/second; exit 1; }}"
    quits = lab.step("quits", on_error="continue")
    quits["command"] += "; exit 3"
    loop = lab.step("{{item}}", id="scan", foreach="{{items}}", parallel=2, collect="scanned", break_when="{{nothing}}")
    steps = [
        lab.step("a"),
        flaky,
        quits,
        loop,
        {**call, "foreach": "{{parts}}", "collect": "called"},
        lab.step("round{{n}}", "$(({{n}} + 1))", id="again", while_condition="{{n}} < 2", output="n"),
        lab.step("z"),
    ]
    return lab.write(
        "eventful",
        context={"items": ["i", "j", "k"], "parts": ["x", "y"], "n": 0, "nothing": None},
        steps=steps,
        **{"finally": [lab.step("end")]},
    )


NAMES = {"a", "end", "flaky", "quits", "i", "j", "k", "z", "round0", "round1"} | {
    f"sub-{p}-{n}" for p in "xy" for n in "12"
}

POINTS = [
    *(("session_created", 1), ("recipe_frozen", 1), ("recipe_frozen", 2), ("run_started", 1)),
    *(("scope_started", number) for number in (1, 2, 5, 9, 14)),
    *(("scope_finished", number) for number in (1, 2, 3, 4, 6, 9, 12, 15)),
    *(("output", number) for number in (1, 4, 8)),
    *(("attempt_failed", 1), ("waiting", 1), ("attempt_started", 1), ("warned", 1), ("work_ended", 1)),
]
"""Every kind of event that a run of the recipe has, but ``run_ended``."""


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The context that an uninterrupted run gives."""
    lab = Lab(tmp_path_factory.mktemp("uninterrupted"))
    runner = lab.run(eventful(lab))
    assert runner.ended()["status"] == "completed"
    assert set(lab.executions()) == NAMES
    return lab.context(runner.session_id)


def goes_on(lab: Lab, session_id: str, expected: dict[str, Any]) -> None:
    """The session is interrupted, its processes die, and a new process does what had not finished."""
    assert_no_survivors(session_id, within=DEATH_SECONDS)  # seen to by the watchman
    eventually(lambda: lab.status(session_id) == "interrupted")
    before, finished = lab.ledger(), lab.finished(session_id)
    runner = lab.resume(session_id)
    assert runner.ended()["status"] == "completed"
    again = [entry for entry in lab.ledger()[len(before) :] if entry.what == "begin"]
    assert not {entry.key for entry in again} & finished
    assert {entry.name for entry in lab.ledger() if entry.what == "end"} == NAMES
    assert lab.context(session_id) == expected
    took_over = [event.took_over_from for event in lab.events(session_id) if isinstance(event, RunStarted)]
    assert took_over[0] is None
    assert took_over[-1] is not None  # and that it was taken over is said


@pytest.mark.parametrize(("kind", "number"), POINTS)
def test_killed_at_an_event(lab: Lab, expected: dict[str, Any], kind: str, number: int) -> None:
    crash = run_until(eventful(lab), kill_at(kind, number), store=lab.store, project=lab.root)
    assert crash.was_killed, f"there is no {kind} number {number}"
    goes_on(lab, crash.session_id, expected)


def test_killed_at_the_very_end_it_is_completed(lab: Lab, expected: dict[str, Any]) -> None:
    crash = run_until(eventful(lab), kill_at("run_ended"), store=lab.store, project=lab.root)
    assert crash.was_killed
    assert lab.status(crash.session_id) == "completed"
    assert lab.context(crash.session_id) == expected
    assert lab.resume(crash.session_id).wait() == 2  # that is final


def test_killed_again_and_again_while_resuming(lab: Lab, expected: dict[str, Any]) -> None:
    crash = run_until(eventful(lab), kill_at("scope_finished", 2), store=lab.store, project=lab.root)
    kinds = ("run_started", "scope_finished", "scope_started", "output", "scope_finished")
    for kind in kinds:
        again = resume_until(crash.session_id, kill_at(kind, 2 if kind == "scope_finished" else 1), **places(lab))
        assert again.was_killed, kind
    goes_on(lab, crash.session_id, expected)


@pytest.mark.parametrize("kind", ["cancel_requested", "signalled"])
def test_killed_while_it_is_being_cancelled(lab: Lab, kind: str) -> None:
    """What was asked of the run that died has had its effect; the resume starts with a clean slate."""
    deaf = lab.step("a")
    deaf["command"] = f"trap '' TERM; {deaf['command']}"
    recipe = lab.write("plain", steps=[deaf, lab.step("b")])
    lab.hold("a")
    with ThreadPoolExecutor() as pool:
        crashing = pool.submit(run_until, recipe, kill_at(kind), store=lab.store, project=lab.root)
        eventually(lambda: lab.begun("a"))
        (session_id,) = [folder.name for folder in (lab.store / "sessions").iterdir()]
        lab.cancel(session_id, "--immediate")
        assert crashing.result().was_killed
    assert_no_survivors(session_id, within=DEATH_SECONDS)
    eventually(lambda: lab.status(session_id) == "interrupted")  # once the watchman has gone too
    lab.release()
    assert lab.resume(session_id).ended()["status"] == "completed"
    assert lab.context(session_id) == {"a": "value of a\n", "b": "value of b\n"}
    assert {answer for _, answer in lab.answers(session_id)} == {"applied"}


def test_killed_while_a_cancellation_is_cleared(lab: Lab) -> None:
    lab.hold("a")
    runner = lab.run(lab.write("plain", steps=[lab.step("a"), lab.step("b")]))
    eventually(lambda: lab.begun("a"))
    lab.cancel(runner.session_id, "--immediate")
    runner.ended()
    lab.release()
    crash = resume_until(runner.session_id, kill_at("cancellation_cleared"), **places(lab))
    assert crash.was_killed
    eventually(lambda: lab.status(runner.session_id) == "interrupted")
    assert lab.resume(runner.session_id).ended()["status"] == "completed"


def test_killed_at_any_time(lab: Lab, expected: dict[str, Any]) -> None:
    """Thirty times, each a little later than the last or anywhere: nothing finished runs again, nothing is lost."""
    chance = random.Random(26)
    recipe = eventful(lab)
    session_id, kills = "", 0
    while kills < 30:
        runner = lab.resume(session_id) if session_id else lab.run(recipe)
        session_id = session_id or runner.started().session_id
        eventually(partial(has_begun, runner))
        time.sleep(chance.uniform(0, 0.06))  # the moment of the kill, not a wait for something
        before = lab.finished(session_id)
        runner.kill()
        kills += 1
        assert before <= lab.finished(session_id)
        assert_no_survivors(session_id, within=DEATH_SECONDS)
        if lab.status(session_id) == "completed":
            _is_whole(lab, session_id, expected)
            session_id = ""
            _forget(lab)
    if session_id:
        assert lab.resume(session_id).ended()["status"] == "completed"
        _is_whole(lab, session_id, expected)


@pytest.mark.parametrize(
    "command",
    [
        "sleep 300",
        "sleep 300 & sleep 300",
        "trap '' TERM; sleep 300 & while :; do sleep 1; done",
        "setsid sleep 300 & sleep 300",
    ],
    ids=["child", "grandchild", "ignores-sigterm", "setsid"],
)
def test_a_killed_runner_takes_its_processes_along(lab: Lab, command: str) -> None:
    runner = lab.run(lab.write("long", steps=[{"id": "nap", "type": "bash", "command": command}]))
    expected = 1 if command == "sleep 300" else 3
    eventually(lambda: len(survivors(runner.session_id)) >= expected)
    runner.kill()
    assert_no_survivors(runner.session_id, within=DEATH_SECONDS)
    eventually(lambda: lab.show(runner.session_id)["status"] == "interrupted")


# -----------------------------------------------------------------------------------------------------------------


def has_begun(runner: Runner) -> bool:
    """Whether it has taken its session, or ended already."""
    return bool(runner.lines()) or runner.code is not None


def places(lab: Lab) -> dict[str, Path]:
    """Where a runner of the harness works."""
    return {"store": lab.store, "project": lab.root}


def _is_whole(lab: Lab, session_id: str, expected: dict[str, Any]) -> None:
    assert lab.context(session_id) == expected
    ran: dict[str, int] = {}
    for entry in lab.ledger():
        ran[entry.key] = ran.get(entry.key, 0) + (entry.what == "end")
    assert {entry.name for entry in lab.ledger() if ran[entry.key]} == NAMES
    signalled = [event for event in lab.events(session_id) if isinstance(event, Signalled)]
    assert not signalled


def _forget(lab: Lab) -> None:
    (lab.root / "ledger").write_text("")
    (lab.root / "second").unlink(missing_ok=True)
