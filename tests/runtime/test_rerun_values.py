"""A step that runs again at a resume gives another value: what is recorded counts only for what it was made for."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.progress.test_voiding import retraced
from tests.runtime.harness import World, fails, graceful, immediate, recipe, takes
from tests.runtime.test_resume_property import in_virtual_time, run_once
from trio_recipes.events import Cancellation, Event, ScopeFinished, ScopeStatus, SessionStatus
from trio_recipes.progress.plan import plan_of
from trio_recipes.progress.verdicts import Fate
from trio_recipes.runtime.ports import LeafCall, Reply
from trio_recipes.values import Value

PICK = "{id: pick, type: bash, command: up, output: up, on_resume: rerun}"
WORK = "{id: w, type: bash, command: w}"
SUBS = {
    name: recipe(f"steps:\n{text}", name)
    for name, text in {
        "a": "- {id: x, type: bash, command: 'a {{n}}', output: x}\n- {id: y, type: bash, command: ay, output: y}",
        "b": "- {id: x, type: bash, command: 'b {{n}}', output: x}\n- {id: y, type: bash, command: by, output: y}",
    }.items()
}


def picks(world: World, *values: Value) -> World:
    """Have the step ``pick`` give one value after the other; ``w`` takes long."""
    answers = iter(values)

    async def answer(_call: LeafCall) -> Reply:
        await trio.lowlevel.checkpoint()
        return Reply(value=next(answers))

    world.script = {**world.script, "pick": answer, "w": takes(100)}
    return world


def begun(world: World) -> list[str]:
    return [path for _, path in world.leaves.begun if path not in ("pick", "w")]


async def stopped_and_resumed(world: World, *values: Value) -> list[str]:
    """One run that is stopped in its last step, and one to the end; the steps that began in the second."""
    picks(world, *values)
    await world.run((50, immediate()))
    ended = await world.run()
    assert ended.status is SessionStatus.COMPLETED
    return begun(world)


async def stopped_behind_pick(world: World, asked: Cancellation) -> None:
    """One run, with a request that comes when the step ``pick`` has given its value."""

    def look(event: Event) -> None:
        if isinstance(event, ScopeFinished) and event.path == "pick":
            world.engine.deliver(asked)

    world.log.on_emit = look
    await world.run()
    world.log.on_emit = lambda _event: None


CALL = f'steps: [{PICK}, {{id: c, type: recipe, recipe: "{{{{up}}}}", context: {{n: 1}}, output: c}}, {WORK}]'


async def test_a_call_of_another_recipe_does_not_take_what_the_first_one_did(autojump_clock: MockClock) -> None:
    world = World(recipe(CALL), recipes=SUBS)
    assert await stopped_and_resumed(world, "a", "b") == ["c/x", "c/y"]
    assert world.variables["c"] == {"x": "b 1", "y": "by"}


async def test_nor_if_it_was_stopped_within(autojump_clock: MockClock) -> None:
    world = picks(World(recipe(CALL), recipes=SUBS), "a", "b")
    await world.run((1.5, immediate()))
    assert begun(world) == ["c/x", "c/y"]
    await world.run()
    assert begun(world) == ["c/x", "c/y"]
    assert world.variables["c"] == {"x": "b 1", "y": "by"}


async def test_a_call_of_the_same_recipe_does(autojump_clock: MockClock) -> None:
    assert await stopped_and_resumed(World(recipe(CALL), recipes=SUBS), "a", "a") == []


async def test_a_failed_call_that_was_handled_is_made_again_if_it_is_another_one(autojump_clock: MockClock) -> None:
    call = CALL.replace("output: c", "output: c, on_error: continue")
    world = World(recipe(call), recipes=SUBS)
    assert await stopped_and_resumed(world, "missing", "a") == ["c/x", "c/y"]
    assert world.variables["c"] == {"x": "a 1", "y": "ay"}


def looped(parallel: str, *, body: bool = False) -> World:
    work = "type: bash, command: 'do {{item}}'"
    inner = f"steps: [{{id: x, {work}}}, {{id: z, {work}}}]" if body else work
    loop = f'{{id: l, foreach: "{{{{up}}}}", parallel: {parallel}, collect: all, {inner}}}'
    return World(recipe(f"steps: [{PICK}, {loop}, {WORK}]"))


@pytest.mark.parametrize("parallel", ["true", "false"])
@pytest.mark.parametrize("body", [False, True])
async def test_a_pass_for_another_item_is_another_pass(parallel: str, body: bool, autojump_clock: MockClock) -> None:
    world = looped(parallel, body=body)
    again = await stopped_and_resumed(world, ["1", "2", "3"], ["1", "x", "3", "4"])
    steps = ["x", "z"] if body else [""]
    assert sorted(again) == sorted(f"l[{i}]/{step}".rstrip("/") for i in (1, 3) for step in steps)
    assert world.variables["all"] == ["do 1", "do x", "do 3", "do 4"]


async def test_attempts_of_the_first_item_do_not_count_for_the_second(autojump_clock: MockClock) -> None:
    loop = '{id: l, foreach: "{{up}}", type: bash, command: c, retry: {max_attempts: 2, initial_delay: 5}}'
    world = picks(World(recipe(f"steps: [{PICK}, {loop}, {WORK}]")), ["1"], ["2"])
    attempts: list[tuple[Value, int]] = []

    async def act(call: LeafCall) -> Reply:
        attempts.append((call.frame.variables["item"], call.attempt))
        return await fails(1, seconds=0)(call)

    world.script = {**world.script, "l": act}
    await world.run((2, immediate()))
    ended = await world.run()
    assert ended.status is SessionStatus.COMPLETED
    assert attempts == [("1", 1), ("2", 1), ("2", 2)]


async def test_a_step_whose_condition_had_it_skipped_runs_once_it_holds(autojump_clock: MockClock) -> None:
    step = '{id: s, type: bash, command: s, output: s, condition: "{{up}} == fresh"}'
    world = World(recipe(f"steps: [{PICK}, {step}, {WORK}]"))
    assert await stopped_and_resumed(world, "old", "fresh") == ["s"]
    assert world.variables["s"] == "s"
    assert world.variables["_skipped_steps"] == []


async def test_so_does_a_loop_of_such_steps(autojump_clock: MockClock) -> None:
    loop = '{id: l, type: bash, command: "do {{item}}", foreach: "{{n}}", collect: all, condition: "{{up}} == fresh"}'
    world = World(recipe(f"steps: [{PICK}, {loop}, {WORK}]", head="context: {n: [1, 2]}"))
    assert await stopped_and_resumed(world, "old", "fresh") == ["l[0]", "l[1]"]
    assert world.variables["all"] == ["do 1", "do 2"]


async def test_one_that_was_interrupted_and_skipped_for_that_stays_so(autojump_clock: MockClock) -> None:
    step = "{id: s, type: bash, command: s, on_interrupt: skip}"
    world = picks(World(recipe(f"steps: [{PICK}, {step}, {WORK}]")), 1, 2, 3)
    await world.run((0.5, immediate()))
    await world.run((50, immediate()))
    await world.run()
    assert begun(world) == []


async def test_a_run_that_stops_before_it_came_there_claims_nothing(autojump_clock: MockClock) -> None:
    """What was made for another item is not taken for this one's, nor is it forgotten."""
    world = picks(looped("false"), ["1", "2"], ["x", "2"], ["1", "2"])
    await world.run((50, immediate()))
    await stopped_behind_pick(world, graceful("l"))
    assert world.finished("l").status is ScopeStatus.FAILED
    assert "all" not in world.variables
    await world.run()
    assert begun(world) == []
    assert world.variables["all"] == ["do 1", "do 2"]


