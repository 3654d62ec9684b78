"""Attempts of one pass: timeout, retry and back-off (recipe-language.md sections 2 and 8), for leaves and composites.

A cancellation is never an attempt's failure: it unwinds through here untouched, or ends the waits between attempts.
An attempt that was interrupted or cancelled uses up nothing.
"""

from __future__ import annotations

from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM
from typing import TYPE_CHECKING

import trio
from attrs import field

from trio_recipes.classes import define
from trio_recipes.errors import TemplateError
from trio_recipes.events import AttemptFailed, AttemptStarted, Output, ScopeStatus, Waiting, Warned
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.language.model import AgentStep
from trio_recipes.progress.outcome import CANCELLED, Outcome, completed
from trio_recipes.progress.replay import read_result
from trio_recipes.runtime.ports import LeafCall, Reply
from trio_recipes.runtime.scope import unwrapped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_recipes.progress.asks import Pass
    from trio_recipes.runtime.context import RunContext
    from trio_recipes.runtime.limits import Pacer
    from trio_recipes.runtime.scope import Scope
    from trio_recipes.values import Value


_SPARE = "reply"
"""The channel of an answer that was recorded in an attempt before."""

LISTENING_SECONDS = 0.1
"""How long to listen for a stop once a step's process was killed: who signals all there is, as systemd does, means the
runner, too, whose turn may come an instant later."""


