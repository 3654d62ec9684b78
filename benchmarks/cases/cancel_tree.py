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

from benchmarks.case import Bench, CannotMeasureError, Case, Group, Row
from benchmarks.eyes import Eyes
from benchmarks.recipes import command
from benchmarks.target import Times
from benchmarks.waiting import cancel_clocked
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
    file = bench.folder / "tree.pids"
    async with open_runtime(store=bench.folder / "tree", project=bench.folder, agents="echo") as runtime:
        yield [Case(ROWS, partial(_ours, runtime, file), partial(_bare, file), bench.pick(40, 10), warm_ups=2)]


async def _ours(runtime: Runtime, file: Path) -> dict[str, float]:
    forget(file)
    session = await command(TREE.format(file=file)).start(runtime)
    pids = await started(file)
    await trio.sleep(0.07)  # until everything about it is durable
    async with Eyes.on(pids) as eyes:
        began = time.perf_counter()
        measured = await cancel_clocked(session)
        return {"dead": await eyes.closed() - began, **measured}


async def _bare(file: Path) -> dict[str, float]:
    forget(file)
    process = await trio.lowlevel.open_process(
        ["bash", "-c", TREE.format(file=file)], start_new_session=True, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
    )
    pids = await started(file)
    await trio.sleep(0.07)
    async with Eyes.on(pids) as eyes:
        began = time.perf_counter()
        os.killpg(process.pid, signal.SIGTERM)
        await process.wait()
        waited = time.perf_counter()
        return {"bare": max(waited, await eyes.closed()) - began}


async def started(file: Path) -> list[int]:
    """The processes of a tree, once all are there."""
    pids: list[int] = []
    with trio.fail_after(10):
        while not pids:  # noqa: ASYNC110  what tells is a file that bash writes
            await trio.sleep(0.002)
            pids = _pids(file)
    return pids


def forget(file: Path) -> None:
    file.unlink(missing_ok=True)


def _pids(file: Path) -> list[int]:
    text = file.read_text(encoding="ascii") if file.exists() else ""
    return [int(word) for word in text.split()] if text.endswith("\n") else []


GROUP = Group("cancel-tree", "Immediate cancel of a bash process tree that obeys SIGTERM", _open)
