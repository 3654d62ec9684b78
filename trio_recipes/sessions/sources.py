"""Where recipes are read from, and which of them may be used: files, bundles (``@bundle:path``), a policy over both."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from attrs import field

from trio_recipes.classes import frozen
from trio_recipes.errors import ConfigurationError, InvalidRecipeError, Problem
from trio_recipes.language.load import load_recipe
from trio_recipes.language.wording import did_you_mean, listed
from trio_recipes.plainfile import read_plain, why_unread
from trio_recipes.sessions.policy import OPEN, Policy, resolved

if TYPE_CHECKING:
    from trio_recipes.language.model import Recipe

BUNDLE: Final = "@"
"""How a path begins that is looked up in a bundle."""

PROJECT_FILE: Final = "trio-recipes.toml"
"""Where a project names its bundles: a table ``[bundles]`` from names to folders, relative to it."""

Finder: TypeAlias = Callable[[str], "str | os.PathLike[str] | None"]
"""From ``@bundle:path`` to a file, or None if there is no such bundle or file."""

Bundles: TypeAlias = "Mapping[str, str | os.PathLike[str]] | Finder | None"
"""Folders by the names of bundles; or a function that is given the whole ``@bundle:path``."""


def locate(name: str, origin: str | None, project: str) -> str:
    """The key of the recipe that a step names: its path as it is named, from the file that contains the step.

    What it meant when it was frozen, it means in that session for ever: where symbolic links lead by then, or a folder
    was moved to, makes no difference. ``@bundle:path`` is its own key.
    """
    if name.startswith(BUNDLE):
        return name
    base = os.path.dirname(origin) if origin else project  # noqa: PTH120
    path = os.path.join(base, os.path.expanduser(name))  # noqa: PTH111, PTH118  pathlib raises for some names
    return path if f"{os.sep}..{os.sep}" in path else os.path.normpath(path)  # behind a link, ".." is elsewhere


def file_behind(key: str) -> str:
    """The real file of a key, for reading: its own relative paths start where it stands; of a bundle, the key."""
    return key if key.startswith(BUNDLE) else resolved(key)


def locate_known(name: str, origin: str | None, project: str, known: Container[str]) -> str:
    """As :func:`locate`, among recipes that are known: sessions used to keep them by their resolved files."""
    key = locate(name, origin, project)
    return key if key in known or key.startswith(BUNDLE) or resolved(key) not in known else resolved(key)


@frozen(eq=False)
class Sources:
    """Reads recipes, as far as a policy lets it.

    Args:
        policy: what recipes may do, and where they may come from.
        bundles: where ``@bundle:path`` leads to.
    """

    policy: Policy = OPEN
    bundles: Bundles = field(default=None)

    def file_of(self, key: str) -> str:
        """The file that a key of :func:`locate` stands for.

        Raises:
            InvalidRecipeError: if there is no such bundle, or no such file in it.
        """
        if not key.startswith(BUNDLE):
            return key
        found = self.bundles(key) if callable(self.bundles) else _in_bundle(key, self.bundles or {})
        if found is None:
            raise InvalidRecipeError([Problem(f"{key!r} leads to no recipe: no bundle here has it")])
        return os.path.abspath(os.fspath(found))  # noqa: PTH100  symbolic links stay, as for files that are named

    def load(self, key: str) -> Recipe:
        """Read the recipe of a key, if it may be used here.

        Raises:
            InvalidRecipeError: with every problem of it; or if its folder, or a step, is not allowed.
        """
        file = self.file_of(key)
        outside = self.policy.outside(file)
        if outside is not None:
            raise InvalidRecipeError([outside])
        return load_recipe(file, unfit=partial(self.policy.unfit, file))

    def load_allowed(self, key: str) -> Recipe:
        """Read a recipe that is called, as :meth:`load` does, and refuse one with steps that are not allowed."""
        recipe = self.load(file_behind(key))
        refused = list(self.refusals(recipe))
        if refused:
            raise InvalidRecipeError(refused)
        return recipe

    def refusals(self, recipe: Recipe) -> Iterator[Problem]:
        """What a recipe holds that is not allowed."""
        return self.policy.refusals(recipe)


def _in_bundle(key: str, folders: Mapping[str, str | os.PathLike[str]]) -> Path:
    """A file below the folder of its bundle, and nowhere else."""
    name, _, path = key.removeprefix(BUNDLE).partition(":")
    if name not in folders:
        text = f"{key!r}: there is no bundle {name!r}{did_you_mean(name, folders)} (configured: {listed(folders)})"
        raise InvalidRecipeError([Problem(f"{text}; name its folder in [bundles] of {PROJECT_FILE}")])
    folder = Path(resolved(os.path.expanduser(folders[name])))  # noqa: PTH111
    file = Path(resolved(os.fspath(folder / path)))
    if not path or not file.is_relative_to(folder):
        raise InvalidRecipeError([Problem(f"{key!r} leads out of the bundle's folder {folder}")])
    return file


def project_bundles(project: str | os.PathLike[str]) -> Finder:
    """Look bundles up in the project's ``trio-recipes.toml``, which is read only if a recipe names one."""
    return partial(_in_project, Path(project))


def _in_project(project: Path, key: str) -> Path:
    return _in_bundle(key, _configured(project / PROJECT_FILE))


def _configured(file: Path) -> Mapping[str, Path]:
    import tomllib  # noqa: PLC0415  only for recipes that name a bundle

    try:
        table = tomllib.loads(read_plain(file)).get("bundles", {})
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file}: can't be read: {why_unread(error)}") from None
    if not isinstance(table, dict) or not all(isinstance(folder, str) for folder in table.values()):
        raise ConfigurationError(f'{file}: [bundles] holds lines of the form name = "folder"')
    return {name: file.parent / os.path.expanduser(folder) for name, folder in table.items()}  # noqa: PTH111
