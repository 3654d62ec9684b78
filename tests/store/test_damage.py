"""What a session's file says that no session can say is an error of that session, told in one line."""

import os
import sqlite3
from pathlib import Path

import pytest

from tests.store.helpers import ID, a_session, ask, in_state, lock_in, output, resumed, rows, run_by
from trio_recipes.errors import SessionDamagedError, SessionNotFoundError, StoreUnusableError, StoreWriteError
from trio_recipes.events import RequestAnswered, SessionStatus
from trio_recipes.store.codec import from_row
from trio_recipes.store.runs import preview
from trio_recipes.store.session_file import SessionFile
from trio_recipes.store.sqlite import SqliteStore

OTHER = ID.replace("0", "1", 1)


def edit(file: SessionFile, statement: str, *values: object) -> None:
    """Do to a session's database what nothing of ours does."""
    connection = sqlite3.connect(file.layout.database(file.session_id))
    with connection:
        connection.execute(statement, values)
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET body = '{' WHERE event = 'session_created'",
        "UPDATE events SET body = '[]' WHERE event = 'session_created'",
        "UPDATE events SET body = x'ff' WHERE event = 'session_created'",
        "UPDATE events SET body = replace(body, 'project_path', 'qroject_path') WHERE event = 'session_created'",
        "UPDATE events SET at = 8361213000000000000 WHERE event = 'session_created'",
        "UPDATE owner SET body = 'nobody'",
        "UPDATE owner SET runner = '../../somewhere/else'",
        "DELETE FROM owner",
        "DROP TABLE answers",
        "INSERT INTO requests VALUES (1, 'a', 1, 'nonsense', 0)",
    ],
)
def test_a_standing_that_can_not_be_read(store: SqliteStore, statement: str) -> None:
    file = a_session(store)
    a_session(store, OTHER)
    edit(file, statement)
    with pytest.raises(StoreUnusableError, match=ID):
        store.standing(ID)
    with pytest.raises(StoreUnusableError, match=ID):
        ask(file, "request")
    found = dict(store.standings())
    assert isinstance(found[ID], StoreUnusableError)
    assert not isinstance(found[OTHER], Exception)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET body = '{' WHERE event = 'output'",
        "UPDATE events SET body = '{\"channel\": \"stdout\"' WHERE event = 'output'",
        "UPDATE events SET path = x'ff' WHERE event = 'output'",
        "UPDATE events SET data = 'text' WHERE event = 'output'",
        "UPDATE events SET at = 8361213000000000000 WHERE event = 'output'",
        "UPDATE events SET event = x'00' WHERE event = 'output'",
        "DELETE FROM events WHERE event = 'output'",
    ],
)
def test_an_event_that_can_not_be_read(store: SqliteStore, statement: str) -> None:
    lock = lock_in(store)
    opening = run_by(store, lock)
    opening.file.append(opening.connection, opening.claim, rows(opening.last_seq, output(), output()))
    opening.connection.close()
    lock.release()
    edit(opening.file, statement + " AND seq = 3")
    with pytest.raises(StoreUnusableError, match="damaged"):
        preview(opening.file)
    with pytest.raises(StoreUnusableError, match="damaged"):
        resumed(opening.file, lock_in(store))
    assert store.standing(ID).status is SessionStatus.INTERRUPTED


COLUMNS = {
    "events": ("seq", "run", "at", "event", "path", "body", "data", "crc"),
    "requests": ("number", "id", "at", "body", "crc"),
    "answers": ("number", "at", "answer", "crc"),
    "owner": ("epoch", "runner", "body", "events", "lifecycle", "requests", "answers", "crc"),
}


def a_full_session(store: SqliteStore) -> SessionFile:
    """A session with rows in all of its tables: it was asked to stop, and its runner died."""
    lock = lock_in(store)
    opening = run_by(store, lock)
    file = opening.file
    ask(file, "first")
    answered = RequestAnswered(request_id="first", answer="applied")
    file.append(opening.connection, opening.claim, rows(opening.last_seq, output(), answered, output("y"), output("z")))
    ask(file, "second")
    opening.connection.close()
    lock.release()
    return file


