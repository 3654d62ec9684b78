"""The value and effects of what is finished, recomputed from its leaves' records: pure and synchronous.

Only leaves' outputs are stored; a composite's record says how it ended, and walking it again over its
leaves' records gives its value and its effect on the variables. The same walks run live: see ``asks.py``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from attrs import evolve

from trio_recipes.classes import frozen
from trio_recipes.errors import InternalError
from trio_recipes.failure import FailureKind
from trio_recipes.language.model import BashStep, Recipe
from trio_recipes.language.output import interpret
from trio_recipes.progress import path as paths
from trio_recipes.progress.asks import Answer, Ask, Child, Decided, Enter, Fan, Gate, Guarded, NeedRecipe, Pass, Walk
from trio_recipes.progress.gates import outcome_at
from trio_recipes.progress.guard import together
from trio_recipes.progress.outcome import CANCELLED, GOES_ON, Outcome, settle
from trio_recipes.progress.subject import mismatch

if TYPE_CHECKING:
    from trio_recipes.language.model import Step
    from trio_recipes.progress.fold import Progress
    from trio_recipes.progress.record import Record
    from trio_recipes.values import Value

RecipeLookup: TypeAlias = "Callable[[NeedRecipe], Recipe | None]"


def read_result(step: Step, text: str | None, value: Value) -> Value:
    """The value of a leaf's raw result: text is read by the rules of recipe-language.md section 6."""
    if text is None:
        return value
    return interpret(text, parse_json=step.parse_json, fallback=isinstance(step, BashStep))


@frozen
class Replay:
    """Answers asks from records.

    Args:
        progress: what is known.
        recipe_for: finds a frozen sub-recipe.
    """

    progress: Progress
    recipe_for: RecipeLookup

    def scope(self, ask: Pass | Enter | Decided) -> Outcome:
        """The outcome of a scope as it was recorded; cancelled if it never began, or only for something else.

        The record counts for what is decided without work, too: a budget is taken in the order of starting, which
        parallel passes do not repeat.
        """
        record = self.progress.records.get(ask.path)
        if record is None or (self.progress.reran and isinstance(ask, Pass) and mismatch(record, ask)):
            return CANCELLED
        if isinstance(ask, Decided) or ask.inner is None:
            return self._leaf(ask.step, record)
        if not self._was_walked(record):
            return _ended_as(record, ask.step)
        computed = self._walk(ask.inner())
        if self.progress.reran and record.status in GOES_ON and not computed.goes_on:
            return CANCELLED  # a step before it has run again, and it has not been gone through since
        return as_recorded(record, computed, ask.step)

    def _was_walked(self, record: Record) -> bool:
        """Whether a composite left effects: one that was born cancelled did not even look at its first step."""
        failure = record.failure
        if failure is None or failure.kind is not FailureKind.CANCELLED or failure.path != record.path:
            return True
        return any(paths.contains(record.path, path) and path != record.path for path in self.progress.records)

    def answer(self, ask: Child) -> Outcome:
        """The outcome of one of several children, as it was recorded."""
        return self._guarded(ask) if isinstance(ask, Guarded) else self.scope(ask)

    def _guarded(self, ask: Guarded) -> Outcome:
        """The outcome of a body whose ``finally`` is over, too: a failed clean-up fails what had not failed."""
        outcome = self._walk(ask.body())
        record = self.progress.records.get(ask.place)
        if record is None or record.failure is None:
            return outcome
        return together(ask, outcome, Outcome(record.status, failure=record.failure))

    def _leaf(self, step: Step, record: Record) -> Outcome:
        raw = Outcome(record.status, self._value(step, record), record.failure, exit_code=record.exit_code)
        return settle(step, raw)

    def _value(self, step: Step, record: Record) -> Value:
        if record.failure is not None and record.failure.kind is not FailureKind.EXIT:
            return None
        if record.channel is None:
            return record.value
        return read_result(step, record.output(record.channel).decode("utf-8", "replace"), None)

    def _walk(self, walk: Walk) -> Outcome:
        answer: Answer = None
        while True:
            try:
                ask = walk.send(answer)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            answer = self._answer(ask)

    def _answer(self, ask: Ask) -> Answer:
        if isinstance(ask, (Pass, Enter, Decided)):
            return self.scope(ask)
        if isinstance(ask, Fan):
            return self._fan(ask)
        if isinstance(ask, Guarded):
            return self._guarded(ask)
        if isinstance(ask, Gate):
            return outcome_at(self.progress, ask)
        if isinstance(ask, NeedRecipe):
            return self.recipe_for(ask) or CANCELLED
        return None

    def _fan(self, fan: Fan) -> list[Outcome | None]:
        outcomes: list[Outcome | None] = [None] * fan.count
        ready = deque(fan.first)
        while ready:
            index = ready.popleft()
            if fan.path_of(index) in self.progress.records:  # else not even made: making takes from the budget
                outcome = outcomes[index] = self.answer(fan.make(index))
                fan.ended(index, outcome)
                ready.extend(fan.released(index))
        return outcomes


def as_recorded(record: Record, computed: Outcome, step: Step | None) -> Outcome:
    """A composite's outcome: the record says how it ended, the walk what came of it."""
    if record.status in GOES_ON:
        if not computed.goes_on:
            raise InternalError(f"the records below {record.path!r} do not add up to its own: {computed.status}")
        return evolve(computed, status=record.status)
    return _ended_as(record, step)


def _ended_as(record: Record, step: Step | None) -> Outcome:
    raw = Outcome(record.status, failure=record.failure)
    return settle(step, raw) if step else raw