@define(eq=False)
class Attempts:
    """All attempts of one pass.

    Args:
        context: of the run.
        inner: runs one attempt of a composite.
        ask: the pass.
        scope: its scope.
        reply: what the last attempt of a leaf answered.
    """

    context: RunContext
    inner: Callable[[Pass, Scope], Awaitable[Outcome]]
    ask: Pass
    scope: Scope
    reply: Reply | None = None
    _spare: str | None = field(default=None, init=False)  # what is to be mended, and will do if it can't be
    _before: dict[str, Value] | None = field(default=None)

    async def run(self) -> Outcome:
        """Try until an attempt does not fail, none is left, or the scope is asked to stop."""
        retry = self.ask.step.retry
        failures = self._failures_so_far()
        if self.ask.inner is not None and retry.max_attempts > 1:
            self._before = dict(self.ask.frame.variables)
        while True:
            outcome = await self._once(failures + 1)
            failures += 1
            may_mend = self._may_mend()
            if not may_mend and (not _may_retry(outcome) or failures >= retry.max_attempts):
                return self._or_spare(outcome)
            assert outcome.failure is not None
            delay = 0.0 if may_mend else retry.delay(failures, outcome.failure.retry_after or 0.0)
            if not await self._back_off(outcome.failure, delay):
                return CANCELLED
            self._begin(failures + 1)

    def _may_mend(self) -> bool:
        """Whether the next attempt is one to mend the answer of the last: each pass has one such, beyond its others."""
        if self._spare is not None or self.reply is None or not self.reply.mend:
            return False
        self._spare = self.reply.text
        return self._spare is not None

    def _or_spare(self, outcome: Outcome) -> Outcome:
        """The outcome; or if that is a failure, the answer that could not be mended: the language takes it as it is."""
        if self._spare is None or outcome.failure is None or outcome.status is not ScopeStatus.FAILED:
            return outcome
        path, text = self.ask.path, self._spare
        told = f"the answer has no JSON, and could not be mended ({outcome.failure.message}): its text is the value"
        self.context.log.emit(Warned(path=path, message=told))
        self.context.log.emit(Output(path=path, channel=_SPARE, data=text.encode("utf-8", "replace")))
        self.reply = Reply(text=text, channel=_SPARE)
        return completed(read_result(self.ask.step, text, None))

    def _failures_so_far(self) -> int:
        record = self.context.progress.records.get(self.ask.path)
        if record is None or record.status is ScopeStatus.FAILED:
            return 0
        return record.failed_attempts

    async def _back_off(self, failure: Failure, delay: float) -> bool:
        log, path = self.context.log, self.ask.path
        log.emit(AttemptFailed(path=path, failure=failure, delay=delay))
        if self.ask.inner is not None:
            self.context.gates.withdraw_below(path)
            self.context.progress.void_below(path)
            self.context.tree.reopen_below(path)
            self.ask.frame.budget.give_back(path)
        if self._before is not None:
            self.ask.frame.variables.clear()
            self.ask.frame.variables.update(self._before)
        log.emit(Waiting(path=path, what="backoff", seconds=delay))
        return await self.scope.wait(delay)

    def _begin(self, attempt: int) -> None:
        self.context.log.emit(AttemptStarted(path=self.ask.path, attempt=attempt))

    # --- one attempt ---------------------------------------------------------------------------------------------

    def _once(self, attempt: int) -> Awaitable[Outcome]:
        pacer = self.context.pacer_of(self.ask.frame) if isinstance(self.ask.step, AgentStep) else None
        return self._timed(attempt) if pacer is None else self._paced(pacer, attempt)

    async def _paced(self, pacer: Pacer, attempt: int) -> Outcome:
        if pacer.busy:
            self.context.log.emit(Waiting(path=self.ask.path, what="rate_limit"))
        if not await pacer.acquire(self.scope):
            return CANCELLED
        try:
            outcome = await self._timed(attempt)  # its timeout starts here: with the slot in hand
        finally:
            pacer.release(self.scope)
        pacer.note(outcome)
        return outcome

    async def _timed(self, attempt: int) -> Outcome:
        seconds = self.ask.step.timeout
        if seconds is None:
            return await self._act(attempt)
        outcome = CANCELLED
        with trio.move_on_after(seconds) as limit:
            self.scope.limit = limit
            outcome = await self._act(attempt)
        self.scope.limit = None
        return self._timed_out(attempt, seconds) if limit.cancelled_caught else outcome

    def _timed_out(self, attempt: int, seconds: float) -> Outcome:
        if self.scope.draining:  # a cancellation during a timeout's ladder wins
            return CANCELLED
        step = self.ask.step
        text = f"step '{step.id}' timed out after {seconds:g} s"
        hint = "raise its timeout, or see what it waited for in its output"
        failure = Failure(FailureKind.TIMEOUT, text, self.ask.path, attempt, hint=hint)
        return self._failed(failure, self.reply)

    async def _act(self, attempt: int) -> Outcome:
        if self.ask.inner is not None:
            return await self.inner(self.ask, self.scope)
        self.reply = None
        reply = await self._perform(self._call(attempt))
        if _was_killed(reply):
            await self.scope.wait(LISTENING_SECONDS)
        await trio.lowlevel.checkpoint_if_cancelled()  # whoever stopped it (a time-out, the host): no answer counts
        if self.scope.stopped_now or (self.scope.draining and _was_killed(reply)):
            return CANCELLED  # asked to stop before it had returned: its answer does not count
        self.reply = reply
        if reply.failure is not None:
            return self._failed(reply.failure.at(self.ask.path, attempt), reply)
        return completed(read_result(self.ask.step, reply.text, reply.value), reply.exit_code)

    async def _perform(self, call: LeafCall) -> Reply:
        try:
            return await self.context.leaves[call.step.kind](call)
        except TemplateError as error:
            failure = Failure(FailureKind.TEMPLATE, f"step '{call.step.id}': {error}", retryable=False)
        except BaseExceptionGroup as group:  # of a nursery of the leaf's own
            inner = unwrapped(group)
            if not isinstance(inner, Exception):
                raise inner from None
            text = f"step '{call.step.id}': {type(inner).__name__}: {inner}"
            failure = Failure(FailureKind.INTERNAL, text, cause=type(inner).__name__)
        except Exception as error:
            text = f"step '{call.step.id}': {type(error).__name__}: {error}"
            failure = Failure(FailureKind.INTERNAL, text, cause=type(error).__name__)
        return Reply(failure=failure)

    def _call(self, attempt: int) -> LeafCall:
        context = self.context
        return LeafCall(
            step=self.ask.step,
            path=self.ask.path,
            frame=self.ask.frame,
            attempt=attempt,
            session_id=context.session_id,
            project=context.project,
            log=context.log,
            forcible=context.tree.forcible,
            resisting=context.tree.resisting,
            works=context.tree.works,
            charge=context.budget.charge,
        )

    def _failed(self, failure: Failure, reply: Reply | None) -> Outcome:
        """A failure; its text stays readable as the value, which ``on_error: continue`` gives for an exit code."""
        value: Value = None
        if reply is not None and failure.kind is FailureKind.EXIT:
            value = read_result(self.ask.step, reply.text, reply.value)
        return Outcome(ScopeStatus.FAILED, value=value, failure=failure, exit_code=reply.exit_code if reply else None)


def _was_killed(reply: Reply) -> bool:
    """Whether a process was ended by a signal that stops a whole group: stopped, then, not failed."""
    return reply.failure is not None and reply.exit_code in _STOPPED


_STOPPED = frozenset(
    code
    for number in (SIGHUP, SIGINT, SIGTERM, SIGKILL)
    for code in (-number, 128 + number)  # as itself; as bash says
)


def _may_retry(outcome: Outcome) -> bool:
    return outcome.failure is not None and outcome.status is ScopeStatus.FAILED and outcome.failure.may_retry
