"""One waiting step, cancelled by every door of a program: directly, gracefully, by the tool, in an asyncio host.

From the call to the step's ``finally``, and until ``cancelled`` is durable; beside the direct, immediate call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import trio
from attrs import define

from benchmarks.case import Bench, CannotMeasureError, Case, Group, Row
from benchmarks.cases.cancel_other_process import Clocked
from benchmarks.recipes import failing, single
from benchmarks.waiting import settled
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.sessions.runtime import Runtime
from trio_recipes.sessions.session import Session

Cancel = Callable[[Session], Awaitable[None]]
_DIRECT = "`session.cancel(immediate=True)` of the same step"
_LULL = 0.07


@define(eq=False)
class Doors:
    """A runtime with a step to cancel in it."""

    bench: Bench
    runtime: Runtime
    clocked: Clocked

    async def direct(self) -> dict[str, float]:
        return _named("own", await self._cancelled(_directly))

    async def by_tool(self) -> dict[str, float]:
        from trio_recipes.frontends.tool.tool import RecipesTool  # noqa: PLC0415  for this row only

        tool = RecipesTool(self.runtime)

        async def cancel(session: Session) -> None:
            await tool.execute({"operation": "cancel", "session_id": session.id, "immediate": True})

        return _named("", await self._cancelled(cancel))

    async def gracefully(self) -> dict[str, float]:
        """A wait that is not work: it ends at once."""
        session = await failing("fail").start(self.runtime)
        while not session.engine.driver.run.tree.naps:  # noqa: ASYNC110  what tells is a set
            await trio.sleep(0.002)
        await trio.sleep(_LULL)
        began = time.perf_counter()
        session.cancel()
        await session.wait()
        return {"durable": time.perf_counter() - began}

    async def in_asyncio(self) -> dict[str, float]:
        return await trio.to_thread.run_sync(asyncio.run, _in_asyncio(self.bench))

    async def _cancelled(self, cancel: Cancel) -> tuple[float, float]:
        session = await single("wait").start(self.runtime)
        await settled(session, self.clocked, 1)
        began, clock = time.monotonic_ns(), time.perf_counter()
        await cancel(session)
        await session.wait()
        return (self.clocked.ended_at - began) / 1e9, time.perf_counter() - clock


def _named(prefix: str, measured: tuple[float, float]) -> dict[str, float]:
    return {f"{prefix} finally".strip(): measured[0], f"{prefix} durable".strip(): measured[1]}


async def _directly(session: Session) -> None:  # noqa: ASYNC124  its place is async
    session.cancel(immediate=True)


async def _fail() -> None:  # noqa: ASYNC124  its place is async
    raise RuntimeError("as intended")


async def _in_asyncio(bench: Bench) -> dict[str, float]:
    """The same in an asyncio application, in guest mode: with a function that is written for asyncio."""
    try:
        from trio_recipes.integrations import asyncio as host  # noqa: PLC0415  for this row only
    except ImportError as error:
        raise CannotMeasureError(str(error)) from error
    waits, ended = asyncio.Event(), 0.0

    async def wait() -> None:
        nonlocal ended
        waits.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended = time.perf_counter()

    store = bench.folder / "asyncio"
    async with host.open_runtime(store=store, functions={"wait": wait}, agents="echo", project=bench.folder) as runtime:
        session = await runtime.start(single("wait").recipe)
        await waits.wait()
        await asyncio.sleep(_LULL)
        began = time.perf_counter()
        session.cancel(immediate=True)
        await session.wait()
        return {"finally": ended - began, "durable": time.perf_counter() - began}


@asynccontextmanager
async def _open(bench: Bench) -> AsyncGenerator[Sequence[Case]]:
    clocked = Clocked()
    store = bench.folder / "doors"
    functions: dict[str, Callable[..., object]] = {"wait": clocked, "fail": _fail}
    async with open_runtime(store=store, functions=functions, project=bench.folder, agents="echo") as runtime:
        doors, count = Doors(bench, runtime, clocked), bench.pick(40, 5)
        yield [
            Case(_rows("a tool call"), doors.by_tool, doors.direct, count),
            Case(_rows("an asyncio host (guest mode)"), doors.in_asyncio, doors.direct, bench.pick(40, 4)),
            Case(_rows("a graceful cancel of a back-off")[1:], doors.gracefully, doors.direct, count),
        ]


def _rows(door: str) -> tuple[Row, ...]:
    return (
        Row(f"{door}: → the step's `finally` runs", "finally", _DIRECT, "own finally"),
        Row(f"{door}: → `cancelled` is durable", "durable", _DIRECT, "own durable"),
    )


GROUP = Group("cancel-doors", "Cancel by other doors, in process", _open)
