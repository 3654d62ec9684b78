"""A step for another process: ``function: "benchmarks.clocked_step:wait"`` notes in a file when its ``finally`` runs.

CLOCK_MONOTONIC is the same clock in all processes.
"""

from __future__ import annotations

import time
from pathlib import Path

import trio


async def wait(file: str) -> None:
    """Wait until it is cancelled.

    Args:
        file: is there while it waits, empty; and holds the time once it has ended.
    """
    place = Path(file)
    place.touch()  # noqa: ASYNC240  one file
    try:
        await trio.sleep_forever()
    finally:
        ended = time.monotonic_ns()
        place.write_text(str(ended), encoding="ascii")  # noqa: ASYNC240  one file


async def fail(file: str) -> None:  # noqa: ASYNC124  its place is async
    """Fail, so that the step waits before it is tried again.

    Args:
        file: is there from then on.
    """
    Path(file).touch()  # noqa: ASYNC240  one file
    raise RuntimeError("as intended")
