"""Gates in a live run: who is waited for, when the run pauses, and what a decision does while others still work."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.runtime.harness import World, fails, graceful, immediate, recipe, takes
from trio_recipes.events import ApprovalDecided, ApprovalRequested, ApprovalWithdrawn, SessionStatus
from trio_recipes.failure import FailureKind

SUB = recipe(
    """
stages:
- name: make
  steps: [{id: work, type: bash, command: "{{item}}"}]
  approval: {required: true, prompt: "Ship {{item}}?"}
- name: ship
  steps: [{id: send, type: bash, command: "sent {{item}}"}]
""",
    "sub",
    "context: {item: x}",
)


def loop(more: str = "") -> World:
    """Iteration 0 of a parallel loop asks after a second, iteration 1 after five."""
    body = f"""
steps:
- {{id: each, type: recipe, recipe: sub, foreach: "{{{{items}}}}", parallel: true,
   context: {{item: "{{{{item}}}}"}}{more}}}
- {{id: last, type: bash, command: last}}
"""
    script = {"each[1]/make/work": takes(5)}
    return World(recipe(body, head="context: {items: [a, b]}"), script, {"sub": SUB})


def decide(world: World, path: str, approved: bool = True) -> bool:
    return world.engine.driver.run.gates.decide(ApprovalDecided(path=path, approved=approved, by="ada", via="user"))


async def run_with(world: World, *acts: tuple[float, Any]) -> Any:
    """One run, with something done at some seconds of virtual time."""

    async def act(after: float, what: Any) -> None:
        await trio.sleep(after)
        what()

    async with trio.open_nursery() as nursery:
        for after, what in acts:
            nursery.start_soon(act, after, what)
        ended = await world.run()
        nursery.cancel_scope.cancel()
    return ended


async def test_a_run_pauses_when_nothing_else_goes_on(autojump_clock: MockClock) -> None:
    world = loop()
    ended = await world.run()
    assert (ended.status, ended.current_step) == (SessionStatus.PAUSED, "each[0]/make")
    assert trio.current_time() == pytest.approx(5, abs=0.1)
    assert [event.path for event in world.of(ApprovalRequested)] == ["each[0]/make", "each[1]/make"]


async def test_a_decision_takes_effect_while_others_work(autojump_clock: MockClock) -> None:
    world = loop()
    ended = await run_with(world, (2, lambda: decide(world, "each[0]/make")))
    assert "each[0]/ship/send" in world.leaves.returned
    assert ended.current_step == "each[1]/make"


async def test_the_last_decision_of_all_lets_it_complete_without_a_pause(autojump_clock: MockClock) -> None:
    world = loop()
    world.script = {"each[1]/make/work": takes(5), "each[0]/ship/send": takes(10)}
    acts = [(2, lambda: decide(world, "each[0]/make")), (7, lambda: decide(world, "each[1]/make"))]
    assert (await run_with(world, *acts)).status is SessionStatus.COMPLETED


async def test_a_denial_stops_the_others_at_once(autojump_clock: MockClock) -> None:
    world = loop()
    ended = await run_with(world, (2, lambda: decide(world, "each[0]/make", approved=False)))
    assert ended.status is SessionStatus.DENIED
    assert trio.current_time() < 3
    assert "each[1]/make/work" not in world.leaves.returned


async def test_a_resume_asks_nothing_twice_and_goes_on_where_it_paused(autojump_clock: MockClock) -> None:
    world = loop()
    await world.run()
    assert (await world.run()).status is SessionStatus.PAUSED
    assert world.of(ApprovalRequested) == []
    world.log.emit(ApprovalDecided(path="each[1]/make", approved=True))
    ended = await world.run()
    assert ended.current_step == "each[0]/make"
    assert [path for _, path in world.leaves.begun] == ["each[1]/ship/send"]
    world.log.emit(ApprovalDecided(path="each[0]/make", approved=True))
    assert (await world.run()).status is SessionStatus.COMPLETED
    assert [path for _, path in world.leaves.begun] == ["each[0]/ship/send", "last"]


async def test_a_run_that_stays_waits_for_as_long_as_it_takes(autojump_clock: MockClock) -> None:
    world = loop()
    acts = [(1000, lambda: decide(world, "each[0]/make")), (2000, lambda: decide(world, "each[1]/make"))]

    def stay() -> None:
        world.engine.driver.run.gates.stays = True

    assert (await run_with(world, (0, stay), *acts)).status is SessionStatus.COMPLETED


async def test_a_limited_loop_comes_to_all_its_gates(autojump_clock: MockClock) -> None:
    world = loop().recipe.text.replace("parallel: true", "parallel: 2").replace("[a, b]", "[a, b, c, d, e]")
    limited = World(recipe(world.partition("version: 1.0.0")[2]), {}, {"sub": SUB})
    assert (await limited.run()).status is SessionStatus.PAUSED
    assert len(limited.of(ApprovalRequested)) == 5


@pytest.mark.parametrize("request_", [graceful, immediate])
async def test_a_cancel_ends_the_waiting_and_withdraws_the_question(request_: Any, autojump_clock: MockClock) -> None:
    world = loop()
    ended = await world.run((2, request_()))
    assert ended.status is SessionStatus.CANCELLED
    assert [event.path for event in world.of(ApprovalWithdrawn)][:1] == ["each[0]/make"]
    assert world.progress.gates == {}
    assert (await world.run()).status is SessionStatus.PAUSED
    assert len(world.of(ApprovalRequested)) == 2


async def test_a_cancelled_run_keeps_the_decision_that_came_before(autojump_clock: MockClock) -> None:
    world = loop()
    world.script = {"each[1]/make/work": takes(5), "each[0]/ship/send": takes(5)}
    await run_with(
        world,
        (2, lambda: decide(world, "each[0]/make")),
        (3, lambda: world.engine.deliver(immediate())),
    )
    await world.run()
    assert [event.path for event in world.of(ApprovalRequested)] == ["each[1]/make"]


async def test_a_part_that_waits_at_a_gate_can_be_cancelled(autojump_clock: MockClock) -> None:
    world = loop(", on_error: continue")
    ended = await world.run((2, immediate("each[0]")))
    assert ended.current_step == "each[1]/make"
    assert world.finished("each[0]").handled


async def test_a_failure_beside_it_withdraws_the_question(autojump_clock: MockClock) -> None:
    world = loop()
    world.script = {"each[1]/make/work": fails(seconds=5)}
    ended = await world.run()
    assert ended.status is SessionStatus.FAILED
    assert [event.path for event in world.of(ApprovalWithdrawn)] == ["each[0]/make"]
    assert not decide(world, "each[0]/make")


RETRIED = "steps:\n- {id: outer, type: recipe, recipe: middle, retry: {max_attempts: 2, initial_delay: 3}}"


async def test_another_attempt_asks_anew(autojump_clock: MockClock) -> None:
    known = {"middle": loop().recipe, "sub": SUB}
    world = World(recipe(RETRIED), {"outer/each[1]/make/work": _second_time(takes(5))}, known)
    ended = await world.run()
    asked = [event.path for event in world.of(ApprovalRequested)]
    assert asked == ["outer/each[0]/make", "outer/each[0]/make", "outer/each[1]/make"]
    assert len(world.of(ApprovalWithdrawn)) == 1
    assert ended.current_step == "outer/each[0]/make"
    assert len(world.progress.open_gates) == 2


def _second_time(then: Any) -> Any:
    """Fails once, whichever attempt of the parent it belongs to."""
    calls = []

    async def act(call: Any) -> Any:
        calls.append(call)
        return await (fails(seconds=2) if len(calls) == 1 else then)(call)

    return act


async def test_a_timeout_stands_still_while_a_person_is_asked(autojump_clock: MockClock) -> None:
    world = loop(", timeout: 3")
    world.script = {"each[1]/make/work": takes(1), "each[1]/ship/send": takes(1), "last": takes(1)}

    def stay() -> None:
        world.engine.driver.run.gates.stays = True

    acts = [(500, lambda: decide(world, "each[0]/make")), (900, lambda: decide(world, "each[1]/make"))]
    assert (await run_with(world, (0, stay), *acts)).status is SessionStatus.COMPLETED


async def test_a_timeout_goes_on_where_it_stood(autojump_clock: MockClock) -> None:
    world = loop(", timeout: 3")
    world.script = {"each[0]/ship/send": takes(2.5), "each[1]/make/work": takes(1)}

    def stay() -> None:
        world.engine.driver.run.gates.stays = True

    ended = await run_with(world, (0, stay), (500, lambda: decide(world, "each[0]/make")))
    assert ended.failure is not None
    assert ended.failure.kind is FailureKind.TIMEOUT
    assert trio.current_time() == pytest.approx(502, abs=0.5)


async def test_a_run_that_was_asked_to_stop_asks_nobody(autojump_clock: MockClock) -> None:
    world = loop()
    ended = await world.run((0.5, graceful()))
    assert ended.status is SessionStatus.CANCELLED
    assert world.of(ApprovalRequested) == []
