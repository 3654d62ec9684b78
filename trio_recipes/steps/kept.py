"""What a command prints on stdout, kept until it is the step's value, however much that is."""

from __future__ import annotations

import tempfile
from typing import Final, Self

import trio

IN_MEMORY: Final = 8 * 1024 * 1024
"""Bytes kept in memory; more goes to a temporary file."""


class Kept:
    """Bytes in memory, or in a file without a name that is gone when it is closed, or when this process dies.

    Writing to the file happens in trio's thread: pieces are 64 KiB at most and end in the page cache, which takes less
    time than a thread's start.

    >>> with Kept() as kept:
    ...     kept.write(b"out")
    ...     text = await kept.text()
    """

    def __init__(self, limit: int = IN_MEMORY) -> None:
        self._limit = limit
        self._size = 0
        self._file = tempfile.SpooledTemporaryFile[bytes](max_size=limit)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        """Keep more.

        Raises:
            OSError: the folder for temporary files is full.
        """
        self._size += len(data)
        self._file.write(data)

    @property
    def is_spilled(self) -> bool:
        """Whether it is in a file."""
        return self._size > self._limit

    async def text(self) -> str:
        """All of it, decoded from UTF-8; bytes that aren't are replaced (recipe-language.md section 2)."""
        if not self.is_spilled:
            return self._read()
        return await trio.to_thread.run_sync(self._read)

    def _read(self) -> str:
        self._file.seek(0)
        return self._file.read().decode("utf-8", "replace")
