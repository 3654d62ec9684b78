"""Ctrl+C stays the host's: trio does not take it, and it never strikes in the middle of trio's own code."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import TypeAlias

Handler: TypeAlias = Callable[[int, FrameType | None], object]


class Interrupts:
    """Stands before the host's handler of SIGINT while a guest run lives.

    Some handlers raise ``KeyboardInterrupt`` on the spot. While trio takes a turn that would damage the run, so the
    host's handler is called by the loop, right after the turn.

    Args:
        loop: the host.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._hosts: Handler | None = None
        self._turn = False

    def stand_before(self) -> None:
        """Begin; only the main thread has signal handlers. trio leaves a handler alone that is not Python's own."""
        found = signal.getsignal(signal.SIGINT)
        if callable(found) and threading.current_thread() is threading.main_thread():
            self._hosts = found
            signal.signal(signal.SIGINT, self._handle)

    def stand_aside(self) -> None:
        """End; a handler that the host has set meanwhile stays."""
        if self._hosts is not None and signal.getsignal(signal.SIGINT) == self._handle:
            signal.signal(signal.SIGINT, self._hosts)
        self._hosts = None

    @contextmanager
    def held_back(self) -> Generator[None]:
        """Let the host's handler wait until the block has ended."""
        self._turn = True
        try:
            yield
        finally:
            self._turn = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._hosts is None:
            return
        if self._turn:
            self.loop.call_soon_threadsafe(self._hosts, number, None)
        else:
            self._hosts(number, frame)
