"""Which messages of clients are being worked on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio

from trio_recipes.classes import define

if TYPE_CHECKING:
    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

_WIRE_SECONDS: Final = 0.05
"""For what was read last to get from the wire to here, and for an answer to get from here to the wire."""


@define(eq=False)
class Answers:
    """Counts, as middleware of the server."""

    _under_way: int = 0
    _given: trio.Event | None = None

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Work on one message."""
        self._under_way += 1
        try:
            return await call_next(ctx)
        finally:
            self._under_way -= 1
            if self._given is not None and not self._under_way:
                self._given.set()

    async def given(self) -> None:
        """Wait until there is nothing to answer, now."""
        if self._under_way:
            self._given = trio.Event()
            await self._given.wait()
            await trio.sleep(_WIRE_SECONDS)

    async def all_given(self) -> None:
        """As :meth:`given`, and what has only just come counts."""
        await trio.sleep(_WIRE_SECONDS)
        await self.given()
