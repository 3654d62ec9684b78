"""Asking backends of both dialects through a real server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import trio
from attrs import define, evolve

from tests.steps.leaf import Told, leaf
from trio_recipes.agents.backends.anthropic import AnthropicBackend
from trio_recipes.agents.backends.openai import OpenAIBackend
from trio_recipes.agents.http.connections import Connections
from trio_recipes.agents.http.endpoint import Endpoint
from trio_recipes.agents.http.settings import ModelSettings
from trio_recipes.errors import BackendError
from trio_recipes.events import Output
from trio_recipes.language.model import AgentStep
from trio_recipes.language.template import Template
from trio_recipes.runtime.ports import AgentReply, AgentRequest
from trio_recipes.sessions.session import Session
from trio_recipes.steps.agent import Conversation
from trio_recipes.testing.model_server import ModelServer, Script, serving

Backend = OpenAIBackend | AnthropicBackend
BACKENDS: dict[str, Callable[..., Backend]] = {"openai": OpenAIBackend, "anthropic": AnthropicBackend}
PATIENCE = 60


@define(eq=False)
class Client:
    """A backend of one dialect, its server, and what it told."""

    backend: Backend
    server: ModelServer
    log: Told

    async def ask(self, prompt: str = "p", **request: Any) -> AgentReply:
        call = Conversation(leaf(AgentStep(id="step", agent="a", prompt=Template.parse("p")), self.log))
        try:
            with trio.fail_after(PATIENCE):
                reply = await self.backend.ask(AgentRequest(agent="a", prompt=prompt, **request), call)
        except BaseException:
            call.end()
            raise
        call.flush()
        return reply

    async def failure(self, **request: Any) -> BackendError:
        try:
            reply = await self.ask(**request)
        except BackendError as error:
            return error
        raise AssertionError(f"answered: {reply}")

    @property
    def body(self) -> Any:
        """Of the last request."""
        return self.server.visits[-1].asked.body

    def change(self, **changes: Any) -> None:
        """Change settings."""
        self.backend = evolve(self.backend, settings=evolve(self.backend.settings, **changes))

    def reach(self, **changes: Any) -> None:
        """Change the endpoint."""
        self.backend = evolve(self.backend, endpoint=evolve(self.backend.endpoint, **changes))


@asynccontextmanager
async def client(
    dialect: str = "openai", script: Script | None = None, *, server_key: str | None = None, **endpoint: Any
) -> AsyncGenerator[Client]:
    """A backend that asks for the model ``m``, and its server."""
    async with serving(script, key=server_key) as server, Connections() as connections:
        backend = BACKENDS[dialect](Endpoint(base_url=server.url, **endpoint), ModelSettings(model="m"))
        yield Client(backend.connected(connections), server, Told())


async def until_it_says(session: Session) -> None:
    """Return once the first piece of an answer has come."""
    async with aclosing(session.events()) as events:
        async for stamped in events:
            if isinstance(stamped.event, Output):
                break
