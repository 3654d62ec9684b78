"""The runner's end of the lifeline: starts the watchman, tells it what runs, bids it goodbye.

The watchman (`watchman.py`) reads a pipe whose write end only the runner has. When the runner dies, by
``kill -9`` for instance, the pipe ends, and the watchman kills what the runner had started.

A command begins only when the watchman's process exists, so that none outlives its runner, however soon that
dies. Until that process reads, lines wait in the pipe. A line that can't be written is dropped: the watchman
goes by the marks first, and by the groups for those that have cleared their environment.
"""

import contextlib
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import trio

from . import marks

WATCHMAN: Final = Path(__file__).with_name("watchman.py")
_GOODBYE: Final = 2.0
"""Seconds that the watchman has to leave after its ``bye``."""

_log = logging.getLogger("trio_recipes.processes")


class Lifeline:
    """Holds the write end of the pipe, and the watchman at its other end.

    Args:
        runner_id: The mark that the watchman looks for.
        lock_fd: A locked file that shall stay locked until the last process is gone; None for none.
    """

    def __init__(self, runner_id: str, lock_fd: int | None = None) -> None:
        self._runner_id = runner_id
        self._lock_fd = lock_fd
        self._write_end: int | None = None
        self._watchman: trio.Process | None = None
        self._groups: dict[int, int] = {}
        self._started = trio.Event()

    @property
    def pid(self) -> int | None:
        """The watchman's pid while it runs."""
        is_running = self._watchman is not None and self._watchman.poll() is None
        return self._watchman.pid if self._watchman is not None and is_running else None

    async def ensure(self, nursery: trio.Nursery) -> None:
        """Return when there is a watchman (the first one, or another one if it has died), or when none can be had."""
        if self._write_end is not None and self._started.is_set() and self.pid is None:
            self._drop()
        if self._write_end is None:
            read_end, self._write_end = os.pipe()
            os.set_blocking(self._write_end, False)
            self._started = trio.Event()
            for group, start in self._groups.items():
                self._say(f"+ {group} {start}")
            nursery.start_soon(self._start, read_end, self._started)
        if not self._started.is_set():
            await self._started.wait()

    def register(self, group: int, start: int) -> None:
        """Tell of a process group, and when its leader started."""
        self._groups[group] = start
        self._say(f"+ {group} {start}")

    def forget(self, group: int) -> None:
        """Tell that a process group is no more."""
        if self._groups.pop(group, None) is not None:
            self._say(f"- {group}")

    async def aclose(self, *, everything_stopped: bool = True) -> None:
        """Send the watchman home and reap it; let it do its work first, if not everything was stopped."""
        if self._write_end is None:
            return
        with trio.move_on_after(_GOODBYE, shield=True):
            await self._started.wait()
        if everything_stopped:
            self._say("bye")
        self._drop()
        if self._watchman is not None:
            await _see_off(self._watchman)

    async def _start(self, read_end: int, started: trio.Event) -> None:
        # The environment as it is, for an interpreter that needs LD_LIBRARY_PATH; but no mark for sweeps.
        environment = {marks.WATCHMAN: self._runner_id, **marks.without_marks(os.environ)}
        lock = "-1" if self._lock_fd is None else str(self._lock_fd)
        try:
            # Shielded, and bounded by fork and exec: a watchman whom nobody knows couldn't be sent home.
            with trio.CancelScope(shield=True):
                self._watchman = await trio.lowlevel.open_process(
                    [sys.executable, "-I", "-S", str(WATCHMAN), self._runner_id, str(os.getpid()), lock],
                    cwd="/",
                    env=environment,
                    stdin=read_end,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=() if self._lock_fd is None else (self._lock_fd,),
                    start_new_session=True,
                )
        except OSError as error:
            _log.warning("no watchman (%s): if this process is killed, its commands run on", error.strerror)
        finally:
            os.close(read_end)
            started.set()

    def _say(self, line: str) -> None:
        if self._write_end is None:
            return
        try:
            os.write(self._write_end, f"{line}\n".encode())  # atomic: shorter than PIPE_BUF
        except BlockingIOError:
            _log.debug("the watchman is behind; it isn't told %r", line)
        except BrokenPipeError:
            self._drop()  # it has died; the next command starts another one

    def _drop(self) -> None:
        if self._write_end is not None:
            os.close(self._write_end)
            self._write_end = None


async def _see_off(watchman: trio.Process) -> None:
    """Wait for the watchman's end, not for ever, and reap it whatever happens."""
    with trio.move_on_after(_GOODBYE, shield=True):
        await watchman.wait()
    if watchman.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            watchman.kill()
        with trio.move_on_after(_GOODBYE, shield=True):
            await watchman.wait()
