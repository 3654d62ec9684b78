"""Recipes of six shapes, each with known first and last steps; and what must hold when one was stopped and resumed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.campaign.lab import Entry, Lab
from trio_recipes.events import CancelRequested, RunEnded, ScopeStarted
from trio_recipes.testing import assert_no_survivors


@frozen
class Shape:
    """A recipe, and what a test has to know of it.

    Args:
        file: the recipe.
        names: of all its steps' executions, as the ledger has them.
        first: those in flight when the first one is held.
        next: those that may begin when the first one has ended, and before anybody can notice a request.
        last: those in flight when nothing else is left to start.
        path: of the first step.
    """

    file: Path
    names: frozenset[str]
    first: tuple[str, ...]
    next: tuple[str, ...]
    last: tuple[str, ...]
    path: str


def plain(lab: Lab) -> Shape:
    """Three steps, one after the other."""
    file = lab.write("plain", steps=[lab.step("a"), lab.step("b"), lab.step("c")])
    return Shape(file, frozenset("abc"), ("a",), ("b",), ("c",), "a")


def sequential_loop(lab: Lab) -> Shape:
    """A foreach over three items."""
    loop: dict[str, Any] = {"foreach": "{{items}}", "collect": "results"}
    file = lab.write("sequential", context={"items": ["a", "b", "c"]}, steps=[lab.step("{{item}}", id="scan", **loop)])
    return Shape(file, frozenset("abc"), ("a",), ("b",), ("c",), "scan[0]")


def parallel_loop(lab: Lab) -> Shape:
    """Six items, two at a time."""
    loop: dict[str, Any] = {"foreach": "{{items}}", "collect": "results", "parallel": 2}
    step = lab.step("{{item}}", id="scan", **loop)
    file = lab.write("parallel", context={"items": [*"abcdef"]}, steps=[step])
    return Shape(file, frozenset("abcdef"), ("a", "b"), ("c", "d"), ("e", "f"), "scan[0]")


def while_loop(lab: Lab) -> Shape:
    """Three rounds that hand a number on."""
    loop: dict[str, Any] = {"while_condition": "{{n}} < 3", "output": "n"}
    step = lab.step("round{{n}}", "$(({{n}} + 1))", id="again", **loop)
    file = lab.write("while", context={"n": 0}, steps=[step])
    return Shape(file, frozenset({"round0", "round1", "round2"}), ("round0",), ("round1",), ("round2",), "again[0]")


def sub_recipe(lab: Lab) -> Shape:
    """A recipe that calls another."""
    lab.write("sub", steps=[lab.step("a"), lab.step("b"), lab.step("c")])
    file = lab.write("caller", steps=[{"id": "call", "type": "recipe", "recipe": "sub.yaml", "output": "called"}])
    return Shape(file, frozenset("abc"), ("a",), ("b",), ("c",), "call/a")


def nested(lab: Lab) -> Shape:
    """A loop over sub-recipes, each with a parallel loop over sub-recipes of two steps."""
    lab.write("leaf", context={"name": ""}, steps=[lab.step("{{name}}" + part, id=part, output=part) for part in "pq"])
    inner = {"id": "inner", "type": "recipe", "recipe": "leaf.yaml", "context": {"name": "{{name}}{{item}}"}}
    parallel = {"foreach": "{{parts}}", "parallel": 2, "collect": "inner"}
    lab.write("middle", context={"name": "", "parts": ["1", "2"]}, steps=[{**inner, **parallel}])
    outer = {"id": "outer", "type": "recipe", "recipe": "middle.yaml", "context": {"name": "{{item}}"}}
    loop: dict[str, Any] = {"foreach": "{{items}}", "collect": "results"}
    file = lab.write("nested", context={"items": ["x", "y"]}, steps=[{**outer, **loop}])
    names = frozenset(f"{item}{part}{step}" for item in "xy" for part in "12" for step in "pq")
    return Shape(file, names, ("x1p", "x2p"), ("x1q", "x2q"), ("y1q", "y2q"), "outer[0]/inner[0]/p")


SHAPES: dict[str, Callable[[Lab], Shape]] = {
    made.__name__: made for made in (plain, sequential_loop, parallel_loop, while_loop, sub_recipe, nested)
}


# --- what must hold ----------------------------------------------------------------------------------------------


def only_steps_started_before(lab: Lab, session_id: str) -> None:
    """Nothing began once the owner knew of the request: by the order of the records, and no process is left."""
    events = lab.events(session_id)
    asked = next(n for n, event in enumerate(events) if isinstance(event, CancelRequested))
    late = [event.path for event in events[asked:] if isinstance(event, ScopeStarted) and event.path]
    assert not late, f"begun after the request: {late}"
    assert_no_survivors(session_id)


def last_end(lab: Lab, session_id: str) -> RunEnded:
    """How the last run ended."""
    return next(event for event in reversed(lab.events(session_id)) if isinstance(event, RunEnded))


def every_step_once(lab: Lab, shape: Shape, before: list[Entry], finished: set[str]) -> None:
    """The resumed run did what had not finished, once each, and nothing else."""
    again = [(entry.what, entry.key) for entry in lab.ledger()[len(before) :]]
    keys = {key for _, key in again}
    assert len(again) == 2 * len(keys), f"something ran twice: {again}"
    assert not keys & finished, f"finished before, and run again: {keys & finished}"
    name_of = {entry.key: entry.name for entry in lab.ledger()}
    done = {name for key, name in name_of.items() if key in finished | keys}
    assert done == shape.names
