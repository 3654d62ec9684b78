"""The peer's side of a measurement: a request a line on stdin, an answer a line on stdout, all of them JSON objects.

The first line says what the peer is. A request that it can't do is answered with ``{"cannot": why}``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, TextIO

from benchmarks.peers.engine import CannotError, Engine

Answer = Mapping[str, object]
MOMENT = 0.3
"""Until what is under way has settled: before a run is cancelled."""
LIMIT = 6.0
"""Seconds in which what was cancelled has to end. What needs longer is said to go on."""


class Conversation:
    """Runs an engine's cases, and takes their time."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.run = ""
        self.task: asyncio.Task[None] | None = None
        self.lengths: dict[str, int] = {}

    async def answer(self, case: str, **parameters: Any) -> Answer:
        """Do what is asked; what can't be done is an answer too."""
        try:
            found: Answer = await getattr(self, f"ask_{case}")(**parameters)
            return found
        except CannotError as error:
            return {"cannot": str(error)}

    async def ask_steps(self, count: int) -> Answer:
        """Seconds of one of ``count`` steps, one after the other."""
        self.engine.ticks.at.clear()
        await self.engine.run_steps(_new_id(), count)
        self._check_ticks(count)
        return {"step": self.engine.ticks.median_span()}

    async def ask_parallel(self, count: int) -> Answer:
        """Seconds for each of ``count`` steps at once, start and end of the run included."""
        self.engine.ticks.at.clear()
        began = time.perf_counter()
        await self.engine.run_parallel(_new_id(), count)
        seconds = time.perf_counter() - began
        self._check_ticks(count)
        return {"iteration": seconds / count}

    def _check_ticks(self, count: int) -> None:
        if len(self.engine.ticks.at) != count:
            raise CannotError(f"{len(self.engine.ticks.at)} of {count} steps ran")

    async def ask_wait(self, count: int) -> Answer:
        """Start a run and let ``count`` of its steps wait."""
        self.run = _new_id()
        self.task = asyncio.create_task(self.engine.run_waiting(self.run, count))
        await self._waits(count)
        return {"run": self.engine.names.get(self.run, self.run)}

    async def ask_shell(self, command: str) -> Answer:
        """Start a run of a shell command."""
        self.run = _new_id()
        self.task = asyncio.create_task(self.engine.run_shell(self.run, command))
        return {"run": self.run}

    async def ask_cancel(self) -> Answer:
        """Stop the run that was started; seconds until its last step has ended, and until it has ended itself."""
        assert self.task is not None
        began = time.perf_counter()
        await self.engine.cancel(self.run, self.task)
        return {"began": began, **await self.ask_ended(began)}

    async def ask_ended(self, began: float) -> Answer:
        """Wait until the run that was started has ended; seconds from ``began``."""
        assert self.task is not None
        task, self.task = self.task, None
        _, pending = await asyncio.wait([task], timeout=LIMIT)
        returned = time.perf_counter()
        await self._no_step_left(began)
        if pending:
            task.cancel()
            raise CannotError(f"its run had not ended {LIMIT:g} s later")
        with suppress(BaseException):  # that it was cancelled, in whichever way the peer says so
            task.result()
        return {"ended": self.engine.waiting.ended_at - began, "returned": returned - began}

    async def _no_step_left(self, began: float) -> None:
        while self.engine.waiting.count:
            if time.perf_counter() - began > LIMIT:
                raise CannotError(f"steps still ran {LIMIT:g} s later: {self.engine.waiting.count}")
            await asyncio.sleep(0.002)

    async def ask_request(self, run: str) -> Answer:
        """Have a run of another process stopped."""
        await self.engine.request(run)
        return {"durable_at": time.perf_counter()}

    async def ask_prepare(self, count: int) -> Answer:
        """Make a run with ``count`` finished steps."""
        run = _new_id()
        task = asyncio.create_task(self.engine.run_long(run, count))
        await self._stopped(run, task)
        self.lengths[run] = count
        return {"run": run}

    async def ask_resume(self, run: str) -> Answer:
        """Go on with a run of :meth:`ask_prepare`; seconds until its first new step begins."""
        self.engine.ticks.at.clear()
        began = time.perf_counter()
        task = asyncio.create_task(self.engine.resume_long(run, self.lengths[run]))
        await self._stopped(run, task)
        if self.engine.ticks.at:
            raise CannotError(f"{len(self.engine.ticks.at)} finished steps ran again")
        return {"first": self.engine.waiting.began_at - began}

    async def _stopped(self, run: str, task: asyncio.Task[None]) -> None:
        self.task = task
        await self._waits(1)
        await self.engine.cancel(run, task)
        await self.ask_ended(time.perf_counter())

    async def _waits(self, count: int) -> None:
        while self.engine.waiting.count < count:
            if self.task is not None and self.task.done():
                self.task.result()
                raise CannotError("the run ended before its steps waited")
            await asyncio.sleep(0.002)
        await asyncio.sleep(MOMENT)


def _new_id() -> str:
    return uuid.uuid4().hex


def main(make: Callable[[Path, str], Engine]) -> None:
    """``python -m benchmarks.peers.on_… FOLDER FLAVOUR ROLE``.

    A ``worker`` does what it is asked, a ``requester`` makes requests to a worker, ``smallest`` runs the smallest run.
    """
    folder, flavour, role = sys.argv[1:]
    out, engine = _own_stdout(), make(Path(folder), flavour)
    if role == "smallest":
        asyncio.run(_smallest(engine))
    else:
        asyncio.run(_converse(engine, out, opened=role == "worker"))


def _own_stdout() -> TextIO:
    """Standard output for us alone: what others print goes to standard error."""
    ours = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    return ours


async def _smallest(engine: Engine) -> None:
    """One step, and the end of the process: what start-up costs."""
    async with engine.opened():
        await engine.run_steps(_new_id(), 1)


async def _converse(engine: Engine, out: TextIO, *, opened: bool) -> None:
    """Answer until nobody asks any more. Who only makes requests to another process opens nothing."""
    async with engine.opened() if opened else nullcontext():
        conversation = Conversation(engine)
        out.write(json.dumps(await engine.about() if opened else {}) + "\n")
        while line := await asyncio.to_thread(sys.stdin.readline):
            out.write(json.dumps(await conversation.answer(**json.loads(line))) + "\n")
