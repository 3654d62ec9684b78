"""Tests of an asyncio application that runs recipes; they need pytest-asyncio. Try: pytest embed_pytest.py.

A fixture holds the runtime, for one test or for a module of them; agents answer from a script.
"""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from trio_recipes import SessionStatus
from trio_recipes.integrations.asyncio import Runtime, open_runtime
from trio_recipes.testing import ScriptedAgent, assert_no_survivors

RECIPE = """\
name: ask-and-wait
description: Asks an agent, then waits
version: 1.0.0
context: {seconds: 0}
steps:
  - {id: ask, agent: expert, prompt: "What is it?", output: answer}
  - {id: wait, type: bash, command: "sleep {{seconds}}"}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe to test with."""
    file = tmp_path / "recipe.yaml"
    file.write_text(RECIPE)
    return file


@pytest_asyncio.fixture
async def runtime(tmp_path: Path) -> AsyncGenerator[Runtime]:
    """A runtime for one test, with a store of its own. What a test leaves running is stopped at its end."""
    agents = ScriptedAgent(default="forty-two")
    async with open_runtime(store=f"sqlite://{tmp_path}/store", project=tmp_path, agents=agents) as opened:
        yield opened
        opened.cancel_all("the test is over")


@pytest.mark.asyncio
async def test_the_agent_is_asked(runtime: Runtime, recipe: Path) -> None:
    """A session from its beginning to its end."""
    assert (await runtime.run(recipe))["answer"] == "forty-two"


@pytest.mark.asyncio
async def test_a_time_limit_stops_the_session(runtime: Runtime, recipe: Path) -> None:
    """When the limit has ended, nothing of the session runs any more."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await runtime.run(recipe, {"seconds": 60})
    ((session_id, _),) = await runtime.list()
    assert (await runtime.result(session_id)).status is SessionStatus.CANCELLED
    assert_no_survivors(session_id)


@pytest.mark.asyncio
async def test_what_is_left_running_does_not_hold_up_the_suite(runtime: Runtime, recipe: Path) -> None:
    """The fixture stops it."""
    session = await runtime.start(recipe, {"seconds": 60})
    assert session.status is SessionStatus.RUNNING


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Runtime]:
    """A runtime for the tests of a module, which then share its loop, too."""
    folder = tmp_path_factory.mktemp("shared")
    agents = ScriptedAgent(default="forty-three")
    async with open_runtime(store=f"sqlite://{folder}/store", project=folder, agents=agents) as opened:
        yield opened


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("turn", [1, 2])
async def test_one_runtime_for_many(shared: Runtime, recipe: Path, turn: int) -> None:
    """Its sessions add up."""
    assert (await shared.run(recipe))["answer"] == "forty-three"
    assert len(await shared.list()) == turn
