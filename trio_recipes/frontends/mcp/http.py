"""MCP over streamable HTTP, on hypercorn and trio."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import trio
from attrs import field
from hypercorn.config import Config
from hypercorn.trio import serve
from mcp.server.transport_security import TransportSecuritySettings

from trio_recipes.classes import frozen
from trio_recipes.errors import ConfigurationError
from trio_recipes.frontends.mcp.guard import LOOPBACK, Doorkeeper, Guard
from trio_recipes.runtime.scope import concurrent

if TYPE_CHECKING:
    from mcp.server import Server


@frozen
class Address:
    """Where to listen, and whom to.

    Args:
        host: a name or an address of this machine.
        port: 0 for any that is free.
        names: what clients may call this machine, besides ``host``.
        token: what clients have to know, or None.
        token_variable: where the token would come from.

    Raises:
        ConfigurationError: if other machines could connect without a token.
    """

    host: str
    port: int
    names: frozenset[str] = frozenset()
    token: str | None = field(default=None, repr=False)
    token_variable: str = ""

    def __attrs_post_init__(self) -> None:
        if self.host not in LOOPBACK and self.token is None:
            raise ConfigurationError(
                f"--host {self.host} lets other machines run commands here: set the environment variable "
                f"{self.token_variable} to a token, which clients send as Authorization: Bearer TOKEN"
            )

    @property
    def doorkeeper(self) -> Doorkeeper:
        """Who may come in. A server for all addresses of a machine can't know its names; the token guards it."""
        if self.host in LOOPBACK:
            return Doorkeeper(LOOPBACK | self.names, self.token)
        return Doorkeeper(self.names | LOOPBACK | {self.host.lower()} if self.names else frozenset(), self.token)


def take_token(variable: str) -> str | None:
    """A token from the environment, which loses it: commands of steps don't need to know it."""
    return os.environ.pop(variable, None) or None


async def serve_http(server: Server[Any], address: Address, listening: Callable[[str], None]) -> None:
    """Serve until cancelled.

    Args:
        server: answers.
        address: where.
        listening: told the URL once clients can connect.

    Raises:
        ConfigurationError: if the address can't be listened on.
    """
    bound = await trio.to_thread.run_sync(_bound, address)
    port = bound.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{bound.detach()}"]
    config.loglevel = "WARNING"
    config.graceful_timeout = 0
    # Our own guard looks at Host and Origin: it knows the names that were allowed.
    unguarded = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    app = server.streamable_http_app(transport_security=unguarded)
    host = f"[{address.host}]" if ":" in address.host else address.host
    async with concurrent() as nursery:
        await nursery.start(partial(serve, cast(Any, Guard(app, address.doorkeeper)), config))
        listening(f"http://{host}:{port}/mcp")


def _bound(address: Address) -> socket.socket:
    """A socket that listens. Made here, because hypercorn leaves one open that it could not bind."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family)
    except (OSError, OverflowError) as error:
        text = f"can't listen on port {address.port} of {address.host}: {error}; choose another with --port"
        raise ConfigurationError(text) from error
