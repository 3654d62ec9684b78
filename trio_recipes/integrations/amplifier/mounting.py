"""Putting the tool on a coordinator."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final

from trio_recipes.errors import ConfigurationError
from trio_recipes.integrations.amplifier.host import Host
from trio_recipes.integrations.amplifier.settings import Settings
from trio_recipes.integrations.amplifier.tool import AmplifierTool
from trio_recipes.integrations.amplifier.tracker import OBSERVABLE

EVENTS: Final = "observability.events"
"""The capability that lists the events which hooks may observe."""


async def mount(coordinator: Any, config: Mapping[str, Any] | None = None) -> None:
    """Put the tool ``recipes`` on an Amplifier coordinator, in place of the one of its recipes bundle.

    Nothing is opened before the tool is first called. The coordinator's clean-up stops what runs, the sessions in the
    background too, and waits for it.

    Args:
        coordinator: Amplifier's; its capabilities ``session.spawn``, ``session.working_dir``, ``mention_resolver`` and
            ``model_role_resolver``, its hooks, its display and its cancellation token are used where it has them.
        config: of the module: ``session_dir`` or ``store``, ``auto_cleanup_days``, ``allow_approval``,
            ``drain_seconds``.

    Raises:
        ConfigurationError: ``config`` is wrong, or amplifier-core is not installed.
    """
    if find_spec("amplifier_core") is None:
        raise ConfigurationError("the Amplifier integration needs amplifier-core: pip install amplifier-core")
    host = Host(coordinator, Settings.read(config))
    tool = AmplifierTool(host)
    await coordinator.mount("tools", tool, name=tool.name)
    known = coordinator.get_capability(EVENTS) or []
    coordinator.register_capability(EVENTS, [*known, *(event for event in OBSERVABLE if event not in known)])
    coordinator.register_cleanup(host.close)
