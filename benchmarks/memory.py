"""What a waiting iteration takes of memory: ``python -m benchmarks.memory ours|bare COUNT`` prints bytes.

Each in a process of its own: memory that was used once is not given back. What a session needs anyway does not count:
measured is the growth from a few waiting iterations to many.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import trio
import trio.testing

from benchmarks import bare
from benchmarks.recipes import parallel
from benchmarks.waiting import Waiting, settled
from trio_recipes.sessions.opening import open_runtime

FEW = 50
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Bytes of this process that are in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


async def ours(count: int, measure: Callable[[], None]) -> None:
    """Let few iterations wait, then many; measure each time."""
    waiting = Waiting()
    with tempfile.TemporaryDirectory() as folder:
        async with open_runtime(store=folder, functions={"wait": waiting}, agents="echo") as runtime:
            for width in (FEW, count):
                session = await parallel("wait", width).start(runtime)
                await settled(session, waiting, width)
                measure()
                session.cancel(immediate=True)
                await session.wait()


async def in_bare_trio(count: int, measure: Callable[[], None]) -> None:
    """The same with a task and a nursery for each."""
    for width in (FEW, count):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bare.fan(width))
            await trio.testing.wait_all_tasks_blocked(0.05)
            measure()
            nursery.cancel_scope.cancel()


def main(which: str, count: int) -> None:
    """Print bytes per iteration."""
    found: list[int] = []
    trio.run({"ours": ours, "bare": in_bare_trio}[which], count, lambda: found.append(resident()))
    print((found[1] - found[0]) / (count - FEW))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
