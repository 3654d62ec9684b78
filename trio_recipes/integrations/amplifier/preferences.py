"""Which providers and models an agent step wants, as Amplifier's ``session.spawn`` takes it.

The step's own preferences come first, then its role, then its provider and model, then what the coordinator's
configuration says of the agent. Roles are resolved by the capability ``model_role_resolver``.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from trio_recipes.classes import frozen

if TYPE_CHECKING:
    from trio_recipes.runtime.ports import AgentRequest

_log = logging.getLogger("trio_recipes.integrations")


@frozen
class Preference:
    """A provider and a model of it, where ``amplifier_foundation`` with a class of its own is not there.

    Args:
        provider: its name or module.
        model: a name or glob; "" leaves it to the provider.
    """

    provider: str
    model: str = ""

    def to_dict(self) -> dict[str, str]:
        """As plain data."""
        return {"provider": self.provider, "model": self.model}


def preference(provider: str, model: str | None) -> Any:
    """One preference, of the class that Amplifier's spawners know."""
    try:
        known = import_module("amplifier_foundation").ProviderPreference
    except (ImportError, AttributeError):
        known = Preference
    return known(provider=provider, model=model or "")


async def preferences(request: AgentRequest, agents: Mapping[str, Any], resolver: Any) -> list[Any] | None:
    """What a request wants, in order; None leaves it to Amplifier.

    Args:
        request: as the step has it.
        agents: the coordinator's agents, by name.
        resolver: the capability ``model_role_resolver``, or None.
    """
    if request.provider_preferences:
        return await _each(request.provider_preferences, resolver)
    if request.model_role and (found := await _of_role(request.model_role, resolver)):
        return found
    if request.provider:
        return [preference(request.provider, request.model)]
    return await _of_agent(agents.get(request.agent), resolver)


async def _of_agent(agent: object, resolver: Any) -> list[Any] | None:
    if not isinstance(agent, Mapping):
        return None
    if wanted := agent.get("provider_preferences"):
        return await _each(wanted, resolver)
    role = agent.get("model_role")
    return await _of_role(role, resolver) if role else None


async def _each(wanted: Sequence[Any], resolver: Any) -> list[Any] | None:
    found: list[Any] = []
    for each in wanted:
        if not isinstance(each, Mapping):
            found.append(each)  # a host's configuration may hold objects of its own
        elif "provider" in each:
            found.append(preference(each["provider"], each.get("model")))
        else:
            found += await _of_role(each.get("class"), resolver) or []
    return found or None


async def _of_role(role: Any, resolver: Any) -> list[Any] | None:
    """What a role, or a class of models, comes to; None if nobody knows."""
    if resolver is None:
        _log.warning("model_role %r: this Amplifier session has no model_role_resolver; left to the agent", role)
        return None
    found = resolver.resolve(role)
    if inspect.isawaitable(found):
        found = await found
    return list(found) if found else None
