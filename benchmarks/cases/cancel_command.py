"""The ``cancel`` command as a whole process, for a session that runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from benchmarks.case import Bench, Case, Group, Row
from benchmarks.command_line import seconds_of
from benchmarks.recipes import single
from benchmarks.target import Times
from benchmarks.waiting import Waiting, settled
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.sessions.runtime import Runtime

ROW = Row(
    "`python -m trio_recipes cancel ID`, whole process",
    "cancel",
    '`python -c "import sqlite3, json"`, whole process',
    "bare",
    (Times(4),),
)


@asynccontextmanager
async def _open(bench: Bench) -> AsyncGenerator[Sequence[Case]]:
    waiting, store = Waiting(), bench.folder / "command"
    async with open_runtime(store=store, functions={"wait": waiting}, agents="echo") as runtime:
        ours = partial(_ours, bench, runtime, waiting, store)
        yield [Case((ROW,), ours, partial(_bare, bench), bench.pick(20, 5))]


async def _ours(bench: Bench, runtime: Runtime, waiting: Waiting, store: Path) -> dict[str, float]:
    session = await single("wait").start(runtime)
    await settled(session, waiting, 1)
    command = ("-m", "trio_recipes", "cancel", session.id, "--immediate", "--store", str(store))
    seconds = await seconds_of(*command, root=bench.root, folder=bench.folder)
    await session.wait()
    return {"cancel": seconds}


async def _bare(bench: Bench) -> dict[str, float]:
    return {"bare": await seconds_of("-c", "import sqlite3, json", root=bench.root, folder=bench.folder)}


GROUP = Group("cancel-command", "The `cancel` command", _open)
