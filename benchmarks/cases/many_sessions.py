"""A store with thousands of sessions: ``list`` and ``show`` as whole processes.

One finished session is copied under other ids: writing thousands of them would measure the disk.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from benchmarks.case import Bench, Case, Group
from benchmarks.command_line import seconds_of
from benchmarks.recipes import single
from benchmarks.row import Row
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.store.layout import Layout

Command = tuple[str, ...]

_EACH = """
import json, pathlib, sqlite3, sys
for file in pathlib.Path(sys.argv[1]).glob("*/session.db"):
    connection = sqlite3.connect(file)
    json.loads(connection.execute("SELECT body FROM events WHERE event = 'session_created'").fetchone()[0])
    connection.close()
"""


@asynccontextmanager
async def _open(bench: Bench) -> AsyncGenerator[Sequence[Case]]:
    store, count = bench.folder / "many", bench.pick(10_000, 100)
    async with open_runtime(store=store, functions={"nothing": _nothing}, agents="echo") as runtime:
        session = await single("nothing").start(runtime)
        await session.wait()
        layout = runtime.store.layout
    await trio.to_thread.run_sync(_copy, layout, session.id, count)
    yield _cases(bench, layout, session.id, count)


def _cases(bench: Bench, layout: Layout, session_id: str, count: int) -> Sequence[Case]:
    ours, few = ("-m", "trio_recipes", "--store", str(layout.root)), bench.pick(5, 1)
    again, show = (*ours, "list", "--all"), (*ours, "show", session_id)
    each, against = ("-c", _EACH, str(layout.sessions)), "sqlite3: one row of each"
    bare = '`python -c "import trio"`', ("-c", "import trio")
    known, unknown = (f"`list --all` of {count:,} sessions, {how}" for how in ("again", "none of them known"))
    return [
        _case(bench, unknown, again, against, each, few, layout.root / "index.db"),
        _case(bench, known, again, against, each, few),
        _case(bench, f"`show` of one of {count:,} sessions", show, *bare, few),
    ]


def _case(
    bench: Bench,
    what: str,
    ours: Command,
    against: str,
    bare: Command,
    repetitions: int,
    forgotten: Path | None = None,
) -> Case:
    row = Row(f"{what}, whole process", "ours", f"{against}, whole process", "bare")
    return Case(
        (row,), partial(_seconds, bench, "ours", ours, forgotten), partial(_seconds, bench, "bare", bare), repetitions
    )


async def _seconds(bench: Bench, name: str, arguments: Command, forgotten: Path | None = None) -> dict[str, float]:
    if forgotten is not None:
        forgotten.unlink(missing_ok=True)  # noqa: ASYNC240  one file
    return {name: await seconds_of(*arguments, root=bench.root, folder=bench.folder)}


async def _nothing() -> None:
    await trio.lowlevel.checkpoint()


def _copy(layout: Layout, session_id: str, count: int) -> None:
    source, long_ago = layout.database(session_id), time.time() - 3600
    for number in range(count - 1):
        copy = layout.session(f"{number:016x}{session_id[16:]}")
        copy.mkdir()
        shutil.copyfile(source, copy / source.name)
        os.utime(copy / source.name, (long_ago, long_ago))  # what has changed just now is not cached


GROUP = Group("many-sessions", "A store with many sessions", _open)
