"""``finally`` in a live run: it runs however the work ended, nothing reaches it but its limit and a forced stop."""

import time
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.runtime.cleanups import LOOP, STAGES, SUB, TWO, began, nested, told
from tests.runtime.harness import World, fails, graceful, immediate, recipe, takes
from trio_recipes.events import ScopeStatus, SessionStatus, Source
from trio_recipes.failure import FailureKind
from trio_recipes.runtime.ports import LeafCall, Reply

# --- when it runs ------------------------------------------------------------------------------------------------


async def test_after_completion(autojump_clock: MockClock) -> None:
    world = World(recipe(TWO))
    ended = await world.run()
    assert ended.status is SessionStatus.COMPLETED
    assert began(world) == ["a", "b", "~finally/f", "~finally/g"]
    assert world.finished("~finally/f").value == "completed"


async def test_after_failure(autojump_clock: MockClock) -> None:
    world = World(recipe(TWO), {"a": fails()})
    ended = await world.run()
    assert ended.failure is not None
    assert (ended.status, ended.failure.path) == (SessionStatus.FAILED, "a")
    assert began(world) == ["a", "~finally/f", "~finally/g"]
    assert world.finished("~finally/f").value == "failed"


@pytest.mark.parametrize("request_", [graceful, immediate])
async def test_after_cancellation(autojump_clock: MockClock, request_: Any) -> None:
    world = World(recipe(TWO))
    ended = await world.run((0.5, request_()))
    assert ended.status is SessionStatus.CANCELLED
    assert began(world) == ["a", "~finally/f", "~finally/g"]
    assert told(world) == [("~finally", "cancelled")]
    assert world.finished("~finally").status is ScopeStatus.COMPLETED


