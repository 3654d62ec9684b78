"""What happens in one session, as the events that Amplifier's hooks know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import field

from trio_recipes.classes import define
from trio_recipes.events import (
    ApprovalRequested,
    RunEnded,
    ScopeFinished,
    ScopeStarted,
    ScopeStatus,
    SessionStatus,
)
from trio_recipes.integrations.amplifier.places import Place, find, steps_of
from trio_recipes.language.model import Foreach, OnError, RecipeStep, While
from trio_recipes.progress.asks import NeedRecipe
from trio_recipes.progress.decisions import label
from trio_recipes.progress.frame import ENGINE_KEYS
from trio_recipes.progress.path import ROOT, around, child, iteration

if TYPE_CHECKING:
    from trio_recipes.events import Cancellation, Event
    from trio_recipes.failure import Failure
    from trio_recipes.language.model import Recipe
    from trio_recipes.sessions.recipes import FrozenRecipes
    from trio_recipes.sessions.session import Session

Told: TypeAlias = tuple[str, dict[str, Any]]
"""A hook's event: its name, and its data."""

OBSERVABLE: Final = (
    "recipe:start",
    "recipe:step",
    "recipe:complete",
    "recipe:approval",
    "recipe:loop_iteration",
    "recipe:loop_complete",
    "recipe:iteration_failed",
    "recipe:cancelled",
    "recipe:failed",
)
"""Every event that hooks may see."""

_DONE: Final = frozenset({ScopeStatus.COMPLETED, ScopeStatus.SKIPPED})
_ENDS: Final = {
    ScopeStatus.COMPLETED: "complete",
    ScopeStatus.CANCELLED: "cancelled",
    ScopeStatus.FAILED: "failed",
}
_RUN_ENDS: Final = {
    SessionStatus.COMPLETED: "complete",
    SessionStatus.CANCELLED: "cancelled",
    SessionStatus.FAILED: "failed",
    SessionStatus.DENIED: "failed",
    SessionStatus.INTERRUPTED: "failed",
}
_SUB_ENDS: Final = {"complete": "completed", "cancelled": "cancelled", "failed": "failed"}


