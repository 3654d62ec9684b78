"""Server-sent events out of bytes that arrive in pieces; pure.

httpx2 has the same, and not so that it can be left: what goes wrong in one of its generators leaves those below it
hanging, connection included. Also, a comment that only keeps the connection alive is heard here.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Final

from attrs import field

from trio_recipes.classes import define

MAX_EVENT: Final = 16 * 1024 * 1024
"""Bytes of one event, above which a stream is nonsense."""

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")


class EventTooLargeError(ValueError):
    """An event has more than :data:`MAX_EVENT` bytes."""


@define(eq=False)
class EventDecoder:
    """Takes pieces of a stream and gives the ``data`` of its events; their other fields say nothing to us."""

    _line: list[bytes] = field(factory=list, init=False)
    _data: list[bytes] = field(factory=list, init=False)
    _size: int = field(default=0, init=False)
    _after_return: bool = field(default=False, init=False)
    _is_first: bool = field(default=True, init=False)

    def feed(self, piece: bytes) -> Iterator[str]:
        """The data of each event that ends in ``piece``.

        Raises:
            EventTooLargeError: one does not end.
        """
        if self._after_return and piece.startswith(b"\n"):  # a line end that was cut in two
            piece = piece[1:]
        self._after_return = piece.endswith(b"\r")
        *ended, rest = _LINE_END.split(piece)
        for part in ended:
            line = b"".join((*self._line, part))
            self._line.clear()
            yield from self._take(line)
        self._line.append(rest)
        self._size += len(piece)
        if self._size > MAX_EVENT:
            raise EventTooLargeError

    def rest(self) -> Iterator[str]:
        """The data of the last event, if the stream ended without the empty line after it."""
        for line in (b"".join(self._line), b""):
            yield from self._take(line)
        self._line.clear()

    def _take(self, line: bytes) -> Iterator[str]:
        if self._is_first:
            self._is_first, line = False, line.removeprefix(codecs.BOM_UTF8)
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
            return
        self._size = 0
        if self._data:
            yield b"\n".join(self._data).decode("utf-8", "replace")
            self._data.clear()
