"""Stopping one process tree: the ladder (`ladder.py`), carried out on processes.

Terminating: the leader's group gets the stop signal at once (`Stopping.begin`), then a scan finds who is outside, and
each of those gets one too. Then we wait for the last one to go, by pidfd, or for the deadline. Killing:
SIGKILL, scan, again, until nobody is left. "Nobody" takes two scans in a row, because one that forks
while we read may hide for the length of a scan.

Everything here is bounded: the grace period by the ladder, the killing by `RESISTANCE`.
"""

import math
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, Protocol

import trio

from .command import OnSignal, Signalled, StopReport, Survivor
from .family import Family
from .ladder import Cause, Event, Ladder, Level
from .platform import Platform
from .procfs import Proc
from .snapshot import Snapshot

RESISTANCE: Final = 5.0
"""Seconds after which what doesn't die of SIGKILL (an uninterruptible sleep) is given up and reported."""
_SCANS_THAT_VERIFY: Final = 2
_HEAD_START: Final = 0.02
_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.25


class Scanner(Protocol):
    """What a stop needs of `sweep.Sweeper`."""

    platform: Platform

    async def snapshot(self) -> Snapshot:
        """Return a snapshot of a moment after this call."""
        ...


class Descent:
    """A tree's way down its ladder: one task walks it, others may push.

    Args:
        grace: Seconds between the stop signal and SIGKILL, unless a stop says otherwise.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self.ladder = Ladder()
        self._pause: trio.CancelScope | None = None

    @property
    def level(self) -> Level:
        """How far the tree has come."""
        return self.ladder.level

    def stop(self, cause: Cause, *, grace: float = math.inf) -> None:
        """Ask for a stop: begin one, or join the one that has begun and maybe bring it forward."""
        self._move(Event.STOP, grace=min(grace, self._grace), cause=cause)

    def force(self) -> None:
        """Drop the grace period."""
        self._move(Event.FORCE)

    def note(self, event: Event) -> None:
        """Take notice of something that happened."""
        self._move(event)

    async def pause(self, level: Level, wait: Callable[[], Awaitable[object]], *, limit: float = math.inf) -> None:
        """Wait for something, as long as the tree is at this level.

        Ends when the ladder moves, when its deadline passes, or after `limit` seconds. Returns at once
        if the ladder has moved already: while its walker was busy with something else, that is.
        """
        if self.level is not level:
            return
        until = trio.current_time() + limit
        if level is Level.TERMINATING:
            until = min(until, self.ladder.deadline)
        with trio.CancelScope(deadline=until) as self._pause:
            await wait()
        if self.level is Level.TERMINATING and trio.current_time() >= self.ladder.deadline:
            self._move(Event.DEADLINE)

    def _move(self, event: Event, *, grace: float = math.inf, cause: Cause | None = None) -> None:
        before = self.ladder
        self.ladder = before.after(event, now=trio.current_time(), grace=grace, cause=cause)
        if self._pause is not None and self.ladder is not before:
            self._pause.cancel()


class Stopping:
    """Looks after who runs in a tree, and takes it down its ladder.

    Args:
        family: Who belongs to the tree.
        descent: Its way down.
        scanner: Takes the snapshots.
        stop_signal: What asks a process to end.
        on_signal: Is told of each signal that was sent.
        leader_gone: Waits for the leader's end, if there is one.
    """

    def __init__(
        self,
        family: Family,
        descent: Descent,
        scanner: Scanner,
        *,
        stop_signal: int = signal.SIGTERM,
        on_signal: OnSignal = lambda _: None,
        leader_gone: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._family = family
        self._descent = descent
        self._scanner = scanner
        self._platform = scanner.platform
        self._stop_signal = stop_signal
        self._on_signal = on_signal
        self._leader_gone = leader_gone
        self._inside: list[int] = []  # the pids that were in the leader's group before the signal
        self._told: set[tuple[tuple[int, int], int]] = set()
        self._told_group: int | None = None
        self._refused: dict[int, str] = {}
        self._blind: str | None = None
        self._empty_scans = 0
        self._has_begun = False
        self.signals: list[Signalled] = []
        self.running: list[Proc] = []

    async def census(self) -> list[Proc]:
        """Count who runs; the answer stays in `running` until the next time."""
        try:
            with trio.fail_after(RESISTANCE):
                snapshot = await self._scanner.snapshot()
        except (OSError, trio.TooSlowError) as error:
            # Out of descriptors, most likely. What we know nothing newer about is still there.
            self._blind, self._empty_scans = f"can't look: {error!r}", 0
            return self.running
        self._blind = None
        self.running = self._family.running(snapshot)
        self._empty_scans = 0 if self.running else self._empty_scans + 1
        return self.running

    async def is_deserted(self) -> bool:
        """Make sure that nobody runs, by as many scans as that takes."""
        self._empty_scans = 0
        while not await self.census():
            if self._empty_scans >= _SCANS_THAT_VERIFY:
                return True
        return False

    async def until_gone(self) -> None:
        """Wait until all who ran at the last census have ended."""
        if self._blind is not None:
            await trio.sleep(_LONGEST_PAUSE)
        try:
            for proc in self.running:  # one after the other: when the last one is through, all are gone
                await self._platform.gone(proc)
        except OSError:  # out of descriptors; not worth more than trying again
            await trio.sleep(_LONGEST_PAUSE)

    def begin(self) -> None:
        """Send the stop signal, synchronously, once: whoever asks for the stop needn't wait for a task's turn."""
        if not self._has_begun:
            self._has_begun = True
            self._foresee()
            self._tell_group(self._stop_signal)
            self._tell(self.running, self._stop_signal)

    async def carry_out(self) -> StopReport:
        """Take the tree from the stop that was asked for to its end."""
        began = trio.current_time()
        await self._terminate()
        survivors = await self._kill()
        return StopReport(
            cause=self._descent.ladder.cause or "stopped",
            signals=tuple(self.signals),
            survivors=survivors,
            seconds=trio.current_time() - began,
        )

    async def _terminate(self) -> None:
        self.begin()
        # The willing are gone in a millisecond, if nothing of ours competes with them for the processor.
        if self._leader_gone is not None:
            await self._descent.pause(Level.TERMINATING, self._leader_gone, limit=_HEAD_START)
        self._meet()
        self._tell(self.running, self._stop_signal)
        await self._descent.pause(Level.TERMINATING, self.until_gone, limit=_HEAD_START)
        while self._descent.level is Level.TERMINATING:
            self._tell(await self.census(), self._stop_signal)
            # Who joins the group from now on was left behind by one that has ended: it wants a signal.
            self._told_group = None
            self._note_if_deserted()
            await self._descent.pause(Level.TERMINATING, self.until_gone)

    def _foresee(self) -> None:
        """Note the leader's descendants, quickly, before the signal makes orphans of them."""
        if self._family.is_pinned:
            with suppress(OSError):  # out of descriptors: the group gets its signal all the same, a scan sees the rest
                self._inside, self.running = self._family.foresee(self._platform)

    def _meet(self) -> None:
        """Have a look at those in the group that are still there."""
        if self._family.is_pinned:
            with suppress(OSError):
                self.running += self._family.meet(self._inside, self._platform)

    async def _kill(self) -> tuple[Survivor, ...]:
        give_up, pause = trio.current_time() + RESISTANCE, _FIRST_PAUSE
        if self._descent.level is Level.KILLING:
            self._tell_group(signal.SIGKILL)
            self._tell(self.running, signal.SIGKILL)
            await self._descent.pause(Level.KILLING, self.until_gone, limit=pause)
        while self._descent.level is Level.KILLING:
            self._tell(await self.census(), signal.SIGKILL)
            self._note_if_deserted()
            if self._only_refusals() or trio.current_time() >= give_up:
                self._descent.note(Event.GIVEN_UP)
            await self._descent.pause(Level.KILLING, self.until_gone, limit=pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return self._survivors()

    def _survivors(self) -> tuple[Survivor, ...]:
        if self._blind is not None:
            return (Survivor(self._family.group or 0, self._blind),)
        return tuple(Survivor(proc.pid, self._why_alive(proc)) for proc in self.running)

    def _note_if_deserted(self) -> None:
        if self._empty_scans >= _SCANS_THAT_VERIFY:
            self._descent.note(Event.TREE_GONE)

    def _only_refusals(self) -> bool:
        return bool(self.running) and all(proc.pid in self._refused for proc in self.running)

    def _why_alive(self, proc: Proc) -> str:
        return self._refused.get(proc.pid, f"still there {RESISTANCE:g} s after SIGKILL (state {proc.state})")

    def _tell_group(self, number: int) -> None:
        """Signal all of the leader's group in one go, which no fork can slip through."""
        group = self._family.group
        if not self._family.is_pinned or group is None or group in (0, 1, os.getpgrp()):
            return
        try:
            os.killpg(group, number)
        except (ProcessLookupError, PermissionError):
            return  # macOS refuses for zombies; the census tells who is there
        self._told_group = number
        self._report(Signalled(group, number, time.time(), group=True))

    def _tell(self, procs: Iterable[Proc], number: int) -> None:
        """Signal each process that hasn't had this signal yet."""
        for proc in procs:
            if (proc.ident, number) in self._told:
                continue
            self._told.add((proc.ident, number))
            # Its group's signal was its own, also if it joined since: then it cleans up for its parent.
            has_had_it = self._told_group == number and proc.pgid == self._family.group
            if not has_had_it:
                self._send(proc, number)
            elif number == signal.SIGKILL:
                self._send(proc, number, silently=True)  # to learn whether we may
            if number != signal.SIGKILL and proc.is_stopped:
                self._send(proc, signal.SIGCONT, silently=True)  # a stopped process handles no signal

    def _send(self, proc: Proc, number: int, *, silently: bool = False) -> None:
        try:
            was_there = self._platform.send(proc, number)
        except PermissionError:
            self._refused[proc.pid] = "not permitted: it belongs to another user"
        except OSError:  # out of descriptors: try again at the next census
            self._told.discard((proc.ident, number))
        else:
            if was_there and not silently:
                self._report(Signalled(proc.pid, number, time.time()))

    def _report(self, signalled: Signalled) -> None:
        self.signals.append(signalled)
        self._on_signal(signalled)


def pids(procs: Sequence[Proc]) -> tuple[int, ...]:
    """Return the pids of processes, smallest first."""
    return tuple(sorted(proc.pid for proc in procs))
