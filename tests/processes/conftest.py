"""Every test gets a runner of its own, and must leave no process of it behind."""

from collections.abc import Callable, Iterator

import pytest

from tests.processes.helpers import Lab, marked_pids, unique_runner
from trio_recipes.processes import ProcessTrees
from trio_recipes.processes.platform import Linux, LinuxWithoutPidfd, Platform, Portable


@pytest.fixture
def runner_id() -> Iterator[str]:
    runner = unique_runner()
    yield runner
    assert marked_pids(runner) == [], "processes of this test are still alive"


@pytest.fixture
def lab(runner_id: str) -> Lab:
    return Lab(ProcessTrees(runner_id))


PLATFORMS: list[Callable[[], Platform]] = [Linux, LinuxWithoutPidfd, Portable]


@pytest.fixture(params=PLATFORMS, ids=lambda kind: kind.__name__)
def any_lab(request: pytest.FixtureRequest, runner_id: str) -> Lab:
    """A lab on each platform in turn: what holds everywhere, if the processes stay in their group."""
    return Lab(ProcessTrees(runner_id, platform=request.param()))
