"""Prefect with its ephemeral API and SQLite, and results of tasks that are stored and found again by their inputs.

That is what makes its tasks durable: a flow that runs again with the same inputs takes them from there. Flows are
called as functions, so the task that awaits them is what one cancels here.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import flow, runtime, task
from prefect.cache_policies import INPUTS
from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings
from prefect.states import Cancelling

from benchmarks.peers.conversation import main
from benchmarks.peers.engine import Engine
from benchmarks.peers.work import shell


class Prefect(Engine):
    """Flows over one home."""

    def __init__(self, folder: Path, flavour: str) -> None:
        super().__init__(folder, flavour)
        self.flows = _flows(self)

    async def about(self) -> dict[str, str]:
        await self.run_steps("first", 1)  # starts the API, whose database then exists
        with closing(sqlite3.connect(get_current_settings().home / "prefect.db")) as connection:
            mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        return {
            "version": f"Prefect {version('prefect')}",
            "durability": f"results as files, not synced; states by its API, SQLite {mode}, synchronous=NORMAL",
            "cancelling": "the asyncio task of the flow is cancelled",
            "requesting": "state set to Cancelling, which stops runs of deployments only",
            "resuming": "the flow called again, results from its cache",
        }

    async def run_steps(self, run: str, count: int) -> None:
        await asyncio.to_thread(self.flows["steps"], run, count)

    async def run_parallel(self, run: str, count: int) -> None:
        await self.flows["parallel"](run, count)

    async def run_waiting(self, run: str, count: int) -> None:
        await self.flows["waiting"](run, count)

    async def run_shell(self, run: str, command: str) -> None:
        await self.flows["shell"](command)

    async def run_long(self, run: str, count: int) -> None:
        await self.flows["long"](run, count)

    async def resume_long(self, run: str, count: int) -> None:
        await self.flows["long"](run, count)

    async def request(self, run: str) -> None:
        async with get_client() as client:
            await client.set_flow_run_state(UUID(run), Cancelling(), force=True)


def _flows(engine: Prefect) -> dict[str, Any]:
    def nothing(run: str, number: int) -> None:
        engine.ticks()

    async def nothing_in_asyncio(run: str, number: int) -> None:  # noqa: ASYNC124  its place is async
        engine.ticks()

    async def wait() -> None:
        await engine.waiting()

    durable = task(persist_result=True, cache_policy=INPUTS)
    tick, tick_in_asyncio = durable(nothing), durable(nothing_in_asyncio)
    waiting, command = task(wait), task(shell)

    def run_steps(run: str, count: int) -> None:
        for number in range(count):
            tick(run, number)

    async def run_parallel(run: str, count: int) -> None:
        await asyncio.gather(*(tick_in_asyncio(run, number) for number in range(count)))

    async def run_waiting(run: str, count: int) -> None:
        engine.names[run] = str(runtime.flow_run.id)
        await asyncio.gather(*(waiting() for _ in range(count)))

    async def run_shell(text: str) -> None:
        await command(text)

    async def run_long(run: str, count: int) -> None:
        for number in range(count):
            await tick_in_asyncio(run, number)
        await waiting()

    functions = {
        "steps": run_steps,
        "parallel": run_parallel,
        "waiting": run_waiting,
        "shell": run_shell,
        "long": run_long,
    }
    return {name: flow(name=name)(function) for name, function in functions.items()}


if __name__ == "__main__":
    main(Prefect)
