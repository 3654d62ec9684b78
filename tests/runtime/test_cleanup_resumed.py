"""``finally`` over several runs: after a resume, a crash, and in a run that only finishes what is due."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.runtime.cleanups import STAGES, SUB, TWO, began, told
from tests.runtime.harness import World, fails, graceful, immediate, recipe
from trio_recipes.events import RunEnded, SessionStatus


async def test_a_resume_that_continues_the_body_runs_it_again(autojump_clock: MockClock) -> None:
    world = World(recipe(TWO))
    await world.run((0.5, graceful()))
    ended = await world.run()
    assert ended.status is SessionStatus.COMPLETED
    assert began(world) == ["b", "~finally/f", "~finally/g"]
    assert world.finished("~finally/f").value == "completed"


async def test_a_resume_that_is_stopped_at_once_does_not(autojump_clock: MockClock) -> None:
    world = World(recipe(TWO))
    await world.run((0.5, graceful()))
    for request in (graceful(), immediate()):
        assert (await world.run((0, request))).status is SessionStatus.CANCELLED
        assert (began(world), told(world)) == ([], [])


async def killed(world: World, after: float) -> None:
    """Run, and break off without a trace, as ``kill -9`` does."""
    engine = world.prepare()
    kept: list[Any] = []

    async def doomed() -> None:
        await engine.run()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(doomed)
        await trio.sleep(after)
        kept += world.log.events
        world.engine.driver.run.tree.forcible.force()
        nursery.cancel_scope.cancel()
    world.log.events[:] = kept


async def test_a_crash_inside_repeats_only_what_had_not_finished(autojump_clock: MockClock) -> None:
    world = World(recipe(TWO))
    await killed(world, 3.5)
    ended = await world.run()
    assert ended.status is SessionStatus.COMPLETED
    assert began(world) == ["~finally/g"]


LEVELS = """
stages:
- name: one
  finally: [{id: f, type: bash, command: "{{_outcome}}"}]
  steps:
  - {id: call, type: recipe, recipe: sub}
finally: [{id: f, type: bash, command: "{{_outcome}}"}]
"""


@pytest.mark.parametrize("request_", [graceful, immediate])
async def test_what_a_crash_left_is_cleaned_up_though_the_resume_is_stopped_at_once(
    autojump_clock: MockClock, request_: Any
) -> None:
    world = World(recipe(LEVELS), {}, {"sub": SUB})
    await killed(world, 0.5)
    ended = await world.run((0, request_()))
    assert ended.status is SessionStatus.CANCELLED
    places = ["one/call/~finally", "one/~finally", "~finally"]
    assert told(world) == [(place, "cancelled") for place in places]
    assert began(world) == [f"{place}/f" for place in places]


async def finish(world: World, *requests: Any) -> RunEnded:
    """The finisher's run."""
    engine = world.prepare()
    engine.driver.run.finishing = True
    engine.driver.run.gates.asks = False
    for request in requests:
        engine.deliver(request)
    return world.end(await engine.run())


@pytest.mark.parametrize("request_", [graceful, immediate])
async def test_a_run_that_only_finishes_runs_what_is_due_and_nothing_else(
    autojump_clock: MockClock, request_: Any
) -> None:
    world = World(recipe(LEVELS), {}, {"sub": SUB})
    await killed(world, 0.5)
    ended = await finish(world, request_())
    assert ended.status is SessionStatus.CANCELLED
    assert told(world) == [(place, "cancelled") for place in ("one/call/~finally", "one/~finally", "~finally")]
    assert all("~finally" in path for path in began(world))
    assert (await world.run()).status is SessionStatus.COMPLETED
    assert began(world)[0] == "one/call/a"
    assert [outcome for _, outcome in told(world)] == ["completed"] * 3


async def test_a_paused_session_that_is_finished_cleans_up_what_had_begun(autojump_clock: MockClock) -> None:
    world = World(recipe(STAGES))
    await world.run()
    ended = await finish(world, graceful())
    assert ended.status is SessionStatus.CANCELLED
    assert told(world) == [("~finally", "cancelled")]


async def test_a_body_that_had_failed_is_not_told_as_cancelled_when_it_is_finished(autojump_clock: MockClock) -> None:
    world = World(recipe(TWO), {"a": fails()})
    await killed(world, 2.5)
    assert told(world) == [("~finally", "failed")]
    await finish(world, graceful())
    assert told(world) == [("~finally", "failed")]
    assert began(world) == ["~finally/g"]