@define(eq=False)
class Tracker:
    """Follows one run of a session.

    Args:
        session: just started or resumed: it has not begun to run.
    """

    session: Session
    _status: dict[str, str] = field(factory=dict, init=False)
    _current: dict[str, int] = field(factory=dict, init=False)
    _unnamed: set[str] = field(factory=set, init=False)
    """Sub-recipes that have begun, and have not been told of: which ones they are is known before their first step."""

    def __attrs_post_init__(self) -> None:
        self._recipes.called = {}
        records = self._run.progress.records
        self._status = {path: "completed" for path, record in records.items() if path and record.final}

    def take(self, event: Event) -> Iterator[Told]:
        """What hooks are told of an event."""
        match event:
            case ScopeStarted():
                yield from self._started(event)
            case ScopeFinished():
                yield from self._finished(event)
            case ApprovalRequested():
                yield from self._asked(event)
            case RunEnded():
                yield from self._ended(event)
            case _:
                pass

    def place(self, path: str) -> Place | None:
        """Where a scope stands."""
        return find(self.session.engine.frame.recipe, path, self._called)

    def _called(self, step: RecipeStep, caller: Recipe, path: str) -> Recipe | None:
        recipes = self._recipes
        if step.recipe.references:  # a template: only the run knows what it came to
            return (recipes.called or {}).get(path)
        return recipes.known(NeedRecipe("", step.recipe.source, caller.file))

    @property
    def _run(self) -> Any:
        return self.session.engine.driver.run

    @property
    def _recipes(self) -> FrozenRecipes:
        recipes: FrozenRecipes = self._run.recipes
        return recipes

    # --- scopes --------------------------------------------------------------------------------------------------

    def _started(self, event: ScopeStarted) -> Iterator[Told]:
        path = event.path
        for around_it in [*around(path)] if self._unnamed else ():
            yield from self._named(around_it)
        place = self.place(path)
        if place is None:
            return
        if not path:
            yield "recipe:start", self._base(place.recipe, ROOT, "running")
            return
        self._status[path] = "running"
        if place.is_step:
            self._current[place.prefix] = place.index
            yield "recipe:step", self._base(place.recipe, place.prefix, "running")
        elif place.iteration is not None and isinstance(loop := _loop(place), While):
            yield "recipe:loop_iteration", self._iteration(place, loop, path)
        if event.kind == "recipe":
            self._unnamed.add(path)
            yield from self._named(path)

    def _named(self, path: str) -> Iterator[Told]:
        """Tell of the start of a sub-recipe, if it has begun and is known by now."""
        place = self.place(path) if path in self._unnamed else None
        if place and (sub := self._sub_recipe(place, path)):
            self._unnamed.discard(path)
            yield "recipe:start", self._base(sub, path, "running")

    def _finished(self, event: ScopeFinished) -> Iterator[Told]:
        path, place = event.path, self.place(event.path)
        if place is None or place.step is None:
            return
        yield from self._named(path)
        done = event.handled or event.status in _DONE
        self._status[path] = "completed" if done else "pending"
        if (place.iteration is None) == (place.step.loop is None) and event.status in _ENDS:
            yield from self._sub_ended(place, event)
        if place.iteration is None and isinstance(place.step.loop, While) and event.status is ScopeStatus.COMPLETED:
            yield "recipe:loop_complete", self._loop_complete(place, place.step.loop, path)
        if place.iteration is not None and event.status is ScopeStatus.FAILED and _tells_failures(place):
            yield "recipe:iteration_failed", self._iteration_failed(place, event)

    def _sub_recipe(self, place: Place, path: str) -> Recipe | None:
        return self._called(place.step, place.recipe, path) if isinstance(place.step, RecipeStep) else None

    def _sub_ended(self, place: Place, event: ScopeFinished) -> Iterator[Told]:
        sub = self._sub_recipe(place, event.path)
        self._unnamed.discard(event.path)
        (self._recipes.called or {}).pop(event.path, None)
        if sub is not None:
            how = _ENDS[event.status]
            more = _details(how, event.cancellation, event.failure, None)
            yield f"recipe:{how}", self._base(sub, event.path, _SUB_ENDS[how]) | more

    # --- loops ---------------------------------------------------------------------------------------------------

    def _iteration(self, place: Place, loop: While, path: str) -> dict[str, Any]:
        assert place.iteration is not None
        return {
            **self._about(place, path),
            "iteration": place.iteration + 1,
            "max_iterations": loop.max_iterations,
            "context_snapshot": self._snapshot(place),
        }

    def _loop_complete(self, place: Place, loop: While, path: str) -> dict[str, Any]:
        passes = 0
        while self._status.get(iteration(path, passes)) is not None:
            passes += 1
        counts = {"iterations_completed": passes, "max_iterations": loop.max_iterations, "results_count": passes}
        return {**self._about(place, path), **counts}

    def _iteration_failed(self, place: Place, event: ScopeFinished) -> dict[str, Any]:
        failure = event.failure
        assert place.iteration is not None
        return {
            **self._about(place, event.path),
            "iteration": place.iteration,
            "error_type": (failure.cause or str(failure.kind)) if failure else "",
            "error_message": failure.message if failure else "",
        }

    def _about(self, place: Place, path: str) -> dict[str, Any]:
        assert place.step is not None
        return {"step_id": place.step.id, "recipe_session_id": self.session.id, "path": path}

    def _snapshot(self, place: Place) -> Mapping[str, Any]:
        """Plain variables of the session's own recipe, as far as it has come."""
        if place.prefix:
            return {}
        variables = self.session.engine.frame.variables
        plain = {
            name: value
            for name, value in variables.items()
            if isinstance(value, (str, int, float)) and name not in ENGINE_KEYS and not name.startswith("_")
        }
        return {name: self.session.mask.value(value) for name, value in plain.items()}

    # --- the whole -----------------------------------------------------------------------------------------------

    def _asked(self, event: ApprovalRequested) -> Iterator[Told]:
        place = self.place(event.path)
        if place is None or place.stage is None or not place.stage.steps:
            return
        data = self._base(place.recipe, place.prefix, "waiting_approval")
        last = [*steps_of(place.recipe)].index(child(place.stage.name, place.stage.steps[-1].id))
        data["steps"][last] |= {"status": "waiting_approval", "is_approval_gate": True}
        yield "recipe:approval", data | {"prompt": event.prompt, "stage_name": label(event.path)}

    def _ended(self, event: RunEnded) -> Iterator[Told]:
        how = _RUN_ENDS.get(event.status)
        if how is None:
            return  # it pauses: the gate has been told of
        more = _details(how, event.cancellation, event.failure, event.current_step)
        status = "completed" if how == "complete" else str(event.status)
        yield f"recipe:{how}", self._base(self.session.engine.frame.recipe, ROOT, status) | more

    def _base(self, recipe: Recipe, prefix: str, status: str) -> dict[str, Any]:
        """What every event of a recipe tells; of a sub-recipe also the session that it is part of."""
        paths = steps_of(recipe)
        steps = [
            {"id": step.id, "name": step.id, "status": self._status.get(child(prefix, path), "pending")}
            for path, step in paths.items()
        ]
        return {
            "name": recipe.name,
            "description": recipe.description,
            "current_step": self._current.get(prefix, 0),
            "total_steps": len(steps),
            "steps": steps,
            "status": status,
            "recipe_session_id": self.session.id,
            **({"parent_session_id": self.session.id, "path": prefix} if prefix else {}),
        }


def _loop(place: Place) -> Foreach | While | None:
    return place.step.loop if place.step else None


def _tells_failures(place: Place) -> bool:
    """A sequential loop that fails with its first failed pass tells of that as a whole."""
    loop = _loop(place)
    assert place.step is not None
    return isinstance(loop, Foreach) and (loop.parallel != 1 or place.step.on_error is OnError.CONTINUE)


def _details(how: str, asked: Cancellation | None, failure: Failure | None, step: str | None) -> dict[str, Any]:
    if how == "complete":
        return {"success": True}
    if how == "failed":
        return {"success": False, "error_message": failure.message if failure else ""}
    told = {"level": asked.level.name.lower(), "reason": asked.reason, "requested_by": asked.requester} if asked else {}
    return {"success": False, "cancelled_at_step": step, **told}