async def test_with_another_recipe_or_variable_too(autojump_clock: MockClock) -> None:
    """A resume that looks at the records first finds the same: a plan says what it is about."""
    world = picks(looped("false"), ["1", "2", "3"], ["1", "x", "3"])
    await world.run((50, immediate()))
    await stopped_behind_pick(world, graceful())
    trail = retraced(world, {"root": world.recipe}, other=1)
    planned = plan_of("s", world.progress, trail)
    assert (planned["l[0]"].fate, planned["l[1]"].fate) == (Fate.REUSED, Fate.AGAIN)
    assert planned["l[1]"].why == "made for another item"


# --- however often, and wherever it is killed --------------------------------------------------------------------

TREE = f"""
steps:
- {PICK}
- id: l
  foreach: "{{{{up.items}}}}"
  parallel: PARALLEL
  collect: all
  steps:
  - {{id: x, type: bash, command: "do {{{{item}}}}", output: done}}
  - {{id: c, type: recipe, recipe: "{{{{up.which}}}}", context: {{n: "{{{{item}}}}"}}}}
- {{id: c, type: recipe, recipe: "{{{{up.which}}}}", context: {{n: 0}}, output: c}}
- {{id: each, foreach: "{{{{up.names}}}}", type: recipe, recipe: "{{{{item}}}}", context: {{n: 0}}, collect: each}}
- {WORK}
"""


def tree(parallel: str) -> World:
    return World(recipe(TREE.replace("PARALLEL", parallel)), recipes=SUBS)


VALUES = st.fixed_dictionaries(
    {
        "which": st.sampled_from(["a", "b"]),
        "items": st.lists(st.sampled_from(["1", "2", "3"]), min_size=1, max_size=3),
        "names": st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=2),
    }
)


def results(world: World) -> dict[str, Any]:
    return {name: world.variables[name] for name in ("up", "all", "c", "each")}


def whole(parallel: str, value: Value) -> dict[str, Any]:
    """What a run gives that was never stopped."""
    world = picks(tree(parallel), value)
    in_virtual_time(run_once, world)
    return results(world)


def crashing(world: World, shares: Sequence[float]) -> Iterator[None]:
    """Kill the session again and again: of each run, some first part of its events is left."""
    begin = 0
    for share in shares:
        in_virtual_time(run_once, world)
        upto = begin + 1 + int(share * (len(world.log.events) - 2 - begin))
        del world.log.events[upto:]
        begin = upto
        yield


@given(st.sampled_from(["true", "false"]), st.lists(VALUES, min_size=2, max_size=4), st.data())
def test_a_run_that_crashed_ends_as_one_that_had_the_last_value_from_the_beginning(
    parallel: str, values: list[Value], data: st.DataObject
) -> None:
    shares = data.draw(st.lists(st.floats(0, 1), min_size=len(values) - 1, max_size=len(values) - 1))
    world = picks(tree(parallel), *values)
    for _ in crashing(world, shares):
        pass
    ended = in_virtual_time(run_once, world)
    assert ended.status is SessionStatus.COMPLETED
    assert results(world) == whole(parallel, world.variables["up"])
