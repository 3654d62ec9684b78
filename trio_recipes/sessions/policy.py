"""What an application lets recipes do: checked when they are, before anything runs."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from attrs import field

from trio_recipes.classes import frozen
from trio_recipes.errors import Problem
from trio_recipes.language.wording import did_you_mean, listed

if TYPE_CHECKING:
    from trio_recipes.language.model import Recipe

KINDS: Final = ("agent", "bash", "function", "recipe")
"""The kinds of step that do something; a loop with a body is judged by the steps in it."""

Functions: TypeAlias = Literal["registered", "any"]


def _kinds(given: Collection[str]) -> frozenset[str]:
    kinds = frozenset((given,) if isinstance(given, str) else given)
    for kind in sorted(kinds - {*KINDS}):
        raise ValueError(f"there is no kind of step {kind!r}{did_you_mean(kind, KINDS)} (there are: {listed(KINDS)})")
    return kinds


def _roots(given: Collection[str | Path] | None) -> tuple[Path, ...] | None:
    if given is None:
        return None
    return tuple(Path(root).resolve() for root in ((given,) if isinstance(given, (str, Path)) else given))


def _functions(given: str) -> Functions:
    match given:
        case "registered" | "any":
            return given
        case _:
            raise ValueError(f"functions is 'registered' or 'any', not {given!r}")


def _environment(given: bool | Collection[str]) -> bool | frozenset[str]:
    return given if isinstance(given, bool) else frozenset((given,) if isinstance(given, str) else given)


@frozen
class Policy:
    """What recipes may do in a runtime. The command line allows everything that its user could do by hand.

    Args:
        kinds: the kinds of step that may be used: ``agent``, ``bash``, ``function``, ``recipe``.
        functions: ``registered``: only those that the application handed over; ``any``: also
            ``package.module:callable``, which imports and runs what it names.
        recipe_roots: folders that recipes and sub-recipes must be in once symbolic links are followed; None for any.
        inherit_env: whether commands see this process's environment; or the names of the variables that they see.

    Raises:
        ValueError: for a kind that there is not.
    """

    kinds: frozenset[str] = field(default=frozenset(KINDS), converter=_kinds)
    functions: Functions = field(default="registered", converter=_functions, kw_only=True)
    recipe_roots: tuple[Path, ...] | None = field(default=None, converter=_roots, kw_only=True)
    inherit_env: bool | frozenset[str] = field(default=True, converter=_environment, kw_only=True)

    @property
    def imports_functions(self) -> bool:
        """Whether ``package.module:callable`` is allowed."""
        return self.functions == "any"

    def refusals(self, recipe: Recipe) -> Iterator[Problem]:
        """Steps of a recipe that are of a kind it may not use."""
        for step in recipe.all_steps():
            if step.kind in KINDS and step.kind not in self.kinds:
                text = f"step '{step.id}': {step.kind} steps are not allowed here (allowed: {listed(self.kinds)})"
                yield Problem(text, recipe.file, step.line, field=f"{step.where}.type" if step.where else "type")

    def outside(self, file: str) -> Problem | None:
        """Why a recipe's file may not be read, if so."""
        return self._outside(file, Path(resolved(file)))

    def unfit(self, file: str, descriptor: int) -> Problem | None:
        """Why an open file may not be used, if so: it was put into the place of one that was allowed.

        Args:
            file: as it was named.
            descriptor: of what was found there.
        """
        return self._outside(file, _path_of(descriptor) or Path(resolved(file)))

    def _outside(self, file: str, place: Path) -> Problem | None:
        if self.recipe_roots is None or any(place.is_relative_to(root) for root in self.recipe_roots):
            return None
        roots = listed(str(root) for root in self.recipe_roots)
        return Problem(f"is outside the folders that recipes may come from ({roots})", file)


def resolved(file: str) -> str:
    """The real path behind a name, which anybody may have written: a name that can't be one stays what it is."""
    try:
        return os.path.realpath(file)
    except ValueError:
        return file


def _path_of(descriptor: int) -> Path | None:
    """Where an open file is; None where the system doesn't tell."""
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink()
    except OSError:
        return None


OPEN: Final = Policy(functions="any")
"""The command line's: a recipe may do what its user may do."""
