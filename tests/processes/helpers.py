"""Commands to play with, and conditions to wait for."""

import os
import sys
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio

from trio_recipes.processes import Channel, Command, Exit, ProcessTrees, Signalled, Stopper, StopReport

PYTHON = sys.executable

# Ignores SIGTERM, says so once it does, and would live for ever.
STUBBORN = "trap '' TERM; echo ready; while :; do sleep 100; done"


def unique_runner() -> str:
    return f"test-{uuid.uuid4().hex}"


def marked_pids(runner_id: str) -> list[int]:
    """Return who carries the mark of a runner, zombies not counted (they have no environment)."""
    mark = f"TRIO_RECIPES_RUN={runner_id}".encode()
    return [pid for pid in all_pids() if mark in read(pid, "environ").split(b"\0")]


def all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def is_alive(pid: int) -> bool:
    """Whether a process runs: a zombie doesn't."""
    stat = read(pid, "stat")
    return bool(stat) and stat[stat.rindex(b")") + 2 :][:1] not in (b"Z", b"X")


def is_zombie(pid: int) -> bool:
    stat = read(pid, "stat")
    return bool(stat) and stat[stat.rindex(b")") + 2 :][:1] == b"Z"


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def eventually(condition: Callable[[], object], within: float = 10.0) -> None:
    """Wait for a condition, not for ever."""
    with trio.fail_after(within):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.002)


def eventually_sync(condition: Callable[[], object], within: float = 10.0) -> None:
    give_up = time.monotonic() + within
    while not condition():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.002)


@contextmanager
def takes(less_than: float, at_least: float = 0.0) -> Generator[None]:
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert at_least <= took < less_than, f"took {took:.3f} s"


class Lab:
    """Process trees, and what their callbacks were told."""

    def __init__(self, trees: ProcessTrees) -> None:
        self.trees = trees
        self.early = {"stdout": bytearray(), "stderr": bytearray()}
        self.late = {"stdout": bytearray(), "stderr": bytearray()}
        self.signals: list[Signalled] = []
        self.reports: list[StopReport] = []
        self.stopper = Stopper()

    def on_output(self, channel: Channel, data: bytes, /, *, background: bool) -> None:
        assert 0 < len(data) <= 65536
        (self.late if background else self.early)[channel] += data

    @property
    def stdout(self) -> str:
        return self.early["stdout"].decode()

    async def bash(self, script: str, **settings: Any) -> Exit:
        return await self.run("/bin/bash", "-c", script, **settings)

    async def run(self, *argv: str, **settings: Any) -> Exit:
        settings = {"cwd": "/", "env": dict(os.environ), "session_id": "session", "key": "step", **settings}
        return await self.trees.run(
            Command(argv=argv, **settings),
            on_output=self.on_output,
            on_signal=self.signals.append,
            on_stopped=self.reports.append,
            stopper=self.stopper,
        )

    async def cancel(self, script: str, *, when: Callable[[], object] | None = None, **settings: Any) -> None:
        """Run a script, cancel it when it has said `ready` (or on another condition), wait for its end."""
        condition = when or (lambda: "ready" in self.stdout)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: self.bash(script, **settings))
            await eventually(condition)
            nursery.cancel_scope.cancel()

    def told(self, pid: int) -> list[int]:
        """Return the signals that a process got, by itself and with its group."""
        return [sent.signal for sent in self.signals if sent.pid == pid]

    def pids(self) -> list[int]:
        """Return the numbers that the command has printed."""
        return [int(word) for word in self.stdout.split() if word.isdigit()]
