"""Scans of all processes, shared by everybody who needs one at that moment; and the sweep after a crash.

A scan costs milliseconds and a thread. A thousand commands that are cancelled at once ask for theirs at once,
so a scan serves all who asked before it began. Most processes of a machine are older than our first command, and so
none of ours: the scans of one stop, and that of the session's end, read about them once.
"""

import time
from collections.abc import Mapping
from typing import Final

import trio
from attrs import field

from trio_recipes.classes import define

from . import family
from .command import StopReport
from .platform import Platform, native
from .procfs import Proc
from .snapshot import Snapshot
from .stopping import Descent, Stopping

MEMORY: Final = 0.05
"""Seconds for which a pid means the process that was read of under it: the kernel gives it to another one when all
others have had their turn, which takes seconds at the least."""


@define
class _Batch:
    """Those who wait for the same scan."""

    snapshot: Snapshot | None = None


@define(eq=False)
class Sweeper:
    """Takes snapshots, one at a time.

    Attributes:
        platform: Whom to ask.
        groups: The process groups that the portable platform shall look at.
        since: Start time of the oldest process that may carry a mark of ours.
        scans: How many scans there were; for tests and benchmarks.
    """

    platform: Platform
    groups: set[int] = field(factory=set)
    since: int = 0
    scans: int = 0
    _strangers: Mapping[int, Proc] = field(factory=dict, init=False)
    _forget_at: float = field(default=0.0, init=False)
    _next: _Batch = field(factory=_Batch, init=False)
    _lock: trio.Lock = field(factory=trio.Lock, init=False)
    # Of our own: the default limiter may be full of blocking functions when everything is to be stopped.
    _thread: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(1), init=False)

    async def snapshot(self) -> Snapshot:
        """Return a snapshot of a moment after this call.

        Raises:
            OSError: ``/proc`` can't be read, for want of file descriptors for instance.
        """
        batch = self._next
        async with self._lock:
            if batch.snapshot is None:
                self._next = _Batch()  # who asks from now on wants a later moment
                # Abandoned if it hangs: reading about a process waits for whoever holds its memory lock.
                batch.snapshot = await trio.to_thread.run_sync(self._scan, limiter=self._thread, abandon_on_cancel=True)
            return batch.snapshot

    def _scan(self) -> Snapshot:
        self.scans += 1
        if time.monotonic() >= self._forget_at:
            self._strangers, self._forget_at = {}, time.monotonic() + MEMORY
        found = self.platform.scan(tuple(self.groups), self.since, self._strangers)
        self._strangers = {proc.pid: proc for proc in found if proc.start < self.since}
        return Snapshot.of(found)


async def kill_marked(runner_id: str, *, platform: Platform | None = None) -> list[StopReport]:
    """Kill what a dead runner left behind, without grace: nobody is there any more to use the time.

    The runner's watchman has done that long before, as a rule; this is for when it was killed as well.
    Processes are found by their mark, so where there is no ``/proc`` none is found. The calling process
    and its ancestors are spared.

    Args:
        runner_id: The runner's id, as given to `ProcessTrees`.
        platform: For tests.

    Returns:
        One report, or none if nothing was found.
    """
    sweeper = Sweeper(platform or native())
    return await kill_picked(family.of_run(runner_id), sweeper, cause="swept")


async def kill_picked(pick: family.Pick, sweeper: Sweeper, *, cause: str, grace: float = 0.0) -> list[StopReport]:
    """Stop what is picked out of snapshots, if there is anything.

    A cancellation takes effect before or after the stop, which is bounded, and not in its middle.
    """
    strays = family.Family(pick)
    if not strays.running(await sweeper.snapshot()):
        return []
    descent = Descent(grace)
    descent.stop(cause)
    if not grace:
        descent.force()
    reports: list[StopReport] = []
    with trio.CancelScope(shield=True):  # bounded by the ladder: grace and `stopping.RESISTANCE`
        reports.append(await Stopping(strays, descent, sweeper).carry_out())
    return reports
