"""A driver of walks for tests: synchronous, without records; leaves are answered by a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trio_recipes.failure import Failure, FailureKind
from trio_recipes.language.load import parse_recipe
from trio_recipes.language.model import BashStep, Recipe
from trio_recipes.progress.asks import (
    Answer,
    Ask,
    Child,
    Decided,
    Enter,
    Fan,
    Gate,
    Guarded,
    NeedRecipe,
    Next,
    Pass,
    Walk,
)
from trio_recipes.progress.frame import SessionFacts, root_frame
from trio_recipes.progress.outcome import CANCELLED, Outcome, completed, failed, settle
from trio_recipes.progress.path import ROOT
from trio_recipes.progress.walk import walk_recipe

FACTS = SessionFacts("s-1", "2026-01-01T00:00:00Z", "/project")

Leaf = Callable[[Pass], Outcome]


def recipe(body: str, name: str = "r", head: str = "") -> Recipe:
    """A recipe with the given ``steps:`` or ``stages:``."""
    return parse_recipe(f"name: {name}\ndescription: d\nversion: 1.0.0\n{head}\n{body}")


def said(ask: Pass) -> Outcome:
    """The usual leaf: a bash step's value is its command, rendered; ``fail`` fails."""
    assert isinstance(ask.step, BashStep)
    text = ask.step.command.render(ask.frame.variables)
    return failed(Failure(FailureKind.EXIT, text, ask.path)) if text.startswith("fail") else completed(text)


class Walker:
    """Answers asks depth first, and remembers the leaves, the warnings, the outcome and the final variables."""

    def __init__(self, leaf: Leaf = said, recipes: Mapping[str, Recipe] | None = None, reverse: bool = False) -> None:
        self.leaf, self.recipes, self.reverse = leaf, recipes or {}, reverse
        self.leaves: list[str] = []
        self.warnings: list[str] = []
        self.outcome = CANCELLED
        self.variables: dict[str, Any] = {}

    def run(self, recipe: Recipe, **context: Any) -> Walker:
        frame = root_frame(recipe, context, FACTS)
        self.outcome, self.variables = self.drive(walk_recipe(frame, ROOT)), frame.variables
        return self

    def drive(self, walk: Walk) -> Outcome:
        answer: Answer = None
        while True:
            try:
                ask = walk.send(answer)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            answer = self.answer(ask)

    def answer(self, ask: Ask) -> Answer:
        match ask:
            case Pass() | Enter() | Decided():
                return self.scope(ask)
            case Fan():
                return self.fan(ask)
            case NeedRecipe():
                return self.recipes[ask.name]
            case Guarded() | Gate():
                raise AssertionError(f"{ask} has tests of its own")
            case _:
                self.warnings.append(ask.message)
                return None

    def scope(self, ask: Pass | Enter | Decided) -> Outcome:
        if isinstance(ask, Decided):
            return ask.outcome
        if ask.inner is not None:
            raw = self.drive(ask.inner())
            return settle(ask.step, raw) if ask.step else raw
        self.leaves.append(ask.path)
        return settle(ask.step, self.leaf(ask))

    def child(self, ask: Child) -> Outcome:
        assert not isinstance(ask, Guarded)
        return self.scope(ask)

    def fan(self, fan: Fan) -> list[Outcome | None]:
        """All at once, in input or reversed order of ending; an iteration that others stop is cancelled."""
        outcomes: list[Outcome | None] = [None] * fan.count
        asks = [fan.make(index) for index in range(fan.count)]
        stopped = False
        for index in reversed(range(fan.count)) if self.reverse else range(fan.count):
            outcomes[index] = CANCELLED if stopped else self.child(asks[index])
            stopped = fan.ended(index, outcomes[index] or CANCELLED) is Next.STOP_OTHERS or stopped
        return outcomes


def walked(body: str, *, head: str = "", recipes: Mapping[str, Recipe] | None = None, **context: Any) -> Walker:
    """A walker that has walked a recipe."""
    return Walker(recipes=recipes).run(recipe(body, head=head), **context)
