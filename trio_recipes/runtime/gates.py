"""Gates in a live run: asking a person, and waiting for as long as the run has something else to do.

A run that does not stay up pauses when nothing can go on without a decision; a decision that comes before that takes
effect at once. So whoever waits at a gate must know whether anybody else still works: the gatekeeper counts the tasks
that can get on by themselves.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio
from attrs import field

from trio_recipes.classes import define
from trio_recipes.events import ApprovalDecided, ApprovalRequested, ApprovalWithdrawn
from trio_recipes.progress.gates import default_of, outcome_at
from trio_recipes.progress.outcome import CANCELLED, PAUSED, Outcome
from trio_recipes.progress.path import contains
from trio_recipes.progress.record import GateRecord
from trio_recipes.runtime.patience import Patience

if TYPE_CHECKING:
    from trio_recipes.progress.asks import Gate
    from trio_recipes.progress.fold import Progress
    from trio_recipes.runtime.ports import Log
    from trio_recipes.runtime.scope import Scope

LOOK_AGAIN_SECONDS = 1.0
"""After which a default that should have come is asked for again: clocks are set now and then."""


@define(eq=False)
class _Visit:
    """Somebody who waits at a gate. ``pauses``: nothing else goes on, so the run is to pause."""

    news: trio.Event = field(factory=trio.Event)
    pauses: bool = False


@define(eq=False)
class Gatekeeper:
    """Asks, and lets pass.

    Args:
        progress: what was asked and decided so far.
        log: where events go.
        stays: whether a run waits at its gates for as long as it takes (``run --wait-approval``).
        asks: False in a run that only finishes: nobody is asked any more.
        lapse: has the defaults that are due decided where everybody decides; they arrive like any decision.
    """

    progress: Progress
    log: Log
    stays: bool = False
    asks: bool = True
    lapse: Callable[[], Awaitable[object]] | None = None
    _paused: list[GateRecord] = field(factory=list)
    _visits: dict[str, _Visit] = field(factory=dict)
    _patience: Patience = field(factory=Patience)
    _working: int = 1

    async def admit(self, gate: Gate, scope: Scope) -> Outcome:
        """Answer a walk's ask: passed, denied, or paused; cancelled if the scope drains."""
        record = self.progress.gates.get(gate.path)
        if (record is None or record.decided is None) and (scope.draining or not self.asks):
            scope.tree.note_stop(gate.path)
            return CANCELLED
        record = record or await self._ask(gate)
        while record.decided is None and not scope.draining:
            if _is_over(record):
                await self._expire(record)
            elif await self._wait(record, scope):
                self._paused.append(record)
                return PAUSED
        return CANCELLED if record.decided is None else outcome_at(self.progress, gate)

    async def _ask(self, gate: Gate) -> GateRecord:
        """Ask durably: the question must be there before anybody can answer it."""
        approval = gate.approval
        asked = ApprovalRequested(
            path=gate.path,
            stage=gate.stage,
            prompt=gate.prompt,
            timeout=approval.timeout,
            default=approval.default,
            human=approval.by == "human",
        )
        seq = self.log.emit(asked)
        record = self.progress.gates[gate.path] = GateRecord(asked, seq, _now())
        await self.log.durable(seq)
        return record

    async def _wait(self, record: GateRecord, scope: Scope) -> bool:
        """Wait for news, or until the default applies; returns whether the run is to pause instead."""
        left = float("inf") if record.expires_at is None else (record.expires_at - _now()) / 1_000_000
        with self._visiting(record) as visit:
            self.left()
            try:
                with trio.move_on_after(max(0.0, left)), self._patience.around(scope), scope.napping():
                    await visit.news.wait()
            finally:
                self.joined()
        return visit.pauses and record.decided is None and not scope.draining

    @contextmanager
    def _visiting(self, record: GateRecord) -> Generator[_Visit]:
        visit = self._visits[record.asked.path] = _Visit()
        try:
            yield visit
        finally:
            del self._visits[record.asked.path]

    async def _expire(self, record: GateRecord) -> None:
        """Have the default decided, durably before anything goes on."""
        if self.lapse is None:
            await self.log.durable(self._settle(record, default_of(record.asked)))
            return
        with self._visiting(record) as visit, trio.move_on_after(LOOK_AGAIN_SECONDS):
            await self.lapse()
            await visit.news.wait()

    # --- decisions -----------------------------------------------------------------------------------------------

    def decide(self, decision: ApprovalDecided) -> bool:
        """Let a decision take effect, once; False if the gate is decided already, or does not ask (any more)."""
        record = self.progress.gates.get(decision.path)
        if record is None or record.decided is not None:
            return False
        self._settle(record, decision)
        return True

    def _settle(self, record: GateRecord, decision: ApprovalDecided) -> int:
        record.decided, record.decided_at = decision, _now()
        if decision.path in self._visits:
            self._visits[decision.path].news.set()
        return self.log.emit(decision)

    def withdraw_below(self, path: str) -> None:
        """What stands around them has ended, or begins again: gates below ``path`` ask no longer."""
        gone = [gate for gate in self.progress.open_gates if _is_below(path, gate)]
        self.progress.withdraw(gone)
        for gate in gone:
            self.log.emit(ApprovalWithdrawn(path=gate.asked.path))

    # --- who still works -----------------------------------------------------------------------------------------

    def joined(self) -> None:
        """One more task gets on by itself."""
        self._working += 1

    def left(self) -> None:
        """A task has ended, or waits at a gate. Was it the last one, all who wait pause."""
        self._working -= 1
        if self._working or self.stays:
            return
        for visit in self._visits.values():
            visit.pauses = True
            visit.news.set()

    @property
    def paused_at(self) -> str | None:
        """The gate at which the run pauses; one that still waits, if there is one."""
        known = [gate for gate in self._paused if self.progress.gates.get(gate.asked.path) is gate]
        waiting = [gate for gate in known if gate.decided is None] or known
        return min(waiting, key=lambda gate: gate.seq).asked.path if waiting else None


def _is_below(path: str, gate: GateRecord) -> bool:
    return gate.asked.path != path and contains(path, gate.asked.path)


def _is_over(record: GateRecord) -> bool:
    return record.expires_at is not None and _now() >= record.expires_at


def _now() -> int:
    return time.time_ns() // 1000
