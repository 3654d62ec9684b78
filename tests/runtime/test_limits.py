"""Pacing of agent steps, and the deadline of a tree."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.runtime.harness import World, graceful, recipe, takes
from trio_recipes.events import SessionStatus, Source
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.language.model import Backoff
from trio_recipes.progress.outcome import completed, failed
from trio_recipes.runtime.limits import Pacer, Slowdown
from trio_recipes.runtime.ports import LeafCall, Reply
from trio_recipes.runtime.scope import Scope, ScopeTree

AGENTS = """
steps:
- {id: ask, agent: x, prompt: p, foreach: "{{n}}", parallel: true}
"""
HEAD = "context: {n: [1, 2, 3, 4]}\nrate_limiting: {%s}"


async def answers(_call: LeafCall) -> Reply:
    await trio.sleep(1)
    return Reply(value="answer")


def paced(rules: str) -> World:
    world = World(recipe(AGENTS, head=HEAD % rules), {"ask": answers})
    engine = world.prepare()
    limits = world.recipe.rate_limiting
    assert limits is not None
    engine.driver.run.pacer = Pacer.of(limits)
    return world


async def timed(world: World) -> float:
    start = trio.current_time()
    await world.engine.run()
    return trio.current_time() - start


async def test_at_most_so_many_agents_are_asked_at_once(autojump_clock: MockClock) -> None:
    assert await timed(paced("max_concurrent_llm: 2")) == pytest.approx(2)


async def test_min_delay_keeps_a_gap_after_each_completion(autojump_clock: MockClock) -> None:
    assert await timed(paced("max_concurrent_llm: 1, min_delay_ms: 500")) == pytest.approx(4 + 3 * 0.5)


async def test_a_429_slows_the_next_ones_down(autojump_clock: MockClock) -> None:
    world = paced("max_concurrent_llm: 1, backoff: {initial_delay_ms: 2000}")
    calls: list[float] = []

    async def limited_once(_call: LeafCall) -> Reply:  # noqa: ASYNC124  its place is async
        calls.append(trio.current_time())
        first = len(calls) == 1
        return Reply(value="x", failure=Failure(FailureKind.RATE_LIMIT, "429") if first else None)

    world.leaves.script = {"ask": limited_once}
    await world.engine.run()
    assert len(calls) == 1, "a failed iteration stops the loop"
    pacer = world.engine.driver.run.pacer
    assert pacer is not None
    assert pacer.slowdown.seconds == 2


async def test_graceful_ends_the_wait_for_a_slot_at_once(autojump_clock: MockClock) -> None:
    world = paced("max_concurrent_llm: 1")
    world.leaves.script = {"ask": takes_as_agent(100)}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.engine.run)
        await trio.sleep(1)
        world.engine.deliver(graceful())
        await trio.testing.wait_all_tasks_blocked()
        assert len(world.leaves.running) == 1
        assert len(world.engine.driver.run.tree.open) == 3, "the session, the loop and the iteration in hand"


def takes_as_agent(seconds: float):  # type: ignore[no-untyped-def]
    async def act(_call: LeafCall) -> Reply:
        await trio.sleep(seconds)
        return Reply(value="late")

    return act


@given(st.lists(st.booleans(), max_size=40))
def test_the_slowdown_stays_within_its_bounds_and_ends(answers: list[bool]) -> None:
    rules = Backoff(initial_delay_ms=1000, max_delay_ms=8000, reset_after_success=2)
    slowdown = Slowdown(rules)
    for limited in answers:
        slowdown.limited() if limited else slowdown.succeeded()
        assert slowdown.seconds in (0, 1, 2, 4, 8)
    slowdown.succeeded()
    slowdown.succeeded()
    assert slowdown.seconds == 0


def test_only_rate_limits_slow_down() -> None:
    pacer = Pacer.of(recipe(AGENTS, head=HEAD % "min_delay_ms: 1").rate_limiting)  # type: ignore[arg-type]
    pacer.note(failed(Failure(FailureKind.BACKEND, "500")))
    assert pacer.slowdown.seconds == 0
    pacer.note(failed(Failure(FailureKind.RATE_LIMIT, "429")))
    assert pacer.slowdown.seconds == 1
    for _ in range(3):
        pacer.note(completed("x"))
    assert pacer.slowdown.seconds == 0


@pytest.mark.parametrize(
    ("asked", "enabled", "waits"), [(30, "true", 30), (600, "true", 60), (0, "true", 1), (30, "false", 0)]
)
async def test_all_wait_as_long_as_an_endpoint_asks(
    asked: float, enabled: str, waits: float, autojump_clock: MockClock
) -> None:
    began: list[float] = []

    async def limited_once(_call: LeafCall) -> Reply:
        began.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        limit = Failure(FailureKind.RATE_LIMIT, "429", retry_after=asked)
        return Reply(failure=limit) if len(began) == 1 else Reply(value="answer")

    world = World(
        recipe(
            "steps:\n- {id: ask, agent: x, prompt: p, on_error: continue}\n- {id: next, agent: x, prompt: p}",
            head=f"rate_limiting: {{backoff: {{enabled: {enabled}}}}}",
        ),
        {"ask": limited_once, "next": limited_once},
    )
    engine = world.prepare()
    assert world.recipe.rate_limiting is not None
    engine.driver.run.pacer = Pacer.of(world.recipe.rate_limiting)
    await engine.run()
    assert began[1] - began[0] == pytest.approx(waits)


async def test_a_graceful_stop_ends_the_wait_that_an_endpoint_asks_for(autojump_clock: MockClock) -> None:
    pacer = Pacer.of(recipe(AGENTS, head=HEAD % "min_delay_ms: 1").rate_limiting)  # type: ignore[arg-type]
    pacer.note(failed(Failure(FailureKind.RATE_LIMIT, "429", retry_after=50)))
    assert pacer.busy
    tree = ScopeTree()
    with Scope(tree, "ask", None) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_after, 10, scope)
            assert not await pacer.acquire(scope)
        assert trio.current_time() == pytest.approx(10)
    assert pacer.slots.borrowed_tokens == 0


async def stop_after(seconds: float, scope: Scope) -> None:
    await trio.sleep(seconds)
    scope.cancel(graceful())


async def test_a_deadline_is_a_graceful_stop_with_that_source(autojump_clock: MockClock) -> None:
    world = World(recipe("steps:\n- {id: a, type: bash, command: a}\n- {id: b, type: bash, command: b}"))
    engine = world.prepare()
    engine.deadline = 0.5
    world.end(ended := await engine.run())
    assert (ended.status, ended.current_step) == (SessionStatus.CANCELLED, "b")
    assert ended.cancellation is not None
    assert ended.cancellation.source is Source.DEADLINE
    assert world.statuses()["a"] == "completed"


async def test_steps_in_hand_at_a_deadline_get_a_grace_period(autojump_clock: MockClock) -> None:
    world = World(recipe("steps:\n- {id: a, type: bash, command: a}"), {"a": takes(1000)})
    engine = world.prepare()
    engine.deadline = 1
    start = trio.current_time()
    world.end(await engine.run())
    assert 5 < trio.current_time() - start < 15


async def test_running_time_is_counted_over_all_runs(autojump_clock: MockClock) -> None:
    world = World(recipe("steps:\n- {id: a, type: bash, command: a}\n- {id: b, type: bash, command: b}"))
    await world.run((0.5, graceful()))
    await trio.sleep(100)
    await world.run()
    assert world.progress.ran == pytest.approx(1_000_000)
