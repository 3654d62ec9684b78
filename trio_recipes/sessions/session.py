"""A session as its users hold it: cancel it, wait for it, follow its events."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from attrs import evolve, field

from trio_recipes.classes import define, frozen
from trio_recipes.errors import StoreError
from trio_recipes.events import (
    Cancellation,
    Holdout,
    Level,
    RequestAnswered,
    RunEnded,
    SessionStatus,
    Source,
    Stamped,
)
from trio_recipes.progress import path as paths
from trio_recipes.progress.frame import ENGINE_KEYS
from trio_recipes.progress.masked import masked, shown
from trio_recipes.progress.tables import APPLIED, TOO_LATE, Effect, judge
from trio_recipes.runtime.scope import concurrent
from trio_recipes.sessions import describing
from trio_recipes.sessions.ending import Conclusion
from trio_recipes.sessions.requesting import request, start
from trio_recipes.sessions.result import SessionResult, gates_at_end
from trio_recipes.sessions.wake import listen
from trio_recipes.store.codec import cancellation_from_json, cancellation_to_json, decision_from_json, from_row
from trio_recipes.store.records import RequestRow
from trio_recipes.store.requests import delivered, submit
from trio_recipes.store.session_file import now

if TYPE_CHECKING:
    from trio_recipes.masking import Mask
    from trio_recipes.processes.trees import ProcessTrees
    from trio_recipes.runtime.engine import Engine
    from trio_recipes.sessions.secrets import MaskedLog
    from trio_recipes.store.journal import Journal, SessionLog
    from trio_recipes.store.session_file import SessionFile
    from trio_recipes.store.sums import EventRow
    from trio_recipes.values import Value

_FOLLOW_BATCH = 1000
_END_SECONDS = 90.0
"""For stopping what steps left running: the longest kill_grace, and then some."""


@frozen(eq=False)
class CancelReply:
    """What became of ``Session.cancel``: decided and delivered already; :meth:`durable` is the acknowledgement.

    Args:
        accepted: whether the session stops, or goes on stopping, because of it.
        level: the level that holds now.
        message: for people.
    """

    accepted: bool
    level: Level
    message: str
    _durable: Callable[[], Any] | None = None

    async def durable(self) -> None:
        """Return once the request would survive a crash.

        Raises:
            StoreError: if it can't be made durable.
        """
        if self._durable is not None:
            await self._durable()


_MESSAGES = {
    Effect.RAISE: "stopping",
    Effect.JOIN: "it is stopping already",
    Effect.FORCE: "stopping without further grace",
    Effect.TOO_LATE: "too late: the session has ended",
    Effect.ALREADY: "it is cancelled already",
}


@define(eq=False)
class Session:
    """One run of a session in this process. Made by ``Runtime.start`` and ``Runtime.resume``.

    Args:
        id: the session's id, for ``show``, ``cancel`` and ``resume``.
        engine: what runs it.
        log: where its events go.
        journal: of the runtime.
        trees: of the runtime.
        masked: where its runtime's events go, on their way to ``log``.
    """

    id: str
    engine: Engine
    log: SessionLog
    journal: Journal
    trees: ProcessTrees
    masked: MaskedLog
    status: SessionStatus = SessionStatus.RUNNING
    _result: SessionResult | None = None
    _done: trio.Event = field(factory=trio.Event)
    _news: trio.Event = field(factory=trio.Event)
    _taken: set[str] = field(factory=set)

    def __repr__(self) -> str:
        """For people: what it is made of is large, refers back to it, and knows secrets."""
        return f"<Session {self.id}: {self.status}>"

    # --- stopping it ---------------------------------------------------------------------------------------------

    def cancel(
        self,
        reason: str = "",
        *,
        immediate: bool = False,
        at: str = "",
        grace: float | None = None,
        source: Source = Source.API,
        requester: str = "",
        request_id: str = "",
        escalates: bool = False,
    ) -> CancelReply:
        """Ask the session, or a part of it, to stop. Synchronous: it has been delivered when this returns.

        Args:
            reason: for people, at most 512 characters are kept.
            immediate: stop what is in flight too, now; otherwise let each step in flight finish.
            at: the path of the part; everything if empty.
            grace: seconds after which a graceful request becomes immediate.
            source: by which door the request came.
            requester: who asks.
            request_id: the same id is the same request.
            escalates: whether a second graceful request by this door means "now".

        Returns:
            Whether it was accepted, the level that holds now, and a message.

        Raises:
            ValueError: for a path that is none.
        """
        if not paths.is_valid(at):
            raise ValueError(f"{at!r} is no path; paths look like audit/scan[3]/report")
        if at and self.engine.has_ended(at):
            return CancelReply(False, Level.NONE, f"too late: {at} has ended")
        if request_id and request_id in self._taken:  # sent again: it does not escalate
            return CancelReply(True, self.engine.level_at(at), _MESSAGES[Effect.JOIN])
        asked = Level.IMMEDIATE if immediate else Level.GRACEFUL
        if self.status is SessionStatus.PAUSED:
            return self._cancel_paused(self._cancellation(asked, reason, source, requester, request_id, at, grace))
        verdict = judge(self.status, self.engine.level_at(at), asked, escalates=escalates and grace is None)
        if not verdict.accepted:
            return CancelReply(False, verdict.level, _MESSAGES[verdict.effect])
        if verdict.effect is Effect.JOIN and grace is None:
            return CancelReply(True, verdict.level, _MESSAGES[verdict.effect])
        cancellation = self._cancellation(verdict.level, reason, source, requester, request_id, at, grace)
        seq = self._deliver(cancellation, escalates=verdict.level > asked, forced=verdict.effect is Effect.FORCE)
        return CancelReply(True, verdict.level, _MESSAGES[verdict.effect], partial(self.log.durable, seq))

    def _cancellation(
        self,
        level: Level,
        reason: str,
        source: Source,
        requester: str,
        request_id: str,
        at: str,
        grace: float | None,
    ) -> Cancellation:
        return Cancellation(
            level=level,
            source=source,
            requester=requester or f"pid {os.getpid()}",
            reason=self.mask.text(reason)[:512],
            requested_at=now(),
            request_id=request_id,
            at=at,
            grace=grace,
        )

    def _cancel_paused(self, cancellation: Cancellation) -> CancelReply:
        """Nobody runs a paused session: its cancellation is a request to the store, like anybody's."""
        asked = evolve(cancellation, request_id=cancellation.request_id or secrets.token_hex(8))
        durable = self.journal.begin(partial(request, self.log.file, cancellation_to_json(asked), escalates=False))
        return CancelReply(True, cancellation.level, "the paused session is being cancelled", durable)

    def _deliver(self, cancellation: Cancellation, *, escalates: bool, forced: bool) -> int:
        self._taken.add(cancellation.request_id)
        if not cancellation.at:
            self.status = SessionStatus.CANCELLING
        return self.engine.deliver(cancellation, escalates=escalates, forced=forced)

    def take_requests(self, rows: list[RequestRow]) -> None:
        """Deliver requests and decisions that other processes have made durable, as ``rows`` of the store."""
        for row in rows:
            if not self._done.is_set() and row.id not in self._taken:
                self._taken.add(row.id)
                self._take(row)

    def _take(self, row: RequestRow) -> None:
        if row.is_decision:
            answer = APPLIED if self._decide(row) else TOO_LATE
            self.log.emit(RequestAnswered(path=row.body["path"], request_id=row.id, answer=answer))
            return
        body, escalates, forced = delivered(row)
        cancellation = cancellation_from_json(body)
        if cancellation.at and self.engine.has_ended(cancellation.at):
            self.log.emit(RequestAnswered(path=cancellation.at, request_id=row.id, answer=TOO_LATE))
        else:
            self._deliver(cancellation, escalates=escalates, forced=forced)

    def _decide(self, row: RequestRow) -> bool:
        """Let a decision on a gate take effect; False if the gate asks no longer."""
        run, decision = self.engine.driver.run, decision_from_json(row.body)
        gate = run.progress.gates.get(decision.path)
        return gate is not None and gate.takes(row.id) and run.gates.decide(decision)

    # --- waiting for it ------------------------------------------------------------------------------------------

    async def wait(self) -> SessionResult:
        """Wait until the run has ended, whatever its outcome. Cancelling the wait cancels only the wait."""
        await self._done.wait()
        assert self._result is not None
        return self._result

    @property
    def mask(self) -> Mask:
        """Hides the secrets that this run has met so far."""
        return self.masked.vault.mask

    @property
    def result(self) -> SessionResult | None:
        """How the run ended, or None while it runs."""
        return self._result

    async def events(self, after: int = 0) -> AsyncGenerator[Stamped]:
        """Replay this session's events from ``seq`` ``after`` + 1, then follow until the run has ended.

        Reads what is durable from the store, so a slow consumer never slows the run. Secrets are masked.
        """
        while True:
            ended, news = self._done.is_set(), self._news
            found = await read_events(self.log.file, after)
            for stamped in found:
                after = stamped.seq
                yield stamped
            if len(found) == _FOLLOW_BATCH:
                continue
            if ended:
                return
            await news.wait()

    async def more(self, after: int) -> None:
        """Return once an event after ``seq`` ``after`` is durable, or the run has ended."""
        while self.log.committed <= after and not self._done.is_set():
            await self._news.wait()

    def _committed(self, _events: list[Stamped]) -> None:
        self._news.set()
        self._news = trio.Event()

    # --- running it ----------------------------------------------------------------------------------------------

    async def run(self, early: list[RequestRow]) -> None:
        """Run to the end and record it; called once, by the runtime. ``early``: requests from before the start."""
        self.log.on_commit.append(self._committed)
        self.log.on_failure.append(self._store_failed)
        self.log.on_requests.append(self.take_requests)
        self.take_requests(early)
        layout = self.log.file.layout
        describe = partial(describing.write_down, self.engine.driver.run.tree, layout, self.id)
        try:
            async with concurrent() as helpers:
                helpers.start_soon(listen, layout.wake(self.id), self.log.poke, describe)
                self.journal.watch(self.log)
                await self._run_engine()
                helpers.cancel_scope.cancel(reason="the session has ended")
        finally:
            describing.forget(layout, self.id)
            self.journal.forget(self.log)
            self.log.let_go()
            self._finish(self._result or self._as_result(RunEnded(status=SessionStatus.INTERRUPTED), None))
            self.engine.driver.run.collector.release()

    async def _run_engine(self) -> None:
        error: StoreError | None = None
        try:
            ended = await self.engine.run()
            with trio.move_on_after(_END_SECONDS, shield=True):
                still = (*self.engine.driver.run.tree.resisting, *await self._leave_nothing())
                ended = evolve(ended, still_running=still)
            self.masked.flush()
            ended = await self._conclude(masked(ended, self.mask))
        except StoreError as failure:
            error, ended = failure, RunEnded(status=SessionStatus.INTERRUPTED)
        self._result = self._as_result(ended, error)

    async def _conclude(self, ended: RunEnded) -> RunEnded:
        run, created = self.engine.driver.run, self.engine.driver.run.progress.created
        cleans_up, asked = created is not None and created.cleans_up, self.engine.cancellation
        conclusion = Conclusion(ended, run.progress.gates, run.tree.held, frozenset(self._taken), asked, cleans_up)
        if ended.status is SessionStatus.PAUSED:  # who cancels from now on asks the store, which comes after the end
            self.status = ended.status
        await self.log.end(conclusion.events, conclusion.answer)  # one transaction, shielded by itself
        if conclusion.unfinished:
            await self.journal.call(partial(self._have_it_finished, asked))
        return conclusion.ended

    def _have_it_finished(self, asked: Cancellation | None) -> None:
        if asked is not None:
            body = cancellation_to_json(evolve(asked, request_id=asked.request_id or secrets.token_hex(8)))
            submit(self.log.file, body, escalates=False)
        start(self.log.file)

    async def _leave_nothing(self) -> tuple[Holdout, ...]:
        """Stop what steps left running in the background; returns what resisted."""
        forced = self.engine.driver.run.tree.forcible.forced
        left = await self.trees.stop_background(self.id, grace=0.0 if forced else None)
        survivors = [survivor for report in left for survivor in report.survivors]
        return tuple(Holdout("", f"process {each.pid}: {each.reason}", pid=each.pid) for each in survivors)

    def _store_failed(self, _error: StoreError) -> None:
        """A commit failed: stop at once, claiming nothing after the last good one."""
        if self.status is not SessionStatus.PAUSED:  # then there is nothing left to stop
            self.cancel("the store failed", immediate=True, source=Source.SHUTDOWN)

    def _as_result(self, ended: RunEnded, error: StoreError | None) -> SessionResult:
        outcome, context = self.engine.outcome, public_context(self.engine.frame.variables)
        progress = self.engine.driver.run.progress
        return SessionResult(
            session_id=self.id,
            status=ended.status,
            context=context,
            final_output=context.get("final_output", outcome.value),
            failure=ended.failure,
            cancellation=ended.cancellation,
            current_step=ended.current_step,
            still_running=ended.still_running,
            gates=gates_at_end(progress, ended.current_step),
            error=error or self.log.failure,
            mask=self.mask,
        )

    def _finish(self, result: SessionResult) -> None:
        self._result, self.status = result, result.status
        self._done.set()
        self._news.set()


async def read_events(file: SessionFile, after: int) -> list[Stamped]:
    """The next durable events of a session from ``seq`` ``after`` + 1, secrets masked; none at their end."""

    def read() -> list[EventRow]:
        with file.reading() as connection:
            return file.rows(connection, after, _FOLLOW_BATCH)

    return [shown(from_row(row)) for row in await trio.to_thread.run_sync(read)]


def public_context(variables: Mapping[str, Value]) -> dict[str, Value]:
    """The variables without the engine's own keys: what users call the context."""
    return {k: v for k, v in variables.items() if k not in ENGINE_KEYS and not k.startswith("_")}
