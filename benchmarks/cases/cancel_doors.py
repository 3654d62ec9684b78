"""One waiting step, cancelled by every door: directly, gracefully, by the tool, over MCP, in an asyncio host.

From the call to the step's ``finally``, and until ``cancelled`` is durable; beside the direct, immediate call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import trio
from attrs import define

from benchmarks.case import Bench, CannotMeasureError, Case, Group
from benchmarks.cases.cancel_other_process import Clocked
from benchmarks.mcp_client import McpClient
from benchmarks.recipes import Job, failing, nested_failing, single
from benchmarks.row import Row
from benchmarks.waiting import LULL, settled
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.sessions.runtime import Runtime
from trio_recipes.sessions.session import Session

Cancel = Callable[[Session], Awaitable[None]]
_DIRECT = "`session.cancel(immediate=True)` of the same step"


@define(eq=False)
class Doors:
    """A runtime with a step to cancel in it.

    Args:
        bench: where all of it lies.
        runtime: with the step's functions.
        clocked: the function that waits.
        mcp: a client of a server with a recipe of its own, if the SDK is installed.
    """

    bench: Bench
    runtime: Runtime
    clocked: Clocked
    mcp: McpClient | None

    async def direct(self) -> dict[str, float]:
        """By the session's own handle."""
        return _named("own", await self._cancelled(_directly))

    async def by_tool(self) -> dict[str, float]:
        """By a call of the tool that agents have."""
        from trio_recipes.frontends.tool.tool import RecipesTool  # noqa: PLC0415  for this row only

        tool = RecipesTool(self.runtime)

        async def cancel(session: Session) -> None:
            await tool.execute({"operation": "cancel", "session_id": session.id, "immediate": True})

        return _named("", await self._cancelled(cancel))

    async def by_mcp(self) -> dict[str, float]:
        """By a call of an MCP client.

        Raises:
            CannotMeasureError: if there is no SDK.
        """
        if self.mcp is None:
            raise CannotMeasureError("mcp is not installed")
        return await self.mcp.cancel()

    async def gracefully(self, job: Job, count: int) -> dict[str, float]:
        """Waits that are not work: they end at once."""
        session = await job.start(self.runtime)
        while len(session.engine.driver.run.tree.naps) < count:  # noqa: ASYNC110  what tells is a set
            await trio.sleep(0.002)
        await trio.sleep(LULL)
        began = time.perf_counter()
        session.cancel()
        await session.wait()
        return {"durable": time.perf_counter() - began}

    async def in_asyncio(self) -> dict[str, float]:
        """By the session's handle in a loop of asyncio, in a thread of its own."""
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
        await asyncio.sleep(LULL)
        began = time.perf_counter()
        session.cancel(immediate=True)
        await session.wait()
        return {"finally": ended - began, "durable": time.perf_counter() - began}


@asynccontextmanager
async def _open(bench: Bench) -> AsyncGenerator[Sequence[Case]]:
    clocked = Clocked()
    store = bench.folder / "doors"
    functions: dict[str, Callable[..., object]] = {"wait": clocked, "fail": _fail}
    async with (
        open_runtime(store=store, functions=functions, project=bench.folder, agents="echo") as runtime,
        McpClient.connected(bench) as mcp,
    ):
        doors, count = Doors(bench, runtime, clocked, mcp), bench.pick(40, 2)
        yield [
            Case(_rows("a tool call"), doors.by_tool, doors.direct, count),
            Case(_rows("an MCP call of another process (stdio)"), doors.by_mcp, doors.direct, count),
            Case(_rows("an asyncio host (guest mode)"), doors.in_asyncio, doors.direct, bench.pick(40, 2)),
            *_graceful(doors, bench.pick(20, 2)),
        ]


def _graceful(doors: Doors, repetitions: int) -> list[Case]:
    """Flat, side by side, and nested."""
    deep = nested_failing(doors.bench.folder / "back-off", "fail", 10)
    jobs = {
        "": (failing("fail"), 1),
        " of 100 at once": (failing("fail", 100), 100),
        ", 10 sub-recipes deep": (deep, 1),
    }
    return [
        Case(
            _rows(f"a graceful cancel of a back-off{which}")[1:],
            partial(doors.gracefully, job, count),
            doors.direct,
            repetitions,
            warm_ups=doors.bench.pick(1, 0),
        )
        for which, (job, count) in jobs.items()
    ]


def _rows(door: str) -> tuple[Row, ...]:
    return (
        Row(f"{door}: → the step's `finally` runs", "finally", _DIRECT, "own finally"),
        Row(f"{door}: → `cancelled` is durable", "durable", _DIRECT, "own durable"),
    )


GROUP = Group("cancel-doors", "Cancel by other doors, in process", _open)
