"""``schedule: graph``: order by need, at most so many at once, effects merged so that timing makes no difference."""

from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.runtime.harness import World, fails, graceful, immediate, recipe, takes
from trio_recipes.events import Cancellation, ScopeStatus, SessionStatus, Source

HEAD = "schedule: graph"

DIAMOND = """
steps:
- {id: a, type: bash, command: A, output: a}
- {id: b, type: bash, depends_on: [a], command: "B{{a}}", output: b}
- {id: c, type: bash, depends_on: [a], command: "C{{a}}", output: c}
- {id: d, type: bash, depends_on: [b, c], command: "{{a}}{{b}}{{c}}", output: d}
"""


async def test_steps_run_as_soon_as_what_they_need_has_finished(autojump_clock: MockClock) -> None:
    world = World(recipe(DIAMOND, head=HEAD), {"b": takes(5)})
    start = trio.current_time()
    await world.run()
    assert [path for _, path in world.leaves.begun] == ["a", "b", "c", "d"]
    assert world.leaves.returned == ["a", "c", "b", "d"]
    assert trio.current_time() - start == pytest.approx(1 + 5 + 1)
    assert world.variables["d"] == "ABACA"


async def test_at_most_max_parallel_steps_run_at_once(autojump_clock: MockClock) -> None:
    steps = "\n".join(f"- {{id: s{n}, type: bash, command: x}}" for n in range(6))
    world = World(recipe(f"steps:\n{steps}", head=f"{HEAD}\nmax_parallel_steps: 2"))
    start = trio.current_time()
    await world.run()
    assert trio.current_time() - start == pytest.approx(3)


async def test_effects_merge_in_document_order_whichever_ends_first(autojump_clock: MockClock) -> None:
    body = """
steps:
- {id: slow, type: bash, command: first, output: x}
- {id: quick, type: bash, command: second, output: x}
- {id: last, type: bash, depends_on: [slow, quick], command: "{{x}}", output: seen}
"""
    world = World(recipe(body, head=HEAD), {"slow": takes(9)})
    await world.run()
    assert (world.variables["x"], world.variables["seen"]) == ("second", "second")


async def test_a_skipped_step_counts_as_finished(autojump_clock: MockClock) -> None:
    body = """
steps:
- {id: never, type: bash, condition: "1 == 2", command: x}
- {id: then, type: bash, depends_on: [never], command: y, output: z}
"""
    world = World(recipe(body, head=HEAD))
    await world.run()
    assert world.variables["z"] == "y"
    assert world.variables["_skipped_steps"] == ["never"]


async def test_a_failure_stops_the_others_and_starts_nothing(autojump_clock: MockClock) -> None:
    world = World(recipe(DIAMOND, head=HEAD), {"b": fails(seconds=1), "c": takes(50)})
    ended = await world.run()
    assert ended.status is SessionStatus.FAILED
    stopped = world.finished("c")
    assert stopped.cancellation is not None
    assert stopped.cancellation.source is Source.SIBLING_FAILURE
    assert "d" not in world.statuses()


async def test_skip_remaining_lets_steps_in_flight_finish(autojump_clock: MockClock) -> None:
    body = DIAMOND.replace('depends_on: [a], command: "B', 'on_error: skip_remaining, depends_on: [a], command: "B')
    world = World(recipe(body, head=HEAD), {"b": fails(seconds=1), "c": takes(5)})
    ended = await world.run()
    assert ended.status is SessionStatus.COMPLETED
    assert world.statuses()["c"] == ScopeStatus.COMPLETED
    assert "d" not in world.statuses()


async def test_graceful_starts_nothing_new(autojump_clock: MockClock) -> None:
    world = World(recipe(DIAMOND, head=HEAD), {"b": takes(5)})
    ended = await world.run((2.5, graceful()))
    assert (ended.status, ended.current_step) == (SessionStatus.CANCELLED, "d")
    assert world.statuses()["b"] == ScopeStatus.COMPLETED


@given(
    needs=st.lists(st.sets(st.integers(0, 6)), min_size=2, max_size=7),
    seconds=st.lists(st.integers(1, 5), min_size=7, max_size=7),
    when=st.floats(0.1, 20),
    now=st.booleans(),
)
@settings(max_examples=30)
def test_a_stopped_and_resumed_graph_gives_what_an_uninterrupted_one_gives(
    needs: list[set[int]], seconds: list[int], when: float, now: bool
) -> None:
    body = "steps:\n" + "\n".join(_step(index, {n for n in own if n < index}) for index, own in enumerate(needs))
    script: dict[str, Any] = {f"s{index}": takes(seconds[index]) for index in range(len(needs))}
    whole, cut = World(recipe(body, head=HEAD), script), World(recipe(body, head=HEAD), script)
    request = (when, immediate() if now else graceful())
    trio.run(_run_and_resume, whole, cut, request, clock=MockClock(autojump_threshold=0))
    assert cut.variables == whole.variables


async def _run_and_resume(whole: World, cut: World, request: tuple[float, Cancellation]) -> None:
    await whole.run()
    ended = await cut.run(request)
    first = set(cut.leaves.returned)
    if ended.status is SessionStatus.CANCELLED:
        await cut.run()
        assert not first & {path for _, path in cut.leaves.begun}, "a finished step ran again"


def _step(index: int, needs: set[int]) -> str:
    reads = "".join(f"{{{{s{n}}}}}" for n in sorted(needs))
    wanted = ", ".join(f"s{n}" for n in sorted(needs))
    return f'- {{id: s{index}, type: bash, depends_on: [{wanted}], command: "{index}{reads}", output: s{index}}}'
