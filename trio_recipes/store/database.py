"""The SQLite file of one session: its tables, how it is made, and how it is opened."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Final

from trio_recipes.errors import SessionNotFoundError, StoreTooNewError, StoreUnusableError
from trio_recipes.statuses import LIFECYCLE
from trio_recipes.store import damage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMA_VERSION: Final = 2
BUSY_SECONDS: Final = 5.0
"""How long a statement waits for the lock of another connection."""

_FREQUENT: Final = (
    "event NOT IN ('agent_answered', 'attempt_failed', 'attempt_started', 'output', 'request_answered', 'resisted', "
    "'scope_finished', 'scope_started', 'signalled', 'waiting', 'warned', 'work_ended')"
)
"""Leaves out the kinds of which a session has many. In this schema for good: SQLite uses an index only for a query of
the very same condition, so the list must not follow the kinds that later versions add."""

_LIFECYCLE: Final = ", ".join(f"'{name}'" for name in sorted(LIFECYCLE))

LIFE: Final = f"{_FREQUENT} AND event IN ({_LIFECYCLE})"
"""The condition for the few events from which a session's standing is derived; the index serves it."""

_INDEX: Final = f"CREATE INDEX lifecycle ON events (seq) WHERE {_FREQUENT}"

_APPLICATION_ID = 0x7472_6563  # "trec"

_SCHEMA = f"""
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, run INTEGER NOT NULL, at INTEGER NOT NULL, event TEXT NOT NULL, path TEXT NOT NULL,
    body TEXT NOT NULL, data BLOB);
{_INDEX};
CREATE TABLE requests (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE answers (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, answer TEXT NOT NULL);
CREATE TABLE owner (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, runner TEXT, body TEXT NOT NULL);
INSERT INTO owner VALUES (1, 0, NULL, '{{}}');
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""  # noqa: S608  every part is a constant of ours

_UPGRADES: Final[Mapping[int, tuple[str, ...]]] = {
    1: ("DROP INDEX lifecycle", _INDEX),  # which had the kinds of its own version in it
}
"""What makes a session of one version one of the next."""


def create(file: Path, durability: str) -> sqlite3.Connection:
    """Make an empty database, readable by its user only; its folder is there.

    Raises:
        OSError: if the file can't be made.
        sqlite3.Error: if it can't be written.
    """
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = _open(file)
    try:
        _set_durability(connection, durability)
        connection.execute("PRAGMA journal_mode = WAL")
        _sync_folder(file.parent)
    except BaseException:
        connection.close()
        raise
    return connection


def lay_out(connection: sqlite3.Connection) -> None:
    """Make the tables, within a transaction."""
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)


def connect(file: Path, durability: str) -> sqlite3.Connection:
    """Open a session's database for reading and writing.

    Raises:
        SessionNotFoundError: if it is empty.
        StoreUnusableError: if it is not one of ours, damaged, or can't be opened.
        StoreTooNewError: if a newer version wrote it.
    """
    connection = None
    try:
        connection = _open(file)
        _set_durability(connection, durability)
        _check(connection, file)
    except damage.UNREADABLE as error:
        if connection is not None:
            connection.close()
        raise damage.unreadable(file, error) from error
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return connection


def upgrade(connection: sqlite3.Connection) -> None:
    """Make a session that an older version wrote one of ours, in one transaction; nobody may be running it.

    Raises:
        sqlite3.Error: if it can't be written; it stays what it was.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        for version in range(version_of(connection), SCHEMA_VERSION):
            for statement in _UPGRADES[version]:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def version_of(connection: sqlite3.Connection) -> int:
    """The version of the schema that a session is in."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def connect_to_look(file: Path, durability: str) -> sqlite3.Connection:
    """Open a session's database for reading, even where nothing can be written: a full disk, a folder of others.

    SQLite needs a file beside a database for readers, too. Where it can't make one, nobody writes to the database
    either; if all there is to know is in its main file, that is read as it stands. Raises as :func:`connect` does.
    """
    try:
        return connect(file, durability)
    except StoreUnusableError as error:
        if not damage.is_of_the_disk(error.__cause__) or _has_log(file):
            raise
    from urllib.parse import quote  # noqa: PLC0415  rarely needed

    connection = sqlite3.connect(f"file:{quote(str(file))}?mode=ro&immutable=1", uri=True, isolation_level=None)
    try:
        _check(connection, file)
    except damage.UNREADABLE as error:
        connection.close()
        raise damage.unreadable(file, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _has_log(file: Path) -> bool:
    """Whether the newest commits are in the write-ahead log yet."""
    try:
        return file.with_name(f"{file.name}-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def _open(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _set_durability(connection: sqlite3.Connection, durability: str) -> None:
    connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'power' else 'NORMAL'}")


def _check(connection: sqlite3.Connection, file: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = version_of(connection)
    if application == version == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise SessionNotFoundError(f"session {file.parent.name} is only just being created")
    if application != _APPLICATION_ID:
        raise StoreUnusableError(f"{file} is not a session of trio_recipes")
    if version > SCHEMA_VERSION:
        raise StoreTooNewError(
            f"session {file.parent.name} was written by a newer trio_recipes (schema {version}, "
            f"this one knows {SCHEMA_VERSION}): upgrade"
        )


def _sync_folder(folder: Path) -> None:
    """Make the new names themselves durable: a file's fsync does not cover its folder."""
    for place in (folder, folder.parent):
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
