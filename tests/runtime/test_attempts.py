"""Attempts: time-outs of every kind of pass, retries and their back-off, failures as values."""

import pytest
import trio
from trio.testing import MockClock

from tests.runtime.harness import World, fails, graceful, immediate, recipe, swallows, takes
from trio_recipes.errors import StoreError, StoreWriteError, TemplateError
from trio_recipes.events import AttemptFailed, AttemptStarted, Event, ScopeFinished, ScopeStatus, SessionStatus, Waiting
from trio_recipes.failure import FailureKind
from trio_recipes.language.model import Retry
from trio_recipes.progress.record import Record
from trio_recipes.runtime.ports import Reply

HEAD = "context: {items: [x, y, z]}"
SUB = {"sub": recipe("steps:\n- {id: a, type: bash, command: A, output: a}", "sub")}

TIMED = {
    "leaf": "- {id: s, type: bash, command: A, timeout: 3%s}",
    "sub-recipe": "- {id: s, type: recipe, recipe: sub, timeout: 3%s}",
    "pass of a loop": '- {id: s, foreach: "{{items}}", timeout: 3, steps: [{id: a, type: bash, command: A}]%s}',
}


@pytest.mark.parametrize("bad", [takes(100), swallows()], ids=["plain", "swallowing"])
@pytest.mark.parametrize("kind", TIMED)
async def test_a_timeout_ends_one_pass_and_is_its_failure(autojump_clock: MockClock, kind: str, bad: object) -> None:
    world = World(recipe("steps:\n" + TIMED[kind] % "", head=HEAD), {"a": bad, "s": bad}, SUB)  # type: ignore[dict-item]
    start = trio.current_time()
    ended = await world.run()
    assert trio.current_time() - start == pytest.approx(3)
    assert ended.failure is not None
    assert ended.failure.kind is FailureKind.TIMEOUT
    assert "'s' timed out after 3 s" in ended.failure.message


@pytest.mark.parametrize("kind", TIMED)
async def test_a_timeout_is_retried(autojump_clock: MockClock, kind: str) -> None:
    body = "steps:\n" + TIMED[kind] % ", retry: {max_attempts: 3, initial_delay: 1}"
    world = World(recipe(body, head="context: {items: [x]}"), {"a": takes(100), "s": takes(100)}, SUB)
    start = trio.current_time()
    ended = await world.run()
    assert ended.status is SessionStatus.FAILED
    assert [event.attempt for event in world.of(AttemptStarted)] == [2, 3]
    assert trio.current_time() - start == pytest.approx(3 + 1 + 3 + 2 + 3)


def test_back_off_is_as_long_as_an_endpoint_asks_within_its_maximum() -> None:
    retry = Retry(max_attempts=5, initial_delay=4, max_delay=10)
    assert [retry.delay(1, at_least) for at_least in (0, 3, 7, 100)] == [4, 4, 7, 10]


async def test_back_off_doubles_up_to_its_maximum(autojump_clock: MockClock) -> None:
    body = "steps:\n- {id: a, type: bash, command: A, retry: {max_attempts: 5, initial_delay: 4, max_delay: 10}}"
    world = World(recipe(body), {"a": fails(4)})
    ended = await world.run()
    assert ended.status is SessionStatus.COMPLETED
    assert [event.seconds for event in world.of(Waiting)] == [4, 8, 10, 10]


async def test_the_record_counts_attempts_that_began(autojump_clock: MockClock) -> None:
    body = "steps:\n- {id: a, type: bash, command: A, retry: {max_attempts: 5, initial_delay: 50}}"
    world = World(recipe(body), {"a": fails()})
    seen: list[Record] = []

    def look(event: Event) -> None:
        if isinstance(event, Waiting):
            seen.append(world.progress.records["a"])

    world.log.on_emit = look
    await world.run((10, graceful()))
    assert [(record.attempts, record.failed_attempts) for record in seen] == [(1, 1)]
    assert world.progress.records["a"].attempts == 1


async def test_a_resume_goes_on_counting_where_a_back_off_was_stopped(autojump_clock: MockClock) -> None:
    body = "steps:\n- {id: a, type: bash, command: A, retry: {max_attempts: 3, initial_delay: 50, backoff: linear}}"
    world = World(recipe(body), {"a": fails()})
    await world.run((60, graceful()))  # two attempts have failed, at 1 s and at 52 s
    ended = await world.run()
    assert ended.failure is not None
    assert ended.failure.attempt == 3
    assert len(world.leaves.begun) == 1


