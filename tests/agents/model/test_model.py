"""Our backends and a real model: what it says is its business; that it answers, stops and is counted, ours.

The server has one slot: whether it stops generating when nobody listens shows in how soon it takes the next request.
llama.cpp's own server speaks both APIs, others only OpenAI's.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from tests.agents.http.asking import BACKENDS, until_it_says
from tests.frontends.running import write_recipe
from trio_recipes import Runtime, open_runtime
from trio_recipes.agents.http.connections import Connections
from trio_recipes.agents.http.endpoint import Endpoint
from trio_recipes.agents.http.settings import ModelSettings
from trio_recipes.events import AgentAnswered, AgentBrokeOff, Output

PATIENCE = 300
LONG = "Write a very long story about a frog. Do not stop."


@pytest.fixture(params=BACKENDS)
def asked(address: str, request: pytest.FixtureRequest) -> tuple[str, str]:
    """An API of the server, and its address."""
    if request.param == "anthropic" and httpx2.post(f"{address}/messages", json={}).status_code == 404:
        pytest.skip("this server does not speak Anthropic's API")
    return request.param, address


@asynccontextmanager
async def runtime(asked: tuple[str, str], folder: Path, **settings: Any) -> AsyncGenerator[tuple[Runtime, list[Any]]]:
    events: list[Any] = []
    dialect, address = asked
    async with Connections() as connections:
        (model, *_) = await BACKENDS[dialect](Endpoint(base_url=address)).connected(connections).models()
    backend = BACKENDS[dialect](Endpoint(base_url=address), ModelSettings(model=model, temperature=0, **settings))
    with trio.fail_after(PATIENCE):
        async with open_runtime(
            agents=backend, project=folder, store=str(folder / "store"), observe=lambda _, e: events.append(e.event)
        ) as made:
            yield made, events


def recipe(folder: Path, prompt: str, **more: Any) -> Path:
    fields = "".join(f", {name}: {value}" for name, value in more.items())
    return write_recipe(folder, f"- {{id: ask, agent: a, prompt: '{prompt}', output: said{fields}}}")


async def test_an_answer(asked: tuple[str, str], tmp_path: Path) -> None:
    async with runtime(asked, tmp_path, max_tokens=12) as (made, events):
        result = await (await made.start(recipe(tmp_path, "Say hello."))).wait()
    assert result.status == "completed", result.failure
    (answered,) = [event for event in events if isinstance(event, AgentAnswered)]
    assert 1 <= answered.usage["output_tokens"] <= 12
    assert answered.usage["input_tokens"] > 0
    assert answered.stop_reason in ("stop", "length", "end_turn", "max_tokens")
    assert "".join(each.data.decode() for each in events if isinstance(each, Output)) == result.context["said"]


async def test_immediate_stops_the_server_and_the_next_question_is_answered(
    asked: tuple[str, str], tmp_path: Path
) -> None:
    async with runtime(asked, tmp_path, max_tokens=1500) as (made, events):
        session = await made.start(recipe(tmp_path, LONG))
        await until_it_says(session)
        began = trio.current_time()
        session.cancel(immediate=True)
        assert (await session.wait()).status == "cancelled"
        stopped = trio.current_time()
        (broken,) = [event for event in events if isinstance(event, AgentBrokeOff)]
        assert broken.usage["output_tokens"] >= 1
        again = await (await made.start(recipe(tmp_path, "Say hello.", timeout=60))).wait()
        print(f"stopped after {stopped - began:.3f} s; the next answer took {trio.current_time() - stopped:.3f} s")  # noqa: T201
    assert again.status == "completed", again.failure


async def test_graceful_lets_it_say_all(asked: tuple[str, str], tmp_path: Path) -> None:
    async with runtime(asked, tmp_path, max_tokens=60) as (made, events):
        session = await made.start(recipe(tmp_path, LONG))
        await until_it_says(session)
        session.cancel()
        result = await session.wait()
    (answered,) = [event for event in events if isinstance(event, AgentAnswered)]
    assert answered.usage["output_tokens"] > 30
    assert result.context["said"]


async def test_a_timeout_ends_an_answer_in_its_middle(asked: tuple[str, str], tmp_path: Path) -> None:
    async with runtime(asked, tmp_path, max_tokens=1500) as (made, events):
        result = await (await made.start(recipe(tmp_path, LONG, timeout=1))).wait()
    assert result.failure is not None
    assert "timed out after 1 s" in result.failure.message
    said = [event for event in events if isinstance(event, Output)]  # nothing, if reading the prompt takes longer
    assert not said or [event for event in events if isinstance(event, AgentBrokeOff)]


async def test_json_is_asked_for_with_what_the_server_has(asked: tuple[str, str], tmp_path: Path) -> None:
    """Small models seldom give JSON: what matters is that the server can be asked, and that the step has a value."""
    async with runtime(asked, tmp_path, max_tokens=80) as (made, events):
        prompt = "Describe a frog as a JSON object with the keys name and colour."
        result = await (await made.start(recipe(tmp_path, prompt, parse_json="true"))).wait()
    assert result.status == "completed", result.failure
    answers = [event for event in events if isinstance(event, AgentAnswered)]
    assert len(answers) in (1, 2)  # it is asked once more for what has no JSON
    assert result.context["said"]


async def test_a_prompt_that_is_too_long_fails_with_a_word_on_that(asked: tuple[str, str], tmp_path: Path) -> None:
    async with runtime(asked, tmp_path) as (made, _):
        result = await (await made.start(recipe(tmp_path, "word " * 20_000))).wait()
    assert result.failure is not None
    assert "too long" in result.failure.message or "this long" in result.failure.message
