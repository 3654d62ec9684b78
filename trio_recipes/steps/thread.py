"""Calling a plain function in a thread that can be told to stop, but not made to."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, TypeVar, cast

import trio
from attrs import field

from trio_recipes.classes import define, frozen
from trio_recipes.runtime.ports import Work
from trio_recipes.steps import stack

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_recipes.runtime.ports import LeafCall

T = TypeVar("T")


@define(eq=False)
class _Berth:
    """A place in a limiter that knows whether a thread holds it.

    trio takes it just before the thread starts and gives it back when the thread has ended, even one that nobody
    waits for any more: exactly what is to be known.
    """

    limiter: trio.CapacityLimiter
    is_taken: bool = False
    freed: trio.Event = field(factory=trio.Event)

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        await self.limiter.acquire_on_behalf_of(borrower)
        self.is_taken = True

    def release_on_behalf_of(self, borrower: object) -> None:
        self.limiter.release_on_behalf_of(borrower)
        self.is_taken = False
        self.freed.set()


@frozen(eq=False)
class Threads:
    """Runs plain functions in threads, and waits for them when they are cancelled, though not for ever.

    A thread can't be stopped from outside. The function may ask ``trio.from_thread.check_cancelled()`` now and then.

    Args:
        stop_timeout: seconds to wait for a thread whose step was cancelled; then it is reported and left alone.
        limiter: how many at once.
    """

    stop_timeout: float
    limiter: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(256))

    async def run(self, work: Callable[[], T], name: str, call: LeafCall) -> T:
        """Call ``work`` in a thread.

        Args:
            work: the function, its arguments bound.
            name: for reports.
            call: the attempt; told if the thread resists.
        """
        berth = _Berth(self.limiter)
        idents: list[int] = []

        def describe() -> Work:
            return Work(thread=name, stack=_stack(idents))

        def in_thread() -> T:
            idents.append(threading.get_ident())
            return work()

        call.works[call.path] = describe
        try:
            return await trio.to_thread.run_sync(
                in_thread, abandon_on_cancel=True, limiter=cast(trio.CapacityLimiter, berth), thread_name=name
            )
        except trio.Cancelled:
            await self._see_off(berth, call)  # noqa: ASYNC102  shielded and bounded in there
            if berth.is_taken:
                doing = describe()
                where = f" runs on at {doing.stack[-1]}" if doing.stack else ""
                call.resisted(f"thread {name!r}{where}", work=doing)
            raise
        finally:
            del call.works[call.path]

    async def _see_off(self, berth: _Berth, call: LeafCall) -> None:
        """Wait until the thread has ended, or the patience with it."""
        with trio.move_on_after(self.stop_timeout, shield=True) as limit:
            forget = call.forcible.register(limit.cancel)
            try:
                if berth.is_taken:
                    await berth.freed.wait()
            finally:
                forget()


def _stack(idents: list[int]) -> tuple[str, ...]:
    """Where a thread is at this moment."""
    frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage]  documented, underscore or not
    return stack.of_thread(frames.get(idents[0]) if idents else None)
