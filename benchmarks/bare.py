"""The same trees in bare trio: a task and a nursery per node, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import trio
import trio.testing

Work = Callable[[], Awaitable[None]]


async def leaf() -> None:
    async with trio.open_nursery():
        await trio.sleep_forever()


def fan(width: int) -> Work:
    """A node with ``width`` leaves."""

    async def node() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(width):
                nursery.start_soon(leaf)

    return node


def within(inner: Work) -> Work:
    """A node with one child."""

    async def node() -> None:
        async with trio.open_nursery() as nursery:  # noqa: ASYNC112  the nursery is what is measured
            nursery.start_soon(inner)

    return node


def nested(levels: int, inner: Work) -> Work:
    for _ in range(levels):
        inner = within(inner)
    return inner


async def cancel(tree: Work) -> dict[str, float]:
    """Start a tree, let all of it wait, and cancel it; seconds until its root has ended."""
    ended: list[float] = []

    async def root(scope: trio.CancelScope) -> None:
        with scope:
            await tree()
        ended.append(time.perf_counter())

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        nursery.start_soon(root, scope)
        await trio.testing.wait_all_tasks_blocked(0.01)
        began = time.perf_counter()
        scope.cancel()
    return {"bare": ended[0] - began}
