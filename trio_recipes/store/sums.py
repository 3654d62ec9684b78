"""Check sums of records: what a row holds, at its place, in its session.

SQLite notices a page that is none. It does not notice one that still parses and says something else: a letter that
changed in an output, a row that moved, a page of another file. A CRC does, for half a microsecond and five bytes a row.
It tells accidents, not intent: who can write the file can write its sums.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Callable

EventRow: TypeAlias = "tuple[int, int, int, str, str, str, bytes | None]"
"""seq, run, at (microseconds), event, path, body (JSON), data."""

_SIGN = 1 << 31
"""SQLite keeps a number in four bytes only if it fits there with its sign."""


@lru_cache(64)
def seed(session_id: str, table: str) -> int:
    """Where the sums of a table's rows begin, so that a row of another session, or of another table, does not fit."""
    return crc32(f"{table} of {session_id}".encode())


def of_event(start: int, row: EventRow) -> int:
    """The sum of a row of events.

    Args:
        start: the :func:`seed` of the session's events.
        row: as it is stored.

    Raises:
        TypeError: for what no event holds, as ``ValueError``.
    """
    seq, run, at, event, path, body, data = row
    found = crc32(f"{seq}\0{run}\0{at}\0{event}\0{path}\0{body}".encode(), start)
    if data is not None:
        found = crc32(data, found)
    return (found ^ _SIGN) - _SIGN


def of(start: int, *values: object) -> int:
    """The sum of a row of another table: numbers, texts, nulls. ``start`` is the seed of that table."""
    return (crc32("\0".join(map(str, values)).encode(), start) ^ _SIGN) - _SIGN


def stored(session_id: str) -> Callable[..., int]:
    """The same sums for SQL, ``f(table, column, …)``, where rows had none yet.

    Columns are the bytes that SQLite makes of their values, so that text that can't be decoded has a sum, too: it is
    told when it is read.
    """

    def sum_of(table: str, *values: bytes | None) -> int:
        texts, data = (values[:-1], values[-1]) if table == "events" else (values, None)
        found = crc32(b"\0".join(b"None" if text is None else text for text in texts), seed(session_id, table))
        return (crc32(data or b"", found) ^ _SIGN) - _SIGN

    return sum_of
