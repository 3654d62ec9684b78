"""The MCP server: what it offers, whichever way it is spoken to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mcp.server import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity

from trio_recipes._version import __version__

if TYPE_CHECKING:
    from trio_recipes.frontends.mcp.answers import Answers
    from trio_recipes.frontends.mcp.calls import Calls
    from trio_recipes.frontends.mcp.resources import Resources
    from trio_recipes.frontends.mcp.subscriptions import Subscriptions

NAME: Final = "trio-recipes"
_INSTRUCTIONS: Final = """\
Recipes are multi-step workflows. Run one with the tool `recipes`; its session survives everything, so a run that was \
cancelled, interrupted or paused goes on with `resume`. Cancelling a call stops its session gracefully. For recipes \
that take longer than a call may: `background: true`, and `status` from time to time."""
_ANSWER_SECONDS: Final = 7 * 86_400.0
"""How long a person may think about a gate."""


def make_server(calls: Calls, resources: Resources, subscriptions: Subscriptions, answers: Answers) -> Server[Any]:
    """A server over one runtime, for any number of clients.

    Args:
        calls: answers calls of the tool.
        resources: lists and reads recipes and sessions.
        subscriptions: tells of changes of resources.
        answers: counts what is being answered.
    """
    server: Server[Any] = Server(
        NAME,
        version=__version__,
        instructions=_INSTRUCTIONS,
        on_list_tools=calls.tools,
        on_call_tool=calls.call,
        on_list_resources=resources.listed,
        on_list_resource_templates=resources.templates,
        on_read_resource=resources.read,
        on_subscribe_resource=subscriptions.subscribe,
        on_unsubscribe_resource=subscriptions.unsubscribe,
        on_subscriptions_listen=subscriptions.listen,
    )
    sealed = RequestStateSecurity.ephemeral(ttl=_ANSWER_SECONDS)
    server.middleware.append(answers)
    server.middleware.append(RequestStateBoundary(sealed, default_audience=NAME))
    return server
