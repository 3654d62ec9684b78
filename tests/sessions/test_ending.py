"""How a run ends when requests come in its last instant: whichever came first counts, and none is lost."""

from typing import Any

import pytest

from trio_recipes.events import (
    ApprovalDecided,
    ApprovalRequested,
    Cancellation,
    CancelRequested,
    Level,
    RunEnded,
    SessionStatus,
)
from trio_recipes.progress.record import GateRecord
from trio_recipes.progress.tables import APPLIED, TOO_LATE
from trio_recipes.sessions.ending import Conclusion
from trio_recipes.store.records import RequestRow

PAUSED = RunEnded(status=SessionStatus.PAUSED, current_step="build")
CANCEL = RequestRow(1, "c", {"level": 1, "request_id": "c"})
APPROVE = RequestRow(2, "gate-7", {"path": "build", "approved": True, "by": "ada"})
DENY = RequestRow(3, "gate-7", {"path": "build", "approved": False, "by": "bob"})


def concluding(ended: RunEnded = PAUSED, **more: Any) -> Conclusion:
    """A run that ends, with a gate that asks."""
    gate = GateRecord(ApprovalRequested(path="build", stage="build", prompt="?"), seq=7, asked_at=0)
    return Conclusion(ended, {"build": gate}, {}, frozenset(), **more)


@pytest.mark.parametrize(
    ("rows", "status", "news"),
    [
        ([], SessionStatus.PAUSED, []),
        ([APPROVE], SessionStatus.PAUSED, [ApprovalDecided]),
        ([DENY], SessionStatus.DENIED, [ApprovalDecided]),
        ([CANCEL], SessionStatus.CANCELLED, [CancelRequested]),
        ([CANCEL, DENY], SessionStatus.CANCELLED, [CancelRequested, ApprovalDecided]),
        ([DENY, CANCEL], SessionStatus.DENIED, [ApprovalDecided]),
        ([APPROVE, CANCEL], SessionStatus.CANCELLED, [ApprovalDecided, CancelRequested]),
    ],
)
def test_what_comes_while_a_session_pauses(
    rows: list[RequestRow], status: SessionStatus, news: list[type[Any]]
) -> None:
    conclusion = concluding()
    events = conclusion.events(rows)
    assert [type(event) for event in events] == [*news, RunEnded]
    assert conclusion.ended.status is status
    answers = [conclusion.answer(row) for row in rows if row is CANCEL]
    assert answers == [APPLIED if status is SessionStatus.CANCELLED else TOO_LATE for _ in answers]


@pytest.mark.parametrize("status", [SessionStatus.COMPLETED, SessionStatus.FAILED, SessionStatus.CANCELLED])
def test_what_ends_otherwise_ends_so_and_keeps_the_decision(status: SessionStatus) -> None:
    conclusion = concluding(RunEnded(status=status))
    assert [type(event) for event in conclusion.events([DENY])] == [ApprovalDecided, RunEnded]
    assert conclusion.ended.status is status


def test_a_request_that_was_delivered_counts_too() -> None:
    asked = Cancellation(Level.IMMEDIATE)
    conclusion = concluding(cancellation=asked)
    (ended,) = conclusion.events([])
    assert ended == RunEnded(status=SessionStatus.CANCELLED, cancellation=asked, current_step="build")


def test_an_answer_to_what_was_asked_before_a_retry_decides_nothing() -> None:
    stale = RequestRow(4, "gate-2", DENY.body)
    conclusion = concluding()
    assert conclusion.events([stale]) == [PAUSED]


@pytest.mark.parametrize("row", [CANCEL, DENY])
def test_where_finally_steps_are_due_somebody_has_to_finish_it(row: RequestRow) -> None:
    conclusion = concluding(cleans_up=True)
    conclusion.events([row])
    assert conclusion.unfinished
    assert conclusion.ended is PAUSED
    assert conclusion.answer(CANCEL) is None  # the finisher's to answer
