"""Every feature at once, killed at every kind of moment; and those who are killed while others want the same session.

``python -m benchmarks.reliability crash --kills 500`` does the same for longer.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.campaign import everything
from tests.campaign.crash import Campaign
from tests.campaign.lab import DEATH_SECONDS, Lab, eventually
from tests.campaign.trial import approve, place_in
from trio_recipes.events import RunStarted
from trio_recipes.testing import CrashLab, Forks, Never, assert_no_survivors, kill_after, kill_in_commit, runners

pytestmark = pytest.mark.slow

KILLS = 8
SEED = 26


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with runners() as found:
        yield found


@pytest.fixture(scope="module")
def commands() -> Iterator[Forks]:
    """Command lines that die when they are told to."""
    with Forks("tests.campaign.dying:main") as found:
        yield found


def test_every_feature_survives_every_kind_of_kill(tmp_path: Path, forks: Forks) -> None:
    campaign = Campaign(tmp_path, forks, SEED)
    campaign.until(KILLS)
    assert not campaign.failures, "\n".join(campaign.failures)
    assert campaign.killed >= KILLS


def test_a_session_whose_creation_was_killed_is_not_there(lab: Lab, forks: Forks) -> None:
    crash = place_in(lab, forks).run(everything.write(lab), kill_in_commit(1))
    assert (crash.was_killed, crash.session_id) == (True, "")
    listed = lab.command("list", "--all")
    assert (listed.code, listed.stdout) == (0, "no sessions\n")
    assert lab.command("show", "@last").code == 2


def race(place: CrashLab, session_id: str, chance: float) -> None:
    """Resume for a moment, unless another has the session or it has ended."""
    try:
        place.resume(session_id, kill_after(0.03 + 0.2 * chance))
    except RuntimeError as refused:
        if not any(error in str(refused) for error in ("SessionBusyError", "SessionFinishedError")):
            raise


def test_runners_that_race_for_a_session_and_are_killed(lab: Lab, forks: Forks) -> None:
    """One has it at any time, whoever dies: runs follow each other, and nothing finished runs again."""
    chance, place = random.Random(SEED), place_in(lab, forks)
    session_id = place.run(everything.write(lab), Never()).session_id
    approve(lab, session_id)
    with runners() as others, ThreadPoolExecutor() as pool:
        for _ in range(4):
            before, finished = lab.ledger(), lab.finished(session_id)
            for racer in [pool.submit(race, place_in(lab, of), session_id, chance.random()) for of in (forks, others)]:
                racer.result()
            assert_no_survivors(session_id, within=DEATH_SECONDS)
            again = {entry.key for entry in lab.ledger()[len(before) :] if entry.name not in everything.RERUN}
            assert not again & finished
    if lab.status(session_id) != "completed":
        # On a busy machine every racer may have died before it had the session: then it waits where it stood.
        eventually(lambda: lab.status(session_id) in {"interrupted", "paused"}, "the session to be at rest")
        place.resume(session_id, Never())
    assert lab.status(session_id) == "completed"
    runs = [stamped.run for stamped in lab.stamped(session_id)]
    assert runs == sorted(runs)
    begun = [stamped.run for stamped in lab.stamped(session_id) if isinstance(stamped.event, RunStarted)]
    assert begun == sorted(set(begun))


def test_a_cancel_command_that_is_killed_has_asked_or_has_not(lab: Lab, commands: Forks) -> None:
    """Twenty parts are asked to stop, each by a command that dies some time: what was recorded counts, no more."""
    chance, parts = random.Random(SEED), range(20)
    loop = lab.step("part{{item}}", id="parts", foreach="{{items}}", parallel=True, on_error="continue", collect="got")
    lab.hold(*(f"part{number}" for number in parts))
    runner = lab.run(lab.write("parts", steps=[loop], context={"items": [*parts]}))
    eventually(lambda: lab.begun(*(f"part{number}" for number in parts)))
    told = set()
    for number in parts:
        arguments = ["cancel", runner.session_id, "--at", f"parts[{number}]", "--immediate", "--store", str(lab.store)]
        dies = "commit:1" if number % 5 == 0 else f"seconds:{chance.uniform(0.001, 0.03):.4f}"
        command = commands.start(arguments, folder=lab.root, env={"DIE": dies})
        if commands.wait(command) == 0:
            told.add(number)
    asked = {body["at"] for body in requests(lab, runner.session_id)}
    lab.release()
    assert runner.ended()["status"] == "completed"
    got = lab.context(runner.session_id)["got"]
    stopped = {f"parts[{number}]" for number in parts if got[number] is None}
    assert stopped == asked
    assert {f"parts[{number}]" for number in told} <= asked
    assert not {f"parts[{number}]" for number in parts if number % 5 == 0} & asked
    assert {answer for _, answer in lab.answers(runner.session_id)} <= {"applied"}


def requests(lab: Lab, session_id: str) -> list[dict[str, Any]]:
    """What has been asked of a session, whole."""
    with lab.file(session_id).reading() as connection:
        return [json.loads(body) for (body,) in connection.execute("SELECT body FROM requests")]
