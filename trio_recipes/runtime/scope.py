"""A node of the running tree: one trio cancel scope, one path, and our own account of who asked it to stop.

Rules that everything here serves:

* One :class:`Scope` per session, stage, step, iteration and sub-recipe, entered by the task that runs it.
* *Immediate* is ``CancelScope.cancel``: trio delivers it to everything below and to nothing else.
* *Graceful* is a fact on one node. A node is draining if it or an ancestor has been asked to stop, found by climbing:
  there is no copy of the flag to forget, so a scope that is made under a draining one is born draining.
* trio keeps the first reason only, and none for deadlines: who, how and why are kept here.
* This file is the only place of the runtime that opens nurseries: ``Cancelled`` groups are collapsed at each of them,
  without which a deep cancellation (about 350 levels) crashes plain trio.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

import trio
from attrs import evolve, field

from trio_recipes.classes import define
from trio_recipes.errors import InternalError, RecipesError
from trio_recipes.events import Cancellation, Holdout, Level, Source
from trio_recipes.progress import path as paths
from trio_recipes.runtime.ports import Forcible, Work

if TYPE_CHECKING:
    from types import TracebackType

T = TypeVar("T")


class Scope:
    """A node of the running tree. Use it as a context manager, once, in the task that runs it.

    Args:
        tree: the session's tree.
        path: its name in the session.
        parent: the scope around it; None for the session's own.
    """

    __slots__ = ("began", "cancel_scope", "limit", "own", "parent", "path", "tree")

    def __init__(self, tree: ScopeTree, path: str, parent: Scope | None) -> None:
        self.tree, self.path, self.parent = tree, path, parent
        self.cancel_scope = trio.CancelScope()
        self.limit: trio.CancelScope | None = None
        self.own: Cancellation | None = None
        self.began = monotonic()

    def __enter__(self) -> Scope:
        self.tree.open[self.path] = self
        asked = self.tree.take(self.path) if self.tree.asked else None
        if asked is not None:
            self.cancel(asked)
        self.cancel_scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        del self.tree.open[self.path]
        return self.cancel_scope.__exit__(kind, error, trace)

    @property
    def draining(self) -> bool:
        """Whether nothing new may start here: the checkpoint of graceful cancellation."""
        node: Scope | None = self
        while node is not None:
            if node.own is not None:
                return True
            node = node.parent
        return False

    @property
    def cancellation(self) -> Cancellation | None:
        """The strongest request that holds here: its own or an ancestor's; the outermost among equals."""
        node: Scope | None = self
        found: Cancellation | None = None
        while node is not None:
            if node.own is not None and (found is None or node.own.level >= found.level):
                found = node.own
            node = node.parent
        return found

    @property
    def stopped_now(self) -> bool:
        """Whether an immediate cancellation holds here."""
        found = self.cancellation
        return found is not None and found.level is Level.IMMEDIATE

    def why_unwound(self) -> Cancellation:
        """Who is behind a ``Cancelled`` that arrived here: a request, a timeout of a pass around it, or the host."""
        found = self.cancellation
        if found is not None and found.level is Level.IMMEDIATE:
            return found
        node: Scope | None = self
        while node is not None:
            if node.limit is not None and node.limit.cancel_called:
                return Cancellation(Level.IMMEDIATE, Source.TIMEOUT, at=node.path, reason="timed out")
            node = node.parent
        return self.tree.host_cancellation()

    def cancel(self, cancellation: Cancellation) -> None:
        """Raise this scope's level; lower levels than it has are ignored. Synchronous, delivered at once."""
        if self.own is not None and self.own.level >= cancellation.level:
            return
        self.own = cancellation
        if cancellation.level is Level.IMMEDIATE:
            self.cancel_scope.cancel(reason=f"{cancellation.source}: {cancellation.reason}")
        else:
            self.tree.wake(self.path)

    @contextmanager
    def napping(self) -> Generator[trio.CancelScope]:
        """A cancel scope around a wait that is not work: graceful cancellation ends it at once."""
        with trio.CancelScope() as nap:
            self.tree.naps[nap] = self.path
            if self.draining:
                nap.cancel(reason="draining already")
            try:
                yield nap
            finally:
                del self.tree.naps[nap]

    async def wait(self, seconds: float) -> bool:
        """Wait for something that is not work.

        Returns:
            True if the time passed, False if the scope is draining.
        """
        with self.napping():
            await trio.sleep(seconds)
        return not self.draining


