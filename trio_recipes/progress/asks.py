"""What a walk asks of whoever drives it.

A *walk* is a generator that knows what a recipe means and nothing about how it runs: it yields an ask, is sent the
:class:`~trio_recipes.progress.outcome.Outcome`, and returns its own. Two drivers answer: ``runtime/drive.py`` runs
what is not finished, as scopes; ``progress/replay.py`` looks up what is. So a live run and a resumed one can't differ
in what a loop, a condition or a failure means: there is one piece of code for it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from trio_recipes.classes import frozen
from trio_recipes.progress.outcome import Outcome

if TYPE_CHECKING:
    from trio_recipes.events import ScopeStatus
    from trio_recipes.language.model import Approval, Recipe, Step
    from trio_recipes.progress.frame import Frame


class Next(Enum):
    """What a parallel loop does once one of its iterations has ended."""

    GO_ON = "go on"
    START_NO_MORE = "start no more"
    STOP_OTHERS = "stop others"


@frozen(eq=False)
class Pass:
    """One pass of a step's own action, with its attempts and its timeout.

    Args:
        path: the scope: the step itself, or one iteration of its loop.
        step: the step.
        frame: the variables it sees.
        inner: makes the walk of one attempt of a composite action (sub-recipe, loop body); None for a leaf.
    """

    path: str
    step: Step
    frame: Frame
    inner: Callable[[], Walk] | None = None

    @property
    def kind(self) -> str:
        """The scope's kind for records and people."""
        return self.step.kind


@frozen(eq=False)
class Enter:
    """A composite scope without attempts of its own: a loop or a stage."""

    path: str
    kind: str
    inner: Callable[[], Walk]
    step: Step | None = None


@frozen(eq=False)
class Decided:
    """A scope whose outcome needed no work: skipped by its condition, or failed in evaluating it."""

    path: str
    step: Step
    outcome: Outcome


def _none(_index: int) -> Sequence[int]:
    return ()


@frozen(eq=False)
class Fan:
    """Concurrent children; the answer is the list of their outcomes by index, None for those never started.

    Args:
        path: of the block that they belong to.
        count: how many there are.
        path_of: the path of child ``i``.
        make: makes child ``i``, with variables of its own; called in the order of starting, once.
        ended: called once for each outcome, in the order of ending; says what follows.
        first: those that may start at once, in order.
        released: those that may start now that child ``i`` has ended.
        limit: at most so many at once, or None.
    """

    path: str
    count: int
    path_of: Callable[[int], str]
    make: Callable[[int], Child]
    ended: Callable[[int, Outcome], Next]
    first: Sequence[int]
    released: Callable[[int], Sequence[int]] = _none
    limit: int | None = None


@frozen(eq=False)
class Guarded:
    """A body with ``finally`` steps behind it, which run however the body ends (recipe-language.md section 12).

    Answered with the body's outcome; with the failure of the clean-up if the body had not failed.

    Args:
        path: the scope that the body stands for.
        place: the clean-up's scope.
        body: makes the walk of the body.
        cleanup: makes the walk of the ``finally`` steps, given how the body ended.
        seconds: that the clean-up may take.
        step: whose ``on_error`` handles a clean-up that fails; None if that of the scope around does.
    """

    path: str
    place: str
    body: Callable[[], Walk]
    cleanup: Callable[[ScopeStatus], Walk]
    seconds: float
    step: Step | None = None


@frozen(eq=False)
class Gate:
    """A person has to agree before the next stage (recipe-language.md section 10).

    Answered with a completed Outcome whose value is the decision, with a failed one of kind ``denied``, or with
    :data:`~trio_recipes.progress.outcome.PAUSED`.
    """

    path: str
    stage: str
    prompt: str
    approval: Approval


@frozen(eq=False)
class NeedRecipe:
    """The sub-recipe at ``name``, relative to the file ``origin``: answered with a Recipe, or a failed Outcome."""

    path: str
    name: str
    origin: str | None


@frozen(eq=False)
class Warn:
    """Something to tell people; the answer means nothing."""

    path: str
    message: str


Child: TypeAlias = Pass | Enter | Decided | Guarded
Ask: TypeAlias = Pass | Enter | Decided | Fan | Guarded | Gate | NeedRecipe | Warn
Answer: TypeAlias = "Outcome | list[Outcome | None] | Recipe | None"
Walk: TypeAlias = Generator[Ask, Answer, Outcome]


def answered(answer: Answer) -> Outcome:
    """The outcome that a scope's ask was answered with."""
    assert isinstance(answer, Outcome)
    return answer
