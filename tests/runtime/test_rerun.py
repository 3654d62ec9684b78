"""``on_resume: rerun`` at any depth: such steps run again at each resume, what is around them is entered, no more."""

from typing import Any

import pytest
import trio
import yaml
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.progress.test_voiding import blocks, retraced
from tests.runtime.harness import World, graceful, immediate, recipe, takes
from tests.runtime.test_resume_property import (
    FAILING,
    LEVEL,
    in_virtual_time,
    outcome,
    races,
    recipes,
    run_cancelled_at,
    run_once,
    without_retries,
    world,
)
from trio_recipes.events import RecordsVoided, ScopeStatus, SessionStatus
from trio_recipes.language.load import parse_recipe
from trio_recipes.language.model import Recipe
from trio_recipes.progress.path import contains
from trio_recipes.progress.plan import plan_of
from trio_recipes.progress.repeated import comes_again
from trio_recipes.runtime.ports import LeafCall, Reply


@st.composite
def recipes_that_repeat(draw: st.DrawFn) -> dict[str, Recipe]:
    """Recipes some of whose steps, of any kind and at any depth, have ``on_resume: rerun``.

    Without retries, which run finished steps again for reasons of their own.
    """
    known = draw(recipes())
    for name, found in known.items():
        document = yaml.safe_load(found.text)
        for block in blocks(document["steps"]):
            for step in block:
                if draw(st.integers(0, 3)) == 0:
                    step["on_resume"] = "rerun"
        known[name] = without_retries(parse_recipe(yaml.safe_dump(document, sort_keys=False)))
    return known


def finished_leaves(world: World) -> set[str]:
    records = world.progress.records.values()
    return {r.path for r in records if r.kind == "bash" and r.final and r.status is not ScopeStatus.SKIPPED}


def check_run(world: World, status: SessionStatus, finished: set[str], again: frozenset[str], steps: set[str]) -> None:
    """Of what had finished, that run again which should, all of it if the run came to its end, and nothing else."""
    begun = {path for _, path in world.leaves.begun}
    tops = {path for path in again if path in steps}
    expected = {leaf for leaf in finished if any(contains(top, leaf) for top in tops)}
    assert finished & begun <= expected
    if status is SessionStatus.COMPLETED:
        assert expected <= begun


def repeated_steps(world: World) -> set[str]:
    return {record.path for record in world.progress.records.values() if record.reruns}


@given(recipes_that_repeat(), FAILING, st.lists(st.tuples(st.floats(0, 1), LEVEL), min_size=1, max_size=3))
def test_a_stopped_and_resumed_run_repeats_these_and_ends_alike(
    known: dict[str, Recipe], failing: set[str], moments: list[tuple[float, Any]]
) -> None:
    whole = world(known, failing)
    expected = outcome(whole, in_virtual_time(run_once, whole))
    stopped, events, ended = world(known, failing), len(whole.log.events), None
    for share, level in [*moments, (9.0, graceful)]:
        before = finished_leaves(stopped), comes_again(stopped.progress), repeated_steps(stopped)
        if stopped.log.run:
            assert retraced(stopped, known).voiding(stopped.progress) == RecordsVoided()
        ended = in_virtual_time(run_cancelled_at, stopped, 1 + int(share * events), level())
        check_run(stopped, ended.status, *before)
        if ended.status is not SessionStatus.CANCELLED:
            break
    assert ended is not None
    assert ended.status is expected[0]
    if ended.status is SessionStatus.COMPLETED:
        assert outcome(stopped, ended) == expected
        assert stopped.statuses() == whole.statuses() or races(known)


