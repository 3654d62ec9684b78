"""Host programs, each run as a process of its own: ``python -m tests.integrations.asyncio.programs NAME …``.

They print JSON lines like the command line does; ``session_started`` names the session.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import AsyncExitStack
from typing import Any

import trio

from tests.integrations.asyncio.loops import new_loop
from trio_recipes.integrations.asyncio import Session, guest_run, in_trio, open_runtime


def say(event: str, **fields: Any) -> None:
    """Print one line, at once."""
    os.write(1, f"{json.dumps({'event': event, **fields})}\n".encode())


def told(session: Session) -> Session:
    """Say which session has begun."""
    say("session_started", session_id=session.id)
    return session


async def hold(store: str, recipe: str) -> None:
    """Run a recipe for as long as it takes."""
    async with open_runtime(store=store) as runtime:
        await told(await runtime.start(recipe)).wait()


def with_asyncio_run(kind: str, store: str, recipe: str) -> None:
    """As programs should be written; Ctrl+C cancels the main task."""
    with asyncio.Runner(loop_factory=lambda: new_loop(kind)) as runner:
        runner.run(hold(store, recipe))


async def leave_open(store: str, recipe: str) -> None:
    """Open a runtime and forget it, as the cells of a notebook do."""
    stack = AsyncExitStack()
    runtime = await stack.enter_async_context(open_runtime(store=store))
    session = told(await runtime.start(recipe))
    async for stamped in session.events():
        if stamped.event.path == "second":
            return


def ends_early(kind: str, store: str, recipe: str) -> None:
    """``asyncio.run`` ends, and nobody has left the runtime."""
    with asyncio.Runner(loop_factory=lambda: new_loop(kind)) as runner:
        runner.run(leave_open(store, recipe))
    say("host", in_trio=trio.lowlevel.in_trio_run())


def with_a_bare_loop(kind: str, store: str, recipe: str, then: str) -> None:
    """Ctrl+C leaves the loop in the middle of everything; it is closed, and nobody was told."""
    loop = new_loop(kind)
    task = loop.create_task(hold(store, recipe))
    try:
        loop.run_until_complete(task)
    except KeyboardInterrupt:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # what is lost here is lost on purpose
        loop.close()
        say("host", interrupted=True)
    if then == "again":
        asyncio.run(hold(store, recipe))
        say("host", in_trio=trio.lowlevel.in_trio_run())


async def interrupted_inside_trio() -> int:
    """Have Ctrl+C strike in the middle of trio's turns, where it must not raise."""
    turns = 0

    async def press() -> None:
        nonlocal turns
        for _ in range(20):
            signal.raise_signal(signal.SIGINT)
            turns += 1
            await trio.lowlevel.checkpoint()

    async with guest_run():
        await in_trio(press)
    return turns


def by_many_interrupts(kind: str) -> None:
    """A loop that Ctrl+C interrupts over and over, and that goes on each time, as an interactive shell's does."""
    loop, interrupted = new_loop(kind), 0
    task = loop.create_task(interrupted_inside_trio())
    while not task.done():
        try:
            loop.run_until_complete(task)
        except KeyboardInterrupt:
            interrupted += 1
    loop.close()
    handler_is_pythons = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    say("host", interrupted=interrupted, turns=task.result(), handler_is_pythons=handler_is_pythons)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
