"""Burr with its SQLite persisters: the plain one for steps one after the other, the asyncio one for all else.

It leaves cancelling to asyncio: the task of the run is what one cancels. A step that is cancelled is stored as
completed, since ``CancelledError`` is no ``Exception``; so the step that a run is resumed at turns it into one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from burr.core import ApplicationBuilder, action, default, expr
from burr.core.parallelism import MapStates
from burr.core.persistence import SQLitePersister
from burr.integrations.persisters.b_aiosqlite import AsyncSQLitePersister

from benchmarks.peers.conversation import main
from benchmarks.peers.engine import Engine
from benchmarks.peers.work import settings, shell

Work = Callable[[], Awaitable[None]]
_IN_THREADS = {"check_same_thread": False}


class Burr(Engine):
    """Applications over one database."""

    def __init__(self, folder: Path, flavour: str) -> None:
        super().__init__(folder, flavour)
        self.file = str(folder / "burr.db")
        self.persister: Any = None
        self.async_persister: Any = None

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        self.persister = SQLitePersister(self.file, connect_kwargs=_IN_THREADS)
        self.persister.initialize()
        async with AsyncSQLitePersister.from_values(db_path=self.file) as self.async_persister:
            yield
        self.persister.cleanup()

    async def about(self) -> dict[str, str]:
        names = ("journal_mode", "synchronous")
        found = {name: self.persister.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names}
        return {
            "version": f"Burr {version('apache-burr')}",
            "durability": f"SQLite {settings(found)}",
            "cancelling": "the asyncio task of the run is cancelled",
            "resuming": "initialized from the persister",
        }

    async def run_steps(self, run: str, count: int) -> None:
        loop = _builder(run, tick=self._tick(), last=_nothing(), then=count).with_state(n=0).with_entrypoint("tick")
        app = loop.with_state_persister(self.persister).build()
        await asyncio.to_thread(app.run, halt_after=["last"])

    async def run_parallel(self, run: str, count: int) -> None:
        async def tick() -> None:  # noqa: ASYNC124  its place is async
            self.ticks()

        await self._fan(run, tick, count)

    async def run_waiting(self, run: str, count: int) -> None:
        await self._fan(run, self.waiting, count)

    async def run_shell(self, run: str, command: str) -> None:
        await self._fan(run, partial(shell, command), 1)

    async def run_long(self, run: str, count: int) -> None:
        builder = self._long(run, count).with_state(n=0).with_entrypoint("tick")
        await (await builder.abuild()).arun(halt_after=["last"])

    async def resume_long(self, run: str, count: int) -> None:
        builder = self._long(run, count).initialize_from(
            self.async_persister, resume_at_next_action=True, default_state={"n": 0}, default_entrypoint="tick"
        )
        await (await builder.abuild()).arun(halt_after=["last"])

    def _long(self, run: str, count: int) -> Any:
        builder = _builder(run, tick=self._tick(), last=_doing(self._fail_if_cancelled), then=count)
        return builder.with_state_persister(self.async_persister)

    async def _fail_if_cancelled(self) -> None:
        try:
            await self.waiting()
        except asyncio.CancelledError:
            raise RuntimeError("cancelled") from None  # noqa: ASYNC104  what Burr stores depends on it

    async def _fan(self, run: str, work: Work, count: int) -> None:
        fan = _Fan(_doing(work), count)
        builder = ApplicationBuilder().with_actions(fan=fan).with_entrypoint("fan").with_state(n=0)
        app = await builder.with_identifiers(app_id=run).with_state_persister(self.async_persister).abuild()
        await app.arun(halt_after=["fan"])

    def _tick(self) -> Any:
        def tick(state: Any) -> Any:
            self.ticks()
            return state.update(n=state["n"] + 1)

        return action(reads=["n"], writes=["n"])(tick)


class _Fan(MapStates):  # type: ignore[misc]  # no types here: Burr is not installed
    """The same action for many states at once, each as an application of its own that is persisted too."""

    def __init__(self, step: Any, count: int) -> None:
        super().__init__()
        self._step = step
        self._count = count

    def is_async(self) -> bool:
        return True

    def action(self, state: Any, inputs: Any) -> Any:
        return self._step

    async def states(self, state: Any, context: Any, inputs: Any) -> AsyncGenerator[Any]:
        for number in range(self._count):
            yield state.update(n=number)

    async def reduce(self, state: Any, states: Any) -> Any:
        async for _ in states:
            pass
        return state

    @property
    def reads(self) -> list[str]:
        return []

    @property
    def writes(self) -> list[str]:
        return ["n"]


def _builder(run: str, *, tick: Any, last: Any, then: int) -> Any:
    """A loop of ticks, and what comes after ``then`` of them."""
    moves = [("tick", "tick", expr(f"n < {then}")), ("tick", "last", default)]
    builder = ApplicationBuilder().with_actions(tick=tick, last=last).with_transitions(*moves)
    return builder.with_identifiers(app_id=run)


def _doing(work: Work) -> Any:
    """An action in asyncio that leaves the state as it is."""

    async def one(state: Any) -> Any:
        await work()
        return state

    return action(reads=[], writes=[])(one)


def _nothing() -> Any:
    def last(state: Any) -> Any:
        return state

    return action(reads=[], writes=[])(last)


if __name__ == "__main__":
    main(Burr)
