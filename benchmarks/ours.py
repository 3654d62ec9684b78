"""Our own side of what other projects are asked for: the same work, and the same moments."""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from benchmarks.case import Bench, CannotMeasureError
from benchmarks.cases.cancel_other_process import Clocked, request, requester_command
from benchmarks.cases.cancel_tree import TREE, forget, started
from benchmarks.cases.resume import Last
from benchmarks.cases.step_cost import Ticks
from benchmarks.command_line import seconds_of
from benchmarks.eyes import Eyes
from benchmarks.helper_process import HelperProcess
from benchmarks.helper_process import started as helper_started
from benchmarks.peers.conversation import MOMENT
from benchmarks.recipes import Job, command, head, loop, looping, parallel, sequential
from benchmarks.waiting import settled
from trio_recipes.events import SessionStatus
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.sessions.runtime import Runtime
from trio_recipes.sessions.session import Session


@define(eq=False)
class Ours:
    """A runtime whose functions do nothing, or wait.

    Args:
        bench: where all of it lies.
        runtime: with these functions.
        requester: another process, warm, that cancels sessions by their ids.
        ticks: the function that does nothing.
        waiting: the function that waits.
        last: the function after all others.
    """

    bench: Bench
    runtime: Runtime
    requester: HelperProcess
    ticks: Ticks
    waiting: Clocked
    last: Last
    _long: dict[int, str] = field(factory=dict)

    @classmethod
    @asynccontextmanager
    async def opened(cls, bench: Bench) -> AsyncGenerator[Ours]:
        """Have the runtime and the other process."""
        store, (ticks, waiting, last) = bench.folder / "ours", (Ticks(), Clocked(), Last())
        functions: Mapping[str, Callable[..., Any]] = {"tick": ticks, "wait": waiting, "last": last}
        async with (
            open_runtime(store=store, functions=functions, project=bench.folder, agents="echo") as runtime,
            helper_started(requester_command(store, bench.folder), bench.root) as requester,
        ):
            await requester.line()
            yield cls(bench, runtime, requester, ticks, waiting, last)

    async def steps(self, count: int) -> dict[str, float]:
        """Seconds of one of ``count`` steps, one after the other."""
        await self._completed(sequential("tick", count))
        return {"step": statistics.median(self.ticks.spans())}

    async def parallel(self, count: int) -> dict[str, float]:
        """Seconds for each of ``count`` steps at once, start and end of the session included."""
        return {"iteration": await self._completed(parallel("tick", count)) / count}

    async def _completed(self, job: Job) -> float:
        self.ticks.at.clear()
        began = time.perf_counter()
        session = await job.start(self.runtime)
        result = await session.wait()
        if result.status is not SessionStatus.COMPLETED:
            raise CannotMeasureError(f"the session is {result.status}: {result.failure}")
        return time.perf_counter() - began

    async def cancel(self, count: int) -> dict[str, float]:
        """Cancel ``count`` waiting steps: seconds until the last one has ended, and until the session has."""
        session = await self._waiting(count)
        began = time.monotonic_ns()
        session.cancel(immediate=True)
        return await self._ended(session, began)

    async def cancel_by_id(self) -> dict[str, float]:
        """The same of one step by another process, from when its request is durable."""
        session = await self._waiting(1)
        return await self._ended(session, await request(self.requester, session.id))

    async def _waiting(self, count: int) -> Session:
        session = await parallel("wait", count).start(self.runtime)
        await settled(session, self.waiting, count)
        return session

    async def _ended(self, session: Session, began: int) -> dict[str, float]:
        await session.wait()
        returned = time.monotonic_ns()
        return {"ended": (self.waiting.ended_at - began) / 1e9, "returned": (returned - began) / 1e9}

    async def cancel_tree(self, file: Path) -> dict[str, float]:
        """Cancel a shell command: seconds until every process of it is dead.

        Args:
            file: where the command writes them.
        """
        forget(file)
        session = await command(TREE.format(file=file)).start(self.runtime)
        pids = await started(file)
        await trio.sleep(MOMENT)
        async with Eyes.on(pids) as eyes:
            began = time.perf_counter()
            session.cancel(immediate=True)
            await session.wait()
            return {"dead": await eyes.closed() - began}

    async def resume(self, count: int) -> dict[str, float]:
        """Resume a session with ``count`` finished steps: seconds until its first new one begins."""
        if count not in self._long:
            steps = loop("tick", count, "false") + "  - {id: t, type: function, function: last}\n"
            session = await looping(steps, count).start(self.runtime)
            self._long[count] = await self._stopped_in_last(session)
        self.last.has_begun = trio.Event()
        began = time.perf_counter()
        await self._stopped_in_last(await self.runtime.resume(self._long[count]))
        return {"first": self.last.began - began}

    async def _stopped_in_last(self, session: Session) -> str:
        await self.last.has_begun.wait()
        session.cancel(immediate=True)
        await session.wait()
        return session.id

    async def smallest(self) -> dict[str, float]:
        """Seconds of a whole process that runs one step that does nothing."""
        file, store = self.bench.folder / "ours.yaml", self.bench.folder / "ours-smallest"
        file.write_text(  # noqa: ASYNC240  one file
            f"{head('smallest')}steps:\n  - {{id: s, type: function, function: 'os:getpid'}}\n", encoding="utf-8"
        )
        run = ("-m", "trio_recipes", "run", str(file), "--store", str(store))
        return {"process": await seconds_of(*run, root=self.bench.root, folder=self.bench.folder)}
