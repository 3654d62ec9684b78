"""An asyncio function called from a trio task."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Generic, NoReturn, TypeVar

import outcome
import trio

T = TypeVar("T")

_log = logging.getLogger("trio_recipes.integrations")

CLEANUP_SECONDS = 5.0
"""How long an asyncio function may clean up after ``CancelledError``, before it is cancelled again."""

AGAIN_SECONDS = 1.0
"""How often it is cancelled from then on."""

LONGEST_SECONDS = 40.0
"""When it is left alone. Its step has ended before that: that waits for 30 s."""

_left: set[asyncio.Task[Any]] = set()
"""Functions that resisted and were left alone; asyncio itself keeps no task alive."""


class Visit(Generic[T]):
    """One asyncio function called from trio: a task of the host's loop, and the trio task that waits for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Callable[[], Awaitable[T]], name: str) -> None:
        self._loop, self._work, self._name = loop, work, name
        self._waiter: trio.lowlevel.Task | None = trio.lowlevel.current_task()
        self._begun = False
        self._task: asyncio.Task[T] | None = None
        self._raise_cancel: Callable[[], NoReturn] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._give_up_at = 0.0

    async def result(self) -> T:
        """Begin, and wait for the end."""
        # Not at once: an eager task would run its first piece here, inside trio's turn.
        begin = self._loop.call_soon(self._begin, context=contextvars.copy_context())

        def abort(raise_cancel: Callable[[], NoReturn]) -> trio.lowlevel.Abort:
            if not self._begun or self._loop.is_closed():
                begin.cancel()
                return trio.lowlevel.Abort.SUCCEEDED
            self._stop(raise_cancel)
            return trio.lowlevel.Abort.FAILED

        value: T = await trio.lowlevel.wait_task_rescheduled(abort)
        return value

    def _begin(self) -> None:
        self._begun = True
        self._task = self._loop.create_task(self._run(), name=self._name)
        asyncio._unregister_task(self._task)  # it ends with its step, not when asyncio cancels all tasks
        self._task.add_done_callback(self._ended)
        if self._raise_cancel is not None:  # an eager task has stopped its own session in its first piece
            self._stop(self._raise_cancel)

    async def _run(self) -> T:
        return await self._work()

    # --- its end -------------------------------------------------------------------------------------------------

    def _ended(self, task: asyncio.Task[T]) -> None:
        _left.discard(task)
        self._go_on(self._result_of(task))

    def _result_of(self, task: asyncio.Task[T]) -> outcome.Outcome[T]:
        if task.cancelled():
            return outcome.Error(RuntimeError(f"{self._name} was cancelled within asyncio, and not by its step"))
        error = task.exception()
        if error is None:
            return outcome.Value(task.result())
        if self._raise_cancel is not None:
            _log.warning("%s failed while it was stopped", self._name, exc_info=error)
        if not isinstance(error, Exception):  # sys.exit(), or Ctrl+C: asyncio has told the host
            error = RuntimeError(f"{self._name} raised {type(error).__name__}")
        return outcome.Error(error)

    def _go_on(self, result: outcome.Outcome[T]) -> None:
        """Wake the trio task, once. What was cancelled is cancelled, whatever the function made of it."""
        waiter, self._waiter = self._waiter, None
        if waiter is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        if self._raise_cancel is not None:
            result = outcome.capture(self._raise_cancel)
        trio.lowlevel.reschedule(waiter, result)

    # --- stopping it ---------------------------------------------------------------------------------------------

    def _stop(self, raise_cancel: Callable[[], NoReturn]) -> None:
        if self._task is None:
            self._raise_cancel = raise_cancel
            return
        if not self._task.cancel("the step was stopped"):
            return  # it has ended already, and says so in a moment
        self._raise_cancel = raise_cancel
        self._give_up_at = self._loop.time() + LONGEST_SECONDS
        self._timer = self._loop.call_later(CLEANUP_SECONDS, self._again)

    def _again(self) -> None:
        """Asyncio tells once, and the function has gone on waiting for something: tell it again."""
        assert self._task is not None
        if self._loop.time() >= self._give_up_at:
            self._give_up(self._task)
            return
        self._task.cancel("the step was stopped")
        self._timer = self._loop.call_later(AGAIN_SECONDS, self._again)

    def _give_up(self, task: asyncio.Task[T]) -> None:
        _left.add(task)
        asyncio._register_task(task)
        _log.error("asyncio function %s resists its cancellation and is left alone%s", self._name, _where(task))
        self._go_on(outcome.Error(TimeoutError()))


def _where(task: asyncio.Task[Any]) -> str:
    """Where a task waits at this moment, for people."""
    frames = task.get_stack(limit=1)
    return f" waits at {frames[0].f_code.co_filename}:{frames[0].f_lineno}" if frames else ""
