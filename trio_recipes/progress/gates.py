"""What a gate's record means for the walk that stands before it (recipe-language.md section 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_recipes.events import ApprovalDecided
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.progress import decisions
from trio_recipes.progress.outcome import PAUSED, Outcome, completed, failed
from trio_recipes.progress.times import iso

if TYPE_CHECKING:
    from trio_recipes.events import ApprovalRequested
    from trio_recipes.progress.asks import Gate
    from trio_recipes.progress.fold import Progress
    from trio_recipes.progress.record import GateRecord
    from trio_recipes.values import Value


def outcome_at(progress: Progress, gate: Gate) -> Outcome:
    """Approved: completed, with the decision as its value. Denied: failed. Undecided: paused."""
    record = progress.gates.get(gate.path)
    if record is None or record.decided is None:
        return PAUSED
    return completed(decision_of(record)) if record.decided.approved else failed(denial(record))


def decision_of(record: GateRecord) -> dict[str, Value]:
    """What ``{{_approval}}`` holds: decision, by, via, at (ISO 8601, UTC) and message."""
    decided = record.decided
    assert decided is not None
    return {
        "decision": decisions.verdict(approved=decided.approved),
        "by": decided.by,
        "via": decided.via,
        "at": iso(record.decided_at or 0),
        "message": decided.message,
    }


def denial(record: GateRecord) -> Failure:
    """The failure that a denied gate is: final for the session."""
    decided = record.decided
    assert decided is not None
    text = decisions.denial(record.asked.stage, decided.by, decided.via, decided.message)
    return Failure(FailureKind.DENIED, text, record.asked.path, retryable=False)


ON_TIMEOUT = "timeout"
"""The door by which a gate's default comes."""


def default_of(asked: ApprovalRequested) -> ApprovalDecided:
    """What holds once nobody has decided in time: an expiry is a decision like any other (section 12)."""
    message = decisions.expiry(asked.timeout)
    return ApprovalDecided(path=asked.path, approved=asked.default == "approve", via=ON_TIMEOUT, message=message)
