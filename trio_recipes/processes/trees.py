"""All process trees of one runner: the door to this package."""

import itertools
from collections.abc import Iterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final

import trio

from . import family, marks
from .command import (
    DEFAULT_GRACE,
    MAX_GRACE,
    Background,
    Command,
    Exit,
    OnOutput,
    OnSignal,
    OnStopped,
    Stopper,
    StopReport,
)
from .lifeline import Lifeline
from .platform import Platform, is_subreaper, native, reap, reap_adopted
from .stopping import RESISTANCE
from .sweep import Sweeper, kill_picked
from .tree import Listener, Tree

_SPARE_TIME: Final = 5.0
"""Seconds, on a busy machine, on top of what a ladder may take by itself."""
_REAPING_SECONDS: Final = 1.0

# Of all runners in this process: a subreaper must not take them for orphans that it was given.
_children: set[int] = set()


class ProcessTrees:
    """Runs commands, and makes sure that nothing of them is left when it is closed, or dies.

    >>> async with ProcessTrees("runner-1") as trees:
    ...     exit = await trees.run(command, on_output=print_it)

    Args:
        runner_id: Marks every process that is started. Unique for each runner on this machine.
        lock_fd: The runner's lock file. The watchman inherits it, and nobody else, so that a dead
            runner's lock is released when its processes are dead too.
        platform: For tests; what fits this machine if it isn't given.
    """

    def __init__(self, runner_id: str, *, lock_fd: int | None = None, platform: Platform | None = None) -> None:
        self.runner_id = runner_id
        self._sweeper = Sweeper(platform or native())
        self._lifeline = Lifeline(runner_id, lock_fd)
        self._trees: set[Tree] = set()
        self._numbers = itertools.count(1)
        self._is_closed = False
        self._has_run = False
        self._reaping = trio.CancelScope()
        self._exits = AsyncExitStack()

    @property
    def scans(self) -> int:
        """How many scans of all processes there were, for tests and benchmarks."""
        return self._sweeper.scans

    @property
    def watchman_pid(self) -> int | None:
        """The watchman's pid, from the first command on."""
        return self._lifeline.pid

    async def __aenter__(self) -> "ProcessTrees":
        self._nursery = await self._exits.enter_async_context(trio.open_nursery())
        self._exits.push_async_callback(self.aclose)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # The nursery is our own business: it sees the body's exception only if a task of ours has
        # crashed and so cancelled the body. Any other would come out wrapped in a group.
        is_our_crash = self._nursery.cancel_scope.cancel_called
        # `aclose` is shielded and bounded by itself, and so are the tasks that the nursery waits for.
        await self._exits.__aexit__(*((exc_type, exc, traceback) if is_our_crash else (None, None, None)))  # noqa: ASYNC102

    async def run(
        self,
        command: Command,
        *,
        on_output: OnOutput,
        on_signal: OnSignal = lambda _: None,
        on_stopped: OnStopped = lambda _: None,
        stopper: Stopper | None = None,
    ) -> Exit:
        """Run a command to its end.

        If this is cancelled, by a timeout or otherwise, the whole tree of processes is stopped first.

        Args:
            command: What to run.
            on_output: Called with each piece of output, as long as anything of the command runs: also
                later, from its background processes. Like the other callbacks it is synchronous and
                has to be quick. If one raises, the tree is stopped and the error raised here.
            on_signal: Called for each signal that is sent.
            on_stopped: Called when the tree has been stopped, however this call ends.
            stopper: Lets the caller drop the rest of the grace period.

        Raises:
            OSError: The program or the directory isn't there, or may not be used.
            trio.ClosedResourceError: The trees have been closed.
        """
        tree = await self._start(command, Listener(on_output, on_signal, on_stopped))
        if stopper is not None:
            stopper.attach(tree.descent.force)
        try:
            await tree.until_settled()
        except trio.Cancelled:
            tree.stop("cancelled")
            with trio.move_on_after(_bound([tree]), shield=True):
                await tree.over.wait()
            raise
        if tree.error is not None:
            raise tree.error
        assert tree.exit is not None
        return tree.exit

    async def _start(self, command: Command, listener: Listener) -> Tree:
        if self._is_closed:
            raise trio.ClosedResourceError("these process trees have been closed")
        if not self._has_run and is_subreaper():
            self._nursery.start_soon(self._reap_orphans)
        self._has_run = True
        tree = Tree(command, listener, self._marks_for(command), self._sweeper)
        self._trees.add(tree)  # before it has a process, so that aclose waits for that
        try:
            await self._lifeline.ensure(self._nursery)  # first: whatever begins has somebody who will end it
            await tree.start()
        except BaseException:
            tree.over.set()
            self._trees.discard(tree)
            raise
        self._admit(tree)
        return tree

    def _marks_for(self, command: Command) -> dict[str, str]:
        return {
            marks.RUN: self.runner_id,
            marks.SESSION: command.session_id,
            marks.STEP_KEY: command.key,
            marks.ATTEMPT: str(command.attempt),
            marks.TREE: str(next(self._numbers)),
        }

    def _admit(self, tree: Tree) -> None:
        """Register a tree everywhere, and let it live."""
        _children.add(tree.pid)
        self._sweeper.groups.add(tree.pid)
        self._sweeper.since = self._sweeper.since or tree.started
        self._lifeline.register(tree.pid, tree.started)
        if self._is_closed:
            tree.stop("closed")
        self._nursery.start_soon(self._keep, tree)

    async def _keep(self, tree: Tree) -> None:
        try:
            await tree.live()
        finally:
            self._trees.discard(tree)
            self._sweeper.groups.discard(tree.pid)
            self._lifeline.forget(tree.pid)
            _children.discard(tree.pid)

    def background(self, session_id: str) -> tuple[Background, ...]:
        """Return what the commands of a session have left running, in the order they were started."""
        return tuple(tree.describe() for tree in self._background_of(session_id))

    async def stop_background(self, session_id: str, *, grace: float | None = None) -> list[StopReport]:
        """Stop what the commands of a session have left running; commands that still run are spared.

        Also found is what no command was known to have left: by its mark, wherever it has gone.

        Args:
            session_id: The session, which ends or pauses.
            grace: Seconds between stop signal and SIGKILL; at most, and by default, what each command says.

        Returns:
            A report on each tree that was stopped.
        """
        trees = self._background_of(session_id)
        reports = await self._stop(trees, "background", MAX_GRACE if grace is None else grace)
        if not self._has_run:
            return reports
        strays = family.of_session(self.runner_id, session_id, self._foreground)
        patience = DEFAULT_GRACE if grace is None else grace
        return reports + await kill_picked(strays, self._sweeper, cause="background", grace=patience)

    async def aclose(self) -> None:
        """Stop everything that is left, send the watchman home, reap what there is. Bounded."""
        self._is_closed = True
        with trio.move_on_after(_bound(self._trees) + 3 * RESISTANCE, shield=True) as bound:
            await self._stop(tuple(self._trees), "closed", MAX_GRACE)
            if self._has_run:
                strays = family.of_run(self.runner_id)
                await kill_picked(strays, self._sweeper, cause="closed", grace=DEFAULT_GRACE)
                await self._stop_orphans()
        for tree in self._trees:
            tree.abandon()
        self._reaping.cancel()
        await self._lifeline.aclose(everything_stopped=not bound.cancelled_caught)

    async def _stop(self, trees: Iterable[Tree], cause: str, grace: float) -> list[StopReport]:
        trees = tuple(trees)
        for tree in trees:
            tree.stop(cause, grace=grace)
        for tree in trees:
            await tree.over.wait()
        return [tree.report for tree in trees if tree.report is not None]

    async def _stop_orphans(self) -> None:
        """As a subreaper: stop and reap what has lost its parent, its session and its environment."""
        if not is_subreaper():
            return
        pick = family.adopted(lambda: _children | {self._lifeline.pid or 0})
        await kill_picked(pick, self._sweeper, cause="closed", grace=DEFAULT_GRACE)
        for orphan in pick(await self._sweeper.snapshot()):
            if not orphan.is_running:
                reap(orphan.pid)

    async def _reap_orphans(self) -> None:
        """As a subreaper: reap what ends after its parent, or a long run fills the table of processes."""
        with self._reaping:
            while True:
                await trio.sleep(_REAPING_SECONDS)
                reap_adopted(_children | {self._lifeline.pid or 0})

    def _background_of(self, session_id: str) -> list[Tree]:
        trees = [tree for tree in self._trees if tree.is_background and tree.session_id == session_id]
        return sorted(trees, key=lambda tree: int(tree.marks[marks.TREE]))

    def _foreground(self) -> set[str]:
        return {tree.marks[marks.TREE] for tree in self._trees if not tree.is_background}


def _bound(trees: Iterable[Tree]) -> float:
    """Return the seconds that stopping these trees at once may take."""
    return max((tree.command.kill_grace for tree in trees), default=0.0) + RESISTANCE + _SPARE_TIME
