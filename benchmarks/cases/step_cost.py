"""What a durable step costs: a step that does nothing, beside one SQLite commit at the same durability."""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import trio
from attrs import define, field

from benchmarks.case import Bench, CannotMeasureError, Case, Group
from benchmarks.commits import Commits
from benchmarks.plots import over_size
from benchmarks.recipes import Job, flat, parallel, sequential
from benchmarks.row import Row
from benchmarks.target import Times, Within
from benchmarks.unit import BYTES, PAGES
from trio_recipes.events import SessionStatus
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.sessions.runtime import Runtime
from trio_recipes.sessions.session import Session

STEPS = 50
EDGE = 100


@define(eq=False)
class Ticks:
    """A step that does nothing but note when it runs."""

    at: list[float] = field(factory=list)

    async def __call__(self) -> None:
        self.at.append(time.perf_counter())
        await trio.lowlevel.checkpoint()

    def spans(self) -> list[float]:
        """Seconds from each step to the next."""
        return [after - before for before, after in zip(self.at, self.at[1:], strict=False)]


@define(eq=False)
class Lab:
    """A runtime with one function, and a folder for SQLite beside it on the same disk."""

    runtime: Runtime
    ticks: Ticks
    folder: Path
    wal_pages: int = 0

    async def run(self, job: Job) -> float:
        """Run a job; seconds from its durable start to its durable end."""
        self.ticks.at.clear()
        session = await job.start(self.runtime)
        began = time.perf_counter()
        await self._completed(session)
        return time.perf_counter() - began

    async def run_watched(self, job: Job) -> Path:
        """Run a job while its WAL is kept from being tidied away; returns its database, closed by its session."""
        session = await job.start(self.runtime)
        file = self.runtime.store.layout.database(session.id)
        with closing(sqlite3.connect(file)) as keeper:
            keeper.execute("SELECT count(*) FROM events").fetchone()
            await self._completed(session)
            await trio.sleep(0.1)  # the writer closes its connection
            self.wal_pages = keeper.execute("PRAGMA wal_checkpoint").fetchone()[1]  # its size says less: laid out ahead
        return file

    async def _completed(self, session: Session) -> None:
        result = await session.wait()
        if result.status is not SessionStatus.COMPLETED:
            raise CannotMeasureError(f"the session is {result.status}: {result.failure}")


@asynccontextmanager
async def _open(bench: Bench) -> AsyncGenerator[Sequence[Case]]:
    ticks, store = Ticks(), bench.folder / "cost"
    async with open_runtime(store=store, functions={"tick": ticks}, agents="echo") as runtime:
        lab = Lab(runtime, ticks, store)
        yield [_one_step(bench, lab), _parallel(bench, lab), _growth(bench, lab), _pages(lab), _bytes(lab)]


# --- time --------------------------------------------------------------------------------------------------------


def _one_step(bench: Bench, lab: Lab) -> Case:
    row = Row("one sequential durable step", "step", "one SQLite commit (WAL, FULL), same disk", "commit", (Times(3),))
    return Case((row,), partial(_steps, lab), partial(_commits, lab), bench.pick(40, 5))


async def _steps(lab: Lab) -> dict[str, float]:
    await lab.run(flat("tick", STEPS))
    return {"step": statistics.median(lab.ticks.spans())}


async def _commits(lab: Lab) -> dict[str, float]:
    return {"commit": statistics.median(await trio.to_thread.run_sync(_fresh_commits, lab.folder))}


def _fresh_commits(folder: Path) -> list[float]:
    """Commits to a new database, as new as a session's, by SQLite alone: its WAL grows with each of them."""
    with tempfile.TemporaryDirectory(dir=folder) as place, closing(Commits(Path(place) / "bare.db")) as commits:
        return commits.measure(STEPS)


def _parallel(bench: Bench, lab: Lab) -> Case:
    width = bench.pick(10_000, 500)
    what = f"one of {width:,} parallel durable iterations, start and end of the session included"
    row = Row(what, "iteration", "one sequential durable step", "step", (Times(0.25),))
    return Case((row,), partial(_iterations, lab, width), partial(_steps, lab), bench.pick(5, 2))


async def _iterations(lab: Lab, width: int) -> dict[str, float]:
    return {"iteration": await lab.run(parallel("tick", width)) / width}


def _growth(bench: Bench, lab: Lab) -> Case:
    count = bench.pick(10_000, 500)
    numbers = [number for number in (200, 500, 1_000, 2_000, 5_000, 10_000) if number <= count]
    rows = [_row_of_step(number, (Times(1.2),) if number == count else ()) for number in numbers]
    return Case(tuple(rows), partial(_medians, lab, count, numbers), None, bench.pick(3, 1), warm_ups=0)


def _row_of_step(number: int, targets: tuple[Times, ...]) -> Row:
    what = f"step {number:,} of a sequential loop (median of the {EDGE} up to it)"
    return Row(what, f"step {number}", f"step 1 (median of the first {EDGE})", "first", targets, size=number)


async def _medians(lab: Lab, count: int, numbers: Sequence[int]) -> dict[str, float]:
    await lab.run(sequential("tick", count))
    spans = lab.ticks.spans()
    found = {f"step {number}": statistics.median(spans[number - EDGE : number]) for number in numbers}
    return {"first": statistics.median(spans[:EDGE]), **found}


# --- counts: the same on every machine ---------------------------------------------------------------------------


def _pages(lab: Lab) -> Case:
    row = Row("WAL pages per sequential step", "pages", unit=PAGES, targets=(Within(3),))
    return Case((row,), partial(_wal_pages, lab), None, repetitions=3, warm_ups=0)


async def _wal_pages(lab: Lab) -> dict[str, float]:
    """What 100 more steps add: fewer pages than SQLite tidies away by itself (1,000)."""
    await lab.run_watched(flat("tick", 50))
    before = lab.wal_pages
    await lab.run_watched(flat("tick", 150))
    return {"pages": (lab.wal_pages - before) / 100}


def _bytes(lab: Lab) -> Case:
    row = Row("database of 1,000 small sequential steps, checkpointed", "bytes", unit=BYTES, targets=(Within(1e6),))
    return Case((row,), partial(_database_bytes, lab), None, repetitions=1, warm_ups=0)


async def _database_bytes(lab: Lab) -> dict[str, float]:
    file = await lab.run_watched(sequential("tick", 1_000))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return {"bytes": float(file.stat().st_size)}


_DRAW = over_size(
    "step-cost",
    "What the n-th step of a sequential loop costs",
    "n",
    keep=lambda result: result.row.ours.startswith("step "),
)
GROUP = Group("step-cost", "The cost of a durable step that does nothing", _open, _DRAW)
