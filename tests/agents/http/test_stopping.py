"""Stopping in mid-answer, through real sessions: the server sees at once that nobody listens any more."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import trio
from attrs import define, field

from tests.agents.http.asking import BACKENDS, PATIENCE, client
from tests.frontends.running import invoke, running, write_recipe
from trio_recipes import Limits, Runtime, open_runtime
from trio_recipes.agents.http.endpoint import Endpoint
from trio_recipes.agents.http.settings import ModelSettings
from trio_recipes.events import Output, Stamped
from trio_recipes.testing.model_server import (
    ModelServer,
    Outcome,
    Script,
    Wait,
    hangs_up,
    in_turn,
    refuses,
    says,
    serving,
    stalls,
)

both = pytest.mark.parametrize("dialect", BACKENDS)

ONE = "- {id: ask, agent: a, prompt: p, output: said}"
MANY = "- {id: ask, agent: a, prompt: 'p{{item}}', foreach: '{{all}}', parallel: true, max_iterations: 500}"


@define(eq=False)
class Lab:
    """A runtime whose agents are answered by a server."""

    runtime: Runtime
    server: ModelServer
    folder: Path
    events: list[Stamped] = field(factory=list)

    async def start(self, steps: str = ONE, limits: Limits | None = None, **context: Any) -> Any:
        head = "recursion: {max_total_steps: 1000}"
        return await self.runtime.start(write_recipe(self.folder, steps, head), context, limits=limits)

    def text_of(self, path: str) -> str:
        outputs = [stamped.event for stamped in self.events if isinstance(stamped.event, Output)]
        return b"".join(each.data for each in outputs if (each.path, each.channel) == (path, "text")).decode()


@asynccontextmanager
async def lab(folder: Path, script: Script, dialect: str = "openai") -> AsyncGenerator[Lab]:
    events: list[Stamped] = []
    with trio.fail_after(2 * PATIENCE):
        async with serving(script) as server:
            backend = BACKENDS[dialect](Endpoint(base_url=server.url), ModelSettings(model="m"))
            seen: Callable[[str, Stamped], None] = lambda _, event: events.append(event)  # noqa: E731
            async with open_runtime(agents=backend, project=folder, observe=seen) as runtime:
                yield Lab(runtime, server, folder, events)
            await server.until(lambda server: server.connected == 0)


# --- a backend by itself -----------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("script", [stalls("a ", "b "), stalls(), says(*["word "] * 10_000, every=0.001)])
async def test_a_backend_that_is_cancelled_leaves_at_once(dialect: str, script: Script) -> None:
    async with client(dialect, script) as it, trio.open_nursery() as nursery:
        nursery.start_soon(it.ask)
        with trio.fail_after(PATIENCE):
            await it.server.until(lambda server: server.visits != [])
            await trio.sleep(0.05)
            cancelled = monotonic()
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await it.server.until_left()
        (visit,) = it.server.visits
        assert visit.ended is not None
        assert visit.ended - cancelled < 1


async def test_a_backend_that_is_cancelled_while_it_connects_leaves_nothing() -> None:
    async with client() as it:
        with trio.socket.socket() as full:
            await full.bind(("127.0.0.1", 0))
            full.listen(0)
            with trio.socket.socket() as waiting:
                await waiting.connect(full.getsockname())
                it.reach(base_url=f"http://127.0.0.1:{full.getsockname()[1]}/v1")
                with trio.move_on_after(0.1) as scope:
                    await it.ask()
        assert scope.cancelled_caught


# --- sessions ----------------------------------------------------------------------------------------------------


@both
async def test_immediate_closes_the_connection_and_keeps_what_was_said(dialect: str, tmp_path: Path) -> None:
    async with lab(tmp_path, in_turn(stalls("half "), says("whole")), dialect) as it:
        session = await it.start()
        await it.server.until_saying()
        await trio.sleep(0.1)
        session.cancel(immediate=True)
        await it.server.until_left()
        result = await session.wait()
        assert result.status == "cancelled"
        assert it.text_of("ask") == "half "
        result = await (await it.runtime.resume(session.id)).wait()
    assert (result.status, result.context["said"]) == ("completed", "whole")
    assert [visit.outcome for visit in it.server.visits] == [Outcome.LEFT, Outcome.FINISHED]


@both
async def test_graceful_lets_the_answer_end(dialect: str, tmp_path: Path) -> None:
    steps = f"{ONE}\n- {{id: next, agent: a, prompt: p}}"
    async with lab(tmp_path, says("one ", "two ", "three", every=0.1), dialect) as it:
        session = await it.start(steps)
        await it.server.until_saying()
        session.cancel()
        result = await session.wait()
    assert (result.status, result.context["said"]) == ("cancelled", "one two three")
    assert [visit.outcome for visit in it.server.visits] == [Outcome.FINISHED]


async def test_a_part_is_stopped_and_the_others_go_on(tmp_path: Path) -> None:
    steps = MANY.removesuffix("}") + ", collect: said, on_error: continue}"
    async with lab(tmp_path, says("a ", "b ", "c", every=0.2)) as it:
        session = await it.start(steps, all=[1, 2, 3])
        await it.server.until_saying(3)
        session.cancel(at="ask[1]", immediate=True)
        result = await session.wait()
    assert result.context["said"] == ["a b c", None, "a b c"]
    assert len(it.server.left) == 1


async def test_a_timeout_closes_the_connection(tmp_path: Path) -> None:
    async with lab(tmp_path, stalls("half ")) as it:
        session = await it.start("- {id: ask, agent: a, prompt: p, timeout: 1}")
        result = await session.wait()
        await it.server.until_left()
    assert result.status == "failed"
    assert it.text_of("ask") == "half "


async def test_five_hundred_answers_are_stopped_at_once(tmp_path: Path) -> None:
    async with lab(tmp_path, stalls("a ", "b ")) as it:
        session = await it.start(MANY, all=list(range(500)))
        await it.server.until_saying(500)
        assert it.server.answering == 500
        cancelled = monotonic()
        session.cancel(immediate=True)
        await it.server.until_left(500)
        last = max(visit.ended or 0 for visit in it.server.left)
        result = await session.wait()
        assert result.status == "cancelled"
        assert last - cancelled < 5
        assert it.server.connections == 500


async def test_steps_share_a_connection_and_the_runtime_closes_it(tmp_path: Path) -> None:
    async with lab(tmp_path, says("x")) as it:
        result = await (await it.start(MANY.replace("parallel: true", "parallel: false"), all=list(range(20)))).wait()
        assert result.status == "completed"
        assert (it.server.connections, it.server.connected) == (1, 1)


# --- waiting as the endpoint asks --------------------------------------------------------------------------------


async def test_a_retry_waits_as_long_as_the_endpoint_asks(tmp_path: Path) -> None:
    async with lab(tmp_path, in_turn(refuses(429, retry_after=0.5), says("yes"))) as it:
        session = await it.start(ONE.replace("}", ", retry: {max_attempts: 2, initial_delay: 0.01}}"))
        result = await session.wait()
    assert result.context["said"] == "yes"
    first, second = it.server.visits
    assert second.began - first.began >= 0.5


RETRIES = ["", ", retry: {max_attempts: 2, initial_delay: 60}"]


@pytest.mark.parametrize("retry", RETRIES)
async def test_an_answer_without_json_is_mended_by_one_more_attempt(tmp_path: Path, retry: str) -> None:
    async with lab(tmp_path, in_turn(says("sorry"), says('{"a": 1}'))) as it:
        result = await (await it.start(ONE.replace("}", f", parse_json: true{retry}}}"))).wait()
    assert result.context["said"] == {"a": 1}
    assert [message["content"] for message in it.server.visits[1].asked.body["messages"]][1] == "sorry"
    assert [stamped.event.name for stamped in it.events].count("attempt_started") == 1


@pytest.mark.parametrize("second", [refuses(500), hangs_up("half "), stalls("half "), says("no ", "JSON")])
async def test_an_answer_that_can_not_be_mended_is_taken_as_it_is(tmp_path: Path, second: Any) -> None:
    async with lab(tmp_path, in_turn(says("sorry, ", "no"), second)) as it:
        session = await it.start(ONE.replace("}", ", parse_json: true, timeout: 1}"))
        result = await session.wait()
        assert result.status == "completed", result.failure
        value = "no JSON" if second == says("no ", "JSON") else "sorry, no"
        assert result.context["said"] == value
        assert len(it.server.visits) == 2


async def test_a_repair_that_fails_uses_the_attempts_that_are_left(tmp_path: Path) -> None:
    retry = ", parse_json: true, retry: {max_attempts: 3, initial_delay: 0.01}}"
    async with lab(tmp_path, in_turn(says("sorry"), refuses(500), says("[1]"))) as it:
        result = await (await it.start(ONE.replace("}", retry))).wait()
    assert result.context["said"] == [1]


# --- the command line --------------------------------------------------------------------------------------------


async def test_from_the_command_line(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, ONE)
    with trio.fail_after(60):
        async with serving(in_turn(stalls("half "), says("whole ", "answer").then(Wait(0), ends=True))) as server:
            agents = tmp_path / "agents.yaml"
            agents.write_text(
                json.dumps({"agents": {"*": {"backend": "openai", "base_url": server.url, "model": "m"}}})
            )
            await trio.to_thread.run_sync(run_and_cancel, recipe, agents, tmp_path)
            await server.until_left()
            ended = await trio.to_thread.run_sync(lambda: invoke("resume", "@last", "--agents", agents, "--json"))
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["final_output"] == "whole answer"


def run_and_cancel(recipe: Path, agents: Path, folder: Path) -> None:
    with running("run", recipe, "--agents", agents, cwd=folder) as run:
        assert run.until("output", path="ask")["text"] == "half "
        assert invoke("cancel", run.session_id, "--immediate", "--wait").returncode == 0
        assert run.end()["status"] == "cancelled"
        assert run.code == 4
