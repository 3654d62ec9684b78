"""The server's life: a runtime, somebody who serves it, and the signals that end both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import trio

from trio_recipes.classes import frozen
from trio_recipes.frontends.mcp.calls import Calls
from trio_recipes.frontends.mcp.ending import Ending
from trio_recipes.frontends.mcp.lookout import Lookout
from trio_recipes.frontends.mcp.resources import Resources
from trio_recipes.frontends.mcp.server import make_server
from trio_recipes.frontends.mcp.subscriptions import Subscriptions
from trio_recipes.runtime.scope import concurrent
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.sessions.signals import handled_signals

if TYPE_CHECKING:
    from mcp.server import Server

    from trio_recipes.sessions.policy import Policy
    from trio_recipes.sessions.runtime import Runtime

Serve: TypeAlias = Callable[["Server[Any]", Ending], Awaitable[None]]


@frozen
class Settings:
    """What a server works with.

    Args:
        store: where sessions live; None for the user's own.
        agents: an agents file, or ``echo``; None for what is configured.
        project: the project's folder; None for the current one.
        policy: what recipes may do.
        durability: as for ``open_runtime``.
        allow_approve: whether the client's model may decide on gates by itself.
        grace: seconds that steps in hand have when a call was cancelled; None: as long as they take.
    """

    policy: Policy
    store: str | None = None
    agents: str | None = None
    project: str | None = None
    durability: str = "power"
    allow_approve: bool = False
    grace: float | None = None


async def serve_until_ended(settings: Settings, serve: Serve) -> int:
    """Serve until a signal comes or ``serve`` ends by itself; no session is left running then.

    Returns:
        The exit code.

    Raises:
        RecipesError: if it can't begin.
    """
    with trio.open_signal_receiver(*handled_signals()) as signals:
        async with (
            open_runtime(
                store=settings.store,
                agents=settings.agents,
                policy=settings.policy,
                project=settings.project,
                durability=settings.durability,
            ) as runtime,
            concurrent() as helpers,
        ):
            lookout = Lookout(runtime)
            subscriptions = Subscriptions(lookout, helpers)
            ending = Ending(runtime, subscriptions.close)
            helpers.start_soon(ending.listen, signals)
            helpers.start_soon(ending.stop_serving)
            helpers.start_soon(lookout.run)
            async with concurrent() as nursery:  # of the calls: it outlives serving, until their sessions have ended
                calls = Calls(ending, nursery, settings.allow_approve, settings.grace)
                with ending.serving:
                    server = make_server(calls, Resources(runtime), subscriptions, ending.answers)
                    await serve(server, ending)
                ending.client_gone()
            await _all_ended(runtime)
            helpers.cancel_scope.cancel(reason="the server has ended")
    return ending.code


async def _all_ended(runtime: Runtime) -> None:
    for session in list(runtime.sessions.values()):
        await session.wait()
