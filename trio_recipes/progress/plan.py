"""What a resume would do, scope by scope, in document order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attrs import field

from trio_recipes.classes import define, frozen
from trio_recipes.language.model import RecipeStep
from trio_recipes.progress import path as paths
from trio_recipes.progress.verdicts import INSIDE, ON_RESUME, Fate, Verdict

if TYPE_CHECKING:
    from trio_recipes.language.model import Recipe, Stage, Step
    from trio_recipes.progress.fold import Progress
    from trio_recipes.progress.retrace import Trail


@frozen
class Planned:
    """One line of a plan.

    Args:
        path: the scope.
        kind: of the scope, as records have it; ``gate`` for the approval behind a stage.
        fate: what becomes of it.
        why: the reason, or ''.
    """

    path: str
    kind: str
    fate: Fate
    why: str = ""


@frozen
class Plan:
    """What a resume would do.

    Args:
        session_id: the session that it would resume.
        scopes: in document order; below what runs as a whole, or has not begun, nothing is listed.
    """

    session_id: str
    scopes: tuple[Planned, ...]

    def __getitem__(self, path: str) -> Planned:
        """What becomes of the scope at ``path``.

        Raises:
            KeyError: if the plan says nothing about it.
        """
        for planned in self.scopes:
            if planned.path == path and planned.kind != "gate":
                return planned
        raise KeyError(path)


def plan_of(session_id: str, progress: Progress, trail: Trail) -> Plan:
    """The plan that follows from a retrace."""
    now, before = trail.called[paths.ROOT]
    return Plan(session_id, tuple(_Outline(progress, trail).recipe(now, before, paths.ROOT)))


@define(eq=False)
class _Block:
    """Steps or stages side by side: those that follow one that does not stay need no other reason."""

    names_before: frozenset[str]
    cause: str = ""


@define(eq=False)
class _Outline:
    """Lists scopes: those that the recipe has, and those that only the records have."""

    progress: Progress
    trail: Trail
    kinds: dict[str, str] = field(factory=dict)

    def recipe(self, now: Recipe, before: Recipe | None, path: str) -> Iterator[Planned]:
        """A recipe's stages or steps, and its ``finally``."""
        names = frozenset(one.name for one in before.stages) if before else frozenset[str]()
        stages = {stage.name: stage for stage in before.stages} if before else {}
        block = _Block(names)
        for stage in now.stages:
            yield from self._stage(stage, stages.get(stage.name), paths.child(path, stage.name), block)
        if not now.stages:
            yield from self._steps(now.steps, before.steps if before else (), path)
        yield from self._gone(path, {stage.name for stage in now.stages} | {step.id for step in now.steps})
        yield from self._cleanup(now.finally_, paths.cleanup(path))

    def _stage(self, stage: Stage, before: Stage | None, path: str, block: _Block) -> Iterator[Planned]:
        planned = self._planned(path, "stage", stage.name, block)
        yield planned
        if planned.fate in _LOOKED_INTO:
            yield from self._steps(stage.steps, before.steps if before else (), path)
            yield from self._gone(path, {step.id for step in stage.steps})
            yield from self._cleanup(stage.finally_, paths.cleanup(path))
        if stage.approval.required:
            yield self._gate(path, planned)

    def _gate(self, path: str, stage: Planned) -> Planned:
        found = self.trail.gates.get(path)
        if found is not None:
            return Planned(path, "gate", found.fate, found.why)
        return Planned(path, "gate", Fate.RUNS if stage.fate is Fate.RUNS else Fate.AGAIN, "waits for approval")

    def _steps(self, steps: Sequence[Step], before: Sequence[Step], path: str) -> Iterator[Planned]:
        block = _Block(frozenset(step.id for step in before))
        for step in steps:
            yield from self._step(step, paths.child(path, step.id), block)

    def _step(self, step: Step, path: str, block: _Block) -> Iterator[Planned]:
        planned = self._planned(path, type(step.loop).__name__.lower() if step.loop else step.kind, step.id, block)
        yield planned
        if planned.fate not in _LOOKED_INTO:
            return
        if step.loop is None:
            yield from self._inside(step, path)
            return
        iterations = _Block(frozenset())
        for one in sorted(self.trail.below.get(path, ()), key=_index):
            pass_ = self._planned(one, step.kind, "", iterations)
            yield pass_
            if pass_.fate in _LOOKED_INTO:
                yield from self._inside(step, one)
            yield from self._cleanup(step.finally_, paths.pass_cleanup(one))

    def _inside(self, step: Step, path: str) -> Iterator[Planned]:
        if isinstance(step, RecipeStep) and path in self.trail.called:
            yield from self.recipe(*self.trail.called[path], path)
        elif step.body:
            yield from self._steps(step.body, step.body, path)

    def _cleanup(self, steps: Sequence[Step], place: str) -> Iterator[Planned]:
        recorded = place in self.progress.records
        if not (steps or recorded):
            return
        if not steps:
            yield Planned(place, "finally", Fate.GONE)
            return
        verdict = self.trail.verdicts.get(place) or _unvisited(recorded, "its body")
        yield Planned(place, "finally", verdict.fate, verdict.why)
        if verdict.fate in _LOOKED_INTO:
            yield from self._steps(steps, steps, place)

    def _gone(self, path: str, names: set[str]) -> Iterator[Planned]:
        for child in self.trail.below.get(path, ()):
            if child.rpartition("/")[2] not in names:
                yield Planned(child, self.progress.records[child].kind, Fate.GONE, "no step of the recipe any more")

    def _planned(self, path: str, kind: str, name: str, block: _Block) -> Planned:
        verdict = self.trail.verdicts.get(path)
        if verdict is None:
            verdict = self._not_visited(path, name, block)
        if verdict.fate is not Fate.REUSED and verdict not in (ON_RESUME, INSIDE) and not block.cause:
            block.cause = path
        return Planned(path, kind, verdict.fate, verdict.why)

    def _not_visited(self, path: str, name: str, block: _Block) -> Verdict:
        if path in self.progress.records:
            return _unvisited(True, block.cause)
        if name in block.names_before or not name:
            return _unvisited(False, "")
        return Verdict(Fate.NEW)


_LOOKED_INTO = frozenset({Fate.REUSED, Fate.CONTINUES})


def _unvisited(recorded: bool, cause: str) -> Verdict:
    if not recorded:
        return Verdict(Fate.RUNS, "has not begun")
    return Verdict(Fate.AGAIN, f"follows {cause}" if cause else "follows a change")


def _index(path: str) -> int:
    return int(path[path.rindex("[") + 1 : -1])
