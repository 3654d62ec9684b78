"""What an asyncio application writes, where trio awaits it: functions and agents that run in the application's loop."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from trio_recipes.classes import frozen
from trio_recipes.integrations.asyncio.bridge import in_asyncio
from trio_recipes.runtime.ports import AgentBackend, AgentCall, AgentReply, AgentRequest


@frozen
class ForTrio:
    """Marks a function or an agent of the application that is written for trio.

    All others are taken to be written for asyncio, but for the agents that come with trio_recipes.

    Args:
        what: the function or the agent.
    """

    what: Any


@frozen
class AsyncioFunction:
    """A coroutine function of the application, for a function step.

    Args:
        function: it runs in the host's loop; it is cancelled when its step is stopped.
    """

    function: Callable[..., Any]

    async def __call__(self, **arguments: Any) -> object:
        """Call it in the host's loop."""
        return await in_asyncio(partial(self.function, **arguments))


@frozen
class AsyncioBackend:
    """An agent of the application, for agent steps.

    Args:
        backend: its ``ask`` runs in the host's loop; it is cancelled when its step is stopped.
    """

    backend: AgentBackend

    async def ask(self, request: AgentRequest, call: AgentCall) -> AgentReply:
        """Ask it in the host's loop."""
        return await in_asyncio(self.backend.ask, request, call)


def adapted_functions(functions: Mapping[str, Callable[..., Any] | ForTrio]) -> dict[str, Callable[..., Any]]:
    """The functions of an application, as function steps call them."""
    return {name: _adapted_function(function) for name, function in functions.items()}


def _adapted_function(function: Any) -> Callable[..., Any]:
    if isinstance(function, ForTrio):
        return function.what  # type: ignore[no-any-return]
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        return AsyncioFunction(function)
    return partial(_called, function)


def _called(function: Callable[..., Any], **arguments: Any) -> object:
    """In a thread: call a plain function; what it returns to be awaited is awaited in the host's loop."""
    result = function(**arguments)
    return in_asyncio(_awaited, result) if inspect.isawaitable(result) else result


async def _awaited(awaitable: Any) -> object:
    return await awaitable


def adapted_agents(agents: Any) -> Any:
    """The agents of an application, as agent steps ask them; names and files stay what they are."""
    if agents is None or isinstance(agents, (str, os.PathLike)):
        return agents
    if isinstance(agents, Mapping):
        return {name: adapted_agents(agent) for name, agent in agents.items()}
    if isinstance(agents, ForTrio):
        return agents.what
    ask = getattr(agents, "ask", None)
    comes_with_us = getattr(ask, "__module__", "").partition(".")[0] == __name__.partition(".")[0]
    return agents if ask is None or comes_with_us else AsyncioBackend(agents)
