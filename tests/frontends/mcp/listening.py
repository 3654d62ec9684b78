"""A client that wants to know of changes, in the protocol of 2026 and in the one before."""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio
from attrs import define, field
from mcp.client.subscriptions import ResourcesListChanged, ResourceUpdated
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp.types import ResourceUpdatedNotification

from tests.frontends.running import PATIENCE

if TYPE_CHECKING:
    from mcp import Client

LISTING = ""
"""What :class:`Ear` hears of when the list has changed."""


@define(eq=False)
class Ear:
    """Hears of changes: ``Client(…, message_handler=ear)``, then ``async with ear.open(client, …)``."""

    heard: list[str] = field(factory=list)
    _news: trio.Event = field(factory=trio.Event)

    async def __call__(self, message: Any) -> None:
        """Take a notification of the older protocol."""
        if isinstance(message, ResourceUpdatedNotification):
            self._take(str(message.params.uri))

    def _take(self, uri: str) -> None:
        self.heard.append(uri)
        self._news.set()

    @asynccontextmanager
    async def open(self, client: Client, *uris: str, listing: bool = False) -> AsyncGenerator[None]:
        """Listen within the block."""
        if client.protocol_version < "2026":
            for uri in uris:
                await subscribe(client, uri)
            yield
            for uri in uris:
                await unsubscribe(client, uri)
            return
        listen = client.listen(resource_subscriptions=uris, resources_list_changed=listing)
        async with listen as changes, trio.open_nursery() as nursery:
            nursery.start_soon(self._follow, changes)
            yield
            nursery.cancel_scope.cancel()

    async def _follow(self, changes: Any) -> None:
        async for event in changes:
            match event:
                case ResourceUpdated():
                    self._take(event.uri)
                case ResourcesListChanged():
                    self._take(LISTING)
                case _:
                    pass

    async def hears_of(self, uri: str) -> None:
        """Wait for the next word of a resource, and forget what was heard before it."""
        with trio.fail_after(PATIENCE):
            while uri not in self.heard:
                await self._news.wait()
                self._news = trio.Event()
        self.heard.clear()


async def subscribe(client: Client, uri: str) -> None:
    """As clients did before 2026, which the SDK's client warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        await client.subscribe_resource(uri)  # type: ignore[deprecated]  # pyright: ignore[reportDeprecated]


async def unsubscribe(client: Client, uri: str) -> None:
    """As :func:`subscribe`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        await client.unsubscribe_resource(uri)  # type: ignore[deprecated]  # pyright: ignore[reportDeprecated]
