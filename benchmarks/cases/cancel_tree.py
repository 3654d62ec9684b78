"""Immediate cancellation of a bash process tree that obeys SIGTERM: bash, and three children that sleep.

Dead means: the leader and its children have all exited. The same pairs of eyes (pidfds) look at both trees. Ours goes
on to make sure by two scans of all processes that nobody else is left; that time is in the second row.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from subprocess import DEVNULL

import trio

from benchmarks.case import Bench, CannotMeasureError, Case, Group
from benchmarks.eyes import Eyes
from benchmarks.recipes import Job, command, commands, nested_command
from benchmarks.row import Row
from benchmarks.target import Times
from benchmarks.waiting import LULL, cancel_clocked
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.sessions.runtime import Runtime

TREE = 'sleep 1000 & a=$!; sleep 1000 & b=$!; sleep 1000 & echo "$$ $a $b $!" > {file}; wait'
_KILLPG = "killpg(SIGTERM), wait for leader and children"
ROWS = (
    Row("cancel → every process of the tree is dead", "dead", _KILLPG, "bare", (Times(2),)),
    Row("cancel → the step has ended: two scans have found nobody", "ended", _KILLPG, "bare"),
    Row("cancel → `cancelled` is durable", "durable", _KILLPG, "bare"),
)


@asynccontextmanager
async def _open(bench: Bench) -> AsyncGenerator[Sequence[Case]]:
    if not hasattr(os, "pidfd_open"):
        raise CannotMeasureError("there are no pidfds here")
    file, depth, many = bench.folder / "tree.pids", 5, 20
    inner = nested_command(bench.folder / "nested-tree", TREE.format(file=file), depth)
    several = [Path(f"{file}-{number}") for number in range(many)]
    async with open_runtime(store=bench.folder / "tree", project=bench.folder, agents="echo") as runtime:
        one = partial(_ours, runtime, command(TREE.format(file=file)), [file])
        deep = partial(_ours, runtime, inner, [file])
        all_at_once = partial(_ours, runtime, commands(TREE.format(file=f"{file}-{{{{item}}}}"), many), several)
        few = bench.pick(10, 1)
        yield [
            Case(ROWS, one, partial(_bare, [file]), bench.pick(40, 5), warm_ups=2),
            Case(_rows(f"{depth} sub-recipes deep"), deep, partial(_bare, [file]), few),
            Case(_rows(f"{many} trees at once"), all_at_once, partial(_bare, several), few),
        ]


def _rows(where: str) -> tuple[Row, ...]:
    dead = f"{where}: cancel → every process is dead"
    return (
        Row(dead, "dead", _KILLPG, "bare"),
        Row(f"{where}: cancel → `cancelled` is durable", "durable", _KILLPG, "bare"),
    )


async def _ours(runtime: Runtime, job: Job, files: Sequence[Path]) -> dict[str, float]:
    forget(*files)
    session = await job.start(runtime)
    pids = await started(*files)
    await trio.sleep(LULL)  # until everything about it is durable
    async with Eyes.on(pids) as eyes:
        began = time.perf_counter()
        measured = await cancel_clocked(session)
        return {"dead": await eyes.closed() - began, **measured}


async def _bare(files: Sequence[Path]) -> dict[str, float]:
    forget(*files)
    leaders = [await _leader(file) for file in files]
    pids = await started(*files)
    await trio.sleep(LULL)
    async with Eyes.on(pids) as eyes:
        began = time.perf_counter()
        for leader in leaders:
            os.killpg(leader.pid, signal.SIGTERM)
        for leader in leaders:
            await leader.wait()
        waited = time.perf_counter()
        return {"bare": max(waited, await eyes.closed()) - began}


async def _leader(file: Path) -> trio.Process:
    """Start a tree as the leader of a session of its own."""
    text = TREE.format(file=file)
    return await trio.lowlevel.open_process(
        ["bash", "-c", text], start_new_session=True, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
    )


async def started(*files: Path) -> list[int]:
    """The processes of trees, once all are there."""
    with trio.fail_after(10):
        while not all(_pids(file) for file in files):  # noqa: ASYNC110  what tells is files that bash writes
            await trio.sleep(0.002)
    return [pid for file in files for pid in _pids(file)]


def forget(*files: Path) -> None:
    """Remove what the last trees have written."""
    for file in files:
        file.unlink(missing_ok=True)


def _pids(file: Path) -> list[int]:
    text = file.read_text(encoding="ascii") if file.exists() else ""
    return [int(word) for word in text.split()] if text.endswith("\n") else []


GROUP = Group("cancel-tree", "Immediate cancel of a bash process tree that obeys SIGTERM", _open)
