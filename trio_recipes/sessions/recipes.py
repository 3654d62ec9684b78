"""Sub-recipes: finding them, checking them, and freezing them in the session.

Literal paths are loaded, checked and frozen, transitively, before the start; a templated path is frozen at first use,
durably, before its first step, and means that text in this session from then on.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from attrs import Factory, evolve, field

from trio_recipes.classes import define, frozen
from trio_recipes.errors import InvalidRecipeError, Problem, StoreUnusableError
from trio_recipes.events import RecipeFrozen
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.language.load import parse_recipe
from trio_recipes.language.model import AgentStep, FunctionStep, RecipeStep
from trio_recipes.language.names import check_recipe
from trio_recipes.sessions.policy import OPEN, Policy
from trio_recipes.sessions.sources import BUNDLE, Bundles, Sources, file_behind, locate, locate_known, project_bundles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from trio_recipes.language.model import Recipe, Step
    from trio_recipes.progress.asks import NeedRecipe
    from trio_recipes.runtime.ports import Log

ROOT_KEY = ""


def freeze(key: str, recipe: Recipe) -> RecipeFrozen:
    """The event that makes a recipe's text part of the session."""
    return RecipeFrozen(key=key, file=recipe.file, digest=recipe.digest, data=recipe.text.encode())


@frozen
class Prepared:
    """A recipe with everything it names, checked and ready to run."""

    recipe: Recipe
    sub_recipes: Mapping[str, Recipe]

    def frozen(self) -> list[RecipeFrozen]:
        """The events that freeze them all."""
        return [freeze(ROOT_KEY, self.recipe), *(freeze(key, sub) for key, sub in self.sub_recipes.items())]

    def steps(self) -> Iterator[Step]:
        """Every step of every recipe."""
        for recipe in self._recipes():
            yield from recipe.all_steps()

    def _recipes(self) -> tuple[Recipe, ...]:
        return (self.recipe, *self.sub_recipes.values())

    @property
    def cleans_up(self) -> bool:
        """Whether a ``finally`` may come to be due: there is one, or a sub-recipe is not known yet."""
        if any(recipe.finally_ or any(stage.finally_ for stage in recipe.stages) for recipe in self._recipes()):
            return True
        return any(step.finally_ or (isinstance(step, RecipeStep) and step.recipe.references) for step in self.steps())


def prepare(source: Recipe | str | Path, given: Iterable[str], project: str, sources: Sources) -> Prepared:
    """Load a recipe and, transitively, what it names by a literal path; check everything.

    Args:
        source: a file, or a recipe that was loaded before.
        given: names of the variables that the caller passes.
        project: the project's folder, for recipes that come from no file.
        sources: reads recipes, and knows which may be used.

    Raises:
        InvalidRecipeError: with every problem of every file.
    """
    recipe = sources.load(str(source)) if isinstance(source, (str, Path)) else source
    gathering = _Gathering(project, sources)
    gathering.check(recipe, given)
    gathering.follow(recipe)
    if any(not problem.warning for problem in gathering.problems):
        raise InvalidRecipeError(gathering.problems)
    return Prepared(evolve(recipe, warnings=(*recipe.warnings, *gathering.problems)), gathering.found)


def gather(source: str | Path, project: str, sources: Sources) -> tuple[Prepared, list[Problem]]:
    """Load a recipe and what it names, as :func:`prepare` does, for looking at; with what is wrong with them.

    Raises:
        InvalidRecipeError: the recipe itself can't be read.
    """
    recipe = sources.load(str(source))
    gathering = _Gathering(project, sources)
    gathering.follow(recipe)
    return Prepared(recipe, gathering.found), gathering.problems


@define(eq=False)
class _Gathering:
    """Sub-recipes found so far, and what is wrong with any of them."""

    project: str
    sources: Sources
    found: dict[str, Recipe] = field(factory=dict)
    problems: list[Problem] = field(factory=list)

    def check(self, recipe: Recipe, given: Iterable[str]) -> None:
        self.problems += check_recipe(recipe, given=given)
        self.problems += self.sources.refusals(recipe)

    def follow(self, recipe: Recipe) -> None:
        for step in recipe.all_steps():
            if isinstance(step, RecipeStep) and not step.recipe.references:
                self._load(recipe, step)

    def _load(self, parent: Recipe, step: RecipeStep) -> None:
        key = locate(step.recipe.source, parent.file, self.project)
        if key in self.found:
            return
        if not key.startswith(BUNDLE) and not os.path.isfile(key):  # noqa: PTH113  never raises
            where = f"{file_behind(key)}; paths are relative to the file that names them"
            text = f"step '{step.id}': there is no recipe at {where}"
            self.problems.append(Problem(text, parent.file, step.line, field="recipe"))
            return
        try:
            recipe = self.sources.load(file_behind(key))
        except InvalidRecipeError as error:
            self.problems += [_at(problem, parent, step) for problem in error.problems]
            return
        is_seen = any(recipe.file == other.file for other in self.found.values())
        self.found[key] = recipe
        if not is_seen:  # by another name
            self.check(recipe, step.context)
            self.follow(recipe)


