"""The ``openai`` backend and a real model: what it says is its business; that it answers, stops and is counted, ours.

The server has one slot: whether it stops generating when nobody listens shows in how soon it takes the next request.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from tests.agents.http.asking import until_it_says
from tests.frontends.running import write_recipe
from trio_recipes import Runtime, open_runtime
from trio_recipes.agents.backends.openai import OpenAIBackend
from trio_recipes.agents.http.connections import Connections
from trio_recipes.agents.http.endpoint import Endpoint
from trio_recipes.agents.http.settings import ModelSettings
from trio_recipes.events import AgentAnswered, AgentBrokeOff, Output

PATIENCE = 300
LONG = "Write a very long story about a frog. Do not stop."


@asynccontextmanager
async def runtime(address: str, folder: Path, **settings: Any) -> AsyncGenerator[tuple[Runtime, list[Any]]]:
    events: list[Any] = []
    async with Connections() as connections:
        backend = OpenAIBackend(Endpoint(base_url=address)).connected(connections)
        (model, *_) = await backend.models()
    backend = OpenAIBackend(Endpoint(base_url=address), ModelSettings(model=model, temperature=0, **settings))
    with trio.fail_after(PATIENCE):
        async with open_runtime(
            agents=backend, project=folder, store=str(folder / "store"), observe=lambda _, e: events.append(e.event)
        ) as made:
            yield made, events


def recipe(folder: Path, prompt: str, **more: Any) -> Path:
    fields = "".join(f", {name}: {value}" for name, value in more.items())
    return write_recipe(folder, f"- {{id: ask, agent: a, prompt: '{prompt}', output: said{fields}}}")


async def test_an_answer(address: str, tmp_path: Path) -> None:
    async with runtime(address, tmp_path, max_tokens=12) as (made, events):
        result = await (await made.start(recipe(tmp_path, "Say hello."))).wait()
    assert result.status == "completed", result.failure
    (answered,) = [event for event in events if isinstance(event, AgentAnswered)]
    assert 1 <= answered.usage["output_tokens"] <= 12
    assert answered.usage["input_tokens"] > 0
    assert answered.stop_reason in ("stop", "length")
    assert "".join(each.data.decode() for each in events if isinstance(each, Output)) == result.context["said"]


async def test_immediate_stops_the_server_and_the_next_question_is_answered(address: str, tmp_path: Path) -> None:
    async with runtime(address, tmp_path, max_tokens=1500) as (made, events):
        session = await made.start(recipe(tmp_path, LONG))
        await until_it_says(session)
        asked = trio.current_time()
        session.cancel(immediate=True)
        assert (await session.wait()).status == "cancelled"
        stopped = trio.current_time()
        (broken,) = [event for event in events if isinstance(event, AgentBrokeOff)]
        assert broken.usage["output_tokens"] >= 1
        again = await (await made.start(recipe(tmp_path, "Say hello.", timeout=60))).wait()
        print(f"stopped after {stopped - asked:.3f} s; the next answer took {trio.current_time() - stopped:.3f} s")  # noqa: T201
    assert again.status == "completed", again.failure


async def test_graceful_lets_it_say_all(address: str, tmp_path: Path) -> None:
    async with runtime(address, tmp_path, max_tokens=60) as (made, events):
        session = await made.start(recipe(tmp_path, LONG))
        await until_it_says(session)
        session.cancel()
        result = await session.wait()
    (answered,) = [event for event in events if isinstance(event, AgentAnswered)]
    assert answered.usage["output_tokens"] > 30
    assert result.context["said"]


async def test_a_timeout_ends_an_answer_in_its_middle(address: str, tmp_path: Path) -> None:
    async with runtime(address, tmp_path, max_tokens=1500) as (made, events):
        result = await (await made.start(recipe(tmp_path, LONG, timeout=1))).wait()
    assert result.failure is not None
    assert "timed out after 1 s" in result.failure.message
    assert [event for event in events if isinstance(event, AgentBrokeOff)]


async def test_json_is_asked_for_with_what_the_server_has(address: str, tmp_path: Path) -> None:
    """Small models seldom give JSON: what matters is that the server can be asked, and that the step has a value."""
    async with runtime(address, tmp_path, max_tokens=80) as (made, events):
        prompt = "Describe a frog as a JSON object with the keys name and colour."
        result = await (await made.start(recipe(tmp_path, prompt, parse_json="true"))).wait()
    assert result.status == "completed", result.failure
    answers = [event for event in events if isinstance(event, AgentAnswered)]
    assert len(answers) in (1, 2)  # it is asked once more for what has no JSON
    assert result.context["said"]


async def test_a_prompt_that_is_too_long_fails_with_a_word_on_that(address: str, tmp_path: Path) -> None:
    async with runtime(address, tmp_path) as (made, _):
        result = await (await made.start(recipe(tmp_path, "word " * 20_000))).wait()
    assert result.failure is not None
    assert "too long" in result.failure.message or "this long" in result.failure.message
