"""A cache of where sessions stand, so that ``list`` opens only the files that have changed: ``<root>/index.db``.

It holds sessions that are at rest: a run has ended, nobody owns them, no write-ahead log is there. Where one stands is
then a function of its file alone, and the file's size and times tell whether that has changed. Nothing depends on the
cache: it is made when it is missing, thrown away when it is damaged or another version's, and left alone where it can't
be written.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final

from trio_recipes.progress.standing import Standing
from trio_recipes.statuses import Level, SessionStatus
from trio_recipes.store import sums

if TYPE_CHECKING:
    from trio_recipes.store.layout import Layout

_VERSION: Final = 2
_BUSY_SECONDS: Final = 0.2
_SETTLED_SECONDS: Final = 2.0
"""A file that has changed just now may change again within one tick of the file system's clock."""
_LARGEST: Final = 20_000
"""Characters of an entry: one with large variables is read from its own file."""
_COLUMNS: Final = "id TEXT PRIMARY KEY, stamp TEXT NOT NULL, standing TEXT NOT NULL, crc INTEGER NOT NULL"


class Index:
    """The cache as it was when this was made, and what has been learned since; :meth:`save` writes that down.

    Args:
        layout: of the store.
    """

    def __init__(self, layout: Layout) -> None:
        self._folder, self._file = os.fspath(layout.sessions), os.fspath(layout.root / "index.db")
        self._known = self._load()
        self._learned: dict[str, tuple[str, str] | None] = {}

    def standing(self, session_id: str) -> Standing | None:
        """Where a session stands, if that is known and still so."""
        known = self._known.get(session_id)
        if known is None or known[0] != self.stamp(session_id) or known[2] != _sum(session_id, *known[:2]):
            return None
        with suppress(ValueError, TypeError, KeyError):  # not written by us: read again, and written over
            return _from_json(known[1])
        return None

    def stamp(self, session_id: str) -> str | None:
        """What changes whenever the session does; None while it can't be told, or the session is gone."""
        file = f"{self._folder}/{session_id}/session.db"
        try:
            found = os.stat(file)  # noqa: PTH116  ten thousand of them
        except OSError:
            return None
        if time.time() - found.st_mtime < _SETTLED_SECONDS or os.path.exists(f"{file}-wal"):  # noqa: PTH110
            return None
        return f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"

    def learn(self, session_id: str, standing: Standing, stamp: str | None) -> None:
        """Note where a session stands.

        Args:
            session_id: the session.
            standing: read from its file,
            stamp: which had this stamp before that.
        """
        at_rest = standing.ended is not None and not standing.alive
        if at_rest and stamp is not None and stamp == self.stamp(session_id):
            text = _to_json(standing)
            self._learned[session_id] = (stamp, text) if len(text) <= _LARGEST else None

    def forget_all_but(self, session_ids: set[str]) -> None:
        """Forget sessions that are gone."""
        self._learned |= dict.fromkeys(self._known.keys() - session_ids)

    def save(self) -> None:
        """Write down what is new; a cache that can't be written stays as it is."""
        if not self._learned:
            return
        with suppress(sqlite3.Error, OSError), closing(self._open()) as connection, connection:
            connection.execute(f"CREATE TABLE IF NOT EXISTS sessions ({_COLUMNS}) WITHOUT ROWID")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
            known = [(name, *entry, _sum(name, *entry)) for name, entry in self._learned.items() if entry is not None]
            connection.executemany("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?)", known)
            gone = [(name,) for name, entry in self._learned.items() if entry is None]
            connection.executemany("DELETE FROM sessions WHERE id = ?", gone)

    def _load(self) -> dict[str, tuple[str, str, int]]:
        if not os.path.exists(self._file):  # noqa: PTH110
            return {}
        try:
            with closing(self._open()) as connection:
                if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                    raise sqlite3.DatabaseError("another version's")
                rows = connection.execute("SELECT id, stamp, standing, crc FROM sessions").fetchall()
                return {name: (stamp, standing, crc) for name, stamp, standing, crc in rows}
        except (sqlite3.OperationalError, OSError):  # busy, or not to be read: next time
            return {}
        except sqlite3.DatabaseError:
            with suppress(OSError):
                os.unlink(self._file)  # noqa: PTH108
            return {}

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # readable by its user only
        return sqlite3.connect(self._file, timeout=_BUSY_SECONDS)


def _sum(session_id: str, stamp: str, standing: str) -> int:
    """Or a letter that changed in the cache would be where a session stands."""
    return sums.of(sums.seed(session_id, "index"), stamp, standing)


def _to_json(standing: Standing) -> str:
    return json.dumps(standing._asdict(), separators=(",", ":"))


def _from_json(text: str) -> Standing:
    fields = json.loads(text)
    fields["status"], fields["level"] = SessionStatus(fields["status"]), Level(fields["level"])
    fields["parts"] = {path: Level(level) for path, level in fields["parts"].items()}
    return Standing(**fields)
