"""The cache behind ``list``: what it says is what the sessions' own files say, whatever becomes of it."""

import os
import sqlite3
import time

import pytest

from tests.store.helpers import ID, a_session, end, lock_in, run_by
from trio_recipes.events import SessionStatus
from trio_recipes.progress.standing import Standing
from trio_recipes.store.requests import clear_cancellation
from trio_recipes.store.sqlite import SqliteStore


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of sessions whose own files are opened."""
    ids: list[str] = []
    standing = SqliteStore.standing

    def noted(store: SqliteStore, session_id: str) -> Standing:
        ids.append(session_id)
        return standing(store, session_id)

    monkeypatch.setattr(SqliteStore, "standing", noted)
    return ids


def finished(store: SqliteStore, status: SessionStatus = SessionStatus.CANCELLED, session_id: str = ID) -> None:
    """A session that has run and that nobody runs now."""
    lock = lock_in(store)
    opening = run_by(store, lock, session_id)
    end(opening, status)
    opening.connection.close()
    lock.release()
    rested(store, session_id)


def rested(store: SqliteStore, session_id: str = ID, seconds: float = 60) -> None:
    """Let the session's last change be a while ago."""
    then = time.time() - seconds
    os.utime(store.layout.database(session_id), (then, then))


def statuses(store: SqliteStore) -> dict[str, str]:
    return {name: getattr(found, "status", "damaged") for name, found in store.standings()}


def test_what_rests_is_read_once(store: SqliteStore, opened: list[str]) -> None:
    finished(store)
    first = list(store.standings())
    opened.clear()
    assert list(store.standings()) == first
    assert opened == []


def test_a_change_is_seen(store: SqliteStore, opened: list[str]) -> None:
    finished(store)
    assert statuses(store) == {ID: SessionStatus.CANCELLED}
    clear_cancellation(store.file(ID))
    rested(store, seconds=30)
    opened.clear()
    assert statuses(store) == {ID: SessionStatus.CREATED}
    assert opened == [ID]


def test_a_change_is_seen_although_the_times_have_been_put_back(store: SqliteStore) -> None:
    finished(store)
    assert statuses(store) == {ID: SessionStatus.CANCELLED}
    before = store.layout.database(ID).stat()
    clear_cancellation(store.file(ID))
    os.utime(store.layout.database(ID), ns=(before.st_atime_ns, before.st_mtime_ns))
    assert statuses(store) == {ID: SessionStatus.CREATED}


def test_what_has_just_changed_is_read_again(store: SqliteStore, opened: list[str]) -> None:
    finished(store)
    rested(store, seconds=0)
    list(store.standings())
    opened.clear()
    list(store.standings())
    assert opened == [ID]


def test_what_runs_or_never_ran_is_read_each_time(store: SqliteStore, opened: list[str]) -> None:
    lock = lock_in(store)
    opening = run_by(store, lock)
    a_session(store, f"1{ID[1:]}")
    for name in (ID, f"1{ID[1:]}"):
        rested(store, name)
    list(store.standings())
    opened.clear()
    assert statuses(store) == {ID: SessionStatus.RUNNING, f"1{ID[1:]}": SessionStatus.CREATED}
    assert len(opened) == 2
    opening.connection.close()
    lock.release()


def test_a_session_that_is_deleted_is_forgotten(store: SqliteStore) -> None:
    finished(store)
    list(store.standings())
    store.delete(ID)
    assert statuses(store) == {}
    with sqlite3.connect(store.layout.root / "index.db") as connection:
        assert connection.execute("SELECT count(*) FROM sessions").fetchone() == (0,)
    connection.close()


@pytest.mark.parametrize("content", [b"", b"no database at all, and long enough to be taken for one" * 99])
def test_a_damaged_cache_is_made_anew(store: SqliteStore, opened: list[str], content: bytes) -> None:
    finished(store)
    (store.layout.root / "index.db").write_bytes(content)
    assert statuses(store) == {ID: SessionStatus.CANCELLED}
    opened.clear()
    statuses(store)
    if content:  # it was deleted, and written with what was learned
        assert opened == []
    assert statuses(store) == {ID: SessionStatus.CANCELLED}


def test_entries_that_nobody_can_read_are_replaced(store: SqliteStore) -> None:
    finished(store)
    list(store.standings())
    for nonsense in ("[1]", "{}", "{", '{"status": "dancing"}'):
        connection = sqlite3.connect(store.layout.root / "index.db")
        connection.execute("UPDATE sessions SET standing = ?", (nonsense,))
        connection.commit()
        connection.close()
        assert statuses(store) == {ID: SessionStatus.CANCELLED}


def test_a_letter_that_changed_in_the_cache_is_not_where_a_session_stands(store: SqliteStore) -> None:
    finished(store)
    list(store.standings())
    connection = sqlite3.connect(store.layout.root / "index.db")
    connection.execute("UPDATE sessions SET standing = replace(standing, 'cancelled', 'completed')")
    connection.commit()
    connection.close()
    assert statuses(store) == {ID: SessionStatus.CANCELLED}


def test_a_cache_that_can_not_be_written_harms_nobody(store: SqliteStore) -> None:
    finished(store)
    (store.layout.root / "index.db").mkdir()
    assert statuses(store) == {ID: SessionStatus.CANCELLED}


def test_a_cache_that_somebody_holds_harms_nobody(store: SqliteStore) -> None:
    finished(store)
    list(store.standings())
    holder = sqlite3.connect(store.layout.root / "index.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    assert statuses(store) == {ID: SessionStatus.CANCELLED}
    holder.close()


def test_only_its_user_reads_it(store: SqliteStore) -> None:
    finished(store)
    list(store.standings())
    assert (store.layout.root / "index.db").stat().st_mode & 0o777 == 0o600
