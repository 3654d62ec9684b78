"""Telling damage from a disk that is full or busy: what is raised when a session's file can't be read or written.

A file that was cut, overwritten or edited says what no session can say. That is an error of one session: whatever
lists many goes on with the others.
"""

from __future__ import annotations

import json
import os
import sqlite3
from typing import TYPE_CHECKING, Any

from trio_recipes.errors import SessionDamagedError, StoreUnusableError, StoreWriteError

if TYPE_CHECKING:
    from pathlib import Path


class RecordError(ValueError):
    """A record that is not what was written, or is not there any more; the message says which."""


NONSENSE = (ValueError, TypeError, KeyError, AttributeError, IndexError)
"""What reading raises where a file says what no session can say."""

UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite and its Python module raise; the latter decodes the names of a damaged schema."""

_YEAR_10000 = 253_402_214_400_000_000  # less a day, for those east of Greenwich
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
_DISK = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})


def mapping(text: str) -> dict[str, Any]:
    """The mapping that a column holds as JSON.

    Raises:
        ValueError: if it holds no JSON, or another value.
    """
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"found {type(found).__name__} where a mapping belongs")
    return found


def is_time(at: object) -> bool:
    """Whether this can be when something happened, in microseconds: a year that calendars have."""
    return isinstance(at, int) and 0 <= at < _YEAR_10000


def damaged(database: Path, error: Exception | str) -> SessionDamagedError:
    """What to raise if a session's file is damaged; its folder bears the session's id."""
    strange = isinstance(error, NONSENSE) and not isinstance(error, RecordError)
    what, name = f"{type(error).__name__}: {error}" if strange else str(error), database.parent.name
    return SessionDamagedError(
        f"session {name} can't be read ({what[:200]}): {database} is damaged or no database; other sessions are not "
        f"affected. `export {name} FILE` saves what can still be read, and `import FILE` puts that in its place"
    )


def unreadable(database: Path, error: Exception) -> StoreUnusableError:
    """What to raise if a look failed: the file is damaged, or can't be read just now (no descriptors left, say)."""
    if _says_damage(error):
        return damaged(database, error)
    name, folder = database.parent.name, database.parent
    if folder.exists() and not os.access(folder, os.W_OK):
        return StoreUnusableError(
            f"session {name} can't be opened ({error}): is {folder} read-only, or another user's?"
        )
    return StoreUnusableError(f"session {name} can't be read now ({error}): try again")


def unwritable(database: Path, error: Exception) -> StoreUnusableError | StoreWriteError:
    """What to raise if a transaction failed: is it the file, or the disk below it?"""
    if _says_damage(error):
        return damaged(database, error)
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
        return StoreWriteError(
            f"session {database.parent.name}: another process keeps its file locked, and nothing was changed: try "
            "again. A runner that was stopped (Ctrl+Z, SIGSTOP) in the middle of a commit does so: continue or kill it"
        )
    return StoreWriteError(
        f"session {database.parent.name}: {error}; see to the disk of {database.parents[2]}, then resume"
    )


def is_of_the_disk(error: BaseException | None) -> bool:
    """Whether a file could not be opened or written for reasons that lie below SQLite: no room, no right, no luck."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DISK


def _says_damage(error: Exception) -> bool:
    """Whether the database itself is to blame.

    Our statements are constants: one that does not compile says that the tables are not ours any more.
    """
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # found out by Python's module: text that is none
        return isinstance(error, UnicodeDecodeError) or "decode" in str(error)
    return code & 0xFF in _DAMAGE
