"""What the steps of a peer do, and what they note while they do it. Times are CLOCK_MONOTONIC, in seconds."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping

_SYNCHRONOUS: Mapping[object, str] = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}


class Ticks:
    """A step that does nothing but note when it runs."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def __call__(self) -> None:
        self.at.append(time.perf_counter())

    def median_span(self) -> float:
        """Seconds from one step to the next."""
        return statistics.median(after - before for before, after in zip(self.at, self.at[1:], strict=False))


class Waiting:
    """A step that waits until it is cancelled. Counts those who do."""

    def __init__(self) -> None:
        self.count = 0
        self.began_at = 0.0
        self.ended_at = 0.0

    async def __call__(self) -> None:
        self.began_at = time.perf_counter()
        self.count += 1
        try:
            await asyncio.sleep(3600)
        finally:
            self.count -= 1
            self.ended_at = time.perf_counter()


async def shell(command: str) -> None:
    """A step that runs a command, as anybody would write it in asyncio."""
    process = await asyncio.create_subprocess_exec("bash", "-c", command)
    await process.wait()


def settings(found: Mapping[str, object]) -> str:
    """Settings of a database as it reports them, for people; SQLite's ``synchronous`` by its name."""
    return ", ".join(f"{key}={_SYNCHRONOUS.get(value, value)}" for key, value in found.items())
