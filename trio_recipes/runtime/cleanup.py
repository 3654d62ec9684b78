"""``finally`` in a live run: shielded, bounded, and droppable.

No request reaches these steps: their scope has no parent in the tree. What ends them early is their own time limit,
and a forced stop (the third Ctrl+C), which drops the shield.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import trio

from trio_recipes.classes import define
from trio_recipes.events import ScopeStatus, Source, WorkEnded
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.progress.asks import Enter, Guarded
from trio_recipes.progress.guard import cleaned, together
from trio_recipes.progress.outcome import CANCELLED, Outcome, failed

if TYPE_CHECKING:
    from trio_recipes.events import Cancellation
    from trio_recipes.runtime.context import RunContext

EnterCleanup: TypeAlias = "Callable[[Enter, trio.CancelScope], Awaitable[Outcome]]"


@define(eq=False)
class CleanUp:
    """Runs what stands behind a body.

    Args:
        context: of the run.
        enter: enters the clean-up's scope, given the cancel scope that bounds it.
    """

    context: RunContext
    enter: EnterCleanup

    async def after(self, ask: Guarded, outcome: Outcome, cause: Cancellation | None = None) -> Outcome:
        """Run the ``finally`` steps of a body that ended with ``outcome``; a pause runs none.

        Args:
            ask: for both.
            outcome: of the body.
            cause: of the cancellation that holds where the body ended, if one does.

        Returns:
            ``outcome``; or the clean-up's failure, if the body had not failed and was not stopped.
        """
        if outcome.status is ScopeStatus.WAITING:
            return outcome
        status = self._how_it_ended(ask, outcome, cause)
        over = cleaned(self.context.progress, ask, outcome, status)
        return over or together(ask, outcome, await self._run(ask, status))

    def _how_it_ended(self, ask: Guarded, outcome: Outcome, cause: Cancellation | None) -> ScopeStatus:
        """``{{_outcome}}``. A body that an earlier run ended, and that was stopped before it went on, ended as then."""
        known = self.context.progress.bodies.get(ask.place) if outcome.status is ScopeStatus.CANCELLED else None
        return known or _as_people_say(outcome, cause)

    async def _run(self, ask: Guarded, status: ScopeStatus) -> Outcome:
        self.context.progress.body_ended(ask.place, status)
        seq = self.context.log.emit(WorkEnded(path=ask.place, outcome=status))
        result = CANCELLED
        with trio.move_on_after(ask.seconds, shield=True) as limit:
            forget = self.context.tree.forcible.register(partial(limit.cancel, reason="forced"))
            try:
                await self.context.log.durable(seq)
                result = await self.enter(Enter(ask.place, "finally", partial(ask.cleanup, status)), limit)
            finally:
                forget()
        overran = limit.cancelled_caught and not self.context.tree.forcible.forced
        return failed(_overran(ask)) if overran else result


def _as_people_say(outcome: Outcome, cause: Cancellation | None) -> ScopeStatus:
    """A body that nobody asked to stop has failed: its time ran out, or a sibling failed. A handled failure has not."""
    if outcome.goes_on:
        return ScopeStatus.COMPLETED
    if cause is None or cause.source in (Source.TIMEOUT, Source.SIBLING_FAILURE):
        return ScopeStatus.FAILED
    return outcome.status


def _overran(ask: Guarded) -> Failure:
    text = f"finally of '{ask.path or 'the recipe'}' was ended after {ask.seconds:g} s"
    return Failure(FailureKind.TIMEOUT, text, ask.place, retryable=False, hint="raise its cleanup_timeout")
