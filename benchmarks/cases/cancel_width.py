"""Immediate cancellation of many waiting tasks, side by side, in one process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from benchmarks import bare
from benchmarks.case import Bench, Case, Group
from benchmarks.plots import over_size
from benchmarks.recipes import Job, parallel
from benchmarks.row import Row
from benchmarks.target import Times
from benchmarks.waiting import Waiting, cancel_clocked, settled
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.sessions.runtime import Runtime

WIDTHS = (1, 10, 100, 1_000, 10_000)
BARE = "bare trio, a nursery per node"


@asynccontextmanager
async def _open(bench: Bench) -> AsyncGenerator[Sequence[Case]]:
    waiting = Waiting()
    async with open_runtime(store=bench.folder / "width", functions={"wait": waiting}, agents="echo") as runtime:
        widths = WIDTHS[:-1] if bench.quick else WIDTHS
        yield [_case(bench, runtime, waiting, width) for width in widths]


def _case(bench: Bench, runtime: Runtime, waiting: Waiting, width: int) -> Case:
    ended = Row(
        f"cancel of {width:,} waiting tasks → the last scope has ended", "ended", BARE, "bare", (Times(2),), size=width
    )
    durable = Row(f"cancel of {width:,} waiting tasks → `cancelled` is durable", "durable", BARE, "bare")
    few = bench.pick(5, 1) if width > 100 else bench.pick(45 if width <= 10 else 15, 4)  # the short ones scatter
    tree = bare.within(bare.fan(width))
    ours = partial(measure, runtime, parallel("wait", width), waiting, width)
    return Case((ended, durable), ours, partial(bare.cancel, tree), few)


async def measure(runtime: Runtime, job: Job, waiting: Waiting, count: int) -> dict[str, float]:
    """Start a job, let ``count`` of its steps wait, and cancel it."""
    session = await job.start(runtime)
    await settled(session, waiting, count)
    return await cancel_clocked(session)


_DRAW = over_size(
    "cancel-width",
    "Immediate cancel of waiting tasks side by side: until the last scope has ended",
    "tasks",
    keep=lambda result: result.row.ours == "ended",
)
GROUP = Group("cancel-width", "Immediate cancel, 1 … 10,000 tasks side by side, in process", _open, _DRAW)
