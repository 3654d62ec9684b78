"""Telling Amplifier: hooks and messages, in order, in the host's loop, beside the run and never in its way."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any, Final

_log = logging.getLogger("trio_recipes.integrations")

LAST_WORDS_SECONDS: Final = 5.0
"""How long the end of a call waits for hooks to hear what has happened."""


class Outbox:
    """What is still to be told to one coordinator.

    Args:
        coordinator: its hooks and its display are told.
    """

    def __init__(self, coordinator: Any) -> None:
        self._coordinator = coordinator
        self._waiting: asyncio.Queue[Callable[[], Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def emit(self, name: str, data: dict[str, Any]) -> None:
        """Have hooks told; returns at once."""
        hooks = getattr(self._coordinator, "hooks", None)
        if hooks is not None and name and data:
            self._post(lambda: hooks.emit(name, data))

    def show(self, message: str, level: str) -> None:
        """Have people shown a message, if there is a display."""
        display = getattr(self._coordinator, "display_system", None)
        if display is not None:
            self._post(lambda: display.show_message(message=message, level=level, source="recipe"))

    def _post(self, tell: Callable[[], Any]) -> None:
        self._waiting.put_nowait(tell)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._deliver(), name="recipes: hooks")

    async def _deliver(self) -> None:
        """Deliver all there is; the task ends when there is nothing left."""
        while not self._waiting.empty():
            tell = self._waiting.get_nowait()
            try:
                told = tell()
                if inspect.isawaitable(told):
                    await told
            except Exception:
                _log.exception("a hook or display failed; the recipe goes on")

    async def delivered(self) -> None:
        """Wait until everything has been told, but not for ever."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=LAST_WORDS_SECONDS)

    async def close(self) -> None:
        """Tell what is left, and end."""
        await self.delivered()
        if self._task is not None:
            self._task.cancel()
