"""Event loops to be hosts: asyncio's own, the same in debug mode, and uvloop's where it is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from importlib.util import find_spec
from typing import Any, TypeVar

import trio

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds to wait for what should take milliseconds: the machine is shared."""

KINDS = ["asyncio", "debug", *(["uvloop"] if find_spec("uvloop") else [])]


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    """A loop of this kind."""
    if kind == "uvloop":
        import uvloop  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415  not everywhere

        made: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        return made
    return asyncio.new_event_loop()


class Host:
    """Runs coroutine functions, each in a loop of its own, and checks that nothing of trio is left in the thread."""

    def __init__(self, kind: str = "asyncio") -> None:
        self.kind = kind

    def __call__(self, main: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        with asyncio.Runner(debug=self.kind == "debug", loop_factory=lambda: new_loop(self.kind)) as runner:
            result = runner.run(_in_time(main(*args)))
        assert not trio.lowlevel.in_trio_run()
        return result


async def _in_time(main: Awaitable[T]) -> T:
    async with asyncio.timeout(PATIENCE):
        return await main


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition, while the loop goes on."""
    while not condition():  # noqa: ASYNC110  most conditions are files
        await asyncio.sleep(0.005)