@given(recipes_that_repeat(), FAILING, st.lists(st.floats(0, 1), min_size=1, max_size=3))
def test_a_crashed_and_resumed_run_repeats_these_and_ends_alike(
    known: dict[str, Recipe], failing: set[str], crashes: list[float]
) -> None:
    whole = world(known, failing)
    expected = outcome(whole, in_virtual_time(run_once, whole))
    crashed, begin, ended = whole, 1, None
    for share in crashes:
        events = crashed.log.events
        upto = begin + int(share * (len(events) - 1 - begin))  # the run's end has not been recorded
        crashed, begin = world(known, failing), upto + 1
        crashed.log.events, crashed.log.run = events[:upto], events[upto - 1].run
        before = finished_leaves(crashed), comes_again(crashed.progress), repeated_steps(crashed)
        assert retraced(crashed, known).voiding(crashed.progress) == RecordsVoided()
        ended = in_virtual_time(run_once, crashed)
        check_run(crashed, ended.status, *before)
    assert ended is not None
    assert ended.status is expected[0]
    if ended.status is SessionStatus.COMPLETED:
        assert outcome(crashed, ended) == expected
        assert crashed.statuses() == whole.statuses() or races(known)


# --- by example --------------------------------------------------------------------------------------------------

SERVER = "{id: server, type: bash, command: up, on_resume: rerun}"
PLACES = {
    "stage": f"""
stages:
- {{name: one, steps: [{SERVER}, {{id: s, type: bash, command: s}}]}}
- {{name: two, steps: [{{id: w, type: bash, command: w}}]}}
""",
    "gated": f"""
stages:
- {{name: one, steps: [{SERVER}], approval: {{required: true, prompt: ok?, timeout: 1, default: approve}}}}
- {{name: two, steps: [{{id: w, type: bash, command: w}}]}}
""",
    "pass of a loop": f"""
steps:
- {{id: l, foreach: "{{{{n}}}}", steps: [{SERVER}, {{id: s, type: bash, command: s}}]}}
- {{id: w, type: bash, command: w}}
""",
    "parallel pass": f"""
steps:
- {{id: l, foreach: "{{{{n}}}}", parallel: true, steps: [{SERVER}, {{id: s, type: bash, command: s}}]}}
- {{id: w, type: bash, command: w}}
""",
    "graph": f"""
schedule: graph
steps:
- {SERVER}
- {{id: s, type: bash, command: s, depends_on: [server]}}
- {{id: w, type: bash, command: w, depends_on: [s]}}
""",
    "sub-recipe": """
steps:
- {id: l, foreach: "{{n}}", type: recipe, recipe: sub}
- {id: w, type: bash, command: w}
""",
}


@pytest.mark.parametrize("place", PLACES)
async def test_wherever_it_stands(place: str, autojump_clock: MockClock) -> None:
    sub = recipe(f"steps: [{SERVER}, {{id: s, type: bash, command: s}}]", "sub")
    known = world_of(PLACES[place], sub=sub)
    known.script = {"w": takes(100)}
    await known.run((50, immediate()))
    before = finished_leaves(known)
    servers = {path for path in before if path.endswith("server")}
    assert servers
    ended = await known.run()
    assert ended.status is SessionStatus.COMPLETED
    (work,) = {path for _, path in known.leaves.begun} - before
    assert [*sorted(path for _, path in known.leaves.begun[:-1]), known.leaves.begun[-1][1]] == [*sorted(servers), work]


def world_of(text: str, **subs: Recipe) -> World:
    return World(recipe(text, head="context: {n: [1, 2]}"), recipes=subs)


async def test_what_was_cleaned_up_behind_it_is_cleaned_up_again(autojump_clock: MockClock) -> None:
    """Else it would be left behind: the ``finally`` of a stage that goes on comes at its end."""
    known = world_of(
        f"""
stages:
- {{name: one, steps: [{SERVER}, {{id: s, type: bash, command: s}}], finally: [{{id: down, type: bash, command: d}}]}}
- {{name: two, steps: [{{id: w, type: bash, command: w}}]}}
"""
    )
    await known.run((3.5, immediate()))
    planned = plan_of("s", known.progress, retraced(known, {"root": known.recipe}))
    assert {p.path: p.fate.value for p in planned.scopes} == {
        "one": "continues",
        "one/server": "runs again",
        "one/s": "reused",
        "one/~finally": "runs again",
        "two": "continues",
        "two/w": "runs again",
    }
    assert planned["one"].why == "on_resume: rerun, inside"
    await known.run()
    assert [path for _, path in known.leaves.begun] == ["one/server", "one/~finally/down", "two/w"]


