"""What becomes of a scope when its session is resumed, and why."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from trio_recipes.classes import frozen
from trio_recipes.events import ScopeStatus

if TYPE_CHECKING:
    from trio_recipes.language.model import Step
    from trio_recipes.progress.asks import Decided, Enter, Pass
    from trio_recipes.progress.record import Record


class Fate(StrEnum):
    """What becomes of a scope."""

    REUSED = "reused"
    CONTINUES = "continues"
    """It is entered again, and some of what stands below it is reused."""
    AGAIN = "runs again"
    RUNS = "runs"
    """It has not begun yet."""
    NEW = "new"
    GONE = "gone"
    DECIDED = "does not run"
    """It had begun, and its ``on_interrupt`` says so."""


@frozen
class Verdict:
    """A fate, and the reason for people."""

    fate: Fate
    why: str = ""


def again(why: str) -> Verdict:
    """It runs again."""
    return Verdict(Fate.AGAIN, why)


ON_RESUME = again("on_resume: rerun")
"""Nothing follows from that: what comes after it is reused."""

INSIDE = Verdict(Fate.CONTINUES, f"{ON_RESUME.why}, inside")
"""Of the finished scopes around such a step."""


def rerun_on_resume(ask: Pass | Enter | Decided) -> bool:
    """Whether a finished step runs again although nothing has changed; iterations do so with their loop."""
    return ask.step is not None and ask.step.on_resume == "rerun" and not ask.path.endswith("]")


def unfinished(step: Step, record: Record) -> Verdict:
    """What becomes of a leaf that had begun and not finished (recipe-language.md section 12, ``on_interrupt``)."""
    if record.status in (ScopeStatus.FAILED, ScopeStatus.COMPLETED) or record.started_at is None:
        return again(str(record.status))
    why = str(ScopeStatus.CANCELLED if record.status is ScopeStatus.CANCELLED else ScopeStatus.INTERRUPTED)
    if step.on_interrupt == "ask":
        return again(f"{why}; waits for approval (on_interrupt: ask)")
    if step.on_interrupt == "rerun":
        return again(why)
    return Verdict(Fate.DECIDED, f"{why}; on_interrupt: {step.on_interrupt}")