async def test_a_cancelled_attempt_uses_up_nothing(autojump_clock: MockClock) -> None:
    body = "steps:\n- {id: a, type: bash, command: A, retry: {max_attempts: 2, initial_delay: 1}}"
    world = World(recipe(body), {"a": fails(1)})
    await world.run((0.5, immediate()))
    assert (await world.run()).status is SessionStatus.COMPLETED


async def test_a_failed_step_runs_again_with_fresh_attempts(autojump_clock: MockClock) -> None:
    body = "steps:\n- {id: a, type: bash, command: A, retry: {max_attempts: 2, initial_delay: 1}}"
    world = World(recipe(body), {"a": fails()})
    await world.run()
    await world.run()
    assert len(world.leaves.begun) == 2


async def test_fresh_attempts_are_counted_from_one_again(autojump_clock: MockClock) -> None:
    body = "steps:\n- {id: a, type: bash, command: A, retry: {max_attempts: 2, initial_delay: 50}}"
    world = World(recipe(body), {"a": fails()})
    await world.run()
    await world.run((10, graceful()))  # in the back-off after the first attempt of this run
    ended = await world.run()
    assert ended.failure is not None
    assert (len(world.leaves.begun), ended.failure.attempt) == (1, 2)


async def test_the_next_attempt_of_a_composite_starts_afresh(autojump_clock: MockClock) -> None:
    sub = recipe("steps:\n- {id: a, type: bash, command: A}\n- {id: b, type: bash, command: B, output: b}", "sub")
    body = "steps:\n- {id: s, type: recipe, recipe: sub, retry: {max_attempts: 2, initial_delay: 1}, output: s}"
    attempts = iter([fails(), takes(1)])

    async def second_time_lucky(call: object) -> object:
        return await next(attempts)(call)  # type: ignore[arg-type]

    world = World(recipe(body), {"b": second_time_lucky}, {"sub": sub})  # type: ignore[dict-item]
    await world.run()
    assert [path for _, path in world.leaves.begun] == ["s/a", "s/b", "s/a", "s/b"]
    assert world.variables["s"] == {"b": "B"}


async def test_what_a_failed_attempt_bound_is_put_back(autojump_clock: MockClock) -> None:
    body = """
steps:
- id: l
  foreach: "{{items}}"
  as: it
  timeout: 3
  retry: {max_attempts: 2, initial_delay: 1}
  steps:
  - {id: skipped, type: bash, command: A, condition: "1 == 2"}
  - {id: a, type: bash, command: "{{it}}", output: a}
  - {id: inner, type: bash, command: "{{inner_item}}", foreach: "{{items}}", as: inner_item}
- {id: after, type: bash, command: "{{it}}", output: after}
"""
    slow_once = iter([takes(100)])

    async def act(call: object) -> object:
        return await next(slow_once, takes(0.1))(call)  # type: ignore[arg-type]

    world = World(recipe(body, head="context: {items: [x], it: outer}"), {"inner": act})  # type: ignore[dict-item]
    await world.run()
    assert world.variables["after"] == "outer"
    assert "inner_item" not in world.variables
    assert world.variables["_skipped_steps"] == ["skipped"]


async def test_any_exception_of_a_leaf_is_a_failure_as_a_value(autojump_clock: MockClock) -> None:
    async def act(_call: object) -> object:  # noqa: ASYNC124  its place is async
        raise ZeroDivisionError("oops")

    world = World(recipe("steps:\n- {id: a, type: bash, command: A}"), {"a": act})  # type: ignore[dict-item]
    ended = await world.run()
    assert ended.failure is not None
    assert (ended.failure.cause, ended.failure.path) == ("ZeroDivisionError", "a")


async def test_a_template_error_of_a_leaf_is_not_retried(autojump_clock: MockClock) -> None:
    async def act(_call: object) -> object:  # noqa: ASYNC124  its place is async
        raise TemplateError("unknown name 'x'")

    body = "steps:\n- {id: a, type: bash, command: A, retry: {max_attempts: 3}}"
    world = World(recipe(body), {"a": act})  # type: ignore[dict-item]
    ended = await world.run()
    assert ended.failure is not None
    assert ended.failure.kind is FailureKind.TEMPLATE
    assert len(world.leaves.begun) == 1


