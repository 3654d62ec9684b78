"""Requests to stop from outside: durable, the same twice is one, decided by the table, answered once."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.store.helpers import ID, a_session, ask, end, in_state, lock_in, resumed, run_by
from trio_recipes.errors import SessionError, SessionNotFoundError, StoreWriteError, UnknownScopeError
from trio_recipes.events import CancellationStatus, Level, SessionStatus
from trio_recipes.progress.tables import Effect
from trio_recipes.store import database
from trio_recipes.store.requests import answer_of, delivered
from trio_recipes.store.sqlite import SqliteStore

GRACEFUL, IMMEDIATE = 1, 2


def test_a_request_shows_at_once_and_before_its_owner_has_seen_it(store: SqliteStore) -> None:
    opening = run_by(store, lock_in(store))
    ack = ask(opening.file, "a")
    assert (ack.accepted, ack.effect, ack.level) == (True, Effect.RAISE, Level.GRACEFUL)
    assert store.standing(ID).cancellation is CancellationStatus.REQUESTED
    assert store.standing(ID).status is SessionStatus.CANCELLING


def test_a_file_that_somebody_keeps_locked_is_told_as_that(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    opening = run_by(store, lock_in(store))
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    opening.connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreWriteError, match="keeps its file locked, and nothing was changed: try again"):
        ask(opening.file, "a")
    opening.connection.execute("ROLLBACK")
    assert ask(opening.file, "a").accepted


def test_a_request_that_is_made_while_others_are_read_is_no_damage(store: SqliteStore) -> None:
    opening = run_by(store, lock_in(store))
    ask(opening.file, "a")
    asked: list[str] = []

    def ask_in_between(statement: str) -> None:
        if "FROM owner" in statement and not asked:
            asked.append(statement)
            ask(opening.file, "b")

    opening.connection.set_trace_callback(ask_in_between)
    assert [row.id for row in opening.file.unanswered(opening.connection)] == ["a"]
    assert [row.id for row in opening.file.unanswered(opening.connection)] == ["a", "b"]
    assert asked


def test_the_same_id_is_the_same_request(store: SqliteStore) -> None:
    opening = run_by(store, lock_in(store))
    first, again = ask(opening.file, "a"), ask(opening.file, "a")
    assert again.number == first.number
    assert again.level is Level.GRACEFUL
    assert store.standing(ID).cancellation is CancellationStatus.REQUESTED


def test_another_graceful_request_escalates_where_people_expect_it(store: SqliteStore) -> None:
    opening = run_by(store, lock_in(store))
    ask(opening.file, "a")
    assert ask(opening.file, "b", escalates=False).effect is Effect.JOIN
    ack = ask(opening.file, "c", escalates=True)
    assert (ack.effect, ack.level) == (Effect.RAISE, Level.IMMEDIATE)
    with opening.file.reading() as connection:
        _, escalates, forced = delivered(opening.file.unanswered(connection)[-1])
    assert (escalates, forced) == (True, False)


def test_a_second_request_with_grace_does_not_escalate(store: SqliteStore) -> None:
    opening = run_by(store, lock_in(store))
    ask(opening.file, "a")
    assert ask(opening.file, "b", grace=5.0).level is Level.GRACEFUL


def test_immediate_asked_again_is_force(store: SqliteStore) -> None:
    opening = run_by(store, lock_in(store))
    ask(opening.file, "a", IMMEDIATE)
    assert ask(opening.file, "b", IMMEDIATE).effect is Effect.FORCE
    with opening.file.reading() as connection:
        assert delivered(opening.file.unanswered(connection)[-1])[2]


def test_a_plain_request_after_an_immediate_one_lowers_nothing(store: SqliteStore) -> None:
    opening = run_by(store, lock_in(store))
    ask(opening.file, "a", IMMEDIATE)
    assert ask(opening.file, "b").level is Level.IMMEDIATE
    assert store.standing(ID).cancellation is CancellationStatus.IMMEDIATE


@pytest.mark.parametrize(
    ("status", "effect"),
    [
        (SessionStatus.COMPLETED, Effect.TOO_LATE),
        (SessionStatus.DENIED, Effect.TOO_LATE),
        (SessionStatus.FAILED, Effect.TOO_LATE),
        (SessionStatus.CANCELLED, Effect.ALREADY),
    ],
)
def test_what_has_ended_is_not_stopped(store: SqliteStore, status: SessionStatus, effect: Effect) -> None:
    file = in_state(store, status)
    ack = ask(file, "a")
    assert (ack.accepted, ack.effect, ack.number) == (False, effect, None)
    assert store.standing(ID).status is status


@pytest.mark.parametrize("status", [SessionStatus.PAUSED, SessionStatus.INTERRUPTED])
def test_what_nobody_runs_is_cancelled_by_who_asks(store: SqliteStore, status: SessionStatus) -> None:
    file = in_state(store, status)
    ack = ask(file, "a", reason="no longer needed")
    assert ack.status is SessionStatus.CANCELLED
    assert answer_of(file, ack.number or 0) == "applied"
    standing = store.standing(ID)
    assert standing.cancellation is CancellationStatus.CANCELLED
    assert standing.ended is not None
    assert standing.ended["cancellation"]["reason"] == "no longer needed"


def test_a_request_before_the_start_is_kept_for_it(store: SqliteStore) -> None:
    file = a_session(store)
    ack = ask(file, "a")
    assert ack.status is SessionStatus.CREATED
    assert [row.id for row in resumed(file, lock_in(store)).early] == ["a"]
    assert answer_of(file, ack.number or 0) is None


def test_a_resume_answers_what_a_dead_runner_left_open(store: SqliteStore) -> None:
    lock = lock_in(store)
    opening = run_by(store, lock)
    ack = ask(opening.file, "a")
    lock.release()
    heir = resumed(opening.file, lock_in(store))
    assert heir.early == []
    assert answer_of(opening.file, ack.number or 0) is not None
    assert store.standing(ID).level is Level.NONE


@pytest.mark.parametrize("status", [SessionStatus.PAUSED, SessionStatus.INTERRUPTED])
def test_no_part_runs_of_what_nobody_runs(store: SqliteStore, status: SessionStatus) -> None:
    with pytest.raises(SessionError, match="no part of it runs"):
        ask(in_state(store, status), "a", at="scan[1]")


def test_parts_have_levels_of_their_own_and_those_around_them(store: SqliteStore) -> None:
    opening = run_by(store, lock_in(store))
    assert ask(opening.file, "a", at="audit").effect is Effect.RAISE
    assert ask(opening.file, "b", at="report").effect is Effect.RAISE
    assert ask(opening.file, "c", at="audit/scan", escalates=False).effect is Effect.JOIN
    assert store.standing(ID).level is Level.NONE


def test_a_path_from_outside_is_checked(store: SqliteStore) -> None:
    opening = run_by(store, lock_in(store))
    with pytest.raises(UnknownScopeError, match=r"no path"):
        ask(opening.file, "a", at="../../etc")


def test_there_is_no_such_session(store: SqliteStore) -> None:
    with pytest.raises(SessionNotFoundError):
        ask(store.file(ID), "a")
    with pytest.raises(SessionNotFoundError):
        ask(store.file("../../etc/passwd"), "a")


ASKER = """
import sys
from pathlib import Path
from tests.store.helpers import ask, open_store
store = open_store(Path(sys.argv[1]))
for n in range(10):
    print(ask(store.file(sys.argv[2]), f"{sys.argv[3]}-{n}", escalates=False).number)
"""


def test_eight_processes_ask_at_once_and_each_request_is_durable_and_answered(
    store: SqliteStore, tmp_path: Path
) -> None:
    opening = run_by(store, lock_in(store))
    command = [sys.executable, "-c", ASKER, str(tmp_path), ID]
    askers = [subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, text=True) for n in range(8)]
    printed = [asker.communicate(timeout=60)[0].split() for asker in askers]
    assert [asker.returncode for asker in askers] == [0] * 8
    numbers = [int(number) for numbers in printed for number in numbers]
    assert sorted(numbers) == list(range(1, 81))
    end(opening, SessionStatus.CANCELLED)
    assert Counter(answer_of(opening.file, number) for number in numbers) == {"applied": 80}
