"""Eyes on processes: when did the last of them die?"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

import trio
import trio.testing
from attrs import define, field


@define(eq=False)
class Eyes:
    """One pidfd per process, each with a task that waits for it."""

    _open: int
    _closed_at: float = 0.0
    _all_closed: trio.Event = field(factory=trio.Event)

    @classmethod
    @asynccontextmanager
    async def on(cls, pids: Iterable[int]) -> AsyncGenerator[Eyes]:
        """Look at processes until all are dead."""
        descriptors = [os.pidfd_open(pid) for pid in pids]
        eyes = cls(len(descriptors))
        try:
            async with trio.open_nursery() as nursery:
                for descriptor in descriptors:
                    nursery.start_soon(eyes._watch, descriptor)
                await trio.testing.wait_all_tasks_blocked()
                yield eyes
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    async def _watch(self, descriptor: int) -> None:
        await trio.lowlevel.wait_readable(descriptor)
        self._open -= 1
        if not self._open:
            self._closed_at = time.perf_counter()
            self._all_closed.set()

    async def closed(self) -> float:
        """When the last process had died."""
        with trio.fail_after(10):
            await self._all_closed.wait()
        return self._closed_at
