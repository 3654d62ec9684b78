"""The SQLite file of one session: its tables, how it is made, and how it is opened."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from trio_recipes.errors import SessionNotFoundError, StoreTooNewError, StoreUnusableError
from trio_recipes.statuses import LIFECYCLE
from trio_recipes.store import damage, sums

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from pathlib import Path

SCHEMA_VERSION: Final = 3
SUMS_SINCE: Final = 3
"""The version of the schema in which rows got check sums."""
BUSY_SECONDS: Final = 5.0
"""How long a statement waits for the lock of another connection."""

_MANY: Final = (
    *("agent_answered", "attempt_failed", "attempt_started", "output", "request_answered", "resisted"),
    *("scope_finished", "scope_started", "signalled", "waiting", "warned", "work_ended"),
)
"""The kinds of which a session has many. In this schema for good: SQLite uses an index only for a query of the very
same condition, so the list must not follow the kinds that later versions add."""

COUNTED: Final = LIFECYCLE.difference(_MANY)
"""Kinds that each session counts, so this is in the schema for good, too: a new one raises its version."""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


_FREQUENT: Final = f"event NOT IN ({_listed(_MANY)})"

LIFE: Final = f"{_FREQUENT} AND event IN ({_listed(sorted(LIFECYCLE))})"
"""The condition for the few events from which a session's standing is derived; the index serves it."""

_INDEX: Final = f"CREATE INDEX lifecycle ON events (seq) WHERE {_FREQUENT}"

_APPLICATION_ID = 0x7472_6563  # "trec"

_TABLES: Final = {
    "events": "seq INTEGER PRIMARY KEY, run INTEGER NOT NULL, at INTEGER NOT NULL, event TEXT NOT NULL, "
    "path TEXT NOT NULL, body TEXT NOT NULL, data BLOB, crc INTEGER NOT NULL",
    "requests": "number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at INTEGER NOT NULL, body TEXT NOT NULL, "
    "crc INTEGER NOT NULL",
    "answers": "number INTEGER PRIMARY KEY, at INTEGER NOT NULL, answer TEXT NOT NULL, crc INTEGER NOT NULL",
    "owner": "one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, runner TEXT, body TEXT NOT NULL, "
    "events INTEGER NOT NULL, lifecycle INTEGER NOT NULL, requests INTEGER NOT NULL, answers INTEGER NOT NULL, "
    "crc INTEGER NOT NULL",
}
"""``crc`` is a row's check sum; ``owner`` counts the rows of the others (:mod:`trio_recipes.store.records`)."""

_HAS_CRC: Final = "SELECT 1 FROM pragma_table_info('events') WHERE name = 'crc'"

_SCHEMA: Final = (
    *(f"CREATE TABLE {name} ({columns})" for name, columns in _TABLES.items()),
    _INDEX,
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


def _summed(table: str, columns: str) -> str:
    """What rows of a table are to be, their sums included."""
    blobs = ", ".join(f"CAST({column} AS BLOB)" for column in columns.split(", "))
    return f"{columns}, sum_of('{table}', {blobs})"


def _anew(table: str, rows: str) -> tuple[str, ...]:
    """Makes a table anew, so that nobody can write a row without a sum from then on."""
    return (
        f"CREATE TABLE new ({_TABLES[table]})",
        f"INSERT INTO new SELECT {rows}",
        f"DROP TABLE {table}",
        f"ALTER TABLE new RENAME TO {table}",
    )


_COUNTS: Final = ", ".join(
    (
        "(SELECT coalesce(max(seq), 0) FROM events) AS events",
        f"(SELECT count(*) FROM events WHERE {LIFE}) AS lifecycle",  # noqa: S608  every part is a constant of ours
        "(SELECT count(*) FROM requests) AS requests",
        "(SELECT count(*) FROM answers) AS answers",
    )
)
_HEAD: Final = _summed("owner", "epoch, runner, body, events, lifecycle, requests, answers")

_UPGRADES: Final[Mapping[int, tuple[str, ...]]] = {
    1: ("DROP INDEX lifecycle", _INDEX),  # which had the kinds of its own version in it
    2: (
        *_anew("events", _summed("events", "seq, run, at, event, path, body, data") + " FROM events"),
        _INDEX,  # the old one has gone with its table
        *_anew("requests", _summed("requests", "number, id, at, body") + " FROM requests"),
        *_anew("answers", _summed("answers", "number, at, answer") + " FROM answers"),
        *_anew("owner", f"1, {_HEAD} FROM (SELECT epoch, runner, body, {_COUNTS} FROM owner)"),  # noqa: S608
    ),
}
"""What makes a session of one version one of the next. ``sum_of`` is :func:`trio_recipes.store.sums.stored`."""


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
    for statement in _SCHEMA:
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


def upgrade(connection: sqlite3.Connection, session_id: str) -> None:
    """Make a session that an older version wrote one of ours, in one transaction; nobody may be running it.

    Raises:
        sqlite3.Error: if it can't be written; it stays what it was.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        upgrade_within(connection, session_id)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def upgrade_within(connection: sqlite3.Connection, session_id: str) -> None:
    """Do what :func:`upgrade` does, within a transaction; nothing if the session is one of ours."""
    found = version_of(connection)
    if found == SCHEMA_VERSION:
        return
    connection.create_function("sum_of", -1, sums.stored(session_id), deterministic=True)
    for version in range(found, SCHEMA_VERSION):
        for statement in _UPGRADES[version]:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def has_sums(connection: sqlite3.Connection) -> bool:
    """Whether a session's rows have check sums."""
    return version_of(connection) >= SUMS_SINCE


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


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Generator[None]:
    """Have all statements within see the same rows, whoever writes in between."""
    is_within = connection.in_transaction
    if not is_within:
        connection.execute("BEGIN")
    try:
        yield
    finally:
        if not is_within:
            connection.rollback()


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
    if version < SUMS_SINCE and (version < 1 or connection.execute(_HAS_CRC).fetchone()):
        raise damage.damaged(file, f"it can't be of version {version}")
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
