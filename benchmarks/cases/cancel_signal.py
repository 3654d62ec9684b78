"""Ctrl+C on a ``run``, until the command is gone.

The second one asks immediately and kills a tree of processes; beside it the least that a program in bare trio does
about Ctrl+C: ``killpg``, wait, leave. The first one asks gracefully and ends a back-off, a wait that is not work;
beside it a program in bare trio that sleeps.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from benchmarks.case import Bench, CannotMeasureError, Case, Group
from benchmarks.cases.cancel_tree import TREE, forget, started
from benchmarks.eyes import Eyes
from benchmarks.recipes import command_text, failing_text, head
from benchmarks.row import Row
from benchmarks.running import exists, running

_PRESS_SECONDS = 0.15
"""Between two presses: those that come at once count as one."""

_KILLS = """
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
_SLEEPS = """
import pathlib, signal, sys, trio

async def main():
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        pathlib.Path(sys.argv[1]).touch()
        async for _ in signals:
            return

trio.run(main)
"""
_KILLING = "a program in bare trio: killpg, wait, gone"
SECOND = (
    Row("second Ctrl+C → every process of the tree is dead", "dead", _KILLING, "bare dead"),
    Row("second Ctrl+C → tree dead, `cancelled` durable, the command gone", "gone", _KILLING, "bare gone"),
)
FIRST = Row(
    "first Ctrl+C in a back-off → `cancelled` durable, the command gone",
    "gone",
    "a program in bare trio that sleeps: gone",
    "bare gone",
)


@asynccontextmanager
async def _open(bench: Bench) -> AsyncGenerator[Sequence[Case]]:
    if not hasattr(os, "pidfd_open"):
        raise CannotMeasureError("there are no pidfds here")
    pids, failed = bench.folder / "signal.pids", bench.folder / "signal.failed"
    text = TREE.format(file=pids)
    tree = _run(bench, "tree", command_text(text))
    nap = _run(bench, "nap", failing_text("'benchmarks.clocked_step:fail'", f", args: {{file: {failed}}}"))
    kills, sleeps = ("-c", _KILLS, text), ("-c", _SLEEPS, str(failed))
    second, first = partial(_second, bench, pids), partial(_first, bench, failed)
    few = bench.pick(20, 2)
    yield [
        Case(SECOND, partial(second, tree, "", 2), partial(second, kills, "bare ", 1), few),
        Case((FIRST,), partial(first, nap, ""), partial(first, sleeps, "bare "), few),
    ]
    await trio.lowlevel.checkpoint()


def _run(bench: Bench, name: str, step: str) -> Sequence[str]:
    recipe = bench.folder / f"signal-{name}.yaml"
    recipe.write_text(f"{head('signal')}steps:\n{step}", "utf-8")
    return ("-m", "trio_recipes", "run", str(recipe), "--store", str(bench.folder / "signal"))


async def _second(bench: Bench, file: Path, arguments: Sequence[str], name: str, presses: int) -> dict[str, float]:
    """Start a program that has a tree of processes, press Ctrl+C, and wait until all of it is gone."""
    forget(file)
    async with running(arguments, bench.root, bench.folder) as process:
        tree = await started(file)
        async with Eyes.on(tree) as on_tree, Eyes.on([process.pid]) as on_command:
            began = await _press(process, presses)
            dead, gone = await on_tree.closed(), await on_command.closed()
    return {f"{name}dead": dead - began, f"{name}gone": max(dead, gone) - began}


async def _first(bench: Bench, file: Path, arguments: Sequence[str], name: str) -> dict[str, float]:
    """Start a program that waits for nothing but time, press Ctrl+C, and wait until it is gone."""
    forget(file)
    async with running(arguments, bench.root, bench.folder) as process:
        await exists(file)
        async with Eyes.on([process.pid]) as on_command:
            began = await _press(process, 1)
            return {f"{name}gone": await on_command.closed() - began}


async def _press(process: trio.Process, presses: int) -> float:
    """Press Ctrl+C; when it was pressed last."""
    began = 0.0
    for _ in range(presses):
        await trio.sleep(_PRESS_SECONDS)
        began = time.perf_counter()
        process.send_signal(signal.SIGINT)
    return began


GROUP = Group("cancel-signal", "Ctrl+C on the command line", _open)
