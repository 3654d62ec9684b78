"""The passes of a parallel loop, served by as many tasks as may run at once.

What follows from the end of a pass is the walk's to say (:class:`~trio_recipes.progress.asks.Next`); what has finished
in an earlier run is answered from its record, without a task.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from attrs import define

from trio_recipes.events import Cancellation, Level, ScopeStatus, Source
from trio_recipes.progress import path as paths
from trio_recipes.progress.asks import Answer, Ask, Decided, Fan, Guarded, Next, Pass
from trio_recipes.progress.outcome import Outcome
from trio_recipes.runtime.scope import concurrent

if TYPE_CHECKING:
    from trio_recipes.runtime.context import RunContext
    from trio_recipes.runtime.scope import Scope

AnswerAsk: TypeAlias = "Callable[[Ask, Scope], Awaitable[Answer]]"
OnePass: TypeAlias = Pass | Decided | Guarded


async def fan_out(run: RunContext, answer: AnswerAsk, fan: Fan, scope: Scope) -> list[Outcome | None]:
    """Serve a parallel loop; the outcomes are in input order, None for passes that never began."""
    work = _Fanned(run, answer, fan, scope, [None] * fan.count)
    async with concurrent() as nursery:
        for _ in range(min(fan.count, fan.limit or fan.count)):
            taken = work.take()
            if taken is None:
                break
            nursery.start_soon(work.serve, taken)
    return work.outcomes


@define(eq=False)
class _Fanned:
    """One parallel loop at work. ``stopped``: nothing more is taken; ``cut``: nor does what was taken begin."""

    run: RunContext
    answer: AnswerAsk
    fan: Fan
    scope: Scope
    outcomes: list[Outcome | None]
    next: int = 0
    stopped: bool = False
    cut: bool = False

    def take(self) -> tuple[int, OnePass] | None:
        """The next pass that has to run, answering finished ones from their records on the way.

        Passes are made here, in input order: making one takes from the budget, and tasks begin in any order.
        """
        while self.next < self.fan.count and not self.stopped:
            path = paths.iteration(self.fan.path, self.next)
            finished = self.run.progress.finished(path) is not None
            if self.scope.draining and not finished and not self.run.finishing:
                self.run.tree.note_stop(path)
                return None
            index, self.next = self.next, self.next + 1
            ask = self.fan.make(index)
            if not finished or self._owes_cleanup(ask):
                return index, ask
            self._ended(index, self.run.replay.answer(ask))
        return None

    def _owes_cleanup(self, ask: OnePass) -> bool:
        return isinstance(ask, Guarded) and not self.run.progress.cleaned(ask.path, ScopeStatus.COMPLETED)

    async def serve(self, taken: tuple[int, OnePass] | None) -> None:
        """Run one pass after the other, until there is none left to take."""
        while taken is not None and not self.cut:
            index, ask = taken
            answer = await self.answer(ask, self.scope)
            assert isinstance(answer, Outcome)
            self._ended(index, answer)
            taken = self.take()

    def _ended(self, index: int, outcome: Outcome) -> None:
        self.outcomes[index] = outcome
        follow = self.fan.ended(index, outcome)
        self.stopped = self.stopped or follow is not Next.GO_ON
        if follow is Next.STOP_OTHERS:
            self.cut = True
            self._stop_others(index)

    def _stop_others(self, index: int) -> None:
        for scope in self.run.tree.children(self.scope):
            reason = f"iteration {index} of the parallel loop failed"
            scope.cancel(Cancellation(Level.IMMEDIATE, Source.SIBLING_FAILURE, at=scope.path, reason=reason))
