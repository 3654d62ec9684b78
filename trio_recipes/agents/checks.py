"""Whether providers can be reached, asked of them: one connection each, all at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import trio

from trio_recipes.agents.http.connections import Connections, NeedsConnections
from trio_recipes.agents.provider import best_match
from trio_recipes.agents.resolver import Catalogue
from trio_recipes.classes import frozen
from trio_recipes.errors import BackendError, ConfigurationError
from trio_recipes.runtime.ports import ListsModels

if TYPE_CHECKING:
    from trio_recipes.agents.provider import Provider


@frozen
class Finding:
    """What a provider said.

    Args:
        error: why it can't be reached, or "".
        models: those that it has.
        asked: False if there is nobody to ask: a program, say.
    """

    error: str = ""
    models: tuple[str, ...] = ()
    asked: bool = True

    def model(self, wish: str | None) -> str | None:
        """The model that a wish means there."""
        return best_match(wish, self.models) if wish else wish

    @property
    def words(self) -> str:
        """For people."""
        if self.error:
            return f"is not available: {self.error}"
        if not self.asked:
            return "is there"
        return f"can be reached, and has {len(self.models)} model{'' if len(self.models) == 1 else 's'}"


async def check_all(providers: Iterable[Provider]) -> dict[str, Finding]:
    """Ask each provider which models it has; returns what they say, by their labels."""
    findings: dict[str, Finding] = {}

    async def check(provider: Provider) -> None:
        findings[provider.label] = await _check(provider, connections)

    asked = {provider.label: provider for provider in providers}
    async with Connections() as connections, trio.open_nursery() as nursery:
        for provider in asked.values():
            nursery.start_soon(check, provider)
    return {label: findings[label] for label in asked}


async def _check(provider: Provider, connections: Connections) -> Finding:
    lacking = provider.lacks()
    if lacking is not None:
        return Finding(lacking)
    backend: object = provider.backend
    if isinstance(backend, NeedsConnections):
        backend = backend.connected(connections)
    if not isinstance(backend, ListsModels):
        return Finding(asked=False)
    try:
        return Finding(models=tuple(await Catalogue().models(backend)))
    except (BackendError, ConfigurationError) as error:
        return Finding(str(error))
