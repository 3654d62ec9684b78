"""Agents that people have already, as files define them; :mod:`trio_recipes.agents.markdown` reads these."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import Factory

from trio_recipes.agents.settings import Settings
from trio_recipes.classes import frozen
from trio_recipes.errors import ConfigurationError

FOLDERS: Final = (".amplifier/agents", ".claude/agents")
"""Where definitions are looked for, in the project and in the user's home."""


@frozen
class Definition:
    """An agent that a file defines.

    Args:
        name: the agent's.
        settings: its model, tools and so on, with its text as ``system``.
        file: where it is defined.
        description: what it is for.
    """

    name: str
    settings: Settings
    file: str
    description: str = ""


@frozen
class Definitions:
    """The definitions of some folders.

    Args:
        found: by name.
        broken: why a file can't be understood, by the name of its agent (as far as that is known).
    """

    found: Mapping[str, Definition] = Factory(dict)
    broken: Mapping[str, str] = Factory(dict)

    def find(self, name: str) -> Definition | None:
        """The definition of the agent ``name``, or of what follows its bundle (``bundle:name``).

        Raises:
            ConfigurationError: there is one that can't be understood.
        """
        for known in dict.fromkeys((name, name.rpartition(":")[2])):
            if known in self.found:
                return self.found[known]
            if known in self.broken:
                raise ConfigurationError(f"agent {name!r} can't be used as it is defined: {self.broken[known]}")
        return None

    def over(self, others: Definitions) -> Definitions:
        """These and those of ``others`` that have other names."""
        mine = {*self.found, *self.broken}
        return Definitions(
            {**{name: each for name, each in others.found.items() if name not in mine}, **self.found},
            {**{name: why for name, why in others.broken.items() if name not in mine}, **self.broken},
        )


def usual_folders(project: Path) -> tuple[Path, ...]:
    """Where people have definitions: the project's folders, then their own."""
    return tuple(dict.fromkeys(base / folder for base in (project, Path.home()) for folder in FOLDERS))
