"""Whole processes: from start to exit, with a warm disk cache, output thrown away.

All of them, baselines too, have their modules as bytecode: so it is after an installation, and a warm-up has compiled
what has been changed since. Without that (``PYTHONDONTWRITEBYTECODE``) our modules alone would be compiled each time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import trio

from benchmarks.case import CannotMeasureError

_BYTECODE = "trio_recipes-bench-bytecode"


def environment(folder: Path) -> Mapping[str, str]:
    """The variables of a measured process: bytecode is kept below ``folder``, whatever ours are."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / _BYTECODE)}


async def seconds_of(*arguments: str, root: Path, folder: Path) -> float:
    """How long ``python ARGUMENTS`` takes. The clock runs in a thread: our own loop goes on meanwhile.

    Args:
        arguments: of the interpreter.
        root: where it runs.
        folder: for its bytecode.

    Raises:
        CannotMeasureError: if it fails.
    """
    return await trio.to_thread.run_sync(partial(_run, arguments, root, environment(folder)))


def _run(arguments: tuple[str, ...], root: Path, env: Mapping[str, str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise CannotMeasureError(f"`python {' '.join(arguments)}` exited with {done.returncode}: {done.stderr[-300:]}")
    return seconds


async def answer_of(*arguments: str, root: Path, folder: Path) -> float:
    """The number that ``python ARGUMENTS`` prints."""
    env = environment(folder)
    done = await trio.run_process([sys.executable, *arguments], cwd=root, env=env, capture_stdout=True)
    return float(done.stdout)


async def import_seconds(statement: str, root: Path, folder: Path) -> float:
    """How long an import statement takes in a fresh interpreter, without the interpreter's own start."""
    code = f"import time; began = time.perf_counter()\n{statement}\nprint(time.perf_counter() - began)"
    return await answer_of("-c", code, root=root, folder=folder)