def _at(problem: Problem, parent: Recipe, step: RecipeStep) -> Problem:
    """A problem without a file (there was none to read) is told where the recipe was named."""
    if problem.file is not None:
        return problem
    return Problem(problem.message, parent.file, step.line, field=f"{step.where}.recipe" if step.where else "recipe")


def agent_steps(steps: Iterable[Step]) -> list[AgentStep]:
    """The steps that ask an agent."""
    return [step for step in steps if isinstance(step, AgentStep)]


def function_names(steps: Iterable[Step]) -> set[str]:
    """The functions that steps call."""
    return {step.function for step in steps if isinstance(step, FunctionStep)}


@define(eq=False)
class FrozenRecipes:
    """The sub-recipes of one session: the runtime's :class:`~trio_recipes.runtime.ports.RecipeSource`.

    Args:
        project: the project's folder.
        frozen: what is frozen so far, by key.
        log: where a recipe that is frozen at first use is recorded; None when only looking.
        sources: reads a recipe at its first use.
        called: which recipe each scope has called; nothing is kept, unless who wants to know that sets it to ``{}``.
    """

    project: str
    frozen: Mapping[str, RecipeFrozen]
    log: Log | None = None
    sources: Sources = Factory(Sources)
    called: dict[str, Recipe] | None = field(default=None, init=False)
    _parsed: dict[str, Recipe] = field(factory=dict)

    def root(self) -> Recipe:
        """The session's own recipe."""
        return self.parse(ROOT_KEY)

    def known(self, ask: NeedRecipe) -> Recipe | None:
        """The recipe, if this session has frozen it already."""
        key = self.key_of(ask.name, ask.origin)
        if key not in self._parsed and key not in self.frozen:
            return None
        return self._noted(ask, self._parsed.get(key) or self.parse(key))

    def _noted(self, ask: NeedRecipe, recipe: Recipe) -> Recipe:
        if self.called is not None:
            self.called[ask.path] = recipe
        return recipe

    def key_of(self, name: str, origin: str | None) -> str:
        """What a recipe is frozen under that the recipe in the file ``origin`` names."""
        return locate_known(name, origin, self.project, self.frozen)

    def parse(self, key: str) -> Recipe:
        """The recipe that is frozen under ``key``.

        Raises:
            StoreUnusableError: if it is not the one that was frozen: the session's file is damaged.
        """
        event = self.frozen[key]
        if hashlib.sha256(event.data).hexdigest() != event.digest:
            what = f"the frozen recipe {key!r}" if key else "the session's recipe"
            raise StoreUnusableError(f"{what} is not what was stored: the session's file is damaged")
        recipe = self._parsed[key] = parse_recipe(event.data.decode(), event.file)
        return recipe

    async def obtain(self, ask: NeedRecipe) -> Recipe | Failure:
        """Load, check and durably freeze a recipe whose path was a template."""
        key = locate(ask.name, ask.origin, self.project)
        try:
            recipe = await trio.to_thread.run_sync(self.sources.load_allowed, key)
        except InvalidRecipeError as error:
            return Failure(FailureKind.TEMPLATE, f"sub-recipe {ask.name!r}: {error}", retryable=False)
        assert self.log is not None
        await self.log.durable(self.log.emit(freeze(key, recipe)))
        self._parsed[key] = recipe
        return self._noted(ask, recipe)


def validate_recipe(
    source: Recipe | str | Path,
    context: Mapping[str, object] | None = None,
    *,
    project: str | Path = ".",
    policy: Policy = OPEN,
    bundles: Bundles = None,
) -> list[Problem]:
    """Everything that is wrong with a recipe and those it names, warnings included; nothing is imported or run.

    Args:
        source: a file, or a recipe that was loaded before.
        context: the variables that a caller would pass.
        project: the project's folder.
        policy: what recipes may do.
        bundles: where ``@bundle:path`` leads to; by default, what the project's ``trio-recipes.toml`` says.

    Raises:
        ConfigurationError: if the recipe names a bundle, and what the project says of bundles can't be read.
    """
    folder = str(Path(project).resolve())
    sources = Sources(policy, project_bundles(folder) if bundles is None else bundles)
    try:
        prepared = prepare(source, context or {}, folder, sources)
    except InvalidRecipeError as error:
        return list(error.problems)
    return list(prepared.recipe.warnings)
