"""``finally`` in a live run: shielded, bounded, and droppable.

No request reaches these steps: their scope has no parent in the tree. What ends them early is their own time limit,
and a forced stop (the third Ctrl+C), which drops the shield.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import trio
from attrs import define

from trio_recipes.events import ScopeStatus, Source, WorkEnded
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.progress import path as paths
from trio_recipes.progress.asks import Enter, Guarded
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

        Returns:
            ``outcome``; or the clean-up's failure, if the body had not failed and was not stopped.
        """
        status = _as_people_say(outcome, cause)
        if outcome.status is ScopeStatus.WAITING or self.context.progress.cleaned(ask.path, status):
            return outcome
        result = await self._run(ask, status)
        return outcome if result.goes_on or not outcome.goes_on else result

    async def _run(self, ask: Guarded, status: ScopeStatus) -> Outcome:
        self.context.progress.body_ended(ask.path, status)
        seq = self.context.log.emit(WorkEnded(path=ask.path, outcome=status))
        result = CANCELLED
        with trio.move_on_after(ask.seconds, shield=True) as limit:
            forget = self.context.tree.forcible.register(partial(limit.cancel, reason="forced"))
            try:
                await self.context.log.durable(seq)
                cleanup = Enter(paths.child(ask.path, paths.FINALLY), "finally", partial(ask.cleanup, status))
                result = await self.enter(cleanup, limit)
            finally:
                forget()
        return failed(_overran(ask)) if limit.cancelled_caught else result


def _as_people_say(outcome: Outcome, cause: Cancellation | None) -> ScopeStatus:
    """``{{_outcome}}``: a body that ran out of time, or whose sibling failed, has failed; a handled failure has not."""
    if outcome.goes_on:
        return ScopeStatus.COMPLETED
    if cause is not None and cause.source in (Source.TIMEOUT, Source.SIBLING_FAILURE):
        return ScopeStatus.FAILED
    return outcome.status


def _overran(ask: Guarded) -> Failure:
    text = f"finally of '{ask.path or 'the recipe'}' was ended after {ask.seconds:g} s"
    return Failure(FailureKind.TIMEOUT, text, ask.path, retryable=False, hint="raise its cleanup_timeout")
