"""Stopping: graceful, immediate, with grace, from above, at a part, by the host; nothing swallows it."""

import time

import pytest
import trio
from trio.testing import MockClock

from tests.runtime.harness import World, fails, graceful, immediate, recipe, swallows, takes
from trio_recipes.events import AttemptStarted, CancelRequested, Level, ScopeStatus, SessionStatus, Source
from trio_recipes.failure import FailureKind

THREE = """
steps:
- {id: a, type: bash, command: A, output: a}
- {id: b, type: bash, command: B, output: b}
- {id: c, type: bash, command: C, output: c}
"""

PARALLEL = """
steps:
- {id: scan, type: bash, command: "{{item}}", foreach: "{{items}}", parallel: %s, on_error: %s, collect: found}
- {id: after, type: bash, command: "{{found}}", output: after}
"""
HEAD = "context: {items: [x, y, z]}"


async def test_graceful_lets_the_step_in_flight_finish_and_starts_nothing_new(autojump_clock: MockClock) -> None:
    world = World(recipe(THREE))
    ended = await world.run((1.5, graceful()))
    assert (ended.status, ended.current_step) == (SessionStatus.CANCELLED, "c")
    assert world.statuses() == {"": "cancelled", "a": "completed", "b": "completed"}
    assert trio.current_time() == pytest.approx(2)


async def test_immediate_ends_the_step_in_flight_now(autojump_clock: MockClock) -> None:
    world = World(recipe(THREE))
    start = trio.current_time()
    ended = await world.run((1.5, immediate(reason="enough", requester="me")))
    assert ended.current_step == "b"
    assert world.statuses() == {"": "cancelled", "a": "completed", "b": "cancelled"}
    assert trio.current_time() - start == pytest.approx(1.5)
    assert world.finished("b").cancellation == immediate(reason="enough", requester="me")


async def test_a_graceful_request_that_finds_nothing_left_ends_completed(autojump_clock: MockClock) -> None:
    world = World(recipe(THREE))
    ended = await world.run((2.5, graceful()))
    assert ended.status is SessionStatus.COMPLETED


