"""The ladder's table: levels only rise, the deadline only comes forward, the first cause stays."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_recipes.processes.ladder import MOVES, Event, Ladder, Level

moves = st.lists(st.tuples(st.sampled_from(Event), st.floats(0, 100), st.floats(0, 60), st.sampled_from(["a", "b"])))


def walk(steps: list[tuple[Event, float, float, str]]) -> list[Ladder]:
    ladders, now = [Ladder()], 0.0
    for event, delay, grace, cause in steps:
        now += delay
        if event in MOVES[ladders[-1].level]:
            ladders.append(ladders[-1].after(event, now=now, grace=grace, cause=cause))
    return ladders


@given(moves)
def test_levels_rise_and_deadlines_come_forward(steps: list[tuple[Event, float, float, str]]) -> None:
    for before, after in pairwise(walk(steps)):
        assert after.level >= before.level
        assert after.deadline <= before.deadline
        assert before.cause in (None, after.cause)


def test_every_level_says_what_the_events_do() -> None:
    assert set(MOVES) == set(Level)
    for level, events in MOVES.items():
        assert all(target >= level for target in events.values())
        assert events[Event.TREE_GONE] is Level.REAPED
        assert events[Event.LEADER_GONE] is level, "the end of the leader ends nobody's grace"


def test_a_later_stop_brings_the_deadline_forward_and_never_back() -> None:
    first = Ladder().after(Event.STOP, now=10, grace=5, cause="timeout")
    assert first == Ladder(Level.TERMINATING, 15, "timeout")
    assert first.after(Event.STOP, now=11, grace=60, cause="cancelled") == first
    assert first.after(Event.STOP, now=11, grace=1, cause="cancelled") == Ladder(Level.TERMINATING, 12, "timeout")


def test_force_kills_now_or_as_soon_as_there_is_a_stop() -> None:
    stopped = Ladder().after(Event.STOP, now=0, grace=60)
    assert stopped.after(Event.FORCE, now=1).level is Level.KILLING
    impatient = Ladder().after(Event.FORCE, now=1)
    assert impatient == Ladder(Level.RUNNING, 1)
    assert impatient.after(Event.STOP, now=2, grace=60).deadline == 1


def test_what_cannot_happen_is_an_error() -> None:
    with pytest.raises(KeyError):
        Ladder().after(Event.DEADLINE, now=0)
    assert Ladder().deadline == math.inf
