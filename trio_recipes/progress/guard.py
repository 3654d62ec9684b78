"""``finally``: steps behind a recipe, a stage or one pass of a loop body (recipe-language.md section 12)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from trio_recipes.progress import path as paths
from trio_recipes.progress.asks import Guarded, Walk, answered

if TYPE_CHECKING:
    from trio_recipes.events import ScopeStatus
    from trio_recipes.language.model import Recipe, Stage, Step
    from trio_recipes.progress.frame import Frame

WalkSteps: TypeAlias = "Callable[[Sequence[Step], Frame, str], Walk]"


def guarded(owner: Recipe | Stage, frame: Frame, path: str, body: Callable[[], Walk], steps: WalkSteps) -> Walk:
    """The walk ``body``, with the ``finally`` of the recipe or stage that it belongs to behind it."""
    if not owner.finally_:
        return (yield from body())
    return answered((yield guard(owner, frame, path, body, steps)))


def guard(owner: Recipe | Stage | Step, frame: Frame, path: str, body: Callable[[], Walk], steps: WalkSteps) -> Guarded:
    """The ask for a body and the ``finally`` of its owner."""
    return Guarded(path, body, partial(_clean_up, owner.finally_, frame, path, steps), owner.cleanup_timeout)


def _clean_up(finally_: Sequence[Step], frame: Frame, path: str, steps: WalkSteps, outcome: ScopeStatus) -> Walk:
    """The steps see the variables as the body left them, and ``{{_outcome}}``; what they set stays theirs."""
    inner = frame.copy({"_outcome": str(outcome)})
    return (yield from steps(finally_, inner, paths.child(path, paths.FINALLY)))
