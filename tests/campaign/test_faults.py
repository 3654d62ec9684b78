"""Disks that are full and disks that fail, while a session runs: it is interrupted, and goes on when there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.campaign.failing_disk import CANNOT
from tests.campaign.lab import Lab, Runner, eventually
from trio_recipes.testing import assert_no_survivors

pytestmark = pytest.mark.slow


LIMITED = """
import resource
from trio_recipes.__main__ import main

resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
main()
"""
"""The command line, in a process whose files can't grow beyond 400 kB."""


class SmallDisk:
    """A file system in memory, at a folder of its own, that holds a session and not much more."""

    def __init__(self, at: Path) -> None:
        self.at = at
        at.mkdir()
        _mount("-t", "tmpfs", "-o", "size=600k", "tmpfs", str(at))

    def grow(self) -> None:
        """Make room."""
        _mount("-o", "remount,size=64m", str(self.at))

    def fill(self) -> None:
        """Leave no room for anything."""
        with (self.at / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(bytes(4096))

    def close(self) -> None:
        """Take it away, whoever still looks at it."""
        subprocess.run(["umount", "--lazy", str(self.at)], check=True, capture_output=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@pytest.fixture
def disk(lab: Lab) -> Iterator[SmallDisk]:
    """The lab's store lies on a small disk."""
    if os.getuid() != 0:
        pytest.skip("only root may mount a small disk")
    try:
        found = SmallDisk(lab.root / "disk")
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        pytest.skip(f"nothing can be mounted here: {error}")
    lab.store = found.at / "store"
    yield found
    found.close()


def greedy(lab: Lab) -> Path:
    """A recipe whose second step prints more than the small disk holds, and leaves a process behind."""
    prints = lab.step("b")
    prints["command"] += "; sleep 300 & head -c 900000 /dev/zero | tr '\\0' x"
    return lab.write("greedy", steps=[lab.step("a"), prints, lab.step("c")])


def interrupted(runner: Runner) -> dict[str, Any]:
    """The last line of a run that its store failed."""
    ended = runner.ended()
    assert (ended["status"], runner.code) == ("interrupted", 1)
    return ended


def goes_on(lab: Lab, session_id: str) -> None:
    """With room again, what had finished is not done again, and the rest is."""
    eventually(lambda: lab.status(session_id) == "interrupted")
    assert lab.resume(session_id).ended()["status"] == "completed"
    context = lab.context(session_id)
    assert (context["a"], len(context["b"]), context["c"]) == ("value of a\n", 900_011, "value of c\n")
    assert lab.executions()["a"] == 1


def test_a_full_disk_interrupts_the_run_and_nothing_is_left(lab: Lab, disk: SmallDisk) -> None:
    runner = lab.run(greedy(lab))
    assert "full" in interrupted(runner)["error"]
    assert_no_survivors(runner.session_id)
    assert lab.show(runner.session_id)["status"] == "interrupted"
    again = interrupted(lab.resume(runner.session_id))  # as full as before
    assert str(disk.at) in again["error"]  # where to make room
    disk.grow()
    goes_on(lab, runner.session_id)


def test_on_a_full_disk_nothing_is_half_done(lab: Lab, disk: SmallDisk) -> None:
    """Who asks is refused, or has been heard; nothing begins that could not be recorded."""
    lab.hold("a")
    runner = lab.run(lab.write("plain", steps=[lab.step("a"), lab.step("b")]))
    eventually(lambda: lab.begun("a"))
    disk.fill()
    sessions = [*(lab.store / "sessions").iterdir()]
    refused = lab.command("run", str(lab.root / "plain.yaml"))
    assert (refused.code, len(refused.stderr.splitlines())) == (2, 1), refused.stderr
    assert [*(lab.store / "sessions").iterdir()] == sessions
    for command in (("list", "--all"), ("show", runner.session_id), ("approvals", "--all")):
        looked = lab.command(*command)
        assert looked.code == 0, looked.stderr
    asked = lab.command("cancel", runner.session_id, "--reason", "x" * 400)
    heard = bool(lab.answers(runner.session_id))
    assert heard == (asked.code == 0), asked.stderr
    assert asked.code in (0, 2)
    lab.release()
    disk.grow()
    status = runner.ended()["status"]
    assert status in ({"cancelled", "interrupted"} if heard else {"completed", "interrupted"})


def test_on_a_full_disk_finished_sessions_can_be_read_and_cleaned(lab: Lab, disk: SmallDisk) -> None:
    """SQLite can't make the file that its readers share; what nobody can write is read as it stands."""
    done = lab.run(lab.write("plain", steps=[lab.step("a")]))
    assert done.ended()["status"] == "completed"
    disk.fill()
    assert lab.show(done.session_id)["context"] == {"a": "value of a\n"}
    assert "completed" in lab.command("list", "--all").stdout
    assert lab.command("cancel", done.session_id).code in (2, 5)
    assert "1 session deleted" in lab.command("clean", "--older-than", "0").stdout
    assert not lab.manager.session_exists(done.session_id, lab.root)


def test_a_disk_that_fails_interrupts_the_run(lab: Lab) -> None:
    """The kernel refuses to let the session's files grow: what the store sees is an I/O error in a commit."""
    arguments = ["run", str(greedy(lab)), "--json", "--store", str(lab.store)]
    runner = lab.python("-c", LIMITED, *arguments).started()
    assert "I/O error" in interrupted(runner)["error"]
    assert_no_survivors(runner.session_id)
    goes_on(lab, runner.session_id)


def spoken(runner: Runner) -> set[int]:
    """The numbers of the events that a runner has told of: it tells of what is durable, and of nothing else."""
    return {line["seq"] for line in runner.lines() if "seq" in line}


@pytest.mark.parametrize("calls", ["sync", "write"])
def test_a_commit_that_the_disk_refuses_interrupts_the_run(lab: Lab, calls: str) -> None:
    """At each of its transactions in turn: nothing is claimed that is not there, and nothing is lost or left."""
    steps = [lab.step("a"), lab.step("b", background="session"), lab.step("c")]
    steps[1]["command"] += "; sleep 300 >/dev/null 2>&1 &"
    recipe = lab.write("plain", steps=steps)
    runs, number, status = 0, 0, "interrupted"
    while status != "completed":
        number += 1
        (lab.root / "ledger").write_text("")
        arguments = [calls, str(number), "run", str(recipe), "--json", "--store", str(lab.store)]
        runner = lab.python("-m", "tests.campaign.failing_disk", *arguments)
        if runner.wait() == CANNOT:
            pytest.skip("the kernel lets nobody filter system calls here")
        assert "Traceback" not in runner.stderr
        if not runner.lines():  # the session's creation failed
            assert (runner.code, len(runner.stderr.splitlines())) == (2, 1), runner.stderr
            continue
        ended, runs = runner.ended(), runs + 1
        status = ended["status"]
        if status == "interrupted":
            assert (runner.code, "I/O error" in ended["error"]) == (1, True), ended
            mended(lab, runner)
    assert runs > len(steps), f"{number} transactions, {runs} of them of a session that had begun"


def mended(lab: Lab, runner: Runner) -> None:
    """After a run on a disk that failed: what it told of is there, and a resume does the rest, once.

    A commit of which only the sync failed may turn out to have been made: be it that of the end, nothing is to be done.
    """
    session_id = runner.session_id
    assert spoken(runner) <= {stamped.seq for stamped in lab.stamped(session_id)}
    eventually(lambda: lab.status(session_id) in ("interrupted", "completed"))
    finished = {key.rpartition("/")[2] for key in lab.finished(session_id)}
    before = lab.executions()
    if lab.status(session_id) == "interrupted":
        assert lab.resume(session_id).ended()["status"] == "completed"
    assert lab.context(session_id) == {name: f"value of {name}\n" for name in "abc"}
    again = {name for name, count in lab.executions().items() if count > before.get(name, 0)}
    assert again == {*"abc"} - finished
