"""Random recipes with ``finally`` at random levels, stopped, killed and finished at random moments.

Every body that began has its ``finally`` run before the session rests: never not at all, never twice for one end, and
inside out.
"""

from typing import Any

import trio
import yaml
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.runtime.harness import World, fails, graceful, immediate, takes
from tests.runtime.test_cleanup_resumed import finish, killed
from trio_recipes.events import RunEnded, ScopeFinished, ScopeStarted, SessionStatus, WorkEnded
from trio_recipes.language.load import parse_recipe
from trio_recipes.language.model import Recipe
from trio_recipes.progress.path import cleanups_behind

Data = dict[str, Any]


def _finally(draw: st.DrawFn) -> Data:
    if not draw(st.booleans()):
        return {}
    return {
        "finally": [{"id": f"f{n}", "type": "bash", "command": "{{_outcome}}"} for n in range(draw(st.integers(1, 2)))]
    }


@st.composite
def steps(draw: st.DrawFn, depth: int, prefix: str = "s") -> list[Data]:
    return [draw(_step(depth, f"{prefix}{n}")) for n in range(draw(st.integers(1, 2)))]


@st.composite
def _step(draw: st.DrawFn, depth: int, name: str) -> Data:
    kind = draw(st.sampled_from(["leaf", "recipe", "loop", "loop over recipe"] if depth else ["leaf"]))
    if kind == "leaf":
        return {"id": name, "type": "bash", "command": name}
    if kind == "recipe":
        return {"id": name, "type": "recipe", "recipe": f"sub{depth}"}
    loop = {"id": name, "foreach": "{{items}}", "parallel": draw(st.sampled_from([False, True, 2])), **_finally(draw)}
    if kind == "loop over recipe":
        return {**loop, "type": "recipe", "recipe": f"sub{depth}"}
    return {**loop, "steps": draw(steps(depth - 1, f"{name}_"))}


def document(name: str, **content: Any) -> Recipe:
    head = {"name": name, "description": "d", "version": "1.0.0", "context": {"items": ["x", "y", "z"]}}
    return parse_recipe(yaml.safe_dump(head | content, sort_keys=False))


@st.composite
def recipes(draw: st.DrawFn) -> dict[str, Recipe]:
    """A root that may call ``sub2``, which may call ``sub1``."""
    subs = {f"sub{n}": document(f"sub{n}", steps=draw(steps(n - 1)), **_finally(draw)) for n in (1, 2)}
    stages = [{"name": name, "steps": draw(steps(2, name)), **_finally(draw)} for name in ("p", "q")]
    return {"root": document("root", stages=stages, **_finally(draw)), **subs}


ACTS = st.lists(st.tuples(st.sampled_from(["graceful", "immediate", "kill"]), st.floats(0, 15)), min_size=1, max_size=4)
FAILING = st.sets(st.sampled_from(["s0", "s1", "p0", "p0_0", "q0"]), max_size=1)


def in_virtual_time(work: Any, *args: Any) -> Any:
    return trio.run(work, *args, clock=MockClock(autojump_threshold=0))


def world(known: dict[str, Recipe], failing: set[str] = frozenset()) -> World:  # type: ignore[assignment]
    return World(known["root"], {name: fails(seconds=0.7) for name in failing}, known, default=takes(1))


def places_of(known: dict[str, Recipe]) -> set[str]:
    """Every place of a ``finally``: where an undisturbed run had one."""
    whole = world(known)
    in_virtual_time(whole.run)
    return {event.path for event in whole.of(WorkEnded) if event.path}


class Ledger:
    """Which ``finally`` is due, by the events alone."""

    def __init__(self, places: set[str]) -> None:
        self.places, self.due = places, set[str]()
        self.told: dict[str, str] = {}

    def read(self, events: list[Any]) -> None:
        for stamped in events:
            self.take(stamped.event)

    def take(self, event: Any) -> None:
        match event:
            case ScopeStarted(kind="bash", path=leaf):
                behind = self.places & {*cleanups_behind(leaf)}
                self.due |= behind
                for place in behind:
                    self.told.pop(place, None)
            case WorkEnded(path=place, outcome=outcome) if place:
                assert place in self.due or self.told[place] != outcome, f"{place} runs although it is not due"
                self.told[place] = outcome
            case ScopeFinished(path=place) if place in self.places:
                inside = [other for other in self.due if other != place and place in {*cleanups_behind(other)}]
                assert not inside, f"{place} is over before {inside}"
                self.due.discard(place)
            case RunEnded():
                assert not self.due, f"never run: {self.due}"
            case _:
                pass


@given(recipes(), FAILING, ACTS)
def test_every_body_that_began_is_cleaned_up_once(
    known: dict[str, Recipe], failing: set[str], acts: list[tuple[str, float]]
) -> None:
    places = places_of(known)
    stopped = world(known, failing)
    for act, moment in acts:
        if act == "kill":
            in_virtual_time(killed, stopped, moment)
            continue
        ended = in_virtual_time(stopped.run, (moment, graceful() if act == "graceful" else immediate()))
        if ended.status is SessionStatus.COMPLETED:
            break
    Ledger(places).read(stopped.log.events)
    in_virtual_time(stopped.run)
    Ledger(places).read(stopped.log.events)


@given(recipes(), FAILING, st.lists(st.floats(0, 15), min_size=1, max_size=3), st.sampled_from([graceful, immediate]))
def test_a_finisher_runs_what_is_due_and_nothing_else(
    known: dict[str, Recipe], failing: set[str], moments: list[float], request: Any
) -> None:
    places = places_of(known)
    stopped = world(known, failing)
    for moment in moments:
        in_virtual_time(killed, stopped, moment)
    if any(isinstance(stamped.event, RunEnded) for stamped in stopped.log.events):
        return
    in_virtual_time(finish, stopped, request())
    assert all("~finally" in path for _, path in stopped.leaves.begun)
    Ledger(places).read(stopped.log.events)
    in_virtual_time(stopped.run)
    Ledger(places).read(stopped.log.events)
