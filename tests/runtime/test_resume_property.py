"""Random recipes, stopped at random moments at random levels and places, then resumed: nothing is lost or repeated."""

from typing import Any

import trio
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.runtime.harness import World, fails, graceful, immediate, runs_of, takes
from trio_recipes.events import Cancellation, Event, RunEnded, SessionStatus
from trio_recipes.language.load import parse_recipe
from trio_recipes.language.model import Recipe

ON_ERROR = st.sampled_from(["fail", "continue", "continue", "skip_remaining"])
STEP = "s{}"


@st.composite
def steps(draw: st.DrawFn, depth: int, subs: list[str], counter: list[int]) -> list[dict[str, Any]]:
    """Steps of every kind; ``counter`` makes ids (and outputs) unique in their recipe."""
    return [draw(_step(depth, subs, counter)) for _ in range(draw(st.integers(1, 3)))]


@st.composite
def _step(draw: st.DrawFn, depth: int, subs: list[str], counter: list[int]) -> dict[str, Any]:
    counter[0] += 1
    name = STEP.format(counter[0])
    step: dict[str, Any] = {"id": name, "on_error": draw(ON_ERROR)}
    kind = draw(st.sampled_from(["bash", "bash", "recipe", "foreach", "parallel", "while"] if depth else ["bash"]))
    if kind == "bash" or (kind == "recipe" and not subs):
        step |= {"type": "bash", "command": f"{name} {{{{_skipped_steps}}}} {{{{mark}}}}", "output": "mark"}
        if draw(st.integers(0, 4)) == 0:
            step["condition"] = "1 == 2"
        if draw(st.integers(0, 3)) == 0:
            step["retry"] = {"max_attempts": 2, "initial_delay": 3, "backoff": "linear"}
        return step
    if kind == "recipe":
        return step | {"type": "recipe", "recipe": draw(st.sampled_from(subs)), "output": f"out_{name}"}
    step["collect"] = f"all_{name}"
    if kind == "while":
        step |= {
            "while_condition": "{{_skipped_steps}} == x or 1 == 1",
            "max_while_iterations": draw(st.integers(1, 2)),
        }
    else:
        step["foreach"] = "{{items}}"
        step["as"] = draw(st.sampled_from(["item", "mark"]))
        if kind == "parallel":
            step["parallel"] = draw(st.sampled_from([True, 2]))
    if draw(st.integers(0, 3)) == 0:
        step["timeout"] = draw(st.integers(2, 9))
    if draw(st.integers(0, 3)) == 0:
        step["retry"] = {"max_attempts": 2, "initial_delay": 2, "backoff": "linear"}
    return step | {"steps": draw(steps(depth - 1, subs, counter))}


def document(name: str, body: list[dict[str, Any]]) -> Recipe:
    head = {"name": name, "description": "d", "version": "1.0.0", "context": {"items": ["x", "y", "z"], "mark": "m"}}
    return parse_recipe(yaml.safe_dump(head | {"steps": body}, sort_keys=False))


@st.composite
def recipes(draw: st.DrawFn) -> dict[str, Recipe]:
    """A root that may call ``one``, which may call ``two``."""
    two = document("two", draw(steps(1, [], [0])))
    one = document("one", draw(steps(1, ["two"], [0])))
    root = document("root", draw(steps(2, ["one", "two"], [0])))
    return {"root": root, "one": one, "two": two}


FAILING = st.sets(st.sampled_from([STEP.format(n) for n in range(1, 7)]), max_size=2)
LEVEL = st.sampled_from([graceful, immediate])
REQUEST = st.tuples(st.floats(0, 40), LEVEL)


def world(known: dict[str, Recipe], failing: set[str]) -> World:
    return World(known["root"], {name: fails(seconds=1.3) for name in failing}, known, default=takes(1))


def in_virtual_time(work: Any, *args: Any) -> Any:
    return trio.run(work, *args, clock=MockClock(autojump_threshold=0))


async def run_once(world: World, *requests: Any) -> RunEnded:
    return await world.run(*requests)


async def run_cancelled_at(world: World, number: int, cancellation: Cancellation) -> RunEnded:
    """One more run, with a request that arrives when the ``number``-th of its events has been emitted."""
    engine, before, token = world.prepare(), len(world.log.events), trio.lowlevel.current_trio_token()
    ends: list[RunEnded] = []

    def deliver() -> None:
        if not ends:
            engine.deliver(cancellation)

    def look(_event: Event) -> None:
        if len(world.log.events) == before + number:
            token.run_sync_soon(deliver)  # between two steps of the loop, as requests arrive

    world.log.on_emit = look
    ends.append(await engine.run())
    world.log.on_emit = lambda _event: None
    return world.end(ends[0])


def _finished_leaves(world: World) -> set[str]:
    """What a resume must not run again: steps that completed, or failed and were handled."""
    records = world.progress.records.values()
    return {record.path for record in records if record.kind == "bash" and world.progress.finished(record.path)}


def outcome(world: World, ended: RunEnded) -> tuple[Any, ...]:
    failure = ended.failure and (ended.failure.kind, ended.failure.path, ended.failure.message)
    variables = {name: value for name, value in world.variables.items() if name not in {"step", "session"}}
    return ended.status, failure, variables


@given(recipes(), FAILING, st.lists(REQUEST, min_size=1, max_size=3))
def test_a_run_that_was_stopped_and_resumed_ends_as_one_that_was_not(
    known: dict[str, Recipe], failing: set[str], moments: list[tuple[float, Any]]
) -> None:
    whole = world(known, failing)
    expected = outcome(whole, in_virtual_time(run_once, whole))
    stopped = world(known, failing)
    for after, level in moments:
        ended = in_virtual_time(run_once, stopped, (after, level()))
        if ended.status is not SessionStatus.CANCELLED:
            break
    else:
        ended = in_virtual_time(run_once, stopped)
    if not timed(known):
        assert ended.status is expected[0]
        if ended.status is SessionStatus.COMPLETED:
            assert outcome(stopped, ended) == expected
            assert stopped.statuses() == whole.statuses() or races(known)


