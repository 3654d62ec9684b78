"""Agent steps, answered by the coordinator's ``session.spawn``: a sub-session of Amplifier for each request."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from trio_recipes.agents.registry import Agents
from trio_recipes.classes import frozen
from trio_recipes.errors import BackendError
from trio_recipes.integrations.amplifier.preferences import preferences
from trio_recipes.integrations.asyncio import in_asyncio
from trio_recipes.language.wording import did_you_mean
from trio_recipes.runtime.ports import AgentReply, Choice

if TYPE_CHECKING:
    from trio_recipes.integrations.amplifier.places import Place
    from trio_recipes.language.model import AgentStep
    from trio_recipes.runtime.ports import AgentCall, AgentRequest

MISSING: Final = (
    "agents can't be asked: this Amplifier session offers no 'session.spawn' capability; run the recipe in a session "
    "of an application that registers one"
)


@frozen(eq=False)
class SpawnBackend:
    """Answers agent steps with sub-sessions of Amplifier.

    The spawner is awaited in the host's loop; when the step is stopped it is cancelled, and waited for.

    Args:
        coordinator: of the Amplifier session.
        place_of: where the scope of a request stands.
    """

    coordinator: Any
    place_of: Callable[[AgentRequest], Place | None]

    async def ask(self, request: AgentRequest, call: AgentCall) -> AgentReply:
        """Spawn a session for the request.

        Raises:
            BackendError: there is nobody to spawn sessions, or it failed.
        """
        answer = await in_asyncio(self._spawned, request)
        return AgentReply(text=answer) if isinstance(answer, str) else AgentReply(value=answer)

    async def _spawned(self, request: AgentRequest) -> Any:
        spawn = self.coordinator.get_capability("session.spawn")
        if spawn is None:
            raise BackendError(MISSING, retryable=False)
        try:
            return await spawn(**await self._arguments(request))
        except Exception as error:
            raise _failed(error) from error

    async def _arguments(self, request: AgentRequest) -> dict[str, Any]:
        agents = (self.coordinator.config or {}).get("agents") or {}
        resolver = self.coordinator.get_capability("model_role_resolver")
        return {
            "agent_name": request.agent,
            "instruction": request.prompt,
            "parent_session": self.coordinator.session,
            "agent_configs": agents,
            "sub_session_id": None,
            "orchestrator_config": request.orchestrator.get("config"),
            "provider_preferences": await preferences(request, agents, resolver),
            "session_metadata": self._metadata(request),
            "use_subprocess": request.spawn_mode == "subprocess",
        }

    def _metadata(self, request: AgentRequest) -> dict[str, Any]:
        place = self.place_of(request)
        batch = place.batch if place else None
        metadata = {
            "agent_name": request.agent,
            "recipe_name": place.recipe.name if place else "",
            "recipe_step": request.step_id,
            "recipe_step_index": place.index if place else None,
        }
        if batch is not None:  # the same for all its passes, and after a resume
            metadata["parallel_group_id"] = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{request.session_id}/{batch}"))
        return metadata


def strangers(coordinator: Any, steps: Iterable[AgentStep]) -> list[str]:
    """What to warn of: steps whose agents are not among those that an application says it has, if it says that."""
    available: Any = getattr(coordinator, "available_agents", None)
    known: Any = available() if callable(available) else available
    if known is None:
        return []
    asked = {step.agent: step for step in steps}
    return [
        f"Agent '{name}' of step '{step.id}' is not among those of this Amplifier session{did_you_mean(name, known)}"
        for name, step in asked.items()
        if name not in known
    ]


def _failed(error: Exception) -> Exception:
    """The failure of a step; what the error itself says of another attempt counts."""
    if isinstance(error, BackendError):
        return error
    text = f"{type(error).__name__}: {error}"
    limited = "429" in text or "rate limit" in text.lower() or "RateLimit" in text
    retryable, after = getattr(error, "retryable", True), getattr(error, "retry_after", None)
    return BackendError(text, rate_limited=limited, retryable=bool(retryable) or limited, retry_after=after)


@frozen(eq=False)
class SpawnResolver:
    """Leaves every choice to Amplifier.

    Args:
        backend: answers everything.
    """

    backend: SpawnBackend

    def problems(self, steps: Iterable[AgentStep], known: Agents) -> Sequence[str]:
        """Nobody to spawn sessions, where a recipe has agent steps."""
        can_spawn = self.backend.coordinator.get_capability("session.spawn") is not None
        return [] if can_spawn or not any(True for _ in steps) else [MISSING]

    async def resolve(self, request: AgentRequest, known: Agents) -> Choice:
        """Everything is asked as the step has it."""
        return Choice(self.backend, request)