async def test_what_a_clean_up_has_done_is_not_done_again(autojump_clock: MockClock) -> None:
    known = world_of(
        f"""
stages:
- {{name: one, steps: [{{id: s, type: bash, command: s}}], finally: [{SERVER}]}}
- {{name: two, steps: [{{id: w, type: bash, command: w}}]}}
"""
    )
    await known.run((2.5, immediate()))
    await known.run()
    assert [path for _, path in known.leaves.begun] == ["two/w"]


async def test_inside_a_failure_that_was_handled_nothing_runs_again(autojump_clock: MockClock) -> None:
    sub = recipe(f"steps: [{SERVER}, {{id: broken, type: bash, command: '{{{{nothing}}}}'}}]", "sub")
    known = world_of(
        "steps: [{id: c, type: recipe, recipe: sub, on_error: continue}, {id: w, type: bash, command: w}]", sub=sub
    )
    await known.run((2.5, immediate()))
    assert known.progress.records["c"].handled
    await known.run()
    assert [path for _, path in known.leaves.begun] == ["w"]


async def test_a_part_that_will_run_again_can_be_stopped_before_it_does(autojump_clock: MockClock) -> None:
    known = world_of(PLACES["stage"])
    await known.run((2.5, immediate()))
    ended = await known.run((0, immediate("one/server")))
    assert ended.status is SessionStatus.FAILED
    assert known.leaves.begun == []


async def test_a_run_that_stops_before_it_came_there_reuses_it(autojump_clock: MockClock) -> None:
    """And comes to the ``finally`` that is due behind it."""
    sub = recipe("steps: [{id: s, type: bash, command: s}]\nfinally: [{id: f, type: bash, command: f}]", "sub")
    known = world_of(f"steps: [{SERVER}, {{id: c, type: recipe, recipe: sub}}]", sub=sub)
    await known.run((1.5, immediate()))
    known.log.events = [s for s in known.log.events if "finally" not in s.event.path and s.event.name != "run_ended"]
    known.log.events = [evolve(s, seq=n) for n, s in enumerate(known.log.events, 1)]  # as if it had crashed in there
    ended = await known.run((0, graceful()))
    assert ended.status is SessionStatus.CANCELLED
    assert [path for _, path in known.leaves.begun] == ["c/~finally/f"]


@pytest.mark.parametrize("parallel", ["true", "false"])
@pytest.mark.parametrize("inner", ["", "stages"])
async def test_with_another_value_a_loop_behind_it_has_more_to_do_or_less(
    parallel: str, inner: str, autojump_clock: MockClock
) -> None:
    """What is finished is reused; what is new is done; nobody is told that records do not add up."""
    loop = f'{{id: l, type: bash, command: "{{{{item}}}}", foreach: "{{{{up}}}}", parallel: {parallel}, collect: all}}'
    server = "{id: server, type: bash, command: up, output: up, on_resume: rerun}"
    bodies = (server, loop, "{id: w, type: bash, command: w}")
    stages = "".join(f"- {{name: stage{i}, steps: [{body}]}}\n" for i, body in enumerate(bodies))
    known = world_of(f"stages:\n{stages}" if inner else f"steps: [{', '.join(bodies)}]")
    answers = iter([["1", "2"], ["1", "2", "3"], ["1"]])

    async def answer(_call: LeafCall) -> Reply:
        await trio.lowlevel.checkpoint()
        return Reply(value=[*next(answers)])

    known.script = {"server": answer, "w": takes(100)}
    await known.run((50, immediate()))
    await known.run((50, immediate()))
    assert [path for _, path in known.leaves.begun if "l[" in path] == [f"{'stage1/' * bool(inner)}l[2]"]
    assert known.variables["all"] == ["1", "2", "3"]
    ended = await known.run()
    assert ended.status is SessionStatus.COMPLETED
    assert known.variables["all"] == ["1"]
