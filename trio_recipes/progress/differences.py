"""What is different between a recipe as it was and as it is now, apart from its steps: those carry digests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from trio_recipes.classes import frozen
from trio_recipes.language.references import mentioned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_recipes.language.model import Recipe, Step
    from trio_recipes.values import Value, Variables


@frozen
class Differences:
    """Differences that concern several steps.

    Args:
        variables: names whose value at the beginning is another one, or that exist in one of both only.
        stages: names of stages whose steps see other variables than before, since their schedule is another one.
        all_steps: that is so for the whole recipe.
    """

    variables: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()
    all_steps: bool = False

    def concerning(self, step: Step) -> list[str]:
        """The variables among them that a step, or anything below it, refers to."""
        return sorted(self.variables & mentioned(step)) if self.variables else []


NONE = Differences()


def differences(before: Recipe, now: Recipe, given_before: Variables, given: Variables) -> Differences:
    """Compare a recipe and the variables that it was given with what they are now."""
    if before is now and given_before == given:
        return NONE
    schedules = {stage.name: stage.schedule for stage in before.stages}
    stages = {stage.name for stage in now.stages if schedules.get(stage.name, stage.schedule) != stage.schedule}
    all_steps = before.schedule != now.schedule or bool(before.stages) != bool(now.stages)
    variables = _unlike(_start(before, given_before), _start(now, given)) | set(before.secrets) ^ set(now.secrets)
    return Differences(variables, frozenset(stages), all_steps)


def _start(recipe: Recipe, given: Variables) -> dict[str, Value]:
    about: dict[str, Value] = {"name": recipe.name, "version": recipe.version, "description": recipe.description}
    return {**recipe.context, **given, "recipe": about}


def _unlike(before: Mapping[str, Value], now: Mapping[str, Value]) -> frozenset[str]:
    """Compared as texts show them: ``1`` and ``true`` are equal for Python, and so are mappings in another order."""
    return frozenset(name for name in {**before, **now} if _text(name, before) != _text(name, now))


def _text(name: str, variables: Mapping[str, Value]) -> str | None:
    return json.dumps(variables[name]) if name in variables else None