async def test_a_group_of_a_leafs_own_nursery_is_a_failure_as_well(autojump_clock: MockClock) -> None:
    async def bad() -> None:  # noqa: ASYNC124  its place is async
        raise ZeroDivisionError("oops")

    async def act(_call: object) -> None:
        async with trio.open_nursery() as nursery:  # noqa: ASYNC112  what comes out of a nursery is the point
            nursery.start_soon(bad)

    world = World(recipe("steps:\n- {id: a, type: bash, command: A}"), {"a": act})  # type: ignore[dict-item]
    ended = await world.run()
    assert ended.failure is not None
    assert ended.status is SessionStatus.FAILED


async def test_a_log_that_fails_stops_the_run_without_a_claim(autojump_clock: MockClock) -> None:
    world = World(recipe("steps:\n- {id: a, type: bash, command: A, on_error: continue}"))
    engine = world.prepare()

    async def full() -> None:  # noqa: ASYNC124  its place is async
        raise StoreWriteError("disk full")

    world.log.commit = full
    with pytest.raises(StoreError, match="disk full"):
        await engine.run()


# --- parallel loops ----------------------------------------------------------------------------------------------

FAN = '- {id: l, type: bash, command: "{{item}}", foreach: "{{items}}", parallel: %s, collect: found%s}'


async def test_parallel_iterations_run_at_once_and_results_keep_the_input_order(autojump_clock: MockClock) -> None:
    script = {"l[0]": takes(3), "l[1]": takes(2), "l[2]": takes(1)}
    world = World(recipe("steps:\n" + FAN % ("true", ""), head=HEAD), script)
    start = trio.current_time()
    await world.run()
    assert trio.current_time() - start == pytest.approx(3)
    assert world.variables["found"] == ["x", "y", "z"]


async def test_a_limit_is_never_exceeded(autojump_clock: MockClock) -> None:
    world = World(recipe("steps:\n" + FAN % (2, ""), head="context: {items: [a, b, c, d, e]}"))
    most = 0

    async def act(call: object) -> object:
        nonlocal most
        most = max(most, len(world.leaves.running))
        return await takes(1)(call)  # type: ignore[arg-type]

    world.script = {"l": act}  # type: ignore[dict-item]
    await world.run()
    assert most == 2


async def test_the_first_failure_stops_the_siblings_and_is_the_loops(autojump_clock: MockClock) -> None:
    world = World(recipe("steps:\n" + FAN % ("true", ""), head=HEAD), {"l": takes(50), "l[1]": fails()})
    ended = await world.run()
    assert ended.failure is not None
    assert ended.failure.path == "l[1]"
    for sibling in ("l[0]", "l[2]"):
        finished = world.finished(sibling)
        assert finished.status is ScopeStatus.CANCELLED
        assert finished.cancellation is not None
        assert finished.cancellation.source == "sibling_failure"


async def test_a_failure_without_any_waiting_begins_no_sibling_that_has_not_begun(autojump_clock: MockClock) -> None:
    async def at_once(_call: object) -> object:  # noqa: ASYNC124  its place is async
        raise ZeroDivisionError

    body = "steps:\n" + FAN % (1000, "")
    world = World(recipe(body, head=f"context: {{items: {list('abcdefgh')}}}"), {"l": at_once})  # type: ignore[dict-item]

    async def at_hand() -> None:
        pass

    world.log.commit = at_hand
    await world.run()
    assert len(world.leaves.begun) == 1


async def test_break_when_counts_the_iterations_before_it(autojump_clock: MockClock) -> None:
    script = {"l[0]": takes(9), "l[1]": takes(1), "l[2]": takes(5)}
    body = "steps:\n" + FAN % (3, ", output: r, break_when: \"{{r}} == 'y'\"")
    world = World(recipe(body, head="context: {items: [x, y, z, n]}"), script)
    await world.run()
    assert world.variables["found"] == ["x", "y"]
    assert "l[3]" not in world.statuses()


