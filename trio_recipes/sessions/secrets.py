"""Secrets of a session: referred to in its record, read again by each run, and masked in all that leaves it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attrs import evolve, field

from trio_recipes.classes import define
from trio_recipes.errors import ConfigurationError
from trio_recipes.events import AttemptFailed, Output, ScopeFinished
from trio_recipes.language.model import RecipeStep
from trio_recipes.masking import Screen
from trio_recipes.progress.masked import masked
from trio_recipes.progress.vault import missing
from trio_recipes.sessions.logs import hide_in_logs
from trio_recipes.sessions.sources import locate_known

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from trio_recipes.events import Event
    from trio_recipes.language.model import Recipe
    from trio_recipes.progress.vault import Vault
    from trio_recipes.runtime.ports import Log
    from trio_recipes.sessions.recipes import Prepared
    from trio_recipes.values import Value, Variables


def references(recipe: Recipe, given: Variables) -> dict[str, Value]:
    """The caller's variables as they are recorded: a reference in place of each secret's value."""
    return {**given, **{name: {"$secret": name} for name in recipe.secrets}}


def restored(recipe: Recipe, recorded: Variables, secrets: Variables) -> dict[str, Value]:
    """The caller's variables again: as they were recorded, and the secrets that are passed this time."""
    public = {name: value for name, value in recorded.items() if name not in recipe.secrets}
    return public | {name: value for name, value in secrets.items() if name in recipe.secrets}


def require(prepared: Prepared, given: Variables, project: str) -> None:
    """Refuse to begin if a secret has no value.

    Raises:
        ConfigurationError: naming all that are missing, and what to do.
    """
    found = list(dict.fromkeys(_missing(prepared, given, project)))
    if found:
        names = ", ".join(name for name, _ in found)
        lines = [f"secret {name!r} of recipe '{recipe}' has no value" for name, recipe in found]
        raise ConfigurationError("\n".join([*lines, f"pass it, or set the environment variable of that name: {names}"]))


def _missing(prepared: Prepared, given: Variables, project: str) -> Iterator[tuple[str, str]]:
    """Those of the recipe itself, and of sub-recipes that are known already and are not passed them."""
    for name in missing(prepared.recipe, given, os.environ.get):
        yield name, prepared.recipe.name
    for recipe in (prepared.recipe, *prepared.sub_recipes.values()):
        for step in recipe.all_steps():
            sub = _called(step, recipe, prepared.sub_recipes, project) if isinstance(step, RecipeStep) else None
            if sub is not None and isinstance(step, RecipeStep):
                for name in missing(sub, step.context, os.environ.get):
                    yield name, sub.name


def _called(step: RecipeStep, caller: Recipe, known: Mapping[str, Recipe], project: str) -> Recipe | None:
    return None if step.recipe.references else known.get(locate_known(step.recipe.source, caller.file, project, known))


@define(eq=False)
class MaskedLog:
    """The log of a run as its runtime sees it: what people may read is masked on its way to the record.

    Args:
        log: the record.
        vault: knows the secrets.
    """

    log: Log
    vault: Vault
    _screens: dict[tuple[str, str, bool], Screen] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        hide_in_logs(self.vault)

    def emit(self, event: Event) -> int:
        """Append an event; of output, what may be the first part of a secret comes with the next piece."""
        mask = self.vault.mask
        if not mask:
            return self.log.emit(event)
        if isinstance(event, Output):
            screen = self._screens.setdefault((event.path, event.channel, event.background), Screen(mask))
            return self._put(event, screen)
        if isinstance(event, (ScopeFinished, AttemptFailed)):
            self._release([key for key in self._screens if key[0] == event.path and not key[2]])
        return self.log.emit(masked(event, mask))

    async def durable(self, seq: int) -> None:
        """Return once the event ``seq`` would survive a crash. Raises as the record does."""
        await self.log.durable(seq)

    def flush(self) -> None:
        """Nothing more comes: record what was held back."""
        self._release(list(self._screens))

    def _release(self, keys: list[tuple[str, str, bool]]) -> None:
        for key in keys:
            path, channel, background = key
            rest = Output(path=path, channel=channel, background=background)
            self._put(rest, self._screens.pop(key), last=True)

    def _put(self, event: Output, screen: Screen, *, last: bool = False) -> int:
        data, where = screen.feed(event.data, last=last)
        return self.log.emit(evolve(event, data=data, secrets=where)) if data else 0
