"""What a session's file says that no session can say is an error of that session, told in one line."""

import os
import sqlite3
from pathlib import Path

import pytest

from tests.store.helpers import ID, a_session, ask, in_state, lock_in, open_store, output, resumed, rows, run_by
from trio_recipes.errors import SessionNotFoundError, StoreUnusableError, StoreWriteError
from trio_recipes.events import SessionStatus
from trio_recipes.store.codec import from_row
from trio_recipes.store.runs import preview
from trio_recipes.store.session_file import SessionFile
from trio_recipes.store.sqlite import SqliteStore

OTHER = ID.replace("0", "1", 1)


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return open_store(tmp_path)


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
        "INSERT INTO requests VALUES (1, 'a', 1, 'nonsense')",
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
    assert (name, type(found)) == (ID, StoreUnusableError)
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
