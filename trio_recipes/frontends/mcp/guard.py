"""Who may talk to the server over HTTP, and noticing that they have left."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import trio
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

from trio_recipes.classes import frozen

_DEPARTURE: Final = "trio_recipes.departure"
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@frozen
class Refusal:
    """Why a request is not answered.

    Args:
        status: of HTTP.
        text: what to do about it.
    """

    status: int
    text: str


@frozen
class Doorkeeper:
    """Decides on requests by their headers.

    A web page that its author has made this machine's name point here (DNS rebinding) gives itself away by ``Host`` or
    ``Origin``; whoever reaches the server from elsewhere has to know the token.

    Args:
        names: what the server may be called in ``Host`` and ``Origin``; empty: anything, as far as ``Host`` goes.
        token: what ``Authorization: Bearer`` has to hold, or None.
    """

    names: frozenset[str]
    token: str | None

    def refusal(self, headers: Mapping[str, str]) -> Refusal | None:
        """Why a request with these headers is refused, or None."""
        if self.names and _host(f"//{headers.get('host', '')}") not in self.names:
            return Refusal(421, "this server is not called so: connect to 127.0.0.1, or start it with --allow-host")
        origin = headers.get("origin")
        if origin is not None and _host(origin) not in self.names | LOOPBACK:
            return Refusal(403, "not from a page of this origin")
        if self.token is not None and not _bears(headers.get("authorization", ""), self.token):
            return Refusal(401, "Authorization: Bearer … with the server's token is required")
        return None


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _bears(authorization: str, token: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


@frozen(eq=False)
class Guard:
    """An ASGI application in front of another: it asks the doorkeeper, and tells calls that their client has left.

    Args:
        app: what is guarded.
        doorkeeper: decides.
    """

    app: Callable[[Scope, Receive, Send], Awaitable[None]]
    doorkeeper: Doorkeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = self.doorkeeper.refusal(Headers(scope=scope))
        if refusal is not None:
            challenge = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else None
            await PlainTextResponse(refusal.text, refusal.status, challenge)(scope, receive, send)
            return
        # Nothing is kept for clients that reconnect; the SDK would answer those who ask for it with an error.
        scope["headers"] = [header for header in scope["headers"] if header[0].lower() != b"last-event-id"]
        departed = scope[_DEPARTURE] = trio.Event()

        async def watched() -> MutableMapping[str, Any]:
            message = await receive()
            if message["type"] == "http.disconnect":
                departed.set()
            return message

        await self.app(scope, watched, send)


def departure(request: Any) -> trio.Event | None:
    """What is set when the client of an HTTP request has closed its connection; None for a request of another kind."""
    return request.scope.get(_DEPARTURE) if request is not None else None