async def test_after_the_end_of_a_grace_period(autojump_clock: MockClock) -> None:
    world = World(recipe(TWO), {"a": takes(100)})
    ended = await world.run((1, graceful(grace=5, requested_at=time.time_ns() // 1000)))
    assert ended.cancellation is not None
    assert ended.cancellation.source is Source.DEADLINE
    assert told(world) == [("~finally", "cancelled")]


async def test_after_a_timeout_of_the_step_around(autojump_clock: MockClock) -> None:
    root, subs = nested(", timeout: 5")
    world = World(root, {"call/a": takes(100)}, subs)
    ended = await world.run()
    assert ended.failure is not None
    assert ended.failure.kind is FailureKind.TIMEOUT
    assert told(world) == [("call/~finally", "failed"), ("~finally", "failed")]


async def test_a_timeout_during_a_graceful_stop_is_told_as_what_the_step_ends_as(autojump_clock: MockClock) -> None:
    root, subs = nested(", timeout: 5")
    world = World(root, {"call/a": takes(100)}, subs)
    ended = await world.run((1, graceful()))
    assert ended.status is SessionStatus.CANCELLED
    assert told(world) == [("call/~finally", "cancelled"), ("~finally", "cancelled")]


async def test_a_timeout_does_not_count_the_clean_up(autojump_clock: MockClock) -> None:
    root, subs = nested(", timeout: 5")
    world = World(root, {"call/a": takes(4), "call/~finally/f": takes(10)}, subs)
    ended = await world.run()
    assert ended.status is SessionStatus.COMPLETED
    assert world.finished("call").status is ScopeStatus.COMPLETED


@pytest.mark.parametrize("body", ["steps", "sub"])
async def test_after_a_siblings_failure(autojump_clock: MockClock, body: str) -> None:
    loop = LOOP % ("true", "fail")
    if body == "sub":
        loop = loop.partition("  steps:")[0] + "  type: recipe\n  recipe: sub\n"
    world = World(recipe(loop), {"loop[0]/a": fails(seconds=0.5), "loop[1]/a": takes(20)}, {"sub": SUB})
    ended = await world.run()
    assert ended.status is SessionStatus.FAILED
    assert {outcome for _, outcome in told(world)} == {"failed"}
    assert {"loop/~finally[0]", "loop/~finally[1]"} <= {path for path, _ in told(world)}


async def test_after_the_hosts_cancellation(autojump_clock: MockClock) -> None:
    root, subs = nested()
    world = World(root, {}, subs)
    ended = await world.run_in_host(0.5)
    assert ended.status is SessionStatus.CANCELLED
    assert told(world) == [("call/~finally", "cancelled"), ("~finally", "cancelled")]
    assert began(world) == ["call/a", "call/~finally/f", "~finally/f"]


async def test_after_a_part_was_stopped(autojump_clock: MockClock) -> None:
    root, subs = nested(", on_error: continue")
    world = World(root, {}, subs)
    ended = await world.run((0.5, immediate("call")))
    assert ended.status is SessionStatus.COMPLETED
    assert told(world) == [("call/~finally", "cancelled"), ("~finally", "completed")]


async def test_a_loop_over_recipes_runs_both_its_own_and_theirs(autojump_clock: MockClock) -> None:
    loop = (LOOP % ("false", "fail")).partition("  steps:")[0] + "  type: recipe\n  recipe: sub\n"
    world = World(recipe(loop), {}, {"sub": SUB})
    await world.run()
    places = ["loop[0]/~finally", "loop/~finally[0]", "loop[1]/~finally", "loop/~finally[1]"]
    assert told(world) == [(place, "completed") for place in places]


async def test_nothing_outvotes_the_cancellation_around_it(autojump_clock: MockClock) -> None:
    root, subs = nested(", retry: {max_attempts: 3}, on_error: continue, timeout: 50")
    world = World(root, {"f": fails()}, subs)
    ended = await world.run((0.5, immediate()))
    assert ended.status is SessionStatus.CANCELLED
    assert began(world) == ["call/a", "call/~finally/f", "~finally/f"]


# --- when it does not --------------------------------------------------------------------------------------------


async def test_not_for_a_body_that_never_began(autojump_clock: MockClock) -> None:
    world = World(recipe(TWO))
    await world.run((0, graceful()))
    assert (began(world), told(world)) == ([], [])
    world = World(recipe(LOOP % ("false", "fail")))
    await world.run((0.5, graceful()))
    assert told(world) == [("loop/~finally[0]", "cancelled")]


async def test_not_for_a_host_that_is_cancelled_already(autojump_clock: MockClock) -> None:
    world = World(recipe(TWO))
    await world.run_in_host(0)
    assert (began(world), told(world)) == ([], [])


async def test_not_at_a_pause(autojump_clock: MockClock) -> None:
    world = World(recipe(STAGES))
    ended = await world.run()
    assert ended.status is SessionStatus.PAUSED
    assert told(world) == [("one/~finally", "completed")]


# --- what ends it early ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", [{}, {"a": fails()}], ids=["completed", "failed"])
async def test_its_limit_ends_it_and_the_run_ends(autojump_clock: MockClock, script: Any) -> None:
    world = World(recipe(TWO + "cleanup_timeout: 7"), {"f": takes(1000), **script})
    start = trio.current_time()
    ended = await world.run()
    assert trio.current_time() - start <= 9 + 1e-3
    assert ended.failure is not None
    assert ended.status is SessionStatus.FAILED
    assert (ended.failure.kind is FailureKind.TIMEOUT) == (not script)
    assert world.finished("~finally").status is ScopeStatus.CANCELLED


async def test_its_limit_holds_in_a_cancelled_run(autojump_clock: MockClock) -> None:
    world = World(recipe(TWO + "cleanup_timeout: 7"), {"f": takes(1000)})
    start = trio.current_time()
    ended = await world.run((0.5, immediate()))
    assert trio.current_time() - start == pytest.approx(7.5)
    assert ended.status is SessionStatus.CANCELLED


@pytest.mark.parametrize(
    "requests", [[(2.5, graceful())], [(2.5, immediate())], [(0.5, graceful()), (2.5, immediate())]]
)
async def test_no_request_reaches_it(autojump_clock: MockClock, requests: Any) -> None:
    world = World(recipe(TWO), {"f": takes(10)})
    ended = await world.run(*requests)
    completed = len(requests) == 1
    assert ended.status is (SessionStatus.COMPLETED if completed else SessionStatus.CANCELLED)
    assert world.finished("~finally").status is ScopeStatus.COMPLETED
    assert began(world)[-2:] == ["~finally/f", "~finally/g"]


async def test_no_request_reaches_that_of_a_sub_recipe_either(autojump_clock: MockClock) -> None:
    root, subs = nested()
    world = World(root, {"call/~finally/f": takes(10)}, subs)
    ended = await world.run((2, immediate()))
    assert ended.status is SessionStatus.CANCELLED
    assert world.finished("call").status is ScopeStatus.COMPLETED
    assert ended.current_step == "b"
    assert told(world) == [("call/~finally", "completed"), ("~finally", "cancelled")]


async def test_a_back_off_inside_is_not_cut_short(autojump_clock: MockClock) -> None:
    slow = "{id: f, type: bash, command: F, retry: {max_attempts: 2, initial_delay: 10}}"
    world = World(recipe(f"steps: [{{id: a, type: bash, command: A}}]\nfinally: [{slow}]"), {"f": fails(1)})
    start = trio.current_time()
    ended = await world.run((3, graceful()))
    assert ended.status is SessionStatus.COMPLETED
    assert trio.current_time() - start == pytest.approx(13)


@pytest.mark.parametrize("moment", [2.5, 0.5], ids=["completed body", "cancelled body"])
async def test_a_forced_stop_drops_it(autojump_clock: MockClock, moment: float) -> None:
    world = World(recipe(TWO), {"f": takes(20)})
    engine = world.prepare()
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.deliver_after, moment, immediate())
        nursery.start_soon(_force, world, 5)
        ended = await engine.run()
    world.end(ended)
    assert trio.current_time() - start == pytest.approx(5)
    assert (ended.status, ended.failure) == (SessionStatus.CANCELLED, None)
    assert world.finished("~finally").status is ScopeStatus.CANCELLED


async def _force(world: World, after: float) -> None:
    await trio.sleep(after)
    world.engine.deliver(immediate(), forced=True)


async def test_a_forced_stop_is_never_a_handled_failure(autojump_clock: MockClock) -> None:
    root, subs = nested(", on_error: continue")
    world = World(root, {"call/~finally/f": takes(20)}, subs)
    engine = world.prepare()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.deliver_after, 2, immediate())
        nursery.start_soon(_force, world, 3)
        ended = await engine.run()
    world.end(ended)
    assert world.finished("call").status is ScopeStatus.CANCELLED
    world.script = {}
    assert (await world.run()).status is SessionStatus.COMPLETED
    assert began(world) == ["call/~finally/f", "b", "~finally/f"]


@pytest.mark.parametrize("at", ["~finally", "~finally/f"])
async def test_somebody_may_stop_it_by_its_name(autojump_clock: MockClock, at: str) -> None:
    world = World(recipe(TWO), {"f": takes(20)})
    ended = await world.run((3, immediate(at)))
    assert ended.failure is not None
    assert (ended.failure.kind, ended.failure.path) == (FailureKind.CANCELLED, at)


# --- when it fails -----------------------------------------------------------------------------------------------


async def test_its_failure_fails_a_body_that_had_completed(autojump_clock: MockClock) -> None:
    world = World(recipe(TWO), {"f": fails()})
    ended = await world.run()
    assert ended.failure is not None
    assert (ended.status, ended.failure.path) == (SessionStatus.FAILED, "~finally/f")
    assert began(world) == ["a", "b", "~finally/f"]


async def test_its_failure_is_repaired_by_a_resume(autojump_clock: MockClock) -> None:
    world = World(recipe(TWO), {"g": fails()})
    await world.run()
    world.script = {}
    ended = await world.run()
    assert ended.status is SessionStatus.COMPLETED
    assert began(world) == ["~finally/g"]


async def test_its_failure_does_not_hide_how_the_body_ended(autojump_clock: MockClock) -> None:
    world = World(recipe(TWO), {"f": fails()})
    assert (await world.run((0.5, graceful()))).status is SessionStatus.CANCELLED
    world = World(recipe(TWO), {"a": fails(), "f": fails()})
    ended = await world.run()
    assert ended.failure is not None
    assert ended.failure.path == "a"


@pytest.mark.parametrize("parallel", ["true", "false"])
async def test_on_error_handles_it_for_its_pass(autojump_clock: MockClock, parallel: str) -> None:
    world = World(recipe(LOOP % (parallel, "continue")), {"loop/~finally[0]/f": fails()})
    ended = await world.run()
    assert ended.status is SessionStatus.COMPLETED
    assert world.finished("loop[1]").status is ScopeStatus.COMPLETED
    before = world.statuses()
    assert (await world.run()).status is SessionStatus.COMPLETED
    assert (began(world), world.statuses()) == ([], before)


async def test_a_recipe_steps_on_error_handles_it(autojump_clock: MockClock) -> None:
    root, subs = nested(", on_error: continue")
    world = World(root, {"call/~finally/f": fails()}, subs)
    assert (await world.run()).status is SessionStatus.COMPLETED
    assert world.finished("call").handled


async def test_it_belongs_to_the_body_so_it_runs_at_the_end_of_each_attempt(autojump_clock: MockClock) -> None:
    root, subs = nested(", retry: {max_attempts: 2, initial_delay: 1}")
    attempts = iter([fails(), takes(1)])

    async def once(call: LeafCall) -> Reply:
        return await next(attempts)(call)

    world = World(root, {"call/a": once}, subs)
    assert (await world.run()).status is SessionStatus.COMPLETED
    outcomes = [("call/~finally", "failed"), ("call/~finally", "completed"), ("~finally", "completed")]
    assert told(world) == outcomes
    assert began(world) == ["call/a", "call/~finally/f"] * 2 + ["b", "~finally/f"]