@given(recipes(), FAILING, st.lists(st.tuples(st.floats(0, 1), LEVEL), min_size=1, max_size=3))
def test_a_run_that_was_cancelled_at_any_event_and_resumed_ends_as_one_that_was_not(
    known: dict[str, Recipe], failing: set[str], moments: list[tuple[float, Any]]
) -> None:
    assume(not timed(known))
    whole = world(known, failing)
    expected = outcome(whole, in_virtual_time(run_once, whole))
    stopped, events = world(known, failing), len(whole.log.events)
    for share, level in moments:
        ended = in_virtual_time(run_cancelled_at, stopped, 1 + int(share * events), level())
        if ended.status is not SessionStatus.CANCELLED:
            break
    else:
        ended = in_virtual_time(run_once, stopped)
    assert ended.status is expected[0]
    if ended.status is SessionStatus.COMPLETED:
        assert outcome(stopped, ended) == expected
        assert stopped.statuses() == whole.statuses() or races(known)


@given(recipes(), FAILING, st.lists(st.floats(0, 1), min_size=1, max_size=3))
def test_a_run_that_crashed_at_any_event_and_was_resumed_ends_as_one_that_did_not(
    known: dict[str, Recipe], failing: set[str], crashes: list[float]
) -> None:
    """What a crash leaves is the events up to some commit: any first part of them, from the run's own first on."""
    assume(not timed(known))
    whole = world(known, failing)
    expected = outcome(whole, in_virtual_time(run_once, whole))
    crashed, begin, ended = whole, 1, None
    for share in crashes:
        events = crashed.log.events
        upto = begin + int(share * (len(events) - 1 - begin))  # the run's end has not been recorded
        crashed, begin = world(known, failing), upto + 1
        crashed.log.events, crashed.log.run = events[:upto], events[upto - 1].run
        finished = _finished_leaves(crashed)
        ended = in_virtual_time(run_once, crashed)
        assert not finished & {path for _, path in crashed.leaves.begun}
    assert ended is not None
    assert ended.status is expected[0]
    if ended.status is SessionStatus.COMPLETED:
        assert outcome(crashed, ended) == expected
        assert crashed.statuses() == whole.statuses() or races(known)


@given(recipes(), FAILING)
def test_replaying_what_is_finished_gives_what_the_live_run_gave(known: dict[str, Recipe], failing: set[str]) -> None:
    live = world(known, failing)
    first = in_virtual_time(run_once, live)
    variables = dict(live.variables)
    if first.status is not SessionStatus.COMPLETED:
        return
    again = in_virtual_time(run_once, live)
    assert live.leaves.begun == []
    assert (again.status, live.variables) == (first.status, variables)


@given(recipes(), FAILING, st.floats(0, 40), st.sampled_from([graceful, immediate]), st.data())
def test_a_part_can_be_stopped_at_any_moment(
    known: dict[str, Recipe], failing: set[str], after: float, level: Any, data: st.DataObject
) -> None:
    paths = sorted(_paths(known, failing))
    at = data.draw(st.sampled_from(paths)) if paths else "s1"
    stopped = world(known, failing)
    ended = in_virtual_time(run_once, stopped, (after, level(at)))
    assert ended.status in (SessionStatus.COMPLETED, SessionStatus.FAILED)
    if ended.status is SessionStatus.COMPLETED:
        variables = dict(stopped.variables)
        in_virtual_time(run_once, stopped)
        assert (stopped.leaves.begun, stopped.variables) == ([], variables)


@given(recipes(), st.lists(REQUEST, min_size=1, max_size=3))
def test_no_leaf_that_completed_runs_twice(known: dict[str, Recipe], moments: list[tuple[float, Any]]) -> None:
    stopped = world({name: without_retries(known[name]) for name in known}, set())
    for after, level in moments:
        in_virtual_time(run_once, stopped, (after, level()))
    in_virtual_time(run_once, stopped)
    assert all(count == 1 for count in runs_of(stopped).values())


def _paths(known: dict[str, Recipe], failing: set[str]) -> set[str]:
    whole = world(known, failing)
    in_virtual_time(run_once, whole)
    return set(whole.statuses()) - {""}


def timed(known: dict[str, Recipe]) -> bool:
    """Whether time decides anything: a pass that is stopped has its whole time-out again."""
    return any(step.timeout for recipe in known.values() for step in recipe.all_steps() if step.kind != "bash")


def races(known: dict[str, Recipe]) -> bool:
    """Whether passes side by side race: one that ends by ``skip_remaining`` keeps those from beginning that have not.

    A run that was stopped in between and resumed finds that end at once, before it begins the others again.
    """
    return any(
        "skip_remaining" in yaml.safe_dump(step.get("steps", []))
        for recipe in known.values()
        for step in _blocks(yaml.safe_load(recipe.text)["steps"])
        if step.get("parallel")
    )


def _blocks(body: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [found for step in body for found in (step, *_blocks(step.get("steps", [])))]


def without_retries(recipe: Recipe) -> Recipe:
    data = yaml.safe_load(recipe.text)

    def strip(body: list[dict[str, Any]]) -> None:
        for step in body:
            step.pop("retry", None)
            step.pop("timeout", None)
            strip(step.get("steps", []))

    strip(data["steps"])
    return parse_recipe(yaml.safe_dump(data, sort_keys=False))
