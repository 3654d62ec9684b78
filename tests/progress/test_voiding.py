"""Which records a resume keeps when the recipe, a variable or the wish of the caller is another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import trio
import yaml
from attrs import frozen
from hypothesis import given, reject
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.runtime.harness import FACTS, World, fails, graceful, immediate, runs_of, takes
from tests.runtime.test_resume_property import FAILING, recipes
from trio_recipes.errors import InvalidRecipeError
from trio_recipes.events import RecordsVoided, RunEnded, SessionStatus, Stamped
from trio_recipes.language.load import parse_recipe
from trio_recipes.language.model import OnError, Recipe
from trio_recipes.progress.frame import root_frame
from trio_recipes.progress.plan import plan_of
from trio_recipes.progress.retrace import Recipes, Trail, retrace
from trio_recipes.progress.verdicts import Fate

Tree = Mapping[str, Recipe]
Document = dict[str, Any]


def run(world: World, *requests: Any) -> RunEnded:
    async def main() -> RunEnded:
        return await world.run(*requests)

    return trio.run(main, clock=MockClock(autojump_threshold=0))


def retraced(world: World, now: Tree, since: str | None = None, **context: Any) -> Trail:
    """What becomes of the records of ``world``, whose recipes were ``before``."""
    given = {**world.context, **context}
    lookups = Recipes(lambda ask: now.get(ask.name), lambda ask: world.recipes.get(ask.name))
    frame = root_frame(now["root"], given, FACTS)
    return retrace(world.progress, frame, (world.recipe, world.context), lookups, since)


def resume(world: World, now: Tree, since: str | None = None, **context: Any) -> RunEnded:
    """One more run, of another recipe, with other variables, or from another place."""
    event = retraced(world, now, since, **context).voiding(world.progress)
    world.recipe, world.recipes, world.context = now["root"], now, {**world.context, **context}
    world.log.events.append(Stamped(len(world.log.events) + 1, world.log.run, 0, event))
    return run(world)


def variables(world: World) -> dict[str, Any]:
    return {name: value for name, value in world.variables.items() if name not in {"step", "session"}}


# --- any edit of any recipe --------------------------------------------------------------------------------------


def blocks(body: list[Document]) -> list[list[Document]]:
    """The lists of steps in a document, outer ones first."""
    return [body, *(inner for step in body if "steps" in step for inner in blocks(step["steps"]))]


def renamed(step: Document) -> Document:
    """A step that is like another, under a new name."""
    copy = yaml.safe_load(yaml.safe_dump(step))
    copy["id"] = f"new-{step['id']}"
    if "steps" in copy:
        copy["steps"] = [renamed(inner) for inner in copy["steps"]]
    return copy  # type: ignore[no-any-return]


@frozen
class Edit:
    """A change of one step, or of what stands around it; numbers choose among what there is."""

    kind: str
    recipe: str
    block: int
    place: int
    other: int

    def apply(self, known: Tree) -> Tree:
        """The same recipes with this change."""
        document = yaml.safe_load(known[self.recipe].text)
        every = blocks(document["steps"])
        self._change(document, every[self.block % len(every)])
        try:
            return {**known, self.recipe: parse_recipe(yaml.safe_dump(document, sort_keys=False))}
        except InvalidRecipeError:
            reject()

    def _change(self, document: Document, block: list[Document]) -> None:
        place, other = self.place % len(block), self.other % len(block)
        match self.kind:
            case "change":
                block[place]["command" if "command" in block[place] else "condition"] = "1 == 1"
            case "insert":
                block.insert(place, renamed(block[other]))
            case "append":
                block.append(renamed(block[other]))
            case "remove":
                del block[place]
            case "swap":
                block[place], block[other] = block[other], block[place]
            case "skip":
                block[place]["condition"] = "1 == 2"
            case "default":
                document["context"]["mark"] = "changed"
            case _:
                document["version"] = "2.0.0"


KINDS = ["change", "insert", "append", "remove", "swap", "default", "skip", "version"]
NUMBER = st.integers(0, 5)
EDITS = st.builds(Edit, st.sampled_from(KINDS), st.sampled_from(["root", "one", "two"]), NUMBER, NUMBER, NUMBER)


def without_timeouts(known: Tree) -> Tree:
    """Time decides nothing here: a pass that is stopped has its whole time-out again."""

    def strip(body: list[Document]) -> list[Document]:
        for step in body:
            step.pop("timeout", None)
            strip(step.get("steps", []))
        return body

    def stripped(recipe: Recipe) -> Recipe:
        document = yaml.safe_load(recipe.text)
        strip(document["steps"])
        return parse_recipe(yaml.safe_dump(document, sort_keys=False))

    return {name: stripped(recipe) for name, recipe in known.items()}


def world_of(known: Tree, failing: set[str]) -> World:
    return World(known["root"], {name: fails(seconds=1.3) for name in failing}, known, default=takes(1))


@given(recipes(), FAILING, st.floats(0, 40), st.sampled_from([graceful, immediate]), EDITS)
def test_an_edited_recipe_gives_what_a_fresh_run_of_it_gives(
    known: Tree, failing: set[str], after: float, level: Callable[[], Any], edit: Edit
) -> None:
    known = without_timeouts(known)
    edited = edit.apply(known)
    stopped = world_of(known, failing)
    run(stopped, (after, level()))
    ended = resume(stopped, edited)

    fresh = world_of(edited, failing)
    expected = run(fresh)
    assert ended.status is expected.status
    if expected.status is SessionStatus.COMPLETED:
        assert variables(stopped) == variables(fresh)
        assert set(stopped.statuses().items()) == set(fresh.statuses().items())


@given(recipes(), FAILING, st.floats(0, 40))
def test_a_recipe_that_is_what_it_was_changes_nothing(known: Tree, failing: set[str], after: float) -> None:
    stopped = world_of(known, failing)
    run(stopped, (after, graceful()))
    trail = retraced(stopped, known)
    assert trail.voiding(stopped.progress) == RecordsVoided()


@given(recipes(), FAILING, st.integers(0))
def test_from_any_place_on(known: Tree, failing: set[str], number: int) -> None:
    known = without_timeouts(known)
    whole = world_of(known, failing)
    ended = run(whole)
    records = list(whole.progress.records)
    leaves = {path for path, count in runs_of(whole).items() if count}
    since = records[number % len(records)]
    before, expected = list(whole.leaves.begun), variables(whole)
    again = resume(whole, known, since)
    assert (again.status, variables(whole)) == (ended.status, expected)
    if since in leaves and ended.status is SessionStatus.COMPLETED and not _may_end_early(known):
        assert since in {path for _, path in whole.leaves.begun}
    assert len(whole.leaves.begun) <= len(before)


def _may_end_early(known: Tree) -> bool:
    """Iterations that were begun beside one that skips what remains are not begun again once that one is reused."""
    return any(step.on_error is OnError.SKIP_REMAINING for recipe in known.values() for step in recipe.all_steps())


# --- which records, by the case ----------------------------------------------------------------------------------

A, B, C = ({"id": name, "type": "bash", "command": name, "output": name} for name in "abc")
X, Y = ({"id": name, "type": "bash", "command": f"{name} {{{{item}}}}", "output": name} for name in "xy")
OTHER = {"command": "other"}
LOOP = {"id": "l", "foreach": "{{items}}", "collect": "all"}
CALL = {"id": "s", "type": "recipe", "recipe": "sub", "output": "s"}
SPLIT = {**CALL, "foreach": "{{items}}", "context": {"n": "{{item}}"}}
N = {"id": "n", "type": "bash", "command": "{{n}}"}
FINALLY = {"id": "z", "type": "bash", "command": "z"}


def tree(*steps: Document, sub: list[Document] | None = None, **head: Any) -> Tree:
    """A root of these steps, which may call ``sub``."""

    def recipe(name: str, body: list[Document], **more: Any) -> Recipe:
        document = {"name": name, "description": "d", "version": "1.0.0", **more}
        document["context"] = {"items": ["p", "q"], "n": 1, **more.get("context", {})}
        blocks = {"steps": body} if "stages" not in more else {}
        return parse_recipe(yaml.safe_dump(document | blocks, sort_keys=False))

    return {
        "root": recipe("root", list(steps), **head),
        "sub": recipe("sub", sub or [X | {"command": "x"}, Y | {"command": "y"}]),
    }


def stages(*names: str, **changed: Document) -> dict[str, Any]:
    """A stage for each name, of a step of that name."""
    step = {"type": "bash", "command": "s"}
    return {
        "stages": [{"name": name, "steps": [{"id": f"in_{name}", **step}], **changed.get(name, {})} for name in names]
    }


CASES: dict[str, tuple[Tree, Tree, set[str], set[str]]] = {
    "nothing": (tree(A, B, C), tree(A, B, C), set(), set()),
    "changed": (tree(A, B, C), tree(A, B | OTHER, C), {"b", "c"}, {""}),
    "the first one": (tree(A, B), tree(A | OTHER, B), {"a", "b"}, {""}),
    "new": (tree(A, B), tree(A, C, B), {"b"}, {""}),
    "appended": (tree(A, B), tree(A, B, C), set(), {""}),
    "gone": (tree(A, B, C), tree(A, C), {"b", "c"}, {""}),
    "the last one gone": (tree(A, B), tree(A), {"b"}, {""}),
    "moved": (tree(A, B, C), tree(A, C, B), {"b", "c"}, {""}),
    "in a sub-recipe": (
        tree(A, CALL, B, sub=[A, B]),
        tree(A, CALL, B, sub=[A, B | OTHER]),
        {"s/b", "b"},
        {"s", ""},
    ),
    "in a loop's body": (
        tree(A, LOOP | {"steps": [X, Y]}, B),
        tree(A, LOOP | {"steps": [X, Y | OTHER]}, B),
        {"l", "b"},
        {""},
    ),
    "in a sub-recipe in a loop": (
        tree(SPLIT, B, sub=[A, N]),
        tree(SPLIT, B, sub=[A, N | OTHER]),
        {"s[0]/n", "s[1]", "b"},
        {"s[0]", "s", ""},
    ),
    "in a sub-recipe in a parallel loop": (
        tree(SPLIT | {"parallel": True}, B, sub=[A, N]),
        tree(SPLIT | {"parallel": True}, B, sub=[A, N | OTHER]),
        {"s[0]/n", "s[1]/n", "b"},
        {"s[0]", "s[1]", "s", ""},
    ),
    "in a graph": (
        tree(A, B, C | {"depends_on": ["a"]}, schedule="graph"),
        tree(A | OTHER, B, C | {"depends_on": ["a"]}, schedule="graph"),
        {"a", "c"},
        {""},
    ),
    "gone from a graph": (tree(A, B, schedule="graph"), tree(A, schedule="graph"), {"b"}, {""}),
    "another schedule": (tree(A, B), tree(A, B, schedule="graph"), {"a", "b"}, {""}),
    "a default": (tree(A, N, B), tree(A, N, B, context={"n": 2}), {"n", "b"}, {""}),
    "a default of another type": (tree(N), tree(N, context={"n": True}), {"n"}, {""}),
    "a default that nothing refers to": (tree(A), tree(A, context={"n": 2}), set(), set()),
    "a default of a sub-recipe that is given": (tree(SPLIT, B, sub=[N]), tree(SPLIT, B, sub=[N]), set(), set()),
    "a stage's schedule": (
        tree(**stages("one", "two")),
        tree(**stages("one", "two", two={"schedule": "graph"})),
        {"two"},
        {""},
    ),
    "finally": (
        tree(A, B, **{"finally": [FINALLY]}),
        tree(A, B, **{"finally": [FINALLY | OTHER]}),
        {"~finally/z"},
        {"~finally", ""},
    ),
    "finally is new": (tree(A, CALL), tree(A, CALL, **{"finally": [FINALLY]}), set(), {""}),
    "the body of a finally": (
        tree(A, B, **{"finally": [FINALLY]}),
        tree(A, B | OTHER, **{"finally": [FINALLY]}),
        {"b", "~finally"},
        {""},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_becomes_void(case: str) -> None:
    before, now, voided, reopened = CASES[case]
    world = world_of(before, set())
    assert run(world).status is SessionStatus.COMPLETED
    found = retraced(world, now).voiding(world.progress)
    assert (set(found.voided), set(found.reopened)) == (voided, reopened)


def test_a_failure_that_was_handled_is_final_until_something_around_it_changes() -> None:
    loop = SPLIT | {"on_error": "continue", "parallel": True}
    before = tree(loop, B, sub=[A, N])
    world = world_of(before, set())
    world.script = {"s[0]/n": fails()}
    run(world)
    assert retraced(world, before).voiding(world.progress) == RecordsVoided()
    trail = retraced(world, tree(loop, B, sub=[A, N]), n=2)
    assert trail.voiding(world.progress) == RecordsVoided()
    assert trail.verdicts["s[0]/n"].fate is Fate.REUSED


def test_a_step_that_asks_before_it_runs_again_asks_even_when_it_was_changed() -> None:
    world = world_of(tree(A, B | {"on_interrupt": "ask"}), set())
    run(world, (1.5, immediate()))
    trail = retraced(world, tree(A, B | {"on_interrupt": "ask"} | OTHER))
    assert trail.voiding(world.progress) == RecordsVoided()
    assert trail.verdicts["b"].why == "changed"


def reasons(world: World, now: Tree, since: str | None = None, **context: Any) -> dict[str, tuple[str, str]]:
    plan = plan_of("s", world.progress, retraced(world, now, since, **context))
    return {planned.path: (str(planned.fate), planned.why) for planned in plan.scopes}


def test_a_plan_says_what_runs_and_why() -> None:
    server = A | {"on_resume": "rerun"}
    asks = C | {"on_interrupt": "ask"}
    before = tree(server, N, LOOP | {"steps": [X]}, asks, Y | {"command": "y"})
    world = world_of(before, set())
    run(world, (4.5, immediate()))
    assert reasons(world, before) == {
        "a": ("runs again", "on_resume: rerun"),
        "n": ("reused", ""),
        "l": ("reused", ""),
        **{f"l[{i}]": ("reused", "") for i in range(2)},
        **{f"l[{i}]/x": ("reused", "") for i in range(2)},
        "c": ("runs again", "cancelled; waits for approval (on_interrupt: ask)"),
        "y": ("runs", "has not begun"),
    }
    changed = reasons(world, tree(server, N, B, LOOP | {"steps": [X]}, Y | {"command": "y"}), n=2)
    assert changed == {
        "a": ("runs again", "on_resume: rerun"),
        "n": ("runs again", "variable changed: n"),
        "b": ("new", ""),
        "l": ("runs again", "follows n"),
        "y": ("runs", "has not begun"),
        "c": ("gone", "no step of the recipe any more"),
    }
    assert reasons(world, before, "l[1]/x")["l[1]/x"] == ("runs again", "asked for")