async def test_grace_becomes_immediate_at_the_deadline(autojump_clock: MockClock) -> None:
    world = World(recipe(THREE), {"a": takes(100)})
    start = trio.current_time()
    ended = await world.run((1, graceful(grace=5, requested_at=time.time_ns() // 1000)))
    assert trio.current_time() - start == pytest.approx(6, abs=0.2)
    assert ended.cancellation is not None
    assert (ended.cancellation.level, ended.cancellation.source) == (Level.IMMEDIATE, Source.DEADLINE)


async def test_a_second_grace_only_moves_the_deadline_earlier(autojump_clock: MockClock) -> None:
    world = World(recipe(THREE), {"a": takes(100)})
    start, asked = trio.current_time(), time.time_ns() // 1000
    await world.run((1, graceful(grace=50, requested_at=asked)), (2, graceful(grace=3, requested_at=asked)))
    assert trio.current_time() - start == pytest.approx(5, abs=0.2)


async def test_the_grace_of_a_part_that_has_ended_does_nothing(autojump_clock: MockClock) -> None:
    world = World(recipe(THREE), {"c": takes(100)})
    await world.run((0.5, graceful("a", grace=5, requested_at=time.time_ns() // 1000)))
    assert len(world.of(CancelRequested)) == 1


async def test_a_request_from_before_the_start_is_honoured_before_the_first_step(autojump_clock: MockClock) -> None:
    world = World(recipe(THREE))
    ended = await world.run((0, graceful()))
    assert (ended.status, ended.current_step) == (SessionStatus.CANCELLED, None)
    assert world.leaves.begun == []


async def test_levels_only_rise(autojump_clock: MockClock) -> None:
    world = World(recipe(THREE), {"a": takes(100)})
    ended = await world.run((1, immediate(reason="first")), (1, graceful(reason="second")))
    assert ended.cancellation is not None
    assert ended.cancellation.reason == "first"


async def test_back_off_is_no_work_and_ends_at_once(autojump_clock: MockClock) -> None:
    body = "steps:\n- {id: a, type: bash, command: A, retry: {max_attempts: 5, initial_delay: 100}}"
    world = World(recipe(body), {"a": fails()})
    start = trio.current_time()
    ended = await world.run((3, graceful()))
    assert trio.current_time() - start == pytest.approx(3)
    assert ended.status is SessionStatus.CANCELLED
    assert world.finished("a").status is ScopeStatus.CANCELLED


# --- a part ------------------------------------------------------------------------------------------------------


async def test_a_part_that_is_cancelled_fails_its_step_and_the_recipe(autojump_clock: MockClock) -> None:
    world = World(recipe(THREE))
    ended = await world.run((1.5, immediate("b", reason="wrong file")))
    assert ended.status is SessionStatus.FAILED
    assert ended.failure is not None
    assert (ended.failure.kind, ended.failure.path) == (FailureKind.CANCELLED, "b")
    assert "wrong file" in ended.failure.message


@pytest.mark.parametrize("level", [graceful, immediate])
async def test_on_error_continue_handles_a_cancelled_part_for_good(autojump_clock: MockClock, level: type) -> None:
    body = PARALLEL % ("true", "continue")
    world = World(recipe(body, head=HEAD), {"scan[1]": takes(50)})
    ended = await world.run((0.5, immediate("scan[1]")))
    assert ended.status is SessionStatus.COMPLETED
    assert world.variables["found"] == ["x", None, "z"]
    assert world.finished("scan[1]").handled


async def test_on_error_skip_remaining_ends_the_recipe_as_completed(autojump_clock: MockClock) -> None:
    body = THREE.replace("command: B,", "command: B, on_error: skip_remaining,")
    world = World(recipe(body))
    ended = await world.run((1.5, immediate("b")))
    assert ended.status is SessionStatus.COMPLETED
    assert "c" not in world.statuses()


async def test_a_part_graceful_finishes_its_leaf_and_leaves_the_rest_alone(autojump_clock: MockClock) -> None:
    body = """
steps:
- id: loop
  foreach: "{{items}}"
  on_error: continue
  collect: found
  steps:
  - {id: one, type: bash, command: "{{item}}1"}
  - {id: two, type: bash, command: "{{item}}2"}
- {id: after, type: bash, command: done, output: after}
"""
    world = World(recipe(body, head=HEAD))
    await world.run((0.5, graceful("loop[0]")))
    assert world.variables["found"] == [None, "y2", "z2"]
    assert world.finished("loop[0]/one").status is ScopeStatus.COMPLETED
    assert world.variables["after"] == "done"


async def test_a_part_that_has_not_begun_is_held_and_born_cancelled(autojump_clock: MockClock) -> None:
    world = World(recipe(THREE.replace("command: C,", "command: C, on_error: continue,")))
    await world.run((0.5, immediate("c")))
    assert "c" not in [path for _, path in world.leaves.begun]
    assert world.finished("c").handled


async def test_a_part_stays_cancelled_when_a_retry_around_it_comes_to_it_again(autojump_clock: MockClock) -> None:
    body = """
steps:
- id: loop
  foreach: "{{items}}"
  retry: {max_attempts: 2, initial_delay: 1}
  steps:
  - {id: a, type: bash, command: a, on_error: continue}
  - {id: b, type: bash, command: b}
"""
    world = World(recipe(body, head=HEAD), {"b": fails(seconds=1)}, default=takes(1))
    await world.run((0.5, immediate("loop[0]/a")))
    begun = [path for _, path in world.leaves.begun]
    assert begun == ["loop[0]/a", "loop[0]/b", "loop[0]/b"]


async def test_a_part_that_has_ended_is_not_held_for_ever(autojump_clock: MockClock) -> None:
    world = World(recipe(THREE))
    await world.run((1.5, immediate("a")))
    assert world.engine.driver.run.tree.held == {}


async def test_a_part_that_an_earlier_run_finished_has_ended(autojump_clock: MockClock) -> None:
    world = World(recipe(THREE))
    await world.run((1.5, immediate()))
    engine = world.prepare()
    assert engine.has_ended("a")
    assert not engine.has_ended("b")


async def test_a_part_that_is_stopped_while_everything_stops_is_not_handled(autojump_clock: MockClock) -> None:
    world = World(recipe(THREE.replace("command: B,", "command: B, on_error: continue,")))
    await world.run((1.2, graceful()), (1.5, immediate("b")))
    assert world.finished("b").status is ScopeStatus.CANCELLED
    await world.run()
    assert world.variables["b"] == "B"


async def test_what_runs_under_a_cancelled_part_belongs_to_a_person_not_to_retry(autojump_clock: MockClock) -> None:
    body = "steps:\n- {id: a, type: bash, command: A, retry: {max_attempts: 3}, on_error: continue, timeout: 20}"
    world = World(recipe(body), {"a": takes(10)})
    ended = await world.run((0.5, immediate("a")))
    assert ended.status is SessionStatus.COMPLETED
    assert world.of(AttemptStarted) == []


async def test_a_request_with_grace_when_the_work_is_over_has_nothing_to_wait_for(autojump_clock: MockClock) -> None:
    """Between the end of the work and that of its run: there the runner was ended by an error of ours."""
    world = World(recipe(THREE))
    await world.run()
    world.engine.deliver(graceful(grace=5.0))
    assert [event.cancellation.grace for event in world.of(CancelRequested)] == [5.0]


# --- what must not swallow it ------------------------------------------------------------------------------------

STUBBORN = [
    "- {id: a, type: bash, command: A, on_error: continue}\n- {id: b, type: bash, command: B}",
    "- {id: a, type: bash, command: A, on_error: skip_remaining}\n- {id: b, type: bash, command: B}",
    "- {id: a, type: bash, command: A, retry: {max_attempts: 5, initial_delay: 1}, on_error: continue}",
    "- {id: a, type: bash, command: A, timeout: 3, on_error: continue, retry: {max_attempts: 2}}",
    '- {id: l, type: bash, command: A, foreach: "{{items}}", parallel: true, on_error: continue}',
    '- {id: l, foreach: "{{items}}", on_error: continue, retry: {max_attempts: 3}, timeout: 9,'
    " steps: [{id: a, type: bash, command: A}]}",
    "- {id: w, while_condition: 'true', max_while_iterations: 5, on_error: continue, type: bash, command: A}",
    "- {id: s, type: recipe, recipe: sub, on_error: continue, retry: {max_attempts: 3}, timeout: 9}",
]


@pytest.mark.parametrize("bad", [takes(100), swallows()], ids=["plain", "swallowing"])
@pytest.mark.parametrize("steps", STUBBORN)
async def test_nothing_swallows_an_immediate_cancellation(autojump_clock: MockClock, steps: str, bad: object) -> None:
    sub = recipe("steps:\n- {id: a, type: bash, command: A}", "sub")
    world = World(recipe(f"steps:\n{steps}", head=HEAD), {"a": bad, "l": bad, "w": bad}, {"sub": sub})  # type: ignore[dict-item]
    start = trio.current_time()
    ended = await world.run((2, immediate()))
    assert ended.status is SessionStatus.CANCELLED
    assert trio.current_time() - start == pytest.approx(2)
    assert set(world.statuses().values()) == {"cancelled"}
    assert world.of(AttemptStarted) == []


@pytest.mark.parametrize("steps", STUBBORN)
async def test_nothing_swallows_the_hosts_cancellation(autojump_clock: MockClock, steps: str) -> None:
    sub = recipe("steps:\n- {id: a, type: bash, command: A}", "sub")
    script = dict.fromkeys("alw", swallows())
    world = World(recipe(f"steps:\n{steps}", head=HEAD), script, {"sub": sub})
    ended = await world.run_in_host(2)
    assert ended.status is SessionStatus.CANCELLED
    assert ended.cancellation is not None
    assert (ended.cancellation.level, ended.cancellation.source) == (Level.IMMEDIATE, Source.HOST)
    assert set(world.statuses().values()) == {"cancelled"}


async def test_the_hosts_cancellation_during_a_graceful_stop_is_recorded_as_immediate(
    autojump_clock: MockClock,
) -> None:
    world = World(recipe(THREE), {"a": takes(100)})
    ended = await world.run_in_host(2, (1, graceful()))
    assert ended.cancellation is not None
    assert ended.cancellation.source is Source.HOST


async def test_a_host_that_is_cancelled_already_starts_no_leaf(autojump_clock: MockClock) -> None:
    world = World(recipe(THREE))
    ended = await world.run_in_host(0)
    assert world.leaves.begun == []
    assert ended.status is SessionStatus.CANCELLED


async def test_a_leaf_with_a_nursery_of_its_own_is_recorded_as_cancelled(autojump_clock: MockClock) -> None:
    async def act(_call: object) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(trio.sleep_forever)

    world = World(recipe(THREE), {"a": act})  # type: ignore[dict-item]
    ended = await world.run((1, immediate()))
    assert ended.status is SessionStatus.CANCELLED
    assert world.finished("a").status is ScopeStatus.CANCELLED


async def test_an_error_in_a_leafs_clean_up_does_not_outvote_the_cancellation(autojump_clock: MockClock) -> None:
    async def bad() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("while cleaning up")

    async def act(_call: object) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(bad)

    world = World(recipe(THREE), {"a": act})  # type: ignore[dict-item]
    ended = await world.run((1, immediate()))
    assert ended.status is SessionStatus.CANCELLED


async def test_a_parallel_loop_that_was_cut_by_graceful_is_not_completed_by_skip_remaining(
    autojump_clock: MockClock,
) -> None:
    body = """
steps:
- id: loop
  foreach: "{{items}}"
  parallel: true
  on_error: skip_remaining
  steps:
  - {id: one, type: bash, command: "{{item}}"}
  - {id: two, type: bash, command: "{{item}}"}
"""
    world = World(recipe(body, head=HEAD), {"loop[0]/one": fails(seconds=0.1)})
    ended = await world.run((0.5, graceful()))
    assert ended.status is SessionStatus.CANCELLED
