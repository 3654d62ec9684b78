"""Ctrl+C on a recipe that runs a bash process tree: until the command is gone, and the tree with it.

The first one asks gracefully, the second immediately: the second one is measured. Beside it the least that a program
in bare trio does about Ctrl+C: ``killpg``, wait, leave.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from benchmarks.case import Bench, CannotMeasureError, Case, Group, Row
from benchmarks.cases.cancel_tree import TREE, forget, started
from benchmarks.command_line import environment
from benchmarks.eyes import Eyes
from benchmarks.recipes import head

_PRESS_SECONDS = 0.15
"""Between two presses: those that come at once count as one."""

_BARE = """
import os, signal, subprocess, sys, trio

async def main():
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        process = await trio.lowlevel.open_process(["bash", "-c", sys.argv[1]], start_new_session=True)
        async for _ in signals:
            os.killpg(process.pid, signal.SIGTERM)
            await process.wait()
            return

trio.run(main)
"""
ROW = Row(
    "second Ctrl+C → tree dead, `cancelled` durable, the command gone",
    "gone",
    "a program in bare trio: killpg, wait, gone",
    "bare",
)


@asynccontextmanager
async def _open(bench: Bench) -> AsyncGenerator[Sequence[Case]]:
    if not hasattr(os, "pidfd_open"):
        raise CannotMeasureError("there are no pidfds here")
    pids, recipe = bench.folder / "signal.pids", bench.folder / "signal.yaml"
    text = TREE.format(file=pids)
    recipe.write_text(f"{head('signal')}steps:\n  - id: s\n    type: bash\n    command: |\n      {text}\n", "utf-8")
    run = ("-m", "trio_recipes", "run", str(recipe), "--store", str(bench.folder / "signal"))
    ours, bare = partial(_gone, bench, pids, run, 2), partial(_gone, bench, pids, ("-c", _BARE, text), 1)
    yield [Case((ROW,), partial(_named, "gone", ours), partial(_named, "bare", bare), bench.pick(20, 3))]
    await trio.lowlevel.checkpoint()


async def _named(name: str, measure: Callable[[], Awaitable[float]]) -> dict[str, float]:
    return {name: await measure()}


async def _gone(bench: Bench, file: Path, arguments: Sequence[str], presses: int) -> float:
    """Start a program, press Ctrl+C, and wait until it and its processes are gone; seconds from the last press."""
    forget(file)
    process = await trio.lowlevel.open_process(
        [sys.executable, *arguments],
        cwd=bench.root,
        env=environment(bench.folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with Eyes.on([*await started(file), process.pid]) as eyes:
            began = 0.0
            for _ in range(presses):
                await trio.sleep(_PRESS_SECONDS)
                began = time.perf_counter()
                process.send_signal(signal.SIGINT)
            return await eyes.closed() - began
    finally:
        process.kill()
        with trio.move_on_after(5, shield=True):
            await process.wait()


GROUP = Group("cancel-signal", "Ctrl+C on the command line", _open)
