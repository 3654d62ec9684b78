"""One command and all the processes it starts: started, listened to, seen to its end.

A tree's life is one task, `Tree.live`:

1. The leader runs; its output is delivered as it comes.
2. It ends. With code 0 and ``background="session"`` the step's value is fixed after `DRAIN` seconds,
   whoever still holds the pipe; what it left running lives on as background processes.
3. Whoever wants an end to it, at any time, pushes the tree's `Descent`; this task walks it down.

The leader stays a zombie until its group has had its last signal, so that its number is nobody else's.
"""

import logging
import math
import subprocess
from collections.abc import Callable, Mapping
from typing import Final

import trio

from trio_recipes.classes import frozen

from . import marks
from .command import Background, Channel, Command, Exit, OnOutput, OnSignal, OnStopped, Signalled, StopReport
from .family import Family, of_tree
from .ladder import Cause, Event, Level
from .pipes import Inlet, Outlet
from .platform import group_exists
from .stopping import Descent, Stopping, pids
from .sweep import Sweeper

DRAIN: Final = 0.1
"""Seconds after the leader's end during which output still counts."""
_LULL: Final = 0.1
"""Seconds between two looks at background processes that keep replacing each other."""

_log = logging.getLogger("trio_recipes.processes")


@frozen
class Listener:
    """The caller's callbacks."""

    on_output: OnOutput
    on_signal: OnSignal = lambda _: None
    on_stopped: OnStopped = lambda _: None


