"""One large session in a process of its own: ``python -m benchmarks.reliability.sized KIND COUNT FOLDER``.

Prints, as JSON, how long it took and how much memory it needed at most: what grows out of proportion shows when two
counts are compared.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import trio

from trio_recipes import open_runtime
from trio_recipes.sessions.history import read_history
from trio_recipes.store.base import open_store

T = TypeVar("T")

HEAD = "name: large\ndescription: a large session\nversion: 1.0.0\n"
PARALLEL = """context: {{items: {items}}}
steps:
- {{id: each, type: function, function: nothing, foreach: "{{{{items}}}}", max_iterations: 10000000, parallel: true}}
"""
NESTED = """context: {{ten: {ten}, many: {many}}}
steps:
- id: outer
  foreach: "{{{{many}}}}"
  max_iterations: 100000
  steps:
  - id: middle
    foreach: "{{{{ten}}}}"
    steps:
    - {{id: inner, type: function, function: nothing, foreach: "{{{{ten}}}}"}}
"""
OUTPUT = """steps:
- {{id: loud, type: bash, command: "head -c {count} /dev/zero | tr '\\\\0' x", output: text}}
"""
EVENTS = """context: {{hundred: {hundred}, many: {many}}}
steps:
- id: outer
  foreach: "{{{{many}}}}"
  max_iterations: 1000000
  steps:
  - id: inner
    type: function
    function: nothing
    foreach: "{{{{hundred}}}}"
    parallel: true
"""
EVENTS_A_STEP = 2


def recipe(kind: str, count: int) -> str:
    """The text of a recipe with ``count`` iterations, bytes of output, or events."""
    if kind == "parallel":
        return HEAD + PARALLEL.format(items=[*range(count)])
    if kind == "nested":
        return HEAD + NESTED.format(ten=[*range(10)], many=[*range(count // 100)])
    if kind == "output":
        return HEAD + OUTPUT.format(count=count)
    return HEAD + EVENTS.format(hundred=[*range(100)], many=[*range(count // (100 * EVENTS_A_STEP))])


async def run(file: Path, store: Path) -> str:
    """Run it to its end; returns the session's id."""
    async with open_runtime(store=str(store), functions={"nothing": nothing}, durability="process") as runtime:
        session = await runtime.start(file)
        result = await session.wait()
    result.unwrap()
    return session.id


async def nothing() -> None:
    """A step that does nothing."""


def measure(kind: str, count: int, folder: Path) -> dict[str, Any]:
    """Run it, then look at it; seconds and MB."""
    file = folder / "large.yaml"
    file.write_text(recipe(kind, count), encoding="utf-8")
    before = peak()
    session_id, ran = timed(lambda: trio.run(run, file, folder / "store"))
    memory = peak()
    store = open_store(str(folder / "store"))
    _, stood = timed(partial(store.standing, session_id))
    history, looked = timed(partial(read_history, store.file(session_id)))
    size = (folder / "store" / "sessions" / session_id / "session.db").stat().st_size / 1e6
    return {
        "kind": kind,
        "count": count,
        "seconds": ran,
        "memory": memory - before,
        "events": history.progress.last_seq,
        "standing": stood,
        "history": looked,
        "file": size,
    }


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What it returns, and the seconds that it took."""
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


def peak() -> float:
    """The most memory that this process had at once, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))
