"""The outermost frame of a run: delivers requests, drives the root, and ends the run exactly once."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import trio
from attrs import evolve, field

from trio_recipes.classes import define
from trio_recipes.errors import InternalError, StoreError
from trio_recipes.events import (
    Cancellation,
    CancelRequested,
    Level,
    RunEnded,
    ScopeStatus,
    SessionStatus,
    Source,
    Warned,
    WorkEnded,
)
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.progress.asks import Enter
from trio_recipes.progress.gates import denial
from trio_recipes.progress.outcome import CANCELLED, Outcome, failed
from trio_recipes.progress.path import ROOT
from trio_recipes.progress.walk import walk_recipe
from trio_recipes.runtime.scope import Scope, concurrent

if TYPE_CHECKING:
    from trio_recipes.progress.frame import Frame
    from trio_recipes.runtime.drive import Driver


LIMIT_GRACE = 10.0
"""Seconds that steps in hand may take once a limit is reached."""


@define(eq=False)
class Engine:
    """One run of a session.

    Args:
        driver: what drives its walks.
        frame: the root recipe's variables; the final context when the run has ended.
        deadline: seconds that the session may still run, or None (recipe-language.md section 12, ``limits``).
            What it may cost is the budget's business (``driver.run.budget``).
    """

    driver: Driver
    frame: Frame
    deadline: float | None = None
    outcome: Outcome = CANCELLED
    cancellation: Cancellation | None = None
    _timers: list[Cancellation] = field(factory=list)
    _background: trio.Nursery | None = None

    async def run(self) -> RunEnded:
        """Run to the end of the work; the caller makes the returned event durable.

        Raises:
            StoreError: if events can't be made durable: nothing is claimed, the session is interrupted.
        """
        budget = self.driver.run.budget
        budget.exhausted, budget.warn = partial(self._limit_reached, Source.BUDGET), self._warn
        try:
            budget.check()
            self.outcome = await self._work()
        except trio.Cancelled:  # noqa: ASYNC103  the session records it; trio raises it again at the next checkpoint
            self._rise(self.driver.run.tree.host_cancellation())  # stronger than a graceful request before it
        except StoreError:
            raise
        except InternalError as error:
            self.outcome = failed(Failure(FailureKind.INTERNAL, str(error), retryable=False))
        self.driver.run.log.emit(WorkEnded(outcome=self.outcome.status))
        return self._ended()

    async def _work(self) -> Outcome:
        async with concurrent() as background:
            self._background = background
            for cancellation in self._timers:
                background.start_soon(self._after_grace, cancellation)
            if self.deadline is not None:
                background.start_soon(self._at_deadline, self.deadline)
            try:
                outcome = await self.driver.run_root(Enter(ROOT, "session", partial(walk_recipe, self.frame, ROOT)))
            finally:
                self._background = None  # a request that comes from now on has no grace left to wait for
            background.cancel_scope.cancel(reason="the run has ended")
        return outcome

    def _ended(self) -> RunEnded:
        """How the run ended: no failure outvotes a cancellation."""
        if self.outcome.goes_on:
            return RunEnded(status=SessionStatus.COMPLETED)
        if self.cancellation is not None:
            stopped_at = self.driver.run.tree.stopped_at or self.driver.run.gates.paused_at
            return RunEnded(status=SessionStatus.CANCELLED, cancellation=self.cancellation, current_step=stopped_at)
        if self.outcome.status is ScopeStatus.WAITING:
            return RunEnded(status=SessionStatus.PAUSED, current_step=self.driver.run.gates.paused_at)
        denied = self.driver.run.progress.denied_gates
        if denied and self.driver.run.finishing:
            return RunEnded(status=SessionStatus.DENIED, failure=denial(denied[0]), current_step=denied[0].asked.path)
        if self.outcome.status is not ScopeStatus.FAILED:
            text = "the run stopped without a request or a failure"
            return RunEnded(status=SessionStatus.FAILED, failure=Failure(FailureKind.INTERNAL, text))
        failure = self.outcome.failure
        assert failure is not None
        status = SessionStatus.DENIED if failure.kind is FailureKind.DENIED else SessionStatus.FAILED
        return RunEnded(status=status, failure=failure, current_step=failure.path)

    # --- requests ------------------------------------------------------------------------------------------------

    def level_at(self, path: str) -> Level:
        """The level that holds at ``path``."""
        return self.driver.run.tree.level_at(path)

    def has_ended(self, path: str) -> bool:
        """Whether the scope at ``path`` has ended, in this run or (and for good) in an earlier one."""
        run = self.driver.run
        if path in run.tree.open or path in run.tree.ended:
            return path not in run.tree.open
        record = run.progress.finished(path)
        return record is not None and (run.finishing or not run.enters(record))

    def deliver(self, cancellation: Cancellation, *, escalates: bool = False, forced: bool = False) -> int:
        """Let a request take effect, at once and synchronously; returns the ``seq`` of its event."""
        seq = self.driver.run.log.emit(CancelRequested(cancellation=cancellation, escalates=escalates, forced=forced))
        if forced and cancellation.at == ROOT:  # for a part: its own grace holds, and that of its siblings
            self.driver.run.tree.forcible.force()
        if cancellation.at == ROOT:
            self._rise(cancellation)
        self._reach(cancellation)
        if cancellation.level is Level.GRACEFUL and cancellation.grace is not None:
            self._time(cancellation)
        return seq

    def _rise(self, cancellation: Cancellation) -> None:
        if self.cancellation is None or cancellation.level > self.cancellation.level:
            self.cancellation = cancellation

    def _reach(self, cancellation: Cancellation) -> None:
        tree = self.driver.run.tree
        scope: Scope | None = tree.open.get(cancellation.at)
        if scope is None and self.has_ended(cancellation.at):
            return
        tree.remember(cancellation)
        if scope is not None:
            scope.cancel(cancellation)

    def _time(self, cancellation: Cancellation) -> None:
        if self._background is None:
            self._timers.append(cancellation)
        else:
            self._background.start_soon(self._after_grace, cancellation)

    async def _at_deadline(self, seconds: float) -> None:
        await trio.sleep(max(0.0, seconds))
        self._limit_reached(Source.DEADLINE, "limits.deadline is reached")

    def _warn(self, message: str) -> None:
        self.driver.run.log.emit(Warned(message=message))

    def _limit_reached(self, source: Source, reason: str) -> None:
        at, text = time.time_ns() // 1000, f"{reason}; resume with a higher one"
        self.deliver(Cancellation(Level.GRACEFUL, source, reason=text, requested_at=at, grace=LIMIT_GRACE))

    async def _after_grace(self, cancellation: Cancellation) -> None:
        await trio.sleep(remaining_grace(cancellation))
        if self.level_at(cancellation.at) is not Level.IMMEDIATE and not self.has_ended(cancellation.at):
            self.deliver(without_grace(cancellation))


def without_grace(cancellation: Cancellation) -> Cancellation:
    """What a request becomes when its grace period is over; one by a limit still says which limit it was."""
    reason, source = f"grace period of {cancellation.grace:g} s is over", Source.DEADLINE
    if cancellation.source in (Source.BUDGET, Source.DEADLINE):
        reason, source = f"{cancellation.reason}; {reason}", cancellation.source
    return evolve(cancellation, level=Level.IMMEDIATE, source=source, reason=reason, grace=None, request_id="")


def remaining_grace(cancellation: Cancellation) -> float:
    """Seconds of a grace period that are left now, from the wall clock of who asked, within [0, grace]."""
    grace = cancellation.grace or 0.0
    passed = time.time() - cancellation.requested_at / 1_000_000
    return min(max(grace - passed, 0.0), grace)
