"""How a run ends, given the requests that were acknowledged while it was ending: pure, called within the transaction.

A request that was made durable an instant before the end still counts: a session that was about to pause is cancelled
instead, and a decision on a gate is kept (design.md section 5, item 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, evolve

from trio_recipes.events import ApprovalDecided, CancelRequested, Event, RunEnded, SessionStatus
from trio_recipes.progress.gates import denial
from trio_recipes.progress.tables import APPLIED, NO_SUCH_SCOPE, TOO_LATE
from trio_recipes.store.codec import cancellation_from_json, decision_from_json
from trio_recipes.store.requests import delivered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_recipes.events import Cancellation
    from trio_recipes.progress.fold import GateRecord
    from trio_recipes.store.session_file import RequestRow


@define(eq=False)
class Conclusion:
    """The end of one run, in the making.

    Args:
        ended: how it ends as far as its runner knows.
        gates: the gates it reached, by path.
        held: paths that were asked to stop and never began.
        taken: ids of requests that were delivered.
    """

    ended: RunEnded
    gates: Mapping[str, GateRecord]
    held: Mapping[str, Cancellation]
    taken: frozenset[str]

    def events(self, requests: list[RequestRow]) -> list[Event]:
        """The last events, ``run_ended`` at their end."""
        late = [row for row in requests if row.id not in self.taken]
        decisions = [decision_from_json(row.body) for row in late if row.is_decision]
        news: list[Event] = [decision for decision in decisions if self._decide(decision)]
        if self.ended.status is SessionStatus.PAUSED:
            news += self._reconsider([row for row in late if not row.is_decision and not row.body.get("at")])
        return [*news, self.ended]

    def _decide(self, decision: ApprovalDecided) -> bool:
        gate = self.gates.get(decision.path)
        if gate is None or gate.decided is not None:
            return False
        gate.decided = decision
        return True

    def _reconsider(self, cancels: list[RequestRow]) -> list[Event]:
        """A session that was about to pause: cancelled if that was asked for, denied if a person said no."""
        denied = [gate for gate in self.gates.values() if gate.decided is not None and not gate.decided.approved]
        if cancels:
            cancellation = cancellation_from_json(delivered(cancels[-1])[0])
            self.ended = evolve(self.ended, status=SessionStatus.CANCELLED, cancellation=cancellation)
            return [CancelRequested(cancellation=cancellation)]
        if denied:
            self.ended = evolve(self.ended, status=SessionStatus.DENIED, failure=denial(denied[0]))
        return []

    def answer(self, row: RequestRow) -> str:
        """What a request is told when the run ends (decisions.md, "Requests")."""
        at = str(row.body.get("at", ""))
        if row.is_decision or (at and row.id in self.taken and at not in self.held):
            return APPLIED
        if at:
            return NO_SUCH_SCOPE if at in self.held else TOO_LATE
        return APPLIED if self.ended.status is SessionStatus.CANCELLED else TOO_LATE
