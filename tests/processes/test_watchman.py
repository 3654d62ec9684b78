"""``kill -9`` of a runner takes everything it has started with it."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from tests.processes.helpers import (
    Lab,
    all_pids,
    eventually,
    eventually_sync,
    is_alive,
    marked_pids,
    read,
    takes,
)
from trio_recipes.processes import lifeline, watchman

RUNNER = """
import os, sys, trio
from trio_recipes.processes import Command, ProcessTrees

def show(channel, data, /, *, background):
    os.write(1, data)

async def main(runner_id, lock, *scripts):
    descriptor = os.open(lock, os.O_RDWR)
    import fcntl
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    async with ProcessTrees(runner_id, lock_fd=descriptor) as trees, trio.open_nursery() as nursery:
        for script in scripts:
            command = Command(
                argv=("/bin/bash", "-c", script), cwd="/", env=dict(os.environ), session_id="s", key="k"
            )
            async def run(command=command):
                await trees.run(command, on_output=show)
                os.write(1, b"ended\\n")
            nursery.start_soon(run)
        await trio.sleep_forever()

trio.run(main, *sys.argv[1:])
"""


class Runner:
    """A real runner in a process of its own."""

    def __init__(self, runner_id: str, folder: Path, *scripts: str) -> None:
        self.lock = folder / "lock"
        self.lock.touch()
        self.output = folder / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", RUNNER, runner_id, str(self.lock), *scripts],
                stdout=output,
                env={**os.environ, "PYTHONPATH": str(Path.cwd())},
            )
        self.runner_id = runner_id

    def words(self) -> list[str]:
        return self.output.read_text().split()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def is_locked(self) -> bool:
        with self.lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def watchmen(self) -> list[int]:
        mark = f"TRIO_RECIPES_WATCHMAN={self.runner_id}".encode()
        return [pid for pid in all_pids() if mark in read(pid, "environ").split(b"\0")]


SCRIPTS = [
    "trap '' TERM INT HUP; echo $$ ready; while :; do sleep 100; done",
    "setsid bash -c 'echo $$ ready; exec sleep 100' & wait",
    "env -i bash -c 'echo $$ ready; sleep 100' & wait",
    "(sleep 100 & echo $! ready)",
]


@pytest.fixture
def runner(runner_id: str, tmp_path: Path) -> Iterator[Runner]:
    runner = Runner(runner_id, tmp_path, *SCRIPTS)
    eventually_sync(lambda: runner.words().count("ready") == len(SCRIPTS) and "ended" in runner.words())
    yield runner
    runner.kill()
    eventually_sync(lambda: not marked_pids(runner_id))
    eventually_sync(lambda: not runner.watchmen())


def test_killing_the_runner_kills_its_trees_and_then_frees_the_lock(runner: Runner) -> None:
    pids = [int(word) for word in runner.words() if word.isdigit()]
    assert len(pids) == len(SCRIPTS)
    assert all(is_alive(pid) for pid in pids)
    assert runner.is_locked()
    began = time.monotonic()
    runner.kill()
    while runner.is_locked():
        assert time.monotonic() - began < 5
        time.sleep(0.001)
    assert not any(is_alive(pid) for pid in pids), "the lock was free before they were dead"
    print(f"kill -9 to everything dead and the lock free: {(time.monotonic() - began) * 1000:.1f} ms")  # noqa: T201


def test_the_watchman_is_no_ones_prey(runner: Runner) -> None:
    (pid,) = runner.watchmen()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    assert b"TRIO_RECIPES_RUN=" not in read(pid, "environ")
    assert os.getsid(pid) == pid
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    standard = [Path(f"/proc/{pid}/fd/{number}").readlink() for number in range(3)]
    assert standard == [Path("/dev/null")] * 3
    others = [entry.readlink() for entry in Path(f"/proc/{pid}/fd").iterdir() if int(entry.name) > 2]
    kinds = sorted(str(target).split(":")[0] for target in others if target != runner.lock)
    assert kinds == ["anon_inode", "pipe"], "the lifeline and the pidfd of the runner"
    assert runner.lock in others
    assert is_alive(pid)


def test_killing_the_watchman_harms_nobody_and_the_sweep_finds_the_rest(runner: Runner) -> None:
    (pid,) = runner.watchmen()
    os.kill(pid, signal.SIGKILL)
    runner.kill()
    assert marked_pids(runner.runner_id)
    sweep = (
        "import sys, trio; from trio_recipes.processes import kill_marked\n"
        "reports = trio.run(kill_marked, sys.argv[1]); assert len(reports) == 1, reports\n"
        "assert not reports[0].survivors; assert not trio.run(kill_marked, sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", sweep, runner.runner_id], check=True)
    assert marked_pids(runner.runner_id) == []
    unmarked = [int(word) for word in runner.words() if word.isdigit() and is_alive(int(word))]
    for stray in unmarked:  # the one that cleared its environment: only the watchman knew its group
        os.kill(stray, signal.SIGKILL)


async def test_a_dead_watchman_is_replaced_and_told_everything(lab: Lab) -> None:
    async with lab.trees:
        await lab.bash("sleep 100 &")
        first = lab.trees.watchman_pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: lab.trees.watchman_pid is None)
        await lab.bash("true")
        second = lab.trees.watchman_pid
        assert second not in (None, first)
        assert (await lab.bash("exit 3")).code == 3
        assert lab.trees.watchman_pid == second


async def test_a_command_begins_only_when_its_watchman_is_there(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    open_process = trio.lowlevel.open_process

    async def note(command: Sequence[str], **options: Any) -> trio.Process:
        if str(lifeline.WATCHMAN) not in command:
            order.append("a command begins")
            return await open_process(command, **options)
        await trio.testing.wait_all_tasks_blocked()
        watchman = await open_process(command, **options)
        order.append("the watchman is there")
        return watchman

    monkeypatch.setattr(trio.lowlevel, "open_process", note)
    async with lab.trees, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(lab.bash, "true")
    assert order == ["the watchman is there", *["a command begins"] * 3]


async def test_no_command_no_watchman(lab: Lab) -> None:
    async with lab.trees:
        assert lab.trees.watchman_pid is None
    assert lab.trees.scans == 0


async def test_goodbye_is_quick(lab: Lab) -> None:
    async with lab.trees:
        await lab.bash("true")
        await eventually(lambda: lab.trees.watchman_pid)
        pid = lab.trees.watchman_pid
        assert pid is not None
        began = time.monotonic()
    assert not is_alive(pid)
    with takes(less_than=2):
        assert time.monotonic() - began < 2


def test_a_recycled_group_is_not_touched() -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:  # its leader lives, wherever we run
        try:
            found = watchman.find(b"TRIO_RECIPES_RUN=nobody", {other.pid: 12345})
        finally:
            other.kill()
    assert all(proc.group != other.pid for proc in found)


def test_a_recycled_pid_is_not_killed() -> None:
    with subprocess.Popen(["/bin/sleep", "100"]) as process:
        now = watchman.look(process.pid, b"")
        assert now is not None
        other = watchman.Found(now.pid, now.start - 1, now.group, now.session, now.is_marked)
        assert watchman.kill(other)
        assert process.poll() is None
        assert watchman.kill(now)
        assert process.wait() == -signal.SIGKILL


def test_lines_of_the_lifeline() -> None:
    groups: dict[int, int] = {}
    watchman.note(groups, [b"+ 10 1", b"+ 20 2", b"- 10", b"- 99", b"", b"rubbish"])
    assert groups == {20: 2}
