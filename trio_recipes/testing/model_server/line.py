"""One client's connection: HTTP/1.1 by h11 on a trio stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import h11
import trio
from attrs import field

from trio_recipes.classes import define, frozen

CHUNK: Final = 65536
"""Bytes that are read at once."""


@frozen
class Request:
    """A request, whole.

    Args:
        method: as in ``GET``.
        path: without its query.
        headers: by names in lower case.
        body: of it.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@define(eq=False)
class Line:
    """A connection to a client.

    Args:
        stream: the connection.
    """

    stream: trio.SocketStream
    _parser: h11.Connection = field(factory=lambda: h11.Connection(h11.SERVER), init=False)

    async def request(self) -> Request | None:
        """The next request, or None if there is none to come.

        Raises:
            h11.RemoteProtocolError: what the client sends is not HTTP.
        """
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
                path = head.target.decode("latin-1").partition("?")[0]
                return Request(head.method.decode(), path, headers, bytes(body))
            else:
                return None

    async def _next_event(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            event = self._parser.next_event()
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]
            self._parser.receive_data(await self._receive())

    async def _receive(self) -> bytes:
        try:
            return bytes(await self.stream.receive_some(CHUNK))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""

    async def closed(self) -> None:
        """Return once the client has left; what it sends until then belongs to no answer."""
        while await self._receive():
            pass

    async def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Begin an answer."""
        await self._send(h11.Response(status_code=status, headers=[*headers.items()]))

    async def data(self, data: bytes) -> None:
        """Go on with it."""
        await self._send(h11.Data(data=data))

    async def end(self) -> bool:
        """End it.

        Returns:
            Whether the connection can take another request.
        """
        await self._send(h11.EndOfMessage())
        if self._parser.our_state is not h11.DONE or self._parser.their_state is not h11.DONE:
            return False
        self._parser.start_next_cycle()
        return True

    async def _send(self, event: h11.Event) -> None:
        data = self._parser.send(event)
        if data:
            await self.stream.send_all(data)