@define(eq=False)
class ScopeTree:
    """All scopes of one run that are open, and requests for those that are not open yet.

    Args:
        open: by path.
        held: requests for paths that have not begun: such a scope is born cancelled.
        asked: the strongest request for each path, those that are held included. It holds for the run: also if the part
            begins once more because a retry of something around it does.
        ended: paths of scopes that ended in this run.
        naps: waits that graceful cancellation ends.
        forcible: clean-up that a forced stop cuts short.
        resisting: what runs on although it was told to stop.
        works: who can tell what the step in hand at a path is doing.
        stopped_at: where the run stopped: the first leaf that was stopped, or scope that was not begun.
    """

    open: dict[str, Scope] = field(factory=dict)
    held: dict[str, Cancellation] = field(factory=dict)
    asked: dict[str, Cancellation] = field(factory=dict)
    ended: set[str] = field(factory=set)
    naps: dict[trio.CancelScope, str] = field(factory=dict)
    forcible: Forcible = field(factory=Forcible)
    resisting: list[Holdout] = field(factory=list)
    works: dict[str, Callable[[], Work]] = field(factory=dict)
    stopped_at: str | None = None

    def wake(self, path: str) -> None:
        """End what waits at or below ``path``."""
        for nap, where in list(self.naps.items()):
            if paths.reaches(path, where):
                nap.cancel(reason="graceful cancellation")

    def remember(self, cancellation: Cancellation) -> None:
        """Keep a request, and hold it if the scope it is for has not begun; of two, the stronger one."""
        known = [self.asked] if cancellation.at in self.open else [self.asked, self.held]
        for requests in known:
            before = requests.get(cancellation.at)
            if before is None or before.level < cancellation.level:
                requests[cancellation.at] = cancellation

    def take(self, path: str) -> Cancellation | None:
        """What a scope that begins at ``path`` is born with; a request is answered once, the first time."""
        held, asked = self.held.pop(path, None), self.asked.get(path)
        return held or (evolve(asked, request_id="") if asked is not None else None)

    def children(self, scope: Scope) -> list[Scope]:
        """Open scopes directly below ``scope``."""
        return [node for node in self.open.values() if node.parent is scope]

    def level_at(self, path: str) -> Level:
        """The level that holds at ``path``, whether its scope is open or not."""
        asked = [node.own.level for p, node in self.open.items() if node.own and paths.reaches(p, path)]
        asked += [c.level for p, c in self.held.items() if paths.reaches(p, path)]
        return max(asked, default=Level.NONE)

    def reopen_below(self, path: str) -> None:
        """Forget which scopes below ``path`` have ended: another attempt will open them again."""
        self.ended = {p for p in self.ended if p == path or not paths.contains(path, p)}

    def note_stop(self, path: str) -> None:
        """Remember where the run stopped; the first place counts."""
        if self.stopped_at is None:
            self.stopped_at = path

    def host_cancellation(self) -> Cancellation:
        """What is recorded when the host's own scope was cancelled around the runtime."""
        return Cancellation(Level.IMMEDIATE, Source.HOST, reason="host scope cancelled")


# --- the nurseries -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def concurrent() -> AsyncGenerator[trio.Nursery]:
    """A nursery whose ``Cancelled`` groups come out as one ``Cancelled``.

    Raises:
        InternalError: if a child raised anything else: failures of steps are values here.
    """
    error: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except BaseExceptionGroup as group:
        error = collapse(group)
    if error is not None:  # not within the handler: the group would hold the error, and the error the group
        try:
            raise error
        finally:
            del error


def collapse(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one exception that a nursery's group stands for."""
    cancelled, rest = group.split(trio.Cancelled)
    if rest is None:
        assert cancelled is not None
        return _leaf(cancelled).with_traceback(None)
    leaves = list(_leaves(rest))
    for meant in (KeyboardInterrupt, SystemExit, RecipesError):
        found = [error for error in leaves if isinstance(error, meant)]
        if found:
            return found[0]
    first = leaves[0]
    error = InternalError(f"a task of the runtime raised {type(first).__name__}: {first}")
    error.__cause__ = first
    return error


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def unwrapped(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one exception that stands for a group out of a leaf: a cancellation before what its clean-up raised."""
    leaves = list(_leaves(group))
    for meant in (KeyboardInterrupt, SystemExit, trio.Cancelled):
        found = [error for error in leaves if isinstance(error, meant)]
        if found:
            return found[0].with_traceback(None)
    return leaves[0] if len(leaves) == 1 else group


async def in_own_task(work: Callable[[], Awaitable[T]]) -> T:
    """Run ``work`` in a task of its own, so that deep nesting starts with an empty Python stack.

    What ended under a shield of its own (``finally``) has ended, though a cancellation came meanwhile: that is raised
    at the next checkpoint, as it would be without the task.
    """
    box: list[T] = []

    async def fill() -> None:
        box.append(await work())

    try:
        async with concurrent() as nursery:
            nursery.start_soon(fill)
    except trio.Cancelled:  # noqa: ASYNC103
        if not box:
            raise
    return box[0]
