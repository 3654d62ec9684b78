"""Which records a resume keeps when the recipe, a variable or the wish of the caller is another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import trio
import yaml
from attrs import frozen
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.runtime.harness import FACTS, World, fails, graceful, immediate, runs_of, takes
from tests.runtime.test_resume_property import FAILING, recipes
from trio_recipes.errors import InvalidRecipeError
from trio_recipes.events import RecordsVoided, RunEnded, SessionStatus, Stamped
from trio_recipes.language.load import parse_recipe
from trio_recipes.language.model import Recipe
from trio_recipes.progress.frame import root_frame
from trio_recipes.progress.retrace import Recipes, Trail, retrace

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


@settings(max_examples=250)
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
    if since in leaves and ended.status is SessionStatus.COMPLETED:
        assert since in {path for _, path in whole.leaves.begun}
    assert len(whole.leaves.begun) <= len(before)
