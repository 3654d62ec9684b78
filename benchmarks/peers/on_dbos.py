"""DBOS on SQLite, its default, or on the PostgreSQL database whose URL is the flavour.

What waits is a ``preemptible`` step, the only kind that a cancellation interrupts: by default a step runs to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import sqlalchemy
from dbos import DBOS, DBOSClient, SetWorkflowID

from benchmarks.peers.conversation import main
from benchmarks.peers.engine import Engine
from benchmarks.peers.work import settings, shell

Workflows = dict[str, Any]


class Dbos(Engine):
    """Workflows over one system database."""

    def __init__(self, folder: Path, flavour: str) -> None:
        super().__init__(folder, flavour)
        self.url = flavour if "://" in flavour else f"sqlite:///{folder / 'dbos.db'}"
        self.workflows: Workflows = {}

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        DBOS(config={"name": "bench", "system_database_url": self.url})
        self.workflows = _workflows(self)
        DBOS.launch()
        try:
            yield
        finally:
            DBOS.destroy()

    async def about(self) -> dict[str, str]:
        return {
            "version": f"DBOS {version('dbos')}",
            "durability": await asyncio.to_thread(self._durability),
            "cancelling": "cancel_workflow, preemptible steps (others run to their end)",
            "requesting": "DBOSClient.cancel_workflow, preemptible step",
            "resuming": "resume_workflow",
        }

    def _durability(self) -> str:
        database = sqlalchemy.create_engine(self.url)
        if database.dialect.name == "sqlite":
            name, questions = "SQLite", {"journal_mode": "PRAGMA journal_mode", "synchronous": "PRAGMA synchronous"}
        else:
            name, questions = "PostgreSQL", {"fsync": "SHOW fsync", "synchronous_commit": "SHOW synchronous_commit"}
        with database.connect() as connection:
            found = {key: connection.execute(sqlalchemy.text(text)).scalar() for key, text in questions.items()}
        return f"{name} {settings(found)}"

    async def run_steps(self, run: str, count: int) -> None:
        with SetWorkflowID(run):
            await asyncio.to_thread(self.workflows["steps"], count)

    async def run_parallel(self, run: str, count: int) -> None:
        await self._run(run, "parallel", count)

    async def run_waiting(self, run: str, count: int) -> None:
        await self._run(run, "waiting", count)

    async def run_shell(self, run: str, command: str) -> None:
        await self._run(run, "shell", command)

    async def run_long(self, run: str, count: int) -> None:
        await self._run(run, "long", count)

    async def resume_long(self, run: str, count: int) -> None:
        handle = await DBOS.resume_workflow_async(run)
        await handle.get_result()

    async def _run(self, run: str, workflow: str, argument: object) -> None:
        with SetWorkflowID(run):
            handle = await DBOS.start_workflow_async(self.workflows[workflow], argument)
        await handle.get_result()

    async def cancel(self, run: str, task: asyncio.Task[None]) -> None:
        await DBOS.cancel_workflow_async(run)

    async def request(self, run: str) -> None:
        client = DBOSClient(system_database_url=self.url)
        try:
            await client.cancel_workflow_async(run)
        finally:
            client.destroy()


def _workflows(engine: Dbos) -> Workflows:
    """All that can be run, known to DBOS by name."""

    def nothing() -> None:
        engine.ticks()

    async def nothing_in_asyncio() -> None:  # noqa: ASYNC124  its place is async
        engine.ticks()

    async def wait() -> None:
        await engine.waiting()

    tick = DBOS.step(name="tick")(nothing)
    tick_in_asyncio = DBOS.step(name="tick_in_asyncio")(nothing_in_asyncio)
    waiting = DBOS.step(name="wait", preemptible=True)(wait)
    command = DBOS.step(name="shell", preemptible=True)(shell)

    def run_steps(count: int) -> None:
        for _ in range(count):
            tick()

    async def run_parallel(count: int) -> None:
        await asyncio.gather(*(tick_in_asyncio() for _ in range(count)))

    async def run_waiting(count: int) -> None:
        await asyncio.gather(*(waiting() for _ in range(count)))

    async def run_shell(text: str) -> None:
        await command(text)

    async def run_long(count: int) -> None:
        for _ in range(count):
            await tick_in_asyncio()
        await waiting()

    functions = {
        "steps": run_steps,
        "parallel": run_parallel,
        "waiting": run_waiting,
        "shell": run_shell,
        "long": run_long,
    }
    return {name: DBOS.workflow(name=name)(function) for name, function in functions.items()}


if __name__ == "__main__":
    main(Dbos)
