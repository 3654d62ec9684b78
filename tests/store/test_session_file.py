"""One session's database: who may write, what a transaction holds, what a damaged file says."""

import sqlite3
import stat

import pytest

from tests.store.helpers import (
    ID,
    a_session,
    ask,
    created,
    end,
    in_state,
    lock_in,
    output,
    resumed,
    rows,
    run_by,
)
from trio_recipes.errors import (
    OwnershipLostError,
    SessionBusyError,
    SessionFinishedError,
    SessionNotFoundError,
    StoreTooNewError,
    StoreUnusableError,
    StoreWriteError,
)
from trio_recipes.events import Cancellation, CancellationStatus, CancelRequested, Level, SessionStatus
from trio_recipes.store.requests import answer_of, clear_cancellation, mark_cancelled
from trio_recipes.store.runs import begin, create
from trio_recipes.store.session_file import SessionFile
from trio_recipes.store.sqlite import SqliteStore


def seqs(file: SessionFile) -> list[int]:
    with file.reading() as connection:
        return [row[0] for row in file.rows(connection)]


def test_a_new_session_is_there_with_its_recipes(store: SqliteStore) -> None:
    file = a_session(store)
    assert seqs(file) == [1, 2]
    assert store.standing(ID).status is SessionStatus.CREATED


def test_files_are_for_their_user_only(store: SqliteStore) -> None:
    opening = run_by(store, lock_in(store))
    opening.file.append(opening.connection, opening.claim, rows(opening.last_seq, output()))
    folder = store.layout.session(ID)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_a_session_that_can_not_be_written_is_not_there(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object, **_more: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("trio_recipes.store.runs._append", full)
    with pytest.raises(StoreWriteError, match="full"):
        create(store.file(ID), created(), [], None)
    assert not store.exists(ID)


def test_a_session_whose_creator_died_half_way_stops_nobody(store: SqliteStore) -> None:
    store.file(ID).create().close()
    assert list(store.standings()) == []
    with pytest.raises(SessionNotFoundError, match="being created"):
        store.standing(ID)


def test_an_empty_database_is_one_that_is_being_created(store: SqliteStore) -> None:
    store.layout.session(ID).mkdir()
    store.layout.database(ID).touch()
    with pytest.raises(SessionNotFoundError, match="being created"):
        store.standing(ID)


def test_damage_to_one_session_stays_there(store: SqliteStore) -> None:
    a_session(store)
    other = ID.replace("0", "1", 1)
    file = a_session(store, other)
    file.layout.database(other).write_bytes(b"no database" * 1000)
    found = dict(store.standings())
    assert isinstance(found[other], StoreUnusableError)
    assert not isinstance(found[ID], Exception)


@pytest.mark.parametrize(
    ("pragma", "error"),
    [("user_version = 99", StoreTooNewError), ("application_id = 7", StoreUnusableError)],
)
def test_what_is_newer_or_not_ours_is_refused(store: SqliteStore, pragma: str, error: type) -> None:
    connection = a_session(store).connect()
    connection.execute(f"PRAGMA {pragma}")
    connection.close()
    with pytest.raises(error):
        store.standing(ID)


def test_there_is_no_such_session(store: SqliteStore) -> None:
    with pytest.raises(SessionNotFoundError):
        store.standing(ID)


# --- who may write -----------------------------------------------------------------------------------------------


def test_a_live_owner_is_not_taken_over(store: SqliteStore) -> None:
    opening = run_by(store, lock_in(store))
    with pytest.raises(SessionBusyError, match="process"):
        resumed(opening.file, lock_in(store))


def test_the_old_claim_of_a_session_taken_over_writes_nothing_more(store: SqliteStore) -> None:
    dead = lock_in(store)
    opening = run_by(store, dead)
    dead.release()
    heir = resumed(opening.file, lock_in(store))
    assert heir.died == dead.runner_id
    before = seqs(opening.file)
    with pytest.raises(OwnershipLostError, match="taken over"):
        opening.file.append(opening.connection, opening.claim, rows(opening.last_seq, output()))
    with pytest.raises(OwnershipLostError):
        end(opening, SessionStatus.COMPLETED)
    assert seqs(opening.file) == before
    opening.file.append(heir.connection, heir.claim, rows(heir.last_seq, output()))


def test_two_that_take_over_at_once_do_not_both_get_it(store: SqliteStore) -> None:
    file = in_state(store, SessionStatus.INTERRUPTED)
    resumed(file, lock_in(store))
    with pytest.raises(SessionBusyError):
        resumed(file, lock_in(store))


def test_a_check_that_refuses_changes_nothing(store: SqliteStore) -> None:
    file = in_state(store, SessionStatus.CANCELLED)
    before = seqs(file)

    def refuse(_progress: object) -> None:
        raise SessionFinishedError("no")

    with pytest.raises(SessionFinishedError):
        begin(file, lock_in(store), refuse)
    assert seqs(file) == before
    assert store.standing(ID).status is SessionStatus.CANCELLED


@pytest.mark.parametrize("status", [SessionStatus.COMPLETED, SessionStatus.DENIED])
def test_what_is_final_is_not_resumed(store: SqliteStore, status: SessionStatus) -> None:
    with pytest.raises(SessionFinishedError, match="final"):
        resumed(in_state(store, status), lock_in(store))


@pytest.mark.parametrize("status", ["paused", "failed", "cancelled", "interrupted", "created"])
def test_everything_else_may_be_resumed(store: SqliteStore, status: str) -> None:
    opening = resumed(in_state(store, SessionStatus(status)), lock_in(store))
    assert opening.run == (1 if status == "created" else 2)
    assert store.standing(ID).status is SessionStatus.RUNNING
    assert store.standing(ID).cancellation is CancellationStatus.NONE


# --- transactions ------------------------------------------------------------------------------------------------


def test_the_end_answers_every_request_in_the_same_transaction(store: SqliteStore) -> None:
    opening = run_by(store, lock_in(store))
    numbers = [ask(opening.file, name).number for name in "ab"]
    end(opening, SessionStatus.CANCELLED, answer="applied")
    assert [answer_of(opening.file, number or 0) for number in numbers] == ["applied", "applied"]
    with opening.file.reading() as connection:
        assert opening.file.owner(connection)[1] is None


def test_an_end_that_fails_answers_nothing(store: SqliteStore) -> None:
    opening = run_by(store, lock_in(store))
    number = ask(opening.file, "a").number
    taken = rows(opening.last_seq - 1, output())
    with pytest.raises(StoreWriteError):
        opening.file.end(opening.connection, opening.claim, lambda _requests: taken, lambda _row: "applied")
    assert answer_of(opening.file, number or 0) is None
    assert store.standing(ID).status is SessionStatus.CANCELLING


def test_a_disk_that_is_full_says_so(store: SqliteStore) -> None:
    opening = run_by(store, lock_in(store))
    pages = opening.connection.execute("PRAGMA page_count").fetchone()[0]
    opening.connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreWriteError, match="full"):
        opening.file.append(opening.connection, opening.claim, rows(opening.last_seq, output("x" * 100_000)))
    assert seqs(opening.file) == list(range(1, opening.last_seq + 1))


