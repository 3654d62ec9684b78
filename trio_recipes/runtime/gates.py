"""Gates in a live run: asking a person, and waiting for the answer if the run is to stay up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from trio_recipes.events import ApprovalDecided, ApprovalRequested
from trio_recipes.progress.fold import GateRecord
from trio_recipes.progress.gates import outcome_at
from trio_recipes.progress.outcome import CANCELLED, PAUSED, Outcome

if TYPE_CHECKING:
    from trio_recipes.progress.asks import Gate
    from trio_recipes.progress.fold import Progress
    from trio_recipes.runtime.ports import Log
    from trio_recipes.runtime.scope import Scope

ON_TIMEOUT = "timeout"
"""The door by which a gate's default comes."""


@define(eq=False)
class Gatekeeper:
    """Asks, and lets pass.

    Args:
        progress: what was asked and decided so far.
        log: where events go.
        stays: whether a run waits at its gates (``run --wait-approval``) or pauses there.
    """

    progress: Progress
    log: Log
    stays: bool = False
    _news: trio.Event = field(factory=trio.Event)

    async def admit(self, gate: Gate, scope: Scope) -> Outcome:
        """Answer a walk's ask: passed, denied, or paused; cancelled if the scope drains while it waits."""
        record = self.progress.gates.get(gate.path) or await self._ask(gate)
        self._expire(record)
        while record.decided is None:
            if scope.draining:
                return CANCELLED
            if not self.stays:
                return PAUSED
            await self._wait(record, scope)
            self._expire(record)
        return outcome_at(self.progress, gate)

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

    async def _wait(self, record: GateRecord, scope: Scope) -> None:
        deadline = record.expires_at
        patience = float("inf") if deadline is None else max(0.0, (deadline - _now()) / 1_000_000)
        with trio.move_on_after(patience), scope.napping():
            await self._news.wait()

    def _expire(self, record: GateRecord) -> None:
        """Apply the default once the time is over: an expiry is a recorded decision (recipe-language.md section 12)."""
        deadline = record.expires_at
        if record.decided is None and deadline is not None and _now() >= deadline:
            approved = record.asked.default == "approve"
            text = f"nobody decided within {record.asked.timeout:g} s"
            self.decide(ApprovalDecided(path=record.asked.path, approved=approved, via=ON_TIMEOUT, message=text))

    def decide(self, decision: ApprovalDecided) -> bool:
        """Let a decision take effect, once; False if the gate is decided already, or was never reached."""
        record = self.progress.gates.get(decision.path)
        if record is None or record.decided is not None:
            return False
        self.log.emit(decision)
        record.decided, record.decided_at = decision, _now()
        self._news.set()
        self._news = trio.Event()
        return True


def _now() -> int:
    return time.time_ns() // 1000
