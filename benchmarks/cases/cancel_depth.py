"""Immediate cancellation of nested sub-recipes, in one process.

Bare trio unwinds nested nurseries at a cost that grows with the square of the depth; the runtime collapses groups of
``Cancelled`` at each level. So the ratio falls with the depth: the baseline gets slower, not we faster.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from benchmarks import bare
from benchmarks.case import Bench, Case, Draw, Group
from benchmarks.cases.cancel_width import measure
from benchmarks.figure import Figure
from benchmarks.plots import over_size
from benchmarks.recipes import nested
from benchmarks.result import Result
from benchmarks.row import Row
from benchmarks.target import Times
from benchmarks.waiting import Waiting
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.sessions.runtime import Runtime

DEPTHS = (1, 2, 5, 10, 20)
BARE = "bare trio, a nursery per level"


@asynccontextmanager
async def _open(bench: Bench) -> AsyncGenerator[Sequence[Case]]:
    waiting = Waiting()
    async with open_runtime(store=bench.folder / "depth", functions={"wait": waiting}, agents="echo") as runtime:
        depths = dict.fromkeys((1, 100), DEPTHS[::2] if bench.quick else DEPTHS)
        yield [_case(bench, runtime, waiting, depth, leaves) for leaves in depths for depth in depths[leaves]]


def _case(bench: Bench, runtime: Runtime, waiting: Waiting, depth: int, leaves: int) -> Case:
    what = f"{depth} deep, {leaves} waiting: cancel → the last scope has ended"
    row = Row(what, "ended", BARE, "bare", (Times(2),), size=depth)
    recipe = nested(bench.folder / f"nested-{depth}-{leaves}", "wait", depth, leaves)
    tree = bare.nested(depth, bare.fan(leaves))  # as with us: a node per recipe, the loop, and its passes
    ours = partial(measure, runtime, recipe, waiting, leaves)
    return Case((row,), ours, partial(bare.cancel, tree), bench.pick(45 if leaves == 1 else 15, 2))


def _draw(results: Sequence[Result]) -> Sequence[Figure]:
    return [figure for leaves in (1, 100) for figure in _of_leaves(leaves)(results)]


def _of_leaves(leaves: int) -> Draw:
    title = f"Immediate cancel of nested sub-recipes, the innermost with {leaves} waiting"
    return over_size(
        f"cancel-depth-{leaves}", title, "levels", keep=lambda result: f" {leaves} waiting" in result.row.what
    )


GROUP = Group("cancel-depth", "Immediate cancel, sub-recipes nested 1 … 20 deep, in process", _open, _draw)
