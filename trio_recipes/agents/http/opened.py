"""The connection that a request opens, until its answer begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import field

from trio_recipes.classes import define

_CONNECTED: Final = "connection.connect_tcp.complete"


@define(eq=False)
class Opened:
    """Closes what a request has opened.

    Who is cancelled in a TLS handshake leaves httpx2 with a connection that it has forgotten, open until some garbage
    collection: the endpoint would go on waiting for its client.
    """

    _stream: Any = field(default=None, init=False)

    async def trace(self, event: str, details: Mapping[str, Any]) -> None:
        """Hear of what a request comes to, as httpx2 tells it."""
        if event == _CONNECTED:
            self._stream = details["return_value"]

    async def close(self) -> None:
        """Close the connection, if there is one: at once, without words of farewell. To be shielded."""
        if self._stream is not None:
            await self._stream.aclose()
