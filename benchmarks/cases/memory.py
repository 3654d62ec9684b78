"""Memory per waiting iteration, beside a task and a nursery in bare trio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from benchmarks.case import Bench, CannotMeasureError, Case, Group
from benchmarks.command_line import answer_of
from benchmarks.row import Row
from benchmarks.unit import BYTES

_STATM = Path("/proc/self/statm")


@asynccontextmanager
async def _open(bench: Bench) -> AsyncGenerator[Sequence[Case]]:
    if not _STATM.exists():  # noqa: ASYNC240  in memory: it never blocks
        raise CannotMeasureError("there is no /proc")
    count = bench.pick(10_000, 1_000)
    row = Row(
        f"memory for each of {count:,} waiting iterations", "ours", "bare trio, a nursery each", "bare", unit=BYTES
    )
    probes = [partial(_bytes, bench, which, count) for which in ("ours", "bare")]
    yield [Case((row,), probes[0], probes[1], bench.pick(3, 1), warm_ups=0)]
    await trio.lowlevel.checkpoint()


async def _bytes(bench: Bench, which: str, count: int) -> dict[str, float]:
    asked = ("-m", "benchmarks.memory", which, str(count))
    return {which: await answer_of(*asked, root=bench.root, folder=bench.folder)}


GROUP = Group("memory", "Memory", _open)