def read_everything(file: SessionFile) -> object:
    """What a session says, all of it."""
    with file.reading() as connection:
        return (
            file.standing(connection),
            file.rows(connection),
            [file.request(connection, name) for name in ("first", "second")],
            file.owner(connection),
        )


@pytest.mark.parametrize(("table", "column"), [(table, name) for table, names in COLUMNS.items() for name in names])
def test_no_value_of_any_row_changes_unnoticed(store: SqliteStore, table: str, column: str) -> None:
    file = a_full_session(store)
    before = read_everything(file)
    connection = sqlite3.connect(file.layout.database(ID), isolation_level=None)
    kept = connection.execute(f"SELECT rowid, {column} FROM {table} WHERE {column} IS NOT NULL").fetchall()
    assert kept
    for rowid, value in kept:
        for other in _others(value):
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (other, rowid))
            with pytest.raises(StoreUnusableError, match="damaged"):
                read_everything(file)
            moved = other if column in ("seq", "number") else rowid
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, moved))
    connection.close()
    assert read_everything(file) == before


def _others(value: int | str | bytes) -> list[int | str | bytes]:
    """Values that differ by a bit, by a letter, by their type."""
    if isinstance(value, int):
        return [value + 1000, value ^ 1 << 20, -value - 7]
    if isinstance(value, bytes):
        return [bytes([value[0] ^ 1]) + value[1:], value + b"\0", value.decode()]
    return [chr(ord(value[0]) ^ 1) + value[1:], value[:-1], value.encode()] if value else ["x", b""]


@pytest.mark.parametrize("table", [*COLUMNS])
def test_no_row_is_lost_unnoticed(store: SqliteStore, table: str) -> None:
    file = in_state(store, SessionStatus.COMPLETED) if table == "events" else a_full_session(store)
    connection = sqlite3.connect(file.layout.database(ID), isolation_level=None)
    for (rowid,) in connection.execute(f"SELECT rowid FROM {table}").fetchall():
        connection.execute("CREATE TABLE kept AS SELECT * FROM " + f"{table} WHERE rowid = {rowid}")
        connection.execute(f"DELETE FROM {table} WHERE rowid = {rowid}")
        with pytest.raises(StoreUnusableError, match="damaged"):
            read_everything(file)
        connection.executescript(f"INSERT INTO {table} SELECT * FROM kept; DROP TABLE kept")
    connection.close()
    read_everything(file)


def test_a_record_of_another_session_is_none_of_this_one(store: SqliteStore) -> None:
    """A file that was restored under another name, or a page that strayed."""
    file, other = a_session(store), a_session(store, OTHER)
    file.layout.database(ID).write_bytes(other.layout.database(OTHER).read_bytes())
    with pytest.raises(StoreUnusableError, match=ID):
        read_everything(file)


