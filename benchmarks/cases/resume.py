"""Resuming a large session: how long until its first new step."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from benchmarks.case import Bench, Case, Group
from benchmarks.recipes import loop, looping
from benchmarks.row import Row
from benchmarks.target import Times
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.sessions.runtime import Runtime

_ROWS = "SELECT seq, run, at, event, path, body, data FROM events ORDER BY seq"


@define(eq=False)
class Last:
    """The step after all others: notes when it begins, and waits to be cancelled."""

    began: float = 0.0
    has_begun: trio.Event = field(factory=trio.Event)

    async def __call__(self) -> None:
        self.began = time.perf_counter()
        self.has_begun.set()
        await trio.sleep_forever()


@asynccontextmanager
async def _open(bench: Bench) -> AsyncGenerator[Sequence[Case]]:
    last, nodes = Last(), bench.pick(10_000, 1_000)
    functions: Mapping[str, Callable[..., Any]] = {"nothing": _nothing, "last": last}
    async with open_runtime(store=bench.folder / "resume", functions=functions, agents="echo") as runtime:
        session_id = await _prepare(runtime, last, nodes)
        file = runtime.store.layout.database(session_id)
        row = Row(
            f"resume of {nodes:,} finished nodes → the first new step begins",
            "resume",
            "loading the same rows with sqlite3 and json",
            "bare",
            (Times(5),),
        )
        yield [Case((row,), partial(_ours, runtime, last, session_id), partial(_bare, file), bench.pick(7, 3))]


async def _nothing() -> None:
    await trio.lowlevel.checkpoint()


async def _prepare(runtime: Runtime, last: Last, nodes: int) -> str:
    """A session that was cancelled in its last step, after ``nodes`` others."""
    steps = loop("nothing", nodes, "true") + "  - {id: t, type: function, function: last}\n"
    session = await looping(steps, nodes).start(runtime)
    await last.has_begun.wait()
    session.cancel(immediate=True)
    await session.wait()
    return session.id


async def _ours(runtime: Runtime, last: Last, session_id: str) -> dict[str, float]:
    last.has_begun = trio.Event()
    began = time.perf_counter()
    session = await runtime.resume(session_id)
    await last.has_begun.wait()
    seconds = last.began - began
    session.cancel(immediate=True)
    await session.wait()
    return {"resume": seconds}


async def _bare(file: Path) -> dict[str, float]:
    began = time.perf_counter()
    connection = sqlite3.connect(file)
    rows = [(*row[:5], json.loads(row[5]), row[6]) for row in connection.execute(_ROWS)]
    seconds = time.perf_counter() - began
    connection.close()
    assert rows
    await trio.lowlevel.checkpoint()
    return {"bare": seconds}


GROUP = Group("resume", "Resume of a large session", _open)
