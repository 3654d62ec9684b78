"""The live driver: runs what a walk asks for and is not finished, one scope each; replays what is.

Every scope passes through :meth:`Driver._enter`, so there is one place where a scope begins, where a cancellation
turns into an outcome, and where its end is recorded. Deciding is synchronous; awaiting happens between decisions.
"""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

import trio

from trio_recipes.classes import define
from trio_recipes.events import (
    Cancellation,
    RequestAnswered,
    ScopeFinished,
    ScopeStarted,
    ScopeStatus,
    Source,
    Waiting,
    Warned,
)
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.language.model import RecipeStep
from trio_recipes.progress.asks import Answer, Ask, Decided, Enter, Fan, Gate, Guarded, NeedRecipe, Pass, Walk, Warn
from trio_recipes.progress.fold import LEAVES
from trio_recipes.progress.outcome import CANCELLED, GOES_ON, Outcome, failed, settle
from trio_recipes.progress.subject import call_of, item_of, mismatch
from trio_recipes.progress.tables import APPLIED, TOO_LATE
from trio_recipes.progress.verdicts import rerun_on_resume
from trio_recipes.runtime.attempt import Attempts
from trio_recipes.runtime.cleanup import CleanUp
from trio_recipes.runtime.fan import fan_out
from trio_recipes.runtime.interrupted import decide, had_started
from trio_recipes.runtime.scope import Scope, in_own_task

if TYPE_CHECKING:
    from trio_recipes.runtime.context import RunContext
    from trio_recipes.runtime.ports import Reply

COMMIT_SECONDS = 5.0
"""How long a commit may take before a stop goes on without it: as long as SQLite waits for a lock."""