# --- administrative events ---------------------------------------------------------------------------------------


def test_cancelled_stays_until_it_is_cleared(store: SqliteStore) -> None:
    file = in_state(store, SessionStatus.CANCELLED)
    assert store.standing(ID).cancellation is CancellationStatus.CANCELLED
    clear_cancellation(file)
    assert store.standing(ID).cancellation is CancellationStatus.NONE


def test_clearing_does_not_bring_a_completed_session_back(store: SqliteStore) -> None:
    opening = run_by(store, lock_in(store))
    ask(opening.file, "a")
    requested = rows(opening.last_seq, CancelRequested(cancellation=Cancellation(Level.GRACEFUL, request_id="a")))
    opening.file.append(opening.connection, opening.claim, requested)
    end(opening, SessionStatus.COMPLETED, answer="too_late")
    clear_cancellation(opening.file)
    assert store.standing(ID).status is SessionStatus.COMPLETED


def test_a_session_that_nobody_started_can_be_marked_cancelled(store: SqliteStore) -> None:
    file = a_session(store)
    assert mark_cancelled(file, "a")
    assert store.standing(ID).status is SessionStatus.CANCELLED
    assert not mark_cancelled(file, "a")


@pytest.mark.parametrize("status", ["completed", "denied", "failed", "cancelled"])
def test_marking_does_not_change_how_a_session_ended(store: SqliteStore, status: str) -> None:
    file = in_state(store, SessionStatus(status))
    assert not mark_cancelled(file, None)
    assert store.standing(ID).status == status


def test_a_live_session_is_only_its_runners_to_end(store: SqliteStore) -> None:
    opening = run_by(store, lock_in(store))
    with pytest.raises(SessionBusyError):
        mark_cancelled(opening.file, None)
    with pytest.raises(SessionBusyError):
        clear_cancellation(opening.file)
