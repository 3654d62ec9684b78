"""A provider: an endpoint or a program that answers, by a name, and which of its models are meant for what."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from shutil import which
from typing import TYPE_CHECKING

from attrs import Factory, evolve, field

from trio_recipes.agents.http.connections import NeedsConnections, require_httpx2
from trio_recipes.classes import frozen
from trio_recipes.errors import ConfigurationError
from trio_recipes.runtime.ports import AgentBackend, ListsModels

if TYPE_CHECKING:
    from collections.abc import Iterable

CLASSES = ("reasoning", "fast", "vision", "research")
"""The classes of models that recipes may ask for (recipe-language.md section 2)."""

_NICKNAMES = frozenset({"fable", "haiku", "mythos", "opus", "sonnet"})
"""What agent definitions that people have call a family of models of one maker."""


@frozen
class Provider:
    """What answers, and how it is configured. Holds no key, only the name of the variable that does.

    Args:
        name: what recipes call it; "" for the backend of one agent.
        backend: to be asked.
        kind: of backend, such as ``openai``; "" for an application's own.
        model: asked unless somebody wishes another one, exact or a glob; None leaves it to the backend.
        models: models (exact, or globs) by class, or by any name, or glob, that is to stand for one.
        key: the environment variable that holds its key, or None if it needs none.
        target: the address or command, for people.
        program: that it runs, or None.
        origin: the file that it is configured in; "" for the caller's.
    """

    name: str
    backend: AgentBackend = field(repr=False)
    kind: str = ""
    model: str | None = None
    models: Mapping[str, str] = Factory(dict)
    key: str | None = None
    target: str = ""
    program: str | None = None
    origin: str = ""

    @property
    def label(self) -> str:
        """Its name and where it is, for people."""
        return " ".join(part for part in (self.name or "a backend", f"({self.target})" if self.target else "") if part)

    @property
    def lists_models(self) -> bool:
        """Whether it is an endpoint with models of its own; the others take wishes as they are written."""
        return isinstance(self.backend, ListsModels)

    @property
    def has_key(self) -> bool:
        """Whether the variable that holds its key is set; True if it needs none."""
        return self.key is None or bool(os.environ.get(self.key, "").strip())

    def lacks(self) -> str | None:
        """Why it can't answer, as far as that shows without asking it: no key, no such program. None if nothing is."""
        if not self.has_key:
            return f"the environment variable {self.key}, which holds its key, is not set"
        if isinstance(self.backend, NeedsConnections) and (missing := _missing_library()):
            return missing
        if self.program is not None and which(self.program) is None:
            return f"there is no program {self.program!r}"
        return None

    def meant_by(self, wish: str | None) -> str | None:
        """The model (exact, or a glob) that a wish means here; None leaves it to the backend."""
        if wish is None:
            return self.models.get(self.model, self.model) if self.model else None
        if wish in self.models:
            return self.models[wish]
        for name, model in self.models.items():
            if fnmatchcase(wish, name):
                return model
        if wish in _NICKNAMES and self.lists_models:
            return f"claude-*{wish}*" if self.kind == "anthropic" else self.meant_by(None)
        return wish

    def changed(self, change: Callable[[AgentBackend], AgentBackend]) -> Provider:
        """The same, with ``change`` made to its backend."""
        return evolve(self, backend=change(self.backend))


def _missing_library() -> str | None:
    try:
        require_httpx2()
    except ConfigurationError as error:
        return str(error)
    return None


def is_glob(model: str) -> bool:
    """Whether a model's name has wildcards (``*``, ``?``, ``[…]``)."""
    return any(character in model for character in "*?[")


def best_match(model: str, offered: Iterable[str]) -> str:
    """The model that a glob means: the highest match in descending order; without one, the glob as it is."""
    if not is_glob(model):
        return model
    return max((name for name in offered if fnmatchcase(name, model)), default=model)