@define(eq=False)
class Driver:
    """Drives the walks of one run."""

    run: RunContext

    async def drive(self, walk: Walk, scope: Scope) -> Outcome:
        """Run a walk to its end, answering each ask below ``scope``."""
        answer: Answer = None
        try:
            while True:
                try:
                    ask = walk.send(answer)
                except StopIteration as end:
                    outcome: Outcome = end.value
                    return outcome
                answer = await self.answer(ask, scope)
        finally:
            walk.close()  # puts back what a loop had bound now, not in the middle of the next attempt

    async def answer(self, ask: Ask, scope: Scope) -> Answer:
        """Do what an ask asks for, below ``scope``."""
        if isinstance(ask, (Pass, Enter)):
            return await self._scope(ask, scope)
        if isinstance(ask, Fan):
            return await fan_out(self.run, self.answer, ask, scope)
        if isinstance(ask, Guarded):
            return await self._guarded(ask, scope)
        return self._decided(ask) if isinstance(ask, Decided) else await self._obtain(ask, scope)

    async def _obtain(self, ask: Gate | NeedRecipe | Warn, scope: Scope) -> Answer:
        """What comes from outside: a person's decision, a sub-recipe's text; and what goes there."""
        if isinstance(ask, Gate):
            return await self.run.gates.admit(ask, scope)
        if isinstance(ask, NeedRecipe):
            found = self.run.recipes.known(ask) or await self.run.recipes.obtain(ask)
            return failed(found.at(ask.path)) if isinstance(found, Failure) else found
        self.run.log.emit(Warned(path=ask.path, message=ask.message))
        return None

    async def _guarded(self, ask: Guarded, scope: Scope) -> Outcome:
        """A body and, however it ends, its clean-up: inside out, since each awaits its own before it goes on."""
        if not self.run.had_begun(ask.path):
            if self.run.starts_nothing(scope, ask.path):
                self.run.tree.note_stop(ask.path)
                return CANCELLED
            await trio.lowlevel.checkpoint_if_cancelled()  # a body that has not begun needs no clean-up
        cleanup = CleanUp(self.run, self._enter_cleanup)
        self.run.unproven.add(ask.place)
        try:
            outcome = await self.drive(ask.body(), scope)
        except trio.Cancelled:
            cause = scope.cancellation or scope.why_unwound()
            await cleanup.after(ask, CANCELLED, cause)  # noqa: ASYNC102  shielded and bounded in there
            raise
        return await cleanup.after(ask, outcome, scope.cancellation)

    async def _enter_cleanup(self, ask: Enter, limit: trio.CancelScope) -> Outcome:
        return await self._enter(ask, None, limit)

    def _decided(self, ask: Decided) -> Outcome:
        record = self.run.progress.finished(ask.path)
        if record and not (self.run.reran and record.kind not in LEAVES and record.status is not ask.outcome.status):
            return self.run.replay.scope(ask)
        self.run.log.emit(ScopeStarted(path=ask.path, kind=ask.step.kind, digest=ask.step.digest))
        self.run.tree.ended.add(ask.path)
        self._record(ask.path, ask.outcome, None)
        return ask.outcome

    # --- one scope -----------------------------------------------------------------------------------------------

    async def _scope(self, ask: Pass | Enter, parent: Scope) -> Outcome:
        record = self.run.progress.finished(ask.path)
        if record is not None and not self.run.repeats(ask, record, parent):
            return self.run.replay.scope(ask)
        if ask.inner is None or not self.run.had_begun(ask.path):
            if self.run.starts_nothing(parent, ask.path):
                self.run.tree.note_stop(ask.path)
                return CANCELLED
            await trio.lowlevel.checkpoint_if_cancelled()  # the host's cancellation starts nothing new either
        unfinished = had_started(self.run, ask) if isinstance(ask, Pass) else None
        if unfinished is not None and isinstance(ask, Pass):
            outcome = await decide(self.run, ask, unfinished, parent)
            if outcome is not None:
                return self._settled(ask, outcome)
        self._renew(ask)
        return await self._enter(ask, parent)

    def _renew(self, ask: Pass | Enter) -> None:
        """What is recorded counts no more where a step runs again, or is about something else now."""
        known = self.run.progress.records.get(ask.path)
        if known is not None and rerun_on_resume(ask):
            self.run.run_again(ask.path)
        if known is not None and isinstance(ask, Pass) and mismatch(known, ask):
            self.run.begin_anew(ask)

    def _settled(self, ask: Pass, outcome: Outcome) -> Outcome:
        """Record a leaf that was decided on without running it; of one that a person decides on, the gate tells."""
        if ask.step.on_interrupt != "ask":
            self.run.log.emit(self._start_of(ask))
            self._record(ask.path, outcome, None)
        return outcome

    async def _enter(self, ask: Pass | Enter, parent: Scope | None, limit: trio.CancelScope | None = None) -> Outcome:
        scope = Scope(self.run.tree, ask.path, parent)
        scope.limit = limit
        began = self._begin(ask)
        attempts = Attempts(self.run, self._inner, ask, scope) if isinstance(ask, Pass) else None
        raw = CANCELLED
        try:
            with scope:
                if ask.inner is None:
                    await self.run.prove(ask.path, began)
                raw = await self._perform(ask, attempts, scope)
        except trio.Cancelled:
            self._finish(scope, CANCELLED, scope.why_unwound(), ask)
            raise
        if raw.status is ScopeStatus.WAITING:  # a gate below: nothing has ended
            self.run.log.emit(Waiting(path=scope.path, what="approval"))
            return raw
        outcome = _at_edge(ask, scope, raw)
        seq = self._finish(scope, outcome, scope.cancellation, ask, attempts.reply if attempts else None)
        if ask.inner is None:
            await self._committed(seq)
        return outcome

    async def _committed(self, seq: int) -> None:
        """Wait for the record of a leaf that has ended, cancelled or not.

        A record must not know more than the walk did, or a later replay of it would bind what the run did not. A disk
        that hangs does not hold up a stop for ever.
        """
        try:
            await self.run.log.durable(seq)
        except trio.Cancelled:  # noqa: ASYNC103  what has ended has ended; trio raises it again at the next checkpoint
            with trio.move_on_after(COMMIT_SECONDS, shield=True) as limit:
                await self.run.log.durable(seq)
            if limit.cancelled_caught:
                raise

    def _begin(self, ask: Pass | Enter) -> int:
        if ask.inner is None and self.run.progress.bodies:
            self.run.progress.body_goes_on(ask.path)
        return self.run.log.emit(self._start_of(ask))

    def _start_of(self, ask: Pass | Enter) -> ScopeStarted:
        digest, reruns = ask.step.digest if ask.step else "", rerun_on_resume(ask)
        self.run.reruns = self.run.reruns or reruns
        if isinstance(ask, Enter):
            return ScopeStarted(path=ask.path, kind=ask.kind, digest=digest, reruns=reruns)
        item = item_of(ask) if self.run.reruns else ""
        return ScopeStarted(path=ask.path, kind=ask.kind, digest=digest, reruns=reruns, item=item, calls=call_of(ask))

    async def run_root(self, ask: Enter) -> Outcome:
        """Run the session's own scope."""
        return await self._enter(ask, None)

    async def _perform(self, ask: Pass | Enter, attempts: Attempts | None, scope: Scope) -> Outcome:
        if scope.draining and (ask.inner is None or not self.run.had_begun(ask.path)):
            return CANCELLED  # asked to stop before it began: born cancelled
        if attempts is not None:
            return await attempts.run()
        assert ask.inner is not None
        return await self.drive(ask.inner(), scope)

    async def _inner(self, ask: Pass, scope: Scope) -> Outcome:
        """Run the inner walk of a composite pass, a sub-recipe in a task of its own."""
        assert ask.inner is not None
        work = partial(self.drive, ask.inner(), scope)
        return await (in_own_task(work) if isinstance(ask.step, RecipeStep) else work())

    def _finish(
        self,
        scope: Scope,
        outcome: Outcome,
        cancellation: Cancellation | None,
        ask: Pass | Enter,
        reply: Reply | None = None,
    ) -> int:
        self.run.tree.ended.add(scope.path)
        if ask.inner is not None:
            self.run.gates.withdraw_below(scope.path)
        self._answer_request(scope, outcome)
        stopped = outcome.status is ScopeStatus.CANCELLED
        if stopped and ask.inner is None:
            self.run.tree.note_stop(scope.path)
        cause = cancellation if stopped or _is_cancelled(outcome) else None
        return self._record(scope.path, outcome, cause, reply, monotonic() - scope.began)

    def _answer_request(self, scope: Scope, outcome: Outcome) -> None:
        """Tell who asked for this part to stop what became of it; the session's own are answered at the run's end."""
        own, too_late = scope.own, outcome.status in GOES_ON
        if own is None or not scope.path:
            return
        if too_late:  # then it does not hold either when a retry comes to this part again
            self.run.tree.asked.pop(scope.path, None)
        if own.request_id:
            answer = TOO_LATE if too_late else APPLIED
            self.run.log.emit(RequestAnswered(path=scope.path, request_id=own.request_id, answer=answer))

    def _record(
        self,
        path: str,
        outcome: Outcome,
        cancellation: Cancellation | None,
        reply: Reply | None = None,
        seconds: float = 0.0,
    ) -> int:
        return self.run.log.emit(
            ScopeFinished(
                path=path,
                status=outcome.status,
                handled=outcome.handled,
                failure=outcome.failure,
                cancellation=cancellation,
                exit_code=outcome.exit_code,
                channel=reply.channel if reply else None,
                value=reply.value if reply else None,
                seconds=round(seconds, 6),
            )
        )


def _is_cancelled(outcome: Outcome) -> bool:
    return outcome.failure is not None and outcome.failure.kind is FailureKind.CANCELLED


def _at_edge(ask: Pass | Enter, scope: Scope, raw: Outcome) -> Outcome:
    """Turn how a scope ended into what its parent sees.

    A cancellation from above is passed on as it is: nothing swallows it. One that was asked for at this very scope is,
    at its edge, one failure of kind ``cancelled``, never retried, handled by ``on_error``.
    """
    if raw.status is ScopeStatus.CANCELLED:
        own, parent = scope.own, scope.parent
        above = not scope.path or (parent is not None and parent.draining)
        if own is None or above or own.source is Source.SIBLING_FAILURE:
            return raw
        raw = failed(_cancelled_here(ask, own))
    return settle(ask.step, raw) if ask.step else raw


def _cancelled_here(ask: Pass | Enter, own: Cancellation) -> Failure:
    reason = f": {own.reason}" if own.reason else ""
    text = f"'{ask.path}' was cancelled by request ({own.source}{reason})"
    return Failure(FailureKind.CANCELLED, text, ask.path, retryable=False)
