"""SQLite commits as they are without us: what durability costs on this disk."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

_TABLE = """CREATE TABLE events (seq INTEGER PRIMARY KEY, run INTEGER NOT NULL, at INTEGER NOT NULL,
    event TEXT NOT NULL, path TEXT NOT NULL, body TEXT NOT NULL, data BLOB)"""
_BODY = '{"status":"completed","channel":"value","seconds":0.000123}'


class Commits:
    """A database with the journal's settings (WAL, synchronous=FULL), and one that commits a row at a time."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(_TABLE)

    def commit(self) -> None:
        """Commit one row of the size of a small event."""
        self._connection.execute("BEGIN IMMEDIATE")
        row = (1, time.time_ns() // 1000, "scope_finished", "step-1", _BODY)
        self._connection.execute("INSERT INTO events (run, at, event, path, body) VALUES (?, ?, ?, ?, ?)", row)
        self._connection.execute("COMMIT")

    def measure(self, count: int) -> list[float]:
        """Seconds that each of ``count`` commits takes."""
        seconds: list[float] = []
        for _ in range(count):
            began = time.perf_counter()
            self.commit()
            seconds.append(time.perf_counter() - began)
        return seconds

    def close(self) -> None:
        self._connection.close()
