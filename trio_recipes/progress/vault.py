"""The secrets of one run: where their values come from, and what hides them (recipe-language.md section 12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from attrs import field

from trio_recipes.classes import define
from trio_recipes.masking import MASK, Mask

if TYPE_CHECKING:
    from trio_recipes.language.model import Recipe
    from trio_recipes.values import Value, Variables

Outside: TypeAlias = "Callable[[str], Value]"
"""The value that a secret has where the run takes place, in its environment; None or '' if it has none."""


def nowhere(_name: str) -> Value:
    """No secret has a value outside."""
    return None


def hidden(_name: str) -> Value:
    """For looking at records: whatever the value was, it is not shown."""
    return MASK


@define(eq=False, repr=False)
class Vault:
    """Finds the values of secrets as recipes are entered, and knows them from then on.

    Args:
        outside: where those are that no caller passes.
        mask: hides all values that were found so far.
    """

    outside: Outside = nowhere
    mask: Mask = field(factory=Mask)

    def open(self, recipe: Recipe, given: Variables) -> dict[str, Value]:
        """The secrets of a recipe that has been given some variables; those that are missing are left out."""
        found = {name: value_of(name, recipe, given, self.outside) for name in recipe.secrets}
        known = {name: value for name, value in found.items() if value is not None or name in given}
        self.mask = self.mask.knowing(known.values())
        return known


def value_of(name: str, recipe: Recipe, given: Variables, outside: Outside) -> Value:
    """What the caller passes; else what there is outside; else, as a last resort, what stands in the recipe's text."""
    if name in given:
        return given[name]
    return outside(name) or recipe.context.get(name) or None


def missing(recipe: Recipe, given: Variables, outside: Outside) -> list[str]:
    """The secrets of a recipe that have no value."""
    return [n for n in recipe.secrets if n not in given and value_of(n, recipe, given, outside) is None]
