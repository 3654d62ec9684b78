"""Blocks that a session's write-ahead log will fill, laid out before it needs them.

To sync a file that has grown, a file system writes down its new size and blocks as well as the data: that is a third
to a half of what a commit costs (ext4). SQLite lets the log grow with each commit, until it checkpoints at a thousand
pages and begins the log anew. So once a session has turned out not to be a small one, zeros are appended to its log,
more than one commit needs, and the commits that follow overwrite them: they sync data only. Holes or blocks that are
merely reserved (``ftruncate``, ``fallocate``) would not do: each first write to those is written down, too.

Why SQLite does not mind: a frame counts only if it carries the salts of the log's header and the sum over all frames
before it, so readers and recovery stop at the first that does not. The same rule covers what is left of older commits
when a log is begun anew; zeros are no other case. What is acknowledged depends on the sync of its commit, as ever.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

FIRST: Final = 64 * 1024
"""Bytes of a log that is left alone: five steps and less. A small session is over before it would pay."""
MOST: Final = 256 * 1024
"""Bytes laid out at once, at most: the next commit has to write them."""
ENOUGH: Final = 1000 * (4096 + 24)
"""Bytes of a log which SQLite is about to checkpoint and begin anew: its default for ``wal_autocheckpoint``."""
SPARE: Final = 64 * 1024 * 1024
"""Bytes that must be free on the disk: on a full one nothing is taken before it is needed."""

_NEVER: Final = -1


class Runway:
    """What lies ahead of the end of one session's log.

    Args:
        database: whose log it is.
        connection: the one that writes the session's events.
        durability: of the session; commits that are not synced need no runway.
    """

    def __init__(self, database: Path, connection: sqlite3.Connection, durability: str) -> None:
        self._log, self._connection = f"{database}-wal", connection
        self._end = 0 if durability == "power" else _NEVER

    def extend(self) -> None:
        """Lay out more if commits have come to the end of the log, at most as much as there is.

        To be called before a commit, whose sync covers it. Never fails: a runway that can't be had is done without.
        """
        if self._end == _NEVER:
            return
        try:
            size = os.stat(self._log).st_size  # noqa: PTH116  at each commit: Path.stat takes twice as long
            if size != self._end and FIRST <= size < ENOUGH:
                self._lay_out_alone()
        except OSError:  # a full disk, a quota, a limit for files
            self._end = _NEVER
        except sqlite3.Error:  # somebody else writes, and goes on and on
            pass

    def _lay_out_alone(self) -> None:
        """Within a write transaction: nobody else can append to the log then, so nothing behind its end is a commit."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._end = self._lay_out()
        finally:
            self._connection.execute("ROLLBACK")

    def _lay_out(self) -> int:
        fd = os.open(self._log, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)  # SQLite takes no locks on the log itself
        try:
            return _append_zeros(fd) if _has_spare(fd) else _NEVER
        finally:
            os.close(fd)


def _append_zeros(fd: int) -> int:
    """Returns the size that the log has then."""
    size = os.fstat(fd).st_size
    more = min(size, MOST)
    written = 0
    try:
        written = os.pwrite(fd, bytes(more), size)
    finally:
        if written < more:  # give back what was had
            os.ftruncate(fd, size)
    return size + more if written == more else _NEVER


def _has_spare(fd: int) -> bool:
    disk = os.fstatvfs(fd)
    return disk.f_bavail * disk.f_frsize >= SPARE
