"""How a run ends, given the requests that were acknowledged while it was ending: pure, called within the transaction.

A request that was made durable an instant before the end still counts: a session that was about to pause is cancelled
instead, or denied, whichever was asked for first; a decision on a gate is kept in any case. If
``finally`` steps are due then, the session pauses all the same, and somebody has to finish it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from trio_recipes.classes import define
from trio_recipes.events import CancelRequested, Event, RunEnded, SessionStatus
from trio_recipes.progress.gates import denial
from trio_recipes.progress.tables import APPLIED, NO_SUCH_SCOPE, TOO_LATE
from trio_recipes.store.codec import cancellation_from_json, decision_from_json
from trio_recipes.store.requests import delivered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_recipes.events import Cancellation
    from trio_recipes.progress.record import GateRecord
    from trio_recipes.store.records import RequestRow


@define(eq=False)
class Conclusion:
    """The end of one run, in the making.

    Args:
        ended: how it ends as far as its runner knows.
        gates: the gates it reached, by path.
        held: paths that were asked to stop and never began.
        taken: ids of requests that were delivered.
        cancellation: of the session, if one was delivered.
        cleans_up: whether ``finally`` steps may be due.
        unfinished: the session pauses, and has been cancelled or denied meanwhile: its ``finally`` steps have to run.
    """

    ended: RunEnded
    gates: Mapping[str, GateRecord]
    held: Mapping[str, Cancellation]
    taken: frozenset[str]
    cancellation: Cancellation | None = None
    cleans_up: bool = False
    unfinished: bool = False

    def events(self, requests: list[RequestRow]) -> list[Event]:
        """The last events, ``run_ended`` at their end."""
        news: list[Event] = []
        if self.cancellation is not None:
            self._cancelled(self.cancellation)
        for gate in self.gates.values():
            self._denied(gate)
        for row in requests:
            if row.id not in self.taken:
                news += self._decide(row) if row.is_decision else self._stop(row)
        return [*news, self.ended]

    def _decide(self, row: RequestRow) -> list[Event]:
        decision = decision_from_json(row.body)
        gate = self.gates.get(decision.path)
        if gate is None or not gate.takes(row.id):
            return []
        gate.decided = decision
        self._denied(gate)
        return [decision]

    def _stop(self, row: RequestRow) -> list[Event]:
        if row.body.get("at") or not self._pauses:
            return []
        cancellation = cancellation_from_json(delivered(row)[0])
        self._cancelled(cancellation)
        return [] if self.unfinished else [CancelRequested(cancellation=cancellation)]

    @property
    def _pauses(self) -> bool:
        return self.ended.status is SessionStatus.PAUSED and not self.unfinished

    def _cancelled(self, cancellation: Cancellation) -> None:
        self._instead(evolve(self.ended, status=SessionStatus.CANCELLED, cancellation=cancellation))

    def _denied(self, gate: GateRecord) -> None:
        if gate.decided is not None and not gate.decided.approved:
            self._instead(evolve(self.ended, status=SessionStatus.DENIED, failure=denial(gate)))

    def _instead(self, ended: RunEnded) -> None:
        """The first that ends a pausing session counts."""
        if self._pauses and self.cleans_up:
            self.unfinished = True
        elif self._pauses:
            self.ended = ended

    def answer(self, row: RequestRow) -> str | None:
        """What a request is told when the run ends; None if others have to answer it."""
        at = str(row.body.get("at", ""))
        if row.is_decision or (at and row.id in self.taken and at not in self.held):
            return APPLIED
        if at:
            return NO_SUCH_SCOPE if at in self.held else TOO_LATE
        if self.unfinished:
            return None
        return APPLIED if self.ended.status is SessionStatus.CANCELLED else TOO_LATE
