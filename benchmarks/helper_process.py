"""A warm process beside ours that answers lines with lines."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import trio
from attrs import define, field

from benchmarks.case import CannotMeasureError


@define(eq=False)
class HelperProcess:
    """The process.

    Args:
        process: with pipes for its standard input and output.
    """

    process: trio.Process
    _unread: bytearray = field(factory=bytearray)

    @classmethod
    async def start(
        cls, command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None, stderr: BinaryIO | None = None
    ) -> HelperProcess:
        """Start it, as the leader of a group of its own: what it has started goes with it.

        Args:
            command: what it is.
            folder: where it runs.
            env: its variables; ours, if None.
            stderr: where its standard error goes; to ours, if None.
        """
        pipe = subprocess.PIPE
        process = await trio.lowlevel.open_process(
            list(command), cwd=folder, env=env, stdin=pipe, stdout=pipe, stderr=stderr, start_new_session=True
        )
        return cls(process)

    async def say(self, line: str) -> None:
        """Send it a line.

        Raises:
            CannotMeasureError: if it has ended.
        """
        assert self.process.stdin is not None
        try:
            await self.process.stdin.send_all(f"{line}\n".encode())
        except trio.BrokenResourceError:
            raise CannotMeasureError("the other process has ended") from None

    async def line(self) -> str:
        """The next line that it says.

        Raises:
            CannotMeasureError: if it has ended.
        """
        assert self.process.stdout is not None
        while b"\n" not in self._unread:
            received = await self.process.stdout.receive_some()
            if not received:
                raise CannotMeasureError("the other process has ended")
            self._unread += received
        line, _, rest = self._unread.partition(b"\n")
        self._unread = rest
        return line.decode()

    async def stop(self) -> None:
        """Kill it and what it has started, and wait."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with trio.move_on_after(5, shield=True):
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    await trio.aclose_forcefully(pipe)
            await self.process.wait()


@asynccontextmanager
async def started(command: Sequence[str], folder: Path) -> AsyncGenerator[HelperProcess]:
    """Have a process beside ours for as long as it is needed."""
    helper = await HelperProcess.start(command, folder)
    try:
        yield helper
    finally:
        with trio.move_on_after(10, shield=True):
            await helper.stop()
