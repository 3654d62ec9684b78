"""Start-up: importing, and the smallest recipes as whole processes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

from benchmarks.case import Bench, Case, Group
from benchmarks.command_line import import_seconds, seconds_of
from benchmarks.recipes import head
from benchmarks.row import Row
from benchmarks.target import Times

_RUNTIME = "from trio_recipes import open_runtime; import trio_recipes.store.sqlite"
_SMALLEST = {
    "the smallest recipe (one function step)": "steps:\n  - {id: s, type: function, function: 'os:getpid'}\n",
    "the same with one bash step (starts bash and the watchman)": "steps:\n  - {id: s, type: bash, command: ':'}\n",
}


@asynccontextmanager
async def _open(bench: Bench) -> AsyncGenerator[Sequence[Case]]:
    runs = [_run_case(bench, number, what, body) for number, (what, body) in enumerate(_SMALLEST.items())]
    yield [
        *runs,
        _import_case(bench, "`import trio_recipes` (lazy: names are imported when first used)", "import trio_recipes"),
        _import_case(bench, "import of all that `open_runtime` needs, trio included", _RUNTIME),
    ]


def _run_case(bench: Bench, number: int, what: str, body: str) -> Case:
    file, store = bench.folder / f"smallest-{number}.yaml", bench.folder / f"start-{number}"
    file.write_text(head("smallest") + body, encoding="utf-8")
    row = Row(f"{what}, whole process", "run", '`python -c "import trio"`, whole process', "bare", (Times(2),))
    run = ("-m", "trio_recipes", "run", str(file), "--store", str(store))
    ours = partial(_named, "run", partial(seconds_of, *run, root=bench.root, folder=bench.folder))
    bare = partial(_named, "bare", partial(seconds_of, "-c", "import trio", root=bench.root, folder=bench.folder))
    return Case((row,), ours, bare, bench.pick(20, 2))


def _import_case(bench: Bench, what: str, statement: str) -> Case:
    row = Row(what, "ours", "`import trio`", "bare", (Times(1.6),))
    ours = partial(_named, "ours", partial(import_seconds, statement, bench.root, bench.folder))
    bare = partial(_named, "bare", partial(import_seconds, "import trio", bench.root, bench.folder))
    return Case((row,), ours, bare, bench.pick(20, 2))


async def _named(name: str, measure: Callable[[], Awaitable[float]]) -> Mapping[str, float]:
    return {name: await measure()}


GROUP = Group("start-up", "Start-up: imports, and the smallest recipes as whole processes", _open)
