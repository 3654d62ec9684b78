"""What is said of an agent, or of many by a glob."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import Factory, evolve

from trio_recipes.agents.provider import Provider
from trio_recipes.agents.settings import Settings
from trio_recipes.classes import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_recipes.runtime.ports import AgentBackend


@frozen
class Entry:
    """What is said of an agent, or of all those whose names fit a glob.

    Args:
        pinned: what answers it, whatever recipes wish; None if the settings choose among the providers.
        settings: the rest (:mod:`trio_recipes.agents.settings`).
        origin: the file that says so; "" for the caller.
    """

    pinned: Provider | None = None
    settings: Settings = Factory(dict)
    origin: str = ""

    def changed(self, change: Callable[[AgentBackend], AgentBackend]) -> Entry:
        """The same, with ``change`` made to the backend that it is pinned to."""
        return self if self.pinned is None else evolve(self, pinned=self.pinned.changed(change))
