"""Cancelling a session by its id from another process, beside cancelling the same session in its own process.

From the moment at which the request is durable (in process: from the call) to the step's ``finally``, and to the
moment at which the session can be read back as cancelled from the store.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from benchmarks.case import Bench, CannotMeasureError, Case, Group
from benchmarks.helper_process import HelperProcess, started
from benchmarks.plots import distributions
from benchmarks.recipes import single
from benchmarks.row import Row
from benchmarks.target import More, Within
from benchmarks.waiting import Waiting, settled
from trio_recipes.events import SessionStatus
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.sessions.runtime import Runtime
from trio_recipes.sessions.session import Session

_IN_PROCESS = "`session.cancel(immediate=True)` in process"
_SOON = (More(5e-3), Within(10e-3))
ROWS = (
    Row("request durable → the step's `finally` runs", "finally", _IN_PROCESS, "own finally", _SOON),
    Row("request durable → read back as `cancelled`", "durable", _IN_PROCESS, "own durable", (Within(50e-3),)),
)


class Clocked(Waiting):
    """A step that notes when its ``finally`` runs."""

    ended_at: int = 0

    async def __call__(self) -> None:
        try:
            await super().__call__()
        finally:
            self.ended_at = time.monotonic_ns()


def requester_command(store: Path, project: Path) -> list[str]:
    """A warm process that cancels sessions of a store by their ids."""
    return [sys.executable, "-m", "benchmarks.requester", str(store), str(project)]


async def request(requester: HelperProcess, session_id: str) -> int:
    """Have that process cancel a session; when its request was durable, by CLOCK_MONOTONIC in nanoseconds.

    Raises:
        CannotMeasureError: if it was refused.
    """
    await requester.say(session_id)
    answer = await requester.line()
    if not answer.isdigit():
        raise CannotMeasureError(f"the other process: {answer}")
    return int(answer)


@asynccontextmanager
async def _open(bench: Bench) -> AsyncGenerator[Sequence[Case]]:
    clocked, store = Clocked(), bench.folder / "other"
    async with (
        open_runtime(store=store, functions={"wait": clocked}, project=bench.folder, agents="echo") as runtime,
        started(requester_command(store, bench.folder), bench.root) as requester,
    ):
        await requester.line()
        ours = partial(_from_outside, runtime, clocked, requester)
        yield [Case(ROWS, ours, partial(_in_process, runtime, clocked), bench.pick(100, 5), warm_ups=bench.pick(2, 1))]


async def _from_outside(runtime: Runtime, clocked: Clocked, requester: HelperProcess) -> dict[str, float]:
    session = await _waiting(runtime, clocked)
    box: list[int] = []

    async def ask() -> None:
        box.append(await request(requester, session.id))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        durable_at = await _read_back(runtime, session)
    return {"finally": (clocked.ended_at - box[0]) / 1e9, "durable": (durable_at - box[0]) / 1e9}


async def _in_process(runtime: Runtime, clocked: Clocked) -> dict[str, float]:
    session = await _waiting(runtime, clocked)
    began = time.monotonic_ns()
    session.cancel(immediate=True)
    durable_at = await _read_back(runtime, session)
    return {"own finally": (clocked.ended_at - began) / 1e9, "own durable": (durable_at - began) / 1e9}


async def _waiting(runtime: Runtime, clocked: Clocked) -> Session:
    session = await single("wait").start(runtime)
    await settled(session, clocked, 1)
    return session


async def _read_back(runtime: Runtime, session: Session) -> int:
    await session.wait()
    status = (await trio.to_thread.run_sync(runtime.store.standing, session.id)).status
    if status is not SessionStatus.CANCELLED:
        raise CannotMeasureError(f"the session is {status}")
    return time.monotonic_ns()


_DRAW = distributions("cancel-other-process", "Cancel by id from another process, and in process")
GROUP = Group("cancel-other-process", "Cancel by id from another process", _open, _DRAW)
