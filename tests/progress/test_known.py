"""Paths, the tables of legal moves, where a session stands, and the fold of events."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_recipes.events import (
    AttemptFailed,
    AttemptStarted,
    Cancellation,
    CancellationStatus,
    CancelRequested,
    Event,
    Level,
    Output,
    RunEnded,
    RunStarted,
    ScopeFinished,
    ScopeStarted,
    ScopeStatus,
    SessionStatus,
    Stamped,
    Waiting,
)
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.progress import path as paths
from trio_recipes.progress.fold import Progress, fold
from trio_recipes.progress.standing import Row, Standing, standing_of
from trio_recipes.progress.tables import FINISHED, REQUESTS, RESUMABLE, SCOPE_MOVES, SESSION_MOVES, Effect, judge

# --- paths -------------------------------------------------------------------------------------------------------


def test_paths_are_put_together() -> None:
    assert paths.child("", "audit") == "audit"
    assert paths.child(paths.iteration(paths.child("audit", "scan"), 3), "report") == "audit/scan[3]/report"


@pytest.mark.parametrize(
    ("outer", "inner", "inside"),
    [
        ("", "a", True),
        ("a", "a", True),
        ("a", "a/b", True),
        ("a", "a[0]", True),
        ("a", "a[0]/b", True),
        ("a", "ab", False),
        ("a[1]", "a[10]", False),
        ("a/b", "a", False),
        ("a", "", False),
    ],
)
def test_what_a_path_contains(outer: str, inner: str, inside: bool) -> None:
    assert paths.contains(outer, inner) is inside


@pytest.mark.parametrize("path", ["", "a", "stage one/scan[3]/report", "a/~finally/b", "a" * 50, "-a_"])
def test_paths_that_are_some(path: str) -> None:
    assert paths.is_valid(path)


@pytest.mark.parametrize(
    "path", ["/", "a/", "/a", "a//b", "../x", "a[b]", "a[]", "a\n", "é", "a.b", "a" * 5000, "~other"]
)
def test_paths_that_are_none(path: str) -> None:
    assert not paths.is_valid(path)


# --- tables ------------------------------------------------------------------------------------------------------

LEVELS = list(Level)
ASKED = [Level.GRACEFUL, Level.IMMEDIATE]
EVERY_REQUEST = list(itertools.product(SessionStatus, LEVELS, ASKED, [False, True]))


@pytest.mark.parametrize(("status", "now", "asked", "escalates"), EVERY_REQUEST)
def test_every_request_has_a_verdict_and_no_level_falls(
    status: SessionStatus, now: Level, asked: Level, escalates: bool
) -> None:
    verdict = judge(status, now, asked, escalates=escalates)
    assert verdict.level >= now
    assert (verdict.effect is Effect.RAISE) == (verdict.level > now)
    if verdict.accepted:
        assert verdict.level >= asked


def test_only_a_second_graceful_request_escalates() -> None:
    differ = [key for key, (escalating, plain) in REQUESTS.items() if escalating != plain]
    assert differ == [(Level.GRACEFUL, Level.GRACEFUL)]


def test_what_is_final_moves_nowhere() -> None:
    assert {status for status, moves in SESSION_MOVES.items() if not moves} == FINISHED
    assert set(SESSION_MOVES) == set(SessionStatus)
    assert set(SCOPE_MOVES) == set(ScopeStatus)


def test_what_is_resumable_may_run() -> None:
    assert all(SessionStatus.RUNNING in SESSION_MOVES[status] for status in RESUMABLE)


# --- where a session stands --------------------------------------------------------------------------------------

ENDS = ["completed", "failed", "cancelled", "paused", "interrupted"]
START: Any = ("run_started", {})
CLEAR: Any = ("cancellation_cleared", {})


def ended(status: str) -> tuple[str, dict[str, Any]]:
    return "run_ended", {"status": status}


def asked(level: int, at: str = "") -> tuple[str, dict[str, Any]]:
    return "cancel_requested", {"cancellation": {"level": level, "at": at}}


REQUEST = st.builds(asked, st.sampled_from([1, 2]), st.sampled_from(["", "scan"]))
LIFE = st.one_of(st.just(START), st.builds(ended, st.sampled_from(ENDS)), REQUEST, st.just(CLEAR))


def standing(*life: tuple[str, dict[str, Any]], alive: bool = False) -> Standing:
    rows = [Row(1, 1, "session_created", {"session_id": "s"})]
    rows += [Row(n, n, event, body) for n, (event, body) in enumerate(life, 2)]
    return standing_of(rows, [], owned=alive, alive=alive)


@given(st.lists(LIFE, max_size=8), st.lists(REQUEST, max_size=3))
def test_cancelled_stays_until_it_is_cleared_or_run_again(before: list[Any], after: list[Any]) -> None:
    assert standing(*before, ended("cancelled"), *after).cancellation is CancellationStatus.CANCELLED
    assert standing(*before, ended("cancelled"), CLEAR).cancellation is CancellationStatus.NONE
    assert standing(*before, ended("cancelled"), START, alive=True).cancellation is CancellationStatus.NONE


@given(st.lists(LIFE, max_size=8), st.lists(REQUEST | st.just(CLEAR), max_size=5))
def test_completed_stays_completed(before: list[Any], after: list[Any]) -> None:
    assert standing(*before, ended("completed"), *after).status is SessionStatus.COMPLETED


@given(st.lists(REQUEST, max_size=8))
def test_the_level_of_a_run_only_rises(requests: list[Any]) -> None:
    levels = [standing(START, *requests[:n], alive=True).level for n in range(len(requests) + 1)]
    assert levels == sorted(levels)


@pytest.mark.parametrize(
    ("life", "alive", "status"),
    [
        ([], False, SessionStatus.CREATED),
        ([START], True, SessionStatus.RUNNING),
        ([START, asked(1)], True, SessionStatus.CANCELLING),
        ([START, asked(2, "scan")], True, SessionStatus.RUNNING),
        ([START], False, SessionStatus.INTERRUPTED),
        ([START, asked(1)], False, SessionStatus.INTERRUPTED),
        ([ended("cancelled")], False, SessionStatus.CANCELLED),
        ([START, ended("cancelled"), CLEAR], False, SessionStatus.CREATED),
        ([START, ended("paused"), CLEAR], False, SessionStatus.PAUSED),
        ([START, ended("failed"), START], True, SessionStatus.RUNNING),
    ],
)
def test_where_it_stands(life: list[Any], alive: bool, status: SessionStatus) -> None:
    assert standing(*life, alive=alive).status is status


def test_a_part_has_the_level_of_what_is_around_it() -> None:
    found = standing(START, asked(1), asked(2, "audit"), alive=True)
    assert [found.level_at(at) for at in ("", "other", "audit", "audit/scan[1]")] == [1, 1, 2, 2]


# --- the fold ----------------------------------------------------------------------------------------------------

PATH = st.sampled_from(["", "a", "a[0]", "a[0]/b", "c"])
FAILURE = Failure(FailureKind.EXIT, "no")
EVENT = st.one_of(
    st.builds(RunStarted, runner=st.just("r"), host=st.just("h"), pid=st.just(1)),
    st.builds(ScopeStarted, path=PATH, kind=st.just("bash")),
    st.builds(
        ScopeFinished,
        path=PATH,
        status=st.sampled_from(["completed", "failed", "cancelled", "skipped"]).map(ScopeStatus),
    ),
    st.builds(Output, path=PATH, channel=st.just("stdout"), data=st.binary(max_size=3)),
    st.builds(Waiting, path=PATH, what=st.just("backoff")),
    st.builds(AttemptFailed, path=PATH, failure=st.just(FAILURE), delay=st.just(1.0)),
    st.builds(AttemptStarted, path=PATH, attempt=st.integers(2, 4)),
    st.builds(CancelRequested, cancellation=st.just(Cancellation(Level.GRACEFUL))),
    st.builds(RunEnded, status=st.just(SessionStatus.CANCELLED)),
)


def stamped(events: list[Event]) -> list[Stamped]:
    return [Stamped(seq, 1, seq * 10, event) for seq, event in enumerate(events, 1)]


@given(st.lists(EVENT, max_size=25), st.integers(0, 25))
def test_folding_in_two_goes_is_folding_at_once(events: list[Event], cut: int) -> None:
    every = stamped(events)
    progress = fold(every[:cut])
    for one in every[cut:]:
        progress.apply(one)
    assert progress == fold(every)


def known(*events: Event) -> Progress:
    return fold(stamped(list(events)))


def test_a_failed_attempt_makes_what_stands_below_void() -> None:
    progress = known(
        ScopeStarted(path="a", kind="recipe"),
        ScopeStarted(path="a/b", kind="bash"),
        ScopeFinished(path="a/b", status=ScopeStatus.COMPLETED),
        ScopeStarted(path="ab", kind="bash"),
        AttemptFailed(path="a", failure=FAILURE, delay=1),
    )
    assert list(progress.records) == ["a", "ab"]


def test_only_the_last_attempts_output_counts() -> None:
    progress = known(
        ScopeStarted(path="a", kind="bash"),
        Output(path="a", channel="stdout", data=b"old"),
        AttemptFailed(path="a", failure=FAILURE, delay=1),
        AttemptStarted(path="a", attempt=2),
        Output(path="a", channel="stdout", data=b"n"),
        Output(path="a", channel="stdout", data=b"ew"),
        Output(path="a", channel="stdout", data=b"late", background=True),
    )
    assert progress.records["a"].output("stdout") == b"new"
    assert progress.records["a"].attempts == 2


def test_what_was_under_way_when_the_events_stop_is_interrupted_at_the_next_run() -> None:
    run = RunStarted(runner="r", host="h", pid=1)
    progress = known(run, ScopeStarted(path="a", kind="bash"), Waiting(path="a", what="backoff"), run)
    assert progress.records["a"].status is ScopeStatus.INTERRUPTED
    assert (progress.records["a"].waits_for, progress.run) == ("", 2)


@pytest.mark.parametrize(
    ("status", "handled", "final"),
    [
        ("completed", False, True),
        ("skipped", False, True),
        ("failed", True, True),
        ("failed", False, False),
        ("cancelled", False, False),
    ],
)
def test_what_a_resume_reuses(status: str, handled: bool, final: bool) -> None:
    progress = known(
        ScopeStarted(path="a", kind="bash"), ScopeFinished(path="a", status=ScopeStatus(status), handled=handled)
    )
    assert (progress.finished("a") is not None) is final
