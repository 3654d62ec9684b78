"""How far a session is, for progress notifications: folded from its events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import trio
from attrs import field

from trio_recipes.classes import define
from trio_recipes.events import ScopeFinished, ScopeStarted
from trio_recipes.frontends.printable import in_one_line
from trio_recipes.progress.path import around
from trio_recipes.runtime.scope import concurrent

if TYPE_CHECKING:
    from trio_recipes.events import Event
    from trio_recipes.frontends.mcp.work import Work
    from trio_recipes.language.model import Recipe

_LEAVES: Final = frozenset({"agent", "bash", "function"})
_PAUSE_SECONDS: Final = 0.05


def step_paths(recipe: Recipe) -> set[str]:
    """The paths of the steps that are known before a recipe runs; what loops and sub-recipes hold shows later."""
    staged = {f"{stage.name}/{step.id}" for stage in recipe.stages for step in stage.steps}
    return staged | {step.id for step in recipe.steps}


@define(eq=False)
class Tally:
    """Steps done, of those that are known: a loop counts as one until its iterations begin.

    Args:
        ahead: paths of steps that have not begun.
        message: what happened last, in a line.
        changed: set when a step has finished.
    """

    ahead: set[str]
    message: str = ""
    changed: trio.Event = field(factory=trio.Event)
    _begun: set[str] = field(factory=set)
    _done: set[str] = field(factory=set)

    @property
    def done(self) -> int:
        """Steps that have finished, in whatever way."""
        return len(self._done)

    @property
    def total(self) -> int:
        """Steps that are known: it grows as loops unfold."""
        return len(self.ahead) + len(self._begun | self._done)

    def take(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, ScopeStarted) and event.kind in _LEAVES:
            self._begin(event.path)
        elif isinstance(event, ScopeFinished) and (event.path in self._begun or event.path in self.ahead):
            self._finish(event)

    def _begin(self, path: str) -> None:
        self._begun.add(path)
        self.ahead -= {path, *around(path)}

    def _finish(self, event: ScopeFinished) -> None:
        self.ahead.discard(event.path)
        self._done.add(event.path)
        self.message = f"{in_one_line(event.path)} {event.status}"
        self.changed.set()


@define(eq=False)
class Notices:
    """Progress notifications of one call, whose sessions' runs may be several.

    Args:
        send: sends how much is done, of how much, and what happened last.
    """

    send: Callable[[float, float | None, str | None], Awaitable[None]]
    _told: int = -1

    async def tell(self, tally: Tally) -> None:
        """Send how far it is, if that is further than before: the protocol wants progress to grow each time."""
        if tally.done > self._told:
            self._told = tally.done
            await self.send(tally.done, tally.total, tally.message)


async def tell(work: Work, notices: Notices | None, finished: trio.Event) -> None:
    """Tell how far a call is, until its session's run has ended.

    Args:
        work: the call.
        notices: where to tell it; None: nowhere.
        finished: set when there is nothing left to tell.
    """
    session = await work.begun()
    if session is not None and notices is not None:
        tally = Tally(step_paths(session.engine.frame.recipe), message=f"session {session.id}")
        await notices.tell(tally)
        async with concurrent() as nursery:
            nursery.start_soon(_keep_telling, tally, notices)
            async for stamped in session.events():
                tally.take(stamped.event)
            nursery.cancel_scope.cancel(reason="the run has ended")
        await notices.tell(tally)
    finished.set()


async def _keep_telling(tally: Tally, notices: Notices) -> None:
    """Often enough to follow, seldom enough not to drown the client."""
    while True:
        await tally.changed.wait()
        tally.changed = trio.Event()
        await trio.sleep(_PAUSE_SECONDS)
        await notices.tell(tally)
