"""Many small pieces of output made into few records, without slowing down who writes them.

A program that prints a line at a time would cost a record a line. Pieces are held until there are 64 KiB of them, or
until 50 ms after the first, so that who watches sees output as it comes all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio
from attrs import field

from trio_recipes.classes import define

HELD: Final = 64 * 1024
"""Bytes that are held, at most, before they are passed on."""

PATIENCE: Final = 0.05
"""Seconds after which a first byte is passed on, whatever has come since."""

CHUNK: Final = 1_000_000
"""Bytes of one chunk, at most."""


@define(eq=False)
class Coalescer:
    """Collects pieces of one channel. Synchronous: who writes never waits.

    Args:
        emit: takes each chunk. What it raises comes out of :meth:`write` or :meth:`flush`.
    """

    emit: Callable[[bytes], None]
    _pieces: list[bytes] = field(factory=list, init=False)
    _size: int = field(default=0, init=False)
    _due: float = field(default=0.0, init=False)
    _is_ticking: bool = field(default=False, init=False)
    _error: Exception | None = field(default=None, init=False)

    def write(self, data: bytes) -> None:
        """Hold ``data`` for a moment, or pass on what has gathered."""
        if not data:
            return
        if not self._pieces:
            self._due = trio.current_time() + PATIENCE
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= HELD:
            self.flush()
        else:
            self._tick()

    def flush(self) -> None:
        """Pass on what is held, in chunks."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        for start in range(0, len(data), CHUNK):
            self.emit(data[start : start + CHUNK] if len(data) > CHUNK else data)

    def _tick(self) -> None:
        """Have a timer running.

        A system task and no nursery: a nursery around each step would wrap what the step raises in groups, and would
        end before background processes do. It does nothing but wait, at most `PATIENCE` longer than anybody writes.
        """
        if not self._is_ticking:
            self._is_ticking = True
            trio.lowlevel.spawn_system_task(self._flush_when_due, name="trio_recipes output timer")

    async def _flush_when_due(self) -> None:
        try:
            while self._pieces:
                await trio.sleep_until(self._due)
                if trio.current_time() >= self._due:
                    self.flush()
        except Exception as error:  # raised to who writes; out of a system task it would crash trio
            self._error = error
        finally:
            self._is_ticking = False
