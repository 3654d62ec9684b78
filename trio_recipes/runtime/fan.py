"""The children of a parallel loop or a graph, served by as many tasks as may run at once.

What follows from the end of one is the walk's to say (:class:`~trio_recipes.progress.asks.Next`); what has finished
in an earlier run is answered from its record, without a task.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

import trio

from trio_recipes.classes import define
from trio_recipes.events import Cancellation, Level, ScopeStatus, Source
from trio_recipes.progress.asks import Answer, Ask, Child, Fan, Guarded, Next
from trio_recipes.progress.guard import cleaned
from trio_recipes.progress.outcome import Outcome, completed
from trio_recipes.runtime.scope import concurrent

if TYPE_CHECKING:
    from trio_recipes.runtime.context import RunContext
    from trio_recipes.runtime.scope import Scope

AnswerAsk: TypeAlias = "Callable[[Ask, Scope], Awaitable[Answer]]"


async def fan_out(run: RunContext, answer: AnswerAsk, fan: Fan, scope: Scope) -> list[Outcome | None]:
    """Serve a parallel loop or a graph; the outcomes are by index, None for children that never began."""
    run.collector.expect(fan.count)
    async with concurrent() as nursery:
        work = _Fanned(run, answer, fan, scope, nursery, [None] * fan.count, deque(fan.first))
        work.fill()
    await trio.lowlevel.checkpoint_if_cancelled()  # for all the children that were cancelled
    return work.outcomes


@define(eq=False)
class _Fanned:
    """One parallel loop or graph at work.

    Args:
        ready: those that may start, in order.
        running: how many are being served.
        stopped: nothing more is taken.
        cut: what was taken and has not begun does not begin either.
    """

    run: RunContext
    answer: AnswerAsk
    fan: Fan
    scope: Scope
    nursery: trio.Nursery
    outcomes: list[Outcome | None]
    ready: deque[int]
    running: int = 0
    stopped: bool = False
    cut: bool = False

    def fill(self) -> None:
        """Serve as many as may run at once, in a task each."""
        while self.fan.limit is None or self.running < self.fan.limit:
            taken = self._take()
            if taken is None:
                return
            if self.running:  # the first one works in place of the task that waits for them all
                self.run.gates.joined()
            self.running += 1
            self.nursery.start_soon(self._serve, taken)

    def _take(self) -> tuple[int, Child] | None:
        """The next child that has to run, answering finished ones from their records on the way.

        Children are made here, in order: making one takes from the budget, and tasks begin in any order.
        """
        while self.ready and not self.stopped:
            path = self.fan.path_of(self.ready[0])
            finished = self.run.progress.finished(path)
            index = self.ready.popleft()
            if not finished and not self.run.had_begun(path) and self.run.starts_nothing(self.scope, path):
                self.run.tree.note_stop(path)
                continue
            ask = self.fan.make(index)
            if not finished or self._owes_cleanup(ask) or self.run.repeats(ask, finished, self.scope):
                return index, ask
            self._ended(index, self.run.replay.answer(ask))
        return None

    def _owes_cleanup(self, ask: Child) -> bool:
        return isinstance(ask, Guarded) and not cleaned(self.run.progress, ask, completed(), ScopeStatus.COMPLETED)

    async def _serve(self, taken: tuple[int, Child] | None) -> None:
        """Run one child after the other, until there is none left to take; start more if several became ready."""
        try:
            while taken is not None and not self.cut:
                index, ask = taken
                answer = await self.answer(ask, self.scope)
                assert isinstance(answer, Outcome)
                self._ended(index, answer)
                taken = self._take()
                self.fill()
        except trio.Cancelled:  # noqa: ASYNC103  raised again by `fan_out`, once instead of in a group of thousands
            pass
        finally:
            self.running -= 1
            if self.running:
                self.run.gates.left()

    def _ended(self, index: int, outcome: Outcome) -> None:
        self.outcomes[index] = outcome
        follow = self.fan.ended(index, outcome)
        self.ready.extend(self.fan.released(index))
        self.stopped = self.stopped or follow is not Next.GO_ON
        if follow is Next.STOP_OTHERS:
            self.cut = True
            self._stop_others(index)

    def _stop_others(self, index: int) -> None:
        for scope in self.run.tree.children(self.scope):
            reason = f"{self.fan.path_of(index)} failed"
            scope.cancel(Cancellation(Level.IMMEDIATE, Source.SIBLING_FAILURE, at=scope.path, reason=reason))
