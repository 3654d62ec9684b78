"""The end of a service: its sessions are told when the signal comes, and not when its server has done with its clients.

A web server that is told to end waits for its clients first, and some of these wait for a session.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final

from trio_recipes.events import Source
from trio_recipes.integrations.asyncio.interrupts import Handler

if TYPE_CHECKING:
    from trio_recipes.integrations.asyncio.runtime import Runtime

_SIGNALS: Final[tuple[int, ...]] = (signal.SIGTERM, signal.SIGINT)


@asynccontextmanager
async def drained(runtime: Runtime, grace: float | None = None) -> AsyncGenerator[None]:
    """Drain a runtime when the process is told to end, or at the end of the block, for ``async with``.

    On the first SIGTERM or SIGINT that the application (its server, mostly) has a handler for, sessions begin to end
    gracefully, at once, and then the application's handler is called. A second one stops them immediately.

    Args:
        runtime: whose sessions end.
        grace: seconds that steps in hand may take; None: as long as they take.
    """
    ending = _Ending(runtime, grace)
    with ending.listening():
        yield
        await runtime.drain(grace)


class _Ending:
    """Stands before the application's handlers."""

    def __init__(self, runtime: Runtime, grace: float | None) -> None:
        self._runtime, self._grace = runtime, grace
        self._loop = asyncio.get_running_loop()
        self._draining: asyncio.Task[object] | None = None
        self._hosts: dict[int, Handler] = {}

    @contextmanager
    def listening(self) -> Generator[None]:
        """Hear of signals within the block. Only the main thread has handlers, and what has none ends the process."""
        for number in _SIGNALS if threading.current_thread() is threading.main_thread() else ():
            host = signal.getsignal(number)
            if callable(host):
                self._hosts[number] = host
                signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number, host in [*self._hosts.items()]:
                if signal.getsignal(number) == self._handle:  # a handler that was set meanwhile stays
                    signal.signal(number, host)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(self._told)
        self._hosts[number](number, frame)

    def _told(self) -> None:
        if self._draining is None:
            self._draining = self._loop.create_task(self._runtime.drain(self._grace), name="recipes: draining")
        else:
            self._runtime.cancel_all("told to end once more", source=Source.SIGNAL)
