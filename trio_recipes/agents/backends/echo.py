"""A backend that needs nothing, for trying recipes out: ``--agents echo``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_recipes.classes import frozen
from trio_recipes.runtime.ports import AgentReply

if TYPE_CHECKING:
    from trio_recipes.runtime.ports import AgentCall, AgentRequest


@frozen
class EchoBackend:
    """Answers each prompt with itself."""

    async def ask(self, request: AgentRequest, call: AgentCall) -> AgentReply:
        """Return the prompt, mode and JSON instruction included."""
        await trio.lowlevel.checkpoint()
        return AgentReply(text=request.prompt, model="echo", cost_usd=0.0)
