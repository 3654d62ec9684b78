"""A trio function called from an asyncio task."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import outcome
import trio

from trio_recipes.errors import ConfigurationError, InternalError
from trio_recipes.integrations.asyncio.guest import guest_here, outlast

T = TypeVar("T")

_ELSEWHERE = (
    "no trio run is open under this event loop; what belongs to a runtime works inside its "
    "`async with open_runtime()`, in the loop where that was entered"
)


class Call(Generic[T]):
    """A trio function called from asyncio. It has been started when this is made.

    Args:
        async_fn: a trio function; it sees the caller's context variables.
        args: its arguments.

    Raises:
        ConfigurationError: there is no guest run under the running loop.
    """

    def __init__(self, async_fn: Callable[..., Awaitable[T]], *args: Any) -> None:
        guest = guest_here()
        if guest is None or guest.loop is not asyncio.get_running_loop():
            raise ConfigurationError(_ELSEWHERE)
        self._guest = guest
        self._scope = trio.CancelScope()
        self.future: asyncio.Future[T] = guest.loop.create_future()
        guest.calls.add(self.future)
        context = contextvars.copy_context()
        trio.lowlevel.spawn_system_task(self._run, async_fn, args, name=async_fn, context=context)

    def cancel(self, error: asyncio.CancelledError | None = None) -> None:
        """Cancel the function.

        Args:
            error: what the asyncio task got; its message becomes part of trio's reason.
        """
        message = f": {error.args[0]}" if error is not None and error.args and error.args[0] else ""
        self._scope.cancel(reason=f"the host's task was cancelled{message}")

    @property
    def value(self) -> T | None:
        """What the function returned; None if it has not ended, or otherwise."""
        future = self.future
        returned = future.done() and not future.cancelled() and future.exception() is None
        return future.result() if returned else None

    async def result(self) -> T:
        """Wait for the end of the function, come what may; cancelling this task cancels the function.

        Raises:
            asyncio.CancelledError: this task was cancelled, and the function has not raised.
            Exception: what the function raised.
        """
        await self.ended()
        if self.future.cancelled():
            await asyncio.wait([self._guest.ended])
            raise InternalError("the trio run under this event loop ended early") from self._guest.error
        return self.future.result()

    async def ended(self) -> None:
        """As :meth:`result`, but a function that was cancelled has ended like any other."""
        if self.future.get_loop() is not asyncio.get_running_loop():
            raise ConfigurationError(_ELSEWHERE)
        try:
            await outlast(self.future, self.cancel)
        except asyncio.CancelledError:
            self._raise_error()
            raise
        self._raise_error()

    async def stopped(self, error: asyncio.CancelledError) -> None:
        """Cancel the function because of ``error``, and wait for its end as :meth:`ended` does."""
        self.cancel(error)
        await self.ended()

    def _raise_error(self) -> None:
        if not self.future.cancelled():
            self.future.result()

    async def _run(self, async_fn: Callable[..., Awaitable[T]], args: tuple[Any, ...]) -> None:
        try:
            with self._scope:
                self._settle(outcome.Value(await async_fn(*args)))
                return
            self._settle(None)
        except trio.Cancelled:  # by the end of the whole run
            self._settle(None)
            raise
        except BaseException as error:  # noqa: ASYNC103  the caller gets it
            self._settle(outcome.Error(error))

    def _settle(self, result: outcome.Outcome[T] | None) -> None:
        self._guest.calls.discard(self.future)
        if self.future.done() or self.future.get_loop().is_closed():
            return
        if result is None:
            self.future.cancel()
        elif isinstance(result, outcome.Error):
            self.future.set_exception(result.error)
        else:
            self.future.set_result(result.unwrap())
