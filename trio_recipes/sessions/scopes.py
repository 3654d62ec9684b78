"""Whether a session's recipe could ever have a scope of some name: asked of paths that have not begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_recipes.classes import frozen
from trio_recipes.errors import UnknownScopeError
from trio_recipes.language.model import BlockStep, RecipeStep, Stage, While
from trio_recipes.language.wording import did_you_mean, listed
from trio_recipes.progress.fold import fold
from trio_recipes.sessions.recipes import FrozenRecipes
from trio_recipes.store.codec import from_row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_recipes.language.model import Recipe, Step
    from trio_recipes.store.sqlite import SqliteStore


def check_scope(store: SqliteStore, session_id: str, path: str) -> None:
    """Refuse a path that no run of the session can come to.

    Raises:
        UnknownScopeError: naming what there is instead.
    """
    file = store.file(session_id)
    with file.reading() as connection:
        progress = fold(from_row(row) for row in file.rows(connection))
    assert progress.created is not None
    check_path(FrozenRecipes(progress.created.project_path, progress.recipes), path)


def check_path(recipes: FrozenRecipes, path: str) -> None:
    """Refuse a path that no run of these recipes can come to.

    Raises:
        UnknownScopeError: naming what there is instead.
    """
    _Search(path, recipes).descend(_of_recipe(recipes.root()), path.split("/"), recipes.root())


def _of_recipe(recipe: Recipe) -> dict[str, Step | Stage]:
    return {stage.name: stage for stage in recipe.stages} | {step.id: step for step in recipe.steps}


@frozen
class _Search:
    """Follows a path through the frozen recipes."""

    path: str
    recipes: FrozenRecipes

    def descend(self, names: Mapping[str, Step | Stage], segments: list[str], recipe: Recipe) -> None:
        """Look for the first segment among ``names``, for the rest below it."""
        name, _, index = segments[0].partition("[")
        found = names.get(name)
        if found is None:
            raise UnknownScopeError(f"{self._wrong(name)}{did_you_mean(name, names)}; there are: {listed(names)}")
        if index:
            self._check_index(found, name, int(index.rstrip("]")))
        if len(segments) == 1:
            return
        self._below(found, segments[1:], recipe)

    def _below(self, found: Step | Stage, rest: list[str], recipe: Recipe) -> None:
        if isinstance(found, RecipeStep):
            if found.recipe.references:
                return  # which recipe that will be is not known before it runs
            called = self.recipes.parse(self.recipes.key_of(found.recipe.source, recipe.file))
            self.descend(_of_recipe(called), rest, called)
        elif isinstance(found, (BlockStep, Stage)):
            steps = found.steps if isinstance(found, Stage) else found.body
            self.descend({step.id: step for step in steps}, rest, recipe)
        else:
            raise UnknownScopeError(f"{self._wrong(rest[0])}: nothing stands below a {found.kind} step")

    def _check_index(self, found: Step | Stage, name: str, index: int) -> None:
        loop = getattr(found, "loop", None)
        if loop is None:
            raise UnknownScopeError(f"{self._wrong(f'{name}[{index}]')}: {name!r} is no loop")
        if isinstance(loop, While) and index >= loop.max_iterations:
            raise UnknownScopeError(
                f"{self._wrong(f'{name}[{index}]')}: it repeats at most {loop.max_iterations} times"
            )

    def _wrong(self, segment: str) -> str:
        whole = "" if segment == self.path else f" of {self.path!r}"
        return f"this session can have no scope {segment!r}{whole}"
