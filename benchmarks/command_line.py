"""Whole processes: from start to exit, with a warm disk cache, output thrown away."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import trio

from benchmarks.case import CannotMeasureError


async def seconds_of(*arguments: str, cwd: Path) -> float:
    """How long ``python ARGUMENTS`` takes. The clock runs in a thread: our own loop goes on meanwhile."""
    return await trio.to_thread.run_sync(partial(_run, arguments, cwd))


def _run(arguments: tuple[str, ...], cwd: Path) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise CannotMeasureError(f"`python {' '.join(arguments)}` exited with {done.returncode}: {done.stderr[-300:]}")
    return seconds


async def import_seconds(statement: str, cwd: Path) -> float:
    """How long an import statement takes in a fresh interpreter, without the interpreter's own start."""
    code = f"import time; began = time.perf_counter()\n{statement}\nprint(time.perf_counter() - began)"
    done = await trio.run_process([sys.executable, "-c", code], cwd=cwd, capture_stdout=True)
    return float(done.stdout)
