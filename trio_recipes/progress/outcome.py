"""How a scope ended, as a value that its parent decides on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from trio_recipes.classes import frozen
from trio_recipes.events import ScopeStatus
from trio_recipes.failure import FailureKind
from trio_recipes.language.model import BashStep, OnError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_recipes.failure import Failure
    from trio_recipes.language.model import Step
    from trio_recipes.values import Value


@frozen
class Outcome:
    """The end of a scope.

    Args:
        status: completed, failed, skipped or cancelled.
        value: the result; None unless completed.
        failure: why, if failed.
        handled: the failure was dealt with by ``on_error``: the parent goes on, and the record is final.
        ends_block: ``skip_remaining`` took effect: the recipe (or stage) around it ends early as completed.
        exit_code: of a bash step, for ``output_exit_code``.
    """

    status: ScopeStatus
    value: Value = None
    failure: Failure | None = None
    handled: bool = False
    ends_block: bool = False
    exit_code: int | None = None

    @property
    def goes_on(self) -> bool:
        """Whether what follows in document order may run."""
        return self.status in GOES_ON or self.handled

    @property
    def final(self) -> bool:
        """Whether a resume takes the record as it is and runs nothing again."""
        return self.goes_on


GOES_ON = frozenset({ScopeStatus.COMPLETED, ScopeStatus.SKIPPED})
SKIPPED = Outcome(ScopeStatus.SKIPPED)
CANCELLED = Outcome(ScopeStatus.CANCELLED)
PAUSED = Outcome(ScopeStatus.WAITING)
"""A gate below waits for a person: nothing has ended, and nothing behind it may begin."""


def completed(value: Value = None, exit_code: int | None = None) -> Outcome:
    """The work was done."""
    return Outcome(ScopeStatus.COMPLETED, value=value, exit_code=exit_code)


def failed(failure: Failure, exit_code: int | None = None) -> Outcome:
    """The work could not be done; nobody has dealt with that yet."""
    return Outcome(ScopeStatus.FAILED, failure=failure, exit_code=exit_code)


def gravest(failures: Sequence[Failure]) -> Failure:
    """The one of several failures that counts: a denial, which nothing handles; else the first."""
    return next((failure for failure in failures if failure.kind is FailureKind.DENIED), failures[0])


def settle(step: Step, raw: Outcome) -> Outcome:
    """Apply a step's ``on_error`` to how it, or one pass of its loop, ended (recipe-language.md section 8)."""
    if raw.status is not ScopeStatus.FAILED or step.on_error is OnError.FAIL or raw.handled:
        return raw
    if raw.failure is not None and raw.failure.kind is FailureKind.DENIED:
        return raw  # a person said no: that is final for the session, and nothing handles it
    value = raw.value if isinstance(step, BashStep) else None  # what a command had printed; null for all others
    return evolve(raw, value=value, handled=True, ends_block=step.on_error is OnError.SKIP_REMAINING)