class Tree:
    """The processes of one run of a command.

    Args:
        command: What to run.
        listener: Whom to tell.
        tree_marks: The marks for its processes.
        sweeper: Takes the snapshots.
    """

    def __init__(self, command: Command, listener: Listener, tree_marks: Mapping[str, str], sweeper: Sweeper) -> None:
        self.command = command
        self.marks = tree_marks
        self.descent = Descent(command.kill_grace)
        self.settled = trio.Event()  # the command's value is fixed
        self.over = trio.Event()  # nothing of it is left
        self.exit: Exit | None = None
        self.report: StopReport | None = None
        self.error: Exception | None = None  # the first that a callback raised
        self.pid = 0
        self._listener = listener
        self._sweeper = sweeper
        self._platform = sweeper.platform
        self._leader_gone = trio.Event()
        self._waiter: trio.lowlevel.Task | None = None
        self._shield = trio.CancelScope(shield=True)

    @property
    def session_id(self) -> str:
        """The session it belongs to."""
        return self.command.session_id

    @property
    def is_background(self) -> bool:
        """Whether its command has ended and left something running."""
        return self.exit is not None and self.exit.background and not self.over.is_set()

    def describe(self) -> Background:
        """Return what to show of it."""
        return Background(self.command.argv, self.command.key, self.command.attempt, pids(self._stopping.running))

    async def start(self) -> None:
        """Start the leader.

        Raises:
            OSError: The program or the directory isn't there, or may not be used.
        """
        self._outlets = (Outlet(self._deliver_to("stdout")), Outlet(self._deliver_to("stderr")))
        self._inlet = Inlet(self.command.stdin) if self.command.stdin else None
        try:
            self._process = await self._open()
        except BaseException:
            self._close_pipes()
            raise
        finally:
            for pipe in self._pipes():
                pipe.handed_over()
        self.pid = self._process.pid
        self.started = self._platform.start_time(self.pid)
        self._family = Family(of_tree(self.marks[marks.RUN], self.marks[marks.TREE]), self.pid)
        self._stopping = Stopping(
            self._family,
            self.descent,
            self._sweeper,
            stop_signal=self.command.stop_signal,
            on_signal=self._tell_signal,
            leader_gone=self._leader_gone.wait,
        )

    async def _open(self) -> trio.Process:
        stdout, stderr = self._outlets
        return await trio.lowlevel.open_process(
            self.command.argv,
            cwd=self.command.cwd,
            env=marks.with_marks(self.command.env, self.marks),
            stdin=self._inlet.read_end if self._inlet else subprocess.DEVNULL,
            stdout=stdout.write_end,
            stderr=stderr.write_end,
            start_new_session=True,
        )

    async def live(self) -> None:
        """See the tree through to its end. It is shielded, and bounded once its ladder has begun."""
        try:
            with self._shield:
                async with trio.open_nursery() as streams:
                    for outlet in self._outlets:
                        streams.start_soon(outlet.pump)
                    if self._inlet is not None:
                        streams.start_soon(self._inlet.feed)
                    streams.start_soon(self._watch_leader)
                    await self._run_out()
                    streams.cancel_scope.cancel()
        finally:
            self._close_pipes()
            self._fix_value()
            self.over.set()

    async def until_settled(self) -> None:
        """Wait until the command's value is fixed; called once. A cancellation stops the tree.

        The stop signal is sent within ``CancelScope.cancel``, not when this task has its next turn.
        """

        def stop(_: object) -> trio.lowlevel.Abort:
            self._waiter = None
            self.stop("cancelled")
            return trio.lowlevel.Abort.SUCCEEDED

        if not self.settled.is_set():
            self._waiter = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(stop)

    def stop(self, cause: Cause, *, grace: float = math.inf) -> None:
        """Have the tree stopped, or what is left of its grace period shortened; the first signal is sent at once.

        Once the leader has ended, its number may soon be somebody else's: then our task, which knows, sends the signal.

        Args:
            cause: why; the first one counts.
            grace: seconds between the stop signal and SIGKILL, at most.
        """
        if self.pid and self.descent.level <= Level.TERMINATING and not self._leader_gone.is_set():
            self._stopping.begin()  # before all else: whoever stops a tree waits for its processes to die
        self.descent.stop(cause, grace=grace)

    def abandon(self) -> None:
        """Give up on it, when all the time that its stop may take has passed."""
        self._shield.cancel()

    async def _watch_leader(self) -> None:
        await self._platform.exited(self._process)
        # The portable platform reaps it here: its zombie would make the group look inhabited.
        self._platform.exit_code(self._process)
        self.descent.note(Event.LEADER_GONE)
        self._leader_gone.set()

    async def _run_out(self) -> None:
        while self.descent.level is Level.RUNNING and not self._leader_gone.is_set():
            await self.descent.pause(Level.RUNNING, self._leader_gone.wait)
        if self.descent.level is Level.RUNNING:
            await self._end_of_leader()
        if self.descent.level is not Level.REAPED:
            await self._stop()
        if not self.settled.is_set():
            self._settle()

    async def _end_of_leader(self) -> None:
        """Decide what an ended leader's tree deserves: the end, or a life in the background."""
        is_success = self._platform.exit_code(self._process) == 0
        if is_success and self.command.background == "session":
            await self.descent.pause(Level.RUNNING, self._silence, limit=DRAIN)
            if self.descent.level is Level.RUNNING:
                await self._leave_in_background()
        elif await self._stopping.is_deserted():
            self.descent.note(Event.TREE_GONE)
        else:
            self.descent.stop("background" if is_success else "failed")

    async def _leave_in_background(self) -> None:
        is_inhabited = await self._has_leftovers()
        if self.descent.level is not Level.RUNNING:  # stopped while we looked
            return
        self._settle(background=is_inhabited)
        while is_inhabited and self.descent.level is Level.RUNNING:
            await self.descent.pause(Level.RUNNING, self._until_quiet)
            is_inhabited = not await self._stopping.is_deserted()
        if self.descent.level is Level.RUNNING:
            self.descent.note(Event.TREE_GONE)

    async def _has_leftovers(self) -> bool:
        """Tell whether anything outlives the leader; as a rule without a scan.

        A daemon that left the group and closed its output goes unnoticed here. The end of its session
        finds it by its mark.
        """
        is_silent = all(outlet.ended.is_set() for outlet in self._outlets)
        self._reap()
        if is_silent and not group_exists(self.pid):
            self._family.is_pinned = False
            return False
        # The number can't have been given away in the meantime, so for this census the group still counts.
        is_inhabited = bool(await self._stopping.census()) or not is_silent
        self._family.is_pinned = False
        return is_inhabited

    async def _until_quiet(self) -> None:
        await trio.sleep(_LULL)
        await self._stopping.until_gone()
        await self._silence()

    async def _silence(self) -> None:
        for outlet in self._outlets:
            await outlet.ended.wait()

    async def _stop(self) -> None:
        self.report = await self._stopping.carry_out()
        self._reap()
        self._family.is_pinned = False
        report = self.report
        self._guard(lambda: self._listener.on_stopped(report))

    def _reap(self) -> int | None:
        return self._process.poll()

    def _settle(self, *, background: bool = False) -> None:
        """Fix the command's value: what is in the pipes now still counts, what comes later doesn't."""
        for outlet in self._outlets:
            outlet.drain()
        code = self._reap()
        self.exit = Exit(
            code=-9 if code is None else code,  # it resists SIGKILL, and is among the survivors
            signals=tuple(self._stopping.signals),
            survivors=self.report.survivors if self.report is not None else (),
            background=background,
        )
        self._fix_value()

    def _fix_value(self) -> None:
        self.settled.set()
        if self._waiter is not None:
            trio.lowlevel.reschedule(self._waiter)
            self._waiter = None

    def _deliver_to(self, channel: Channel) -> Callable[[bytes], None]:
        def deliver(data: bytes) -> None:
            is_late = self.settled.is_set()
            self._guard(lambda: self._listener.on_output(channel, data, background=is_late))

        return deliver

    def _tell_signal(self, signalled: Signalled) -> None:
        self._guard(lambda: self._listener.on_signal(signalled))

    def _guard(self, callback: Callable[[], None]) -> None:
        """Call back; an error there stops the tree and is raised to who runs the command, not in our tasks."""
        if self.error is not None:
            return
        try:
            callback()
        except Exception as error:
            self.error = error
            if self.settled.is_set():  # nobody is there any more to raise it to
                _log.exception("a callback of %s failed; it gets no more output", self.command.key)
            else:
                self.descent.stop("callback failed")

    def _close_pipes(self) -> None:
        for pipe in self._pipes():
            pipe.close()

    def _pipes(self) -> tuple[Inlet | Outlet, ...]:
        return self._outlets if self._inlet is None else (*self._outlets, self._inlet)
