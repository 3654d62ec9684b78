"""What the module's configuration says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from trio_recipes.classes import frozen
from trio_recipes.errors import ConfigurationError
from trio_recipes.language.wording import kind_of, shown

STORE_FOLDER: Final = "trio-recipes"
"""Name of the store below ``session_dir``, which holds other things, too."""


@frozen
class Settings:
    """The configuration of one mounted tool.

    Args:
        store: the store's folder; None for the user's own, which the command line looks into, too.
        auto_cleanup_days: age at which sessions that completed are deleted, after one has completed.
        allow_approval: whether the agent may approve.
        drain_seconds: how long steps in hand may go on when the Amplifier session is cleaned up.
    """

    store: str | None = None
    auto_cleanup_days: int = 7
    allow_approval: bool = True
    drain_seconds: float = 10.0

    @classmethod
    def read(cls, config: Mapping[str, Any] | None) -> Settings:
        """The settings in a module's configuration; what is not said, and keys of others, stay aside.

        Raises:
            ConfigurationError: a value is of the wrong type.
        """
        given = {name: value for name, value in (config or {}).items() if value is not None}
        default = cls()
        return cls(
            store=_store(_typed(given, "session_dir", str, ""), _typed(given, "store", str, "")),
            auto_cleanup_days=_typed(given, "auto_cleanup_days", int, default.auto_cleanup_days),
            allow_approval=_typed(given, "allow_approval", bool, default.allow_approval),
            drain_seconds=float(_typed(given, "drain_seconds", (int, float), default.drain_seconds)),
        )


def _typed(given: Mapping[str, Any], name: str, types: Any, default: Any) -> Any:
    value = given.get(name, default)
    if not isinstance(value, types) or (isinstance(value, bool) and types is not bool):
        raise ConfigurationError(f"recipes tool: {name} can't be {kind_of(value)} ({shown(value)})")
    return value


def _store(session_dir: str, store: str) -> str | None:
    if store:
        return store
    return str(Path(session_dir).expanduser() / STORE_FOLDER) if session_dir else None
