"""``finally``: steps behind a recipe, a stage or one pass of a loop body (recipe-language.md section 12)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from trio_recipes.progress import path as paths
from trio_recipes.progress.asks import Guarded, Walk, answered
from trio_recipes.progress.outcome import Outcome, settle

if TYPE_CHECKING:
    from trio_recipes.events import ScopeStatus
    from trio_recipes.language.model import Recipe, Stage, Step
    from trio_recipes.progress.fold import Progress
    from trio_recipes.progress.frame import Frame

WalkSteps: TypeAlias = "Callable[[Sequence[Step], Frame, str], Walk]"


def guarded(owner: Recipe | Stage, frame: Frame, path: str, body: Callable[[], Walk], steps: WalkSteps) -> Walk:
    """The walk ``body``, with the ``finally`` of the recipe or stage that it belongs to behind it."""
    if not owner.finally_:
        return (yield from body())
    place = paths.cleanup(path)
    cleanup = partial(_clean_up, owner.finally_, frame, place, steps)
    return answered((yield Guarded(path, place, body, cleanup, owner.cleanup_timeout)))


def guarded_loop_body(step: Step, frame: Frame, path: str, body: Callable[[], Walk], steps: WalkSteps) -> Guarded:
    """One pass of a loop's body and the ``finally`` behind it: fails it, that pass has failed."""
    place = paths.pass_cleanup(path)
    cleanup = partial(_clean_up, step.finally_, frame, place, steps)
    return Guarded(path, place, body, cleanup, step.cleanup_timeout, step)


def _clean_up(finally_: Sequence[Step], frame: Frame, place: str, steps: WalkSteps, outcome: ScopeStatus) -> Walk:
    """The steps see the variables as the body left them, and ``{{_outcome}}``; what they set stays theirs."""
    return (yield from steps(finally_, frame.copy({"_outcome": str(outcome)}), place))


# --- a body and its clean-up, together ---------------------------------------------------------------------------


def together(ask: Guarded, body: Outcome, cleanup: Outcome) -> Outcome:
    """How both ended: as the body did; as the clean-up did, if that failed and the body had not."""
    if cleanup.goes_on or not body.goes_on:
        return body
    return settle(ask.step, cleanup) if ask.step else cleanup


def cleaned(progress: Progress, ask: Guarded, body: Outcome, status: ScopeStatus) -> Outcome | None:
    """How both ended, if the clean-up of a body that ended so is over for good; None if it has to run (again).

    Again: a failed clean-up that failed its body runs with it when the session is resumed, like any failed step.
    """
    record = progress.cleanup_over(ask.place, status)
    if record is None:
        return None
    outcome = together(ask, body, Outcome(record.status, failure=record.failure))
    return outcome if outcome.goes_on or not body.goes_on else None