def page_of(database: Path, name: str) -> int:
    """Where the first page of a table or an index begins; the file is whole, without a log."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    found: int = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0]
    connection.close()
    return (found - 1) * 4096


CELLS = 4
"""Where a page says how many cells it has, in the lower of two bytes; where they are, it says from byte 8 on."""


def test_an_index_that_has_lost_an_entry_does_not_change_where_a_session_stands(store: SqliteStore) -> None:
    database = in_state(store, SessionStatus.COMPLETED).layout.database(ID)
    page, data = page_of(database, "lifecycle"), bytearray(database.read_bytes())
    data[page + CELLS] -= 1
    database.write_bytes(data)
    with pytest.raises(StoreUnusableError, match="of 3 events of its lifecycle 2 are there"):
        store.standing(ID)


def test_an_index_that_names_an_event_twice_does_not_change_where_a_session_stands(store: SqliteStore) -> None:
    database = in_state(store, SessionStatus.COMPLETED).layout.database(ID)
    page, data = page_of(database, "lifecycle"), bytearray(database.read_bytes())
    last = page + 8 + 2 * (data[page + CELLS] - 1)
    data[last : last + 2] = data[last - 2 : last]
    database.write_bytes(data)
    with pytest.raises(StoreUnusableError, match="of 3 events of its lifecycle 2 are there"):
        store.standing(ID)


def test_the_last_events_of_a_session_whose_runner_died_are_not_lost_unnoticed(store: SqliteStore) -> None:
    """They are not counted yet: their pages are looked at."""
    lock = lock_in(store)
    opening = run_by(store, lock)
    file, database = opening.file, opening.file.layout.database(ID)
    file.append(opening.connection, opening.claim, rows(opening.last_seq, output(), output("y")))
    opening.connection.close()
    lock.release()
    page, data = page_of(database, "events"), bytearray(database.read_bytes())
    data[page + CELLS] -= 1
    database.write_bytes(data)
    with pytest.raises(StoreUnusableError, match="pages"):
        read_everything(file)
    with pytest.raises(StoreUnusableError, match="pages"):
        resumed(file, lock_in(store))


def test_a_damaged_record_is_named_and_what_to_do_is_told(store: SqliteStore) -> None:
    file = a_full_session(store)
    edit(file, "UPDATE events SET data = x'79' WHERE seq = 3")
    with pytest.raises(StoreUnusableError) as caught:
        preview(file)
    text = str(caught.value)
    assert f"session {ID} can't be read (event 3 is not what was written)" in text
    assert f"export {ID} FILE" in text


def test_a_session_that_is_being_made_or_deleted_is_not_damaged(store: SqliteStore) -> None:
    file = a_full_session(store)
    late = file.connect()
    assert store.delete(ID)
    with pytest.raises(SessionNotFoundError), file.transaction(late):
        file.standing(late)
    late.close()


def test_a_row_that_holds_nothing_is_none_of_a_newer_version() -> None:
    with pytest.raises(StoreUnusableError):
        from_row((1, 1, 1, None, "", "{}", None))  # type: ignore[arg-type]


def test_names_that_are_no_text_are_damage(store: SqliteStore) -> None:
    """Python's module decodes what SQLite says of a damaged schema, and fails at that."""
    file = in_state(store, SessionStatus.COMPLETED)
    database = file.layout.database(ID)
    database.write_bytes(database.read_bytes().replace(b"CREATE TABLE answers", b"CREATE\xffTABLE answers"))
    with pytest.raises(StoreUnusableError, match="damaged"):
        store.standing(ID)


def test_a_file_that_was_emptied_is_told_once_nobody_can_be_creating_it(store: SqliteStore) -> None:
    file = in_state(store, SessionStatus.COMPLETED)
    file.layout.database(ID).write_bytes(b"")
    assert list(store.standings()) == []
    folder = file.layout.session(ID)
    os.utime(folder, (1, 1))
    ((name, found),) = store.standings()
    assert name == ID
    assert isinstance(found, SessionDamagedError)
    with pytest.raises(SessionNotFoundError):
        store.resolve("@last")


def test_the_last_session_is_one_that_is_there(store: SqliteStore) -> None:
    """A creation that was killed leaves a folder behind, with a newer name than the last session's."""
    a_session(store)
    store.file("f" * 16 + "-20260101-120001_recipe").create().close()
    assert store.resolve("@last") == ID


def test_a_folder_that_can_not_be_made_is_a_disk_to_see_to(store: SqliteStore) -> None:
    store.layout.sessions.rmdir()
    with pytest.raises(StoreWriteError, match=str(store.layout.root)):
        a_session(store)


def test_what_somebody_runs_is_not_deleted(store: SqliteStore) -> None:
    opening = run_by(store, lock_in(store))
    assert not store.delete(ID)
    assert store.standing(ID).alive
    opening.connection.close()


def test_who_takes_a_session_over_while_it_is_deleted_finds_none(store: SqliteStore) -> None:
    """The files of a session are not gone at once: who has opened them before must not run what is left of them."""
    file = in_state(store, SessionStatus.FAILED)
    late = file.connect()
    assert store.delete(ID)
    lock = lock_in(store)
    with pytest.raises(SessionNotFoundError), file.transaction(late):
        file.take(late, lock.runner_id, lock.describe(), lambda _standing: None)
    late.close()
    assert list(store.standings()) == []
