"""Clients that want to know when a resource changes, in both ways of the protocol.

From 2026 on a client opens a stream of changes (``subscriptions/listen``), which the SDK serves from a bus. Before, it
subscribes to each resource, and is told by notifications for as long as its connection lasts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import field
from mcp.server.subscriptions import ListenHandler, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    EmptyResult,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequestParams,
)

from trio_recipes.classes import define
from trio_recipes.errors import InvalidCallError
from trio_recipes.frontends.mcp.lookout import LISTING, Lookout

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext
    from mcp.server.session import ServerSession
    from mcp.shared.subscriptions import ServerEvent

_OF_CONNECTION: Final = "trio_recipes.subscriptions"


@define(eq=False)
class Subscriptions:
    """Serves them.

    Args:
        lookout: tells of changes.
        nursery: where clients of the older protocol are told, until the server ends.
    """

    lookout: Lookout
    nursery: trio.Nursery
    _streams: ListenHandler = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._streams = ListenHandler(self.lookout.bus)

    def close(self) -> None:
        """End the streams in order: each says that it was closed."""
        self._streams.close()

    async def listen(
        self, ctx: ServerRequestContext[Any], params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """Serve one stream of changes, until its client leaves or :meth:`close`.

        Raises:
            MCPError: if it wants too much.
        """
        asked = params.notifications
        wanted = {*(asked.resource_subscriptions or ()), *([LISTING] if asked.resources_list_changed else ())}
        try:
            async with self.lookout.wanting(wanted):
                return await self._streams(ctx, params)
        except InvalidCallError as error:
            raise MCPError(INVALID_PARAMS, str(error)) from error

    async def subscribe(self, ctx: ServerRequestContext[Any], params: SubscribeRequestParams) -> EmptyResult:
        """Tell this client of each change of a resource from now on.

        Raises:
            MCPError: if there is no such resource, or it wants too much.
        """
        mine = _scopes_of(ctx.session)
        if params.uri not in mine:
            scope = mine[params.uri] = trio.CancelScope()
            try:
                await self.nursery.start(self._tell, ctx.session, params.uri, scope)
            except BaseException:
                mine.pop(params.uri, None)
                raise
        return EmptyResult()

    async def unsubscribe(self, ctx: ServerRequestContext[Any], params: UnsubscribeRequestParams) -> EmptyResult:
        """Tell this client no more."""
        scope = _scopes_of(ctx.session).pop(params.uri, None)
        if scope is not None:
            scope.cancel(reason="the client unsubscribed")
        return EmptyResult()

    async def _tell(  # noqa: ASYNC114  started by name, once
        self, session: ServerSession, uri: str, scope: trio.CancelScope, task_status: trio.TaskStatus[None]
    ) -> None:
        try:
            with scope:
                async with self.lookout.wanting([uri]):
                    if not self.lookout.knows(uri):
                        raise InvalidCallError(f"there is no resource {uri}; `resources/list` shows some")
                    task_status.started()
                    await self._keep_telling(session, uri)
        except InvalidCallError as error:
            raise MCPError(INVALID_PARAMS, str(error), {"uri": uri}) from error

    async def _keep_telling(self, session: ServerSession, uri: str) -> None:
        changed = trio.Event()

        def take(event: ServerEvent) -> None:
            if event == ResourceUpdated(uri):
                changed.set()

        forget = self.lookout.bus.subscribe(take)
        try:
            while True:
                await changed.wait()
                changed = trio.Event()  # what changes while a slow client is told is one more change
                await session.send_resource_updated(uri)
        finally:
            forget()


def _scopes_of(session: ServerSession) -> dict[str, trio.CancelScope]:
    """Of each resource that a client has subscribed to, in the connection's own memory; they end with it."""
    # The SDK has no public name for it, though its exit stack is meant for handlers.
    connection = session._connection  # pyright: ignore[reportPrivateUsage]
    mine: dict[str, trio.CancelScope] | None = connection.state.get(_OF_CONNECTION)
    if mine is None:
        mine = connection.state[_OF_CONNECTION] = {}
        connection.exit_stack.callback(_cancel, mine)
    return mine


def _cancel(scopes: dict[str, trio.CancelScope]) -> None:
    for scope in scopes.values():
        scope.cancel(reason="the client has gone")