async def test_a_graceful_stop_does_not_hide_iterations_that_are_finished(autojump_clock: MockClock) -> None:
    world = World(recipe("steps:\n" + FAN % (3, ""), head=HEAD), {"l[0]": takes(9), "l[1]": takes(1), "l[2]": takes(1)})
    await world.run((5, immediate()))
    ended = await world.run((1, graceful()))  # nothing is left to start
    assert ended.status is SessionStatus.COMPLETED
    assert world.variables["found"] == ["x", "y", "z"]


async def test_a_resume_takes_reused_agent_steps_from_the_budget_once(autojump_clock: MockClock) -> None:
    body = """
steps:
- {id: l, agent: a, prompt: p, foreach: "{{items}}", parallel: 1, collect: found}
- {id: p, agent: a, prompt: p, foreach: "{{items}}", parallel: 2, output: r, break_when: "true"}
- {id: last, agent: a, prompt: p}
"""
    head = "context: {items: [x, y, z]}\nrecursion: {max_total_steps: 6}"

    async def act(_call: object) -> object:
        await trio.sleep(1)
        return Reply(text="done")

    world = World(recipe(body, head=head), default=act)  # type: ignore[arg-type]
    ended = await world.run((4.5, immediate()))  # three, two of which one breaks the loop, and the last
    assert "p[2]" not in world.statuses()
    assert world.finished("last").status is ScopeStatus.CANCELLED
    ended = await world.run()
    assert ended.status is SessionStatus.COMPLETED


async def test_what_a_budget_refused_stays_refused(autojump_clock: MockClock) -> None:
    body = """
steps:
- {id: l, agent: a, prompt: p, foreach: "{{items}}", parallel: true, on_error: continue, collect: found}
- {id: last, type: bash, command: "{{found}}"}
"""
    head = "context: {items: [x, y, z, u, v]}\nrecursion: {max_total_steps: 2}"

    async def act(call: object) -> object:
        await trio.sleep(1)
        return Reply(value=call.path)  # type: ignore[attr-defined]

    world = World(recipe(body, head=head), {"l": act})  # type: ignore[dict-item]
    await world.run((1.5, immediate()))
    found = world.variables["found"]
    assert found == ["l[0]", "l[1]", None, None, None]
    await world.run()
    assert world.variables["found"] == found


# --- depth -------------------------------------------------------------------------------------------------------


def nest(levels: int, loops: int) -> dict[str, object]:
    """A chain of sub-recipes, each call inside ``loops`` nested loops."""
    recipes: dict[str, object] = {}
    for level in range(levels):
        call = f"{{id: s, type: recipe, recipe: r{level + 1}, context: {{items: [x]}}}}"
        if level == levels - 1:
            call = "{id: leaf, type: bash, command: A}"
        for n in range(loops):
            call = f'{{id: l{n}, foreach: "{{{{items}}}}", steps: [{call}]}}'
        recipes[f"r{level}"] = recipe(
            f"steps: [{call}]", f"r{level}", "context: {items: [x]}\nrecursion: {max_depth: 20}"
        )
    return recipes


@pytest.mark.parametrize(("levels", "loops"), [(20, 1), (20, 6), (1, 20)])
async def test_deep_nesting_is_cancelled_and_resumed(autojump_clock: MockClock, levels: int, loops: int) -> None:
    recipes = nest(levels, loops)
    world = World(recipes["r0"], recipes=recipes)  # type: ignore[arg-type]
    ended = await world.run((0.5, immediate()))
    assert ended.status is SessionStatus.CANCELLED
    assert len(world.of(ScopeFinished)) >= levels + 2 * loops * levels
    assert (await world.run()).status is SessionStatus.COMPLETED
    replayed = await world.run()
    assert replayed.status is SessionStatus.COMPLETED
    assert world.leaves.begun == []


async def test_each_failed_attempt_says_what_failed(autojump_clock: MockClock) -> None:
    body = "steps:\n- {id: a, type: bash, command: A, retry: {max_attempts: 2, initial_delay: 1}}"
    world = World(recipe(body), {"a": fails(1)})
    await world.run()
    (event,) = world.of(AttemptFailed)
    assert (event.failure.message, event.failure.attempt, event.delay) == ("attempt 1 failed", 1, 1)
