"""Where in its recipes a scope stands: from ``audit/scan[3]/report`` to the recipe, the step and its loops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from attrs import evolve

from trio_recipes.classes import frozen
from trio_recipes.language.model import Foreach, RecipeStep
from trio_recipes.progress.path import ROOT, child, in_cleanup

if TYPE_CHECKING:
    from trio_recipes.language.model import Recipe, Stage, Step

Called: TypeAlias = "Callable[[RecipeStep, Recipe, str], Recipe | None]"
"""The recipe that a step of another one calls at a path; None if only a run can tell, and has not come there."""


@frozen(eq=False)
class Place:
    """Where a scope stands.

    Args:
        recipe: the recipe it belongs to: that of the step.
        prefix: the scope in which that recipe runs; ``''`` for the session's own.
        stage: the stage it is, or belongs to.
        step: the step that it runs; None for a recipe as a whole, and for a stage.
        index: of the step in its recipe, from 0, over all stages; that of the step around it, within a loop's body.
        iteration: which pass of the step's loop it is, from 0; None for the loop as a whole.
        in_body: whether the step stands in the body of a loop.
        batch: the innermost parallel loop that it is part of, by its path.
    """

    recipe: Recipe
    prefix: str = ROOT
    stage: Stage | None = None
    step: Step | None = None
    index: int = 0
    iteration: int | None = None
    in_body: bool = False
    batch: str | None = None

    @property
    def is_step(self) -> bool:
        """Whether it is a step of a recipe or stage as a whole: no pass of a loop, and in no loop's body."""
        return self.step is not None and self.iteration is None and not self.in_body


def steps_of(recipe: Recipe) -> dict[str, Step]:
    """The steps of a recipe in document order, by their paths below it."""
    staged = {child(stage.name, step.id): step for stage in recipe.stages for step in stage.steps}
    return staged | {step.id: step for step in recipe.steps}


def find(recipe: Recipe, path: str, called: Called) -> Place | None:
    """Where ``path`` stands; None in a ``finally``, and where only a run can tell.

    Args:
        recipe: the session's own.
        path: a scope.
        called: finds sub-recipes.
    """
    if in_cleanup(path):
        return None
    place: Place | None = Place(recipe)
    walked = ROOT
    for segment in path.split("/") if path else ():
        assert place is not None
        place = _below(place, walked, segment, called)
        walked = child(walked, segment)
        if place is None:
            return None
    return place


def _below(place: Place, walked: str, segment: str, called: Called) -> Place | None:
    """The place of a scope right below another one."""
    name, _, number = segment.partition("[")
    iteration = int(number.removesuffix("]")) if number else None
    if isinstance(place.step, RecipeStep):
        sub = called(place.step, place.recipe, walked)
        return _below(Place(sub, walked, batch=place.batch), walked, segment, called) if sub else None
    if place.step is not None:
        return _inside(place, _by_id(place.step.body), walked, name, iteration)
    if place.stage is None and place.recipe.stages:
        stages = {stage.name: stage for stage in place.recipe.stages}
        return evolve(place, stage=stages[name]) if name in stages else None
    return _top(place, walked, name, iteration)


def _by_id(steps: tuple[Step, ...]) -> Mapping[str, Step]:
    return {step.id: step for step in steps}


def _top(place: Place, walked: str, name: str, iteration: int | None) -> Place | None:
    """A step of the recipe, or of its stage."""
    known = steps_of(place.recipe)
    key = child(place.stage.name, name) if place.stage else name
    if key not in known:
        return None
    found = evolve(place, step=known[key], index=[*known].index(key), iteration=iteration)
    return _in_batch(found, child(walked, name))


def _inside(place: Place, steps: Mapping[str, Step], walked: str, name: str, iteration: int | None) -> Place | None:
    """A step of a loop's body."""
    if name not in steps:
        return None
    found = evolve(place, step=steps[name], iteration=iteration, in_body=True)
    return _in_batch(found, child(walked, name))


def _in_batch(place: Place, loop_path: str) -> Place:
    loop = place.step.loop if place.step else None
    parallel = isinstance(loop, Foreach) and loop.parallel != 1 and place.iteration is not None
    return evolve(place, batch=loop_path) if parallel else place
