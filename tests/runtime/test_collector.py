"""Garbage is collected less often from a large parallel loop to the end of its run, and as before afterwards."""

import gc
from collections.abc import Generator

import pytest

from trio_recipes.runtime.collector import EACH, LARGE, MOST, SELDOM, Collector


@pytest.fixture(autouse=True)
def threshold() -> Generator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_only_large_loops_change_anything() -> None:
    collector = Collector()
    collector.expect(LARGE - 1)
    assert gc.get_threshold() == (700, 10, 10)
    collector.expect(LARGE)
    assert gc.get_threshold() == (SELDOM, 10, 10)
    collector.expect(LARGE)
    collector.release()
    assert gc.get_threshold() == (700, 10, 10)


def test_the_last_run_to_end_puts_things_back() -> None:
    first, second, idle = Collector(), Collector(), Collector()
    first.expect(LARGE)
    second.expect(LARGE)
    first.release()
    idle.release()
    assert gc.get_threshold() == (SELDOM, 10, 10)
    second.release()
    assert gc.get_threshold() == (700, 10, 10)


def test_the_larger_the_loop_the_less_often_up_to_a_limit() -> None:
    collector, other = Collector(), Collector()
    collector.expect(LARGE)
    other.expect(5_000)
    assert gc.get_threshold() == (5_000 * EACH, 10, 10)
    collector.expect(10**9)
    assert gc.get_threshold() == (MOST, 10, 10)
    other.expect(LARGE)
    other.release()
    assert gc.get_threshold() == (MOST, 10, 10)
    collector.release()
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("chosen", [0, SELDOM * 2])
def test_what_the_application_has_chosen_stays(chosen: int) -> None:
    gc.set_threshold(chosen, 10, 10)
    collector = Collector()
    collector.expect(LARGE)
    assert gc.get_threshold() == (chosen, 10, 10)
    collector.release()
    assert gc.get_threshold() == (chosen, 10, 10)


def test_what_the_application_chooses_meanwhile_stays() -> None:
    collector = Collector()
    collector.expect(LARGE)
    gc.set_threshold(5000, 5, 5)
    collector.expect(LARGE)
    collector.release()
    assert gc.get_threshold() == (5000, 5, 5)
