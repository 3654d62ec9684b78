"""``schedule: graph``: steps run as soon as those they depend on have finished (recipe-language.md section 12).

A step sees the variables at the block's start plus those set by the steps it depends on, directly or not, merged in
document order; so does what follows the block. Which of two independent steps ends first makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from attrs import field

from trio_recipes.classes import define
from trio_recipes.events import ScopeStatus
from trio_recipes.progress import path as paths
from trio_recipes.progress.asks import Child, Fan, Next, Walk
from trio_recipes.progress.outcome import CANCELLED, PAUSED, Outcome, completed, failed, gravest

if TYPE_CHECKING:
    from trio_recipes.language.model import Step
    from trio_recipes.progress.frame import Frame
    from trio_recipes.values import Value

AskFor: TypeAlias = "Callable[[Step, Frame, str], Child]"
Bind: TypeAlias = "Callable[[Step, Outcome, Frame], None]"

_NOT_MERGED = frozenset({"step", "_skipped_steps"})


def walk_graph(steps: Sequence[Step], frame: Frame, path: str, limit: int | None, ask_for: AskFor, bind: Bind) -> Walk:
    """All steps of a block, each after those in its ``depends_on``; the value is the last executed step's."""
    graph = _Graph(steps, frame, path, ask_for, bind)
    answer = yield Fan(path, len(steps), graph.path_of, graph.make, graph.ended, graph.first(), graph.released, limit)
    assert isinstance(answer, list)
    return graph.result(answer)


@define(eq=False)
class _Graph:
    """The steps of a block at work.

    Args:
        needs: for each step, the steps of this block that it depends on.
        frames: of the steps that are under way.
        effects: what each step that has ended changed.
    """

    steps: Sequence[Step]
    frame: Frame
    path: str
    ask_for: AskFor
    bind: Bind
    needs: list[list[int]] = field(init=False)
    frames: dict[int, Frame] = field(factory=dict)
    effects: dict[int, dict[str, Value]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        index = {step.id: i for i, step in enumerate(self.steps)}
        self.needs = [[index[name] for name in step.depends_on if name in index] for step in self.steps]

    def path_of(self, index: int) -> str:
        return paths.child(self.path, self.steps[index].id)

    def first(self) -> list[int]:
        return [index for index, needs in enumerate(self.needs) if not needs]

    def released(self, index: int) -> list[int]:
        """Steps whose last open dependency was ``index``."""
        if index not in self.effects:
            return []
        return [i for i, needs in enumerate(self.needs) if index in needs and all(n in self.effects for n in needs)]

    def make(self, index: int) -> Child:
        own = self.frame.copy(self._merged(self._ancestors(index)))
        own.set_step(self.steps[index], index)
        self.frames[index] = own
        return self.ask_for(self.steps[index], own, self.path_of(index))

    def _ancestors(self, index: int) -> list[int]:
        found: set[int] = set()
        ahead = list(self.needs[index])
        while ahead:
            one = ahead.pop()
            if one not in found:
                found.add(one)
                ahead.extend(self.needs[one])
        return sorted(found)

    def _merged(self, indices: Sequence[int]) -> dict[str, Value]:
        merged: dict[str, Value] = {}
        for index in indices:
            merged.update(self.effects[index])
        return merged

    def ended(self, index: int, outcome: Outcome) -> Next:
        """Keep what a step changed; the order of ending must not matter."""
        own = self.frames.pop(index)
        if outcome.status is ScopeStatus.WAITING:
            return Next.GO_ON
        if not outcome.goes_on:
            return Next.STOP_OTHERS if outcome.failure else Next.START_NO_MORE
        if outcome.ends_block:
            return Next.START_NO_MORE
        before = self.frame.copy(self._merged(self._ancestors(index))).variables
        self.bind(self.steps[index], outcome, own)
        self.effects[index] = {
            name: value
            for name, value in own.variables.items()
            if name not in _NOT_MERGED and (name not in before or before[name] is not value)
        }
        return Next.GO_ON

    def result(self, outcomes: list[Outcome | None]) -> Outcome:
        self._merge(outcomes)
        failures = [o.failure for o in outcomes if o is not None and o.failure and not o.handled]
        if failures:
            return failed(gravest(failures))
        stopped = [o for o in outcomes if o is not None and not o.goes_on]
        if stopped:
            return PAUSED if all(o.status is ScopeStatus.WAITING for o in stopped) else CANCELLED
        value = next((o.value for o in reversed(outcomes) if o and o.status is not ScopeStatus.SKIPPED), None)
        if any(o is not None and o.ends_block for o in outcomes):
            return Outcome(ScopeStatus.COMPLETED, value=value, ends_block=True)
        return CANCELLED if None in outcomes else completed(value)

    def _merge(self, outcomes: list[Outcome | None]) -> None:
        """Every step's effects, in document order."""
        self.frame.variables.update(self._merged(sorted(self.effects)))
        for step, outcome in zip(self.steps, outcomes, strict=True):
            if outcome is not None and outcome.status is ScopeStatus.SKIPPED:
                self.frame.skip(step.id)
