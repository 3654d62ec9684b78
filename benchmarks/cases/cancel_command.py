"""The ``cancel`` command as a whole process, for a session that runs: how long it takes, and when the run is over."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path

import trio

from benchmarks.case import Bench, Case, Group
from benchmarks.cases.cancel_tree import TREE, forget, started
from benchmarks.command_line import seconds_of
from benchmarks.eyes import Eyes
from benchmarks.recipes import command_text, head, single
from benchmarks.row import Row
from benchmarks.running import running
from benchmarks.target import Times
from benchmarks.waiting import LULL, Waiting, settled
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.sessions.runtime import Runtime
from trio_recipes.store.layout import Layout

_BARE = '`python -c "import sqlite3, json"`, whole process'
ROW = Row("`python -m trio_recipes cancel ID`, whole process", "cancel", _BARE, "bare", (Times(4),))
ROWS_OF_RUN = (
    Row("`cancel ID --immediate` is started → every process of the run's bash tree is dead", "dead", _BARE, "bare"),
    Row("`cancel ID --immediate` is started → the run's own process is gone", "gone", _BARE, "bare"),
)
_NUMBERS = count()


@asynccontextmanager
async def _open(bench: Bench) -> AsyncGenerator[Sequence[Case]]:
    waiting, store = Waiting(), bench.folder / "command"
    bare = partial(_bare, bench)
    async with open_runtime(store=store, functions={"wait": waiting}, agents="echo") as runtime:
        cases = [Case((ROW,), partial(_ours, bench, runtime, waiting, store), bare, bench.pick(20, 3))]
        if hasattr(os, "pidfd_open"):
            cases.append(Case(ROWS_OF_RUN, partial(_run_over, bench), bare, bench.pick(10, 2)))
        yield cases


async def _ours(bench: Bench, runtime: Runtime, waiting: Waiting, store: Path) -> dict[str, float]:
    session = await single("wait").start(runtime)
    await settled(session, waiting, 1)
    seconds = await _cancel(bench, session.id, store)
    await session.wait()
    return {"cancel": seconds}


async def _cancel(bench: Bench, session_id: str, store: Path) -> float:
    command = ("-m", "trio_recipes", "cancel", session_id, "--immediate", "--store", str(store))
    return await seconds_of(*command, root=bench.root, folder=bench.folder)


async def _run_over(bench: Bench) -> dict[str, float]:
    """Cancel a ``run`` of another process, from a third one."""
    file, recipe = bench.folder / "command.pids", bench.folder / "command.yaml"
    store = bench.folder / f"command-{next(_NUMBERS)}"
    forget(file)
    recipe.write_text(f"{head('command')}steps:\n{command_text(TREE.format(file=file))}", "utf-8")  # noqa: ASYNC240
    run = ("-m", "trio_recipes", "run", str(recipe), "--store", str(store))
    async with running(run, bench.root, bench.folder) as process:
        tree = await started(file)
        await trio.sleep(LULL)
        [session] = Layout(store).sessions.iterdir()  # noqa: ASYNC240  one folder
        async with Eyes.on(tree) as on_tree, Eyes.on([process.pid]) as on_run:
            began = time.perf_counter()
            await _cancel(bench, session.name, store)
            return {"dead": await on_tree.closed() - began, "gone": await on_run.closed() - began}


async def _bare(bench: Bench) -> dict[str, float]:
    return {"bare": await seconds_of("-c", "import sqlite3, json", root=bench.root, folder=bench.folder)}


GROUP = Group("cancel-command", "The `cancel` command", _open)
