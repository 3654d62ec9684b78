"""A ``run`` of a recipe as a process of its own, watched from outside: it, and the processes of its step."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from benchmarks.command_line import environment


@asynccontextmanager
async def running(arguments: Sequence[str], root: Path, folder: Path) -> AsyncGenerator[trio.Process]:
    """Have ``python ARGUMENTS`` run, and killed in the end.

    Args:
        arguments: of the interpreter.
        root: where it runs.
        folder: for its bytecode.
    """
    nothing = subprocess.DEVNULL
    process = await trio.lowlevel.open_process(
        [sys.executable, *arguments], cwd=root, env=environment(folder), stdin=nothing, stdout=nothing, stderr=nothing
    )
    try:
        yield process
    finally:
        process.kill()
        with trio.move_on_after(5, shield=True):
            await process.wait()


async def exists(file: Path) -> None:
    """Return once a file is there, which a step of another process makes."""
    with trio.fail_after(20):
        while not file.exists():  # noqa: ASYNC110, ASYNC240  what tells is a file of another process
            await trio.sleep(0.002)
