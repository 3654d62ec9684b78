"""Awaiting one world from the other, with cancellation in both directions.

* :func:`in_trio`, in an asyncio task: await a trio function. Cancelling the task cancels the function; the task goes
  on when the function has really ended.
* :func:`in_asyncio`, in a trio task: await an asyncio function. Cancelling the scope around it cancels the function;
  the scope is left when the function has really ended.

Both need a guest run: the inside of ``async with open_runtime()`` or of ``async with guest_run()``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import trio

from trio_recipes.errors import ConfigurationError
from trio_recipes.integrations.asyncio.calls import Call
from trio_recipes.integrations.asyncio.guest import Guest, host_loop
from trio_recipes.integrations.asyncio.visits import Visit

T = TypeVar("T")


@asynccontextmanager
async def guest_run() -> AsyncGenerator[None]:
    """Keep trio running under this asyncio loop, for ``async with``; shared by all who do.

    Raises:
        ConfigurationError: this thread runs trio already, or as the guest of another loop.
    """
    user = object()
    guest = await Guest.join(user)
    try:
        yield
    finally:
        await guest.part(user)  # noqa: ASYNC102  asyncio: it outlasts cancellation


async def in_trio(async_fn: Callable[..., Awaitable[T]], *args: Any) -> T:
    """In asyncio: await a trio function.

    Args:
        async_fn: a trio function; it sees the caller's context variables.
        args: its arguments.

    Raises:
        asyncio.CancelledError: this task was cancelled; the function has been, too, and has ended.
        ConfigurationError: there is no guest run under this loop.
        Exception: what the function raises.
    """
    return await Call(async_fn, *args).result()


async def in_asyncio(async_fn: Callable[..., Awaitable[T]], *args: Any) -> T:
    """In trio: await an asyncio function, in a task of the host's loop.

    Cancelled here means ``CancelledError`` there, and a wait until it has ended: after 5 s it is cancelled again and
    again; after 40 s it is left alone, and that is logged. The task belongs to trio: ``asyncio.all_tasks`` does not
    list it, and the end of ``asyncio.run`` does not cancel it.

    Args:
        async_fn: an asyncio function; it sees the caller's context variables.
        args: its arguments.

    Raises:
        ConfigurationError: this trio run is not the guest of an asyncio loop.
        Exception: what the function raises; a ``CancelledError`` nobody here asked for becomes a ``RuntimeError``.
    """
    loop = host_loop()
    if loop is None:
        raise ConfigurationError(
            f"{_name(async_fn)} is written for asyncio and needs its loop: open the runtime with "
            "trio_recipes.integrations.asyncio.open_runtime"
        )
    await trio.lowlevel.checkpoint_if_cancelled()
    return await Visit(loop, partial(async_fn, *args), _name(async_fn)).result()


def _name(function: object) -> str:
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__qualname__", None) or type(function).__qualname__
