"""What answers take, whole or not: told while they come, counted when they end, estimated where nobody tells."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.agents.http.asking import BACKENDS, Client, client, until_it_says
from tests.agents.http.test_stopping import ONE, lab
from tests.frontends.running import invoke, running, write_recipe
from trio_recipes import Limits, Source
from trio_recipes.agents.tokens import Uncounted, tokens_in
from trio_recipes.events import AgentAccount, AgentAnswered, AgentAnswering, AgentBrokeOff, SessionStatus, Stamped
from trio_recipes.progress.spending import Spending
from trio_recipes.runtime import engine
from trio_recipes.testing.model_server import (
    Complain,
    Outcome,
    Send,
    Think,
    Wait,
    hangs_up,
    in_turn,
    says,
    serving,
    stalls,
)

both = pytest.mark.parametrize("dialect", BACKENDS)
USAGE = {"input_tokens": 10, "output_tokens": 5}


def accounts(it: Client) -> list[AgentAccount]:
    return [event for event in it.log.events if isinstance(event, AgentAccount)]


# --- one answer --------------------------------------------------------------------------------------------------


@both
async def test_an_answer_tells_of_its_beginning_and_goes_on_telling(dialect: str) -> None:
    async with client(dialect, says(*["word "] * 3, every=0.6)) as it:
        await it.ask()
        told = accounts(it)
    assert {type(account) for account in told} == {AgentAnswering}
    read, first, later = told  # when the prompt was read; with the first piece; after a second
    assert (read.first_seconds, read.usage["output_tokens"]) == (None, 0)
    assert read.usage["input_tokens"] > 0
    assert first.first_seconds is not None
    assert first.first_seconds >= 0.6
    assert first.usage["output_tokens"] < later.usage["output_tokens"]
    assert "output_tokens" in first.estimated


@both
@pytest.mark.parametrize("ending", ["drop", "complaint"])
async def test_an_answer_that_fails_in_its_middle_is_counted(dialect: str, ending: str) -> None:
    script = hangs_up("half ", "of it ") if ending == "drop" else says("half ", "of it ").then(Complain("x", "y"))
    async with client(dialect, script) as it:
        await it.failure(prompt="one two three four five")
        (*_, broken) = accounts(it)
    assert isinstance(broken, AgentBrokeOff)
    exact = {"openai": False, "anthropic": True}[dialect]  # that tells of what it has read before it answers
    assert broken.usage == {"input_tokens": 5 if exact else 6, "output_tokens": 3}
    assert broken.estimated == (("output_tokens",) if exact else ("input_tokens", "output_tokens"))


@both
async def test_an_answer_that_is_no_use_is_counted_as_it_was_told(dialect: str) -> None:
    async with client(dialect, says("half ", stop="content_filter")) as it:
        await it.failure(prompt="one two")
        (*_, broken) = accounts(it)
    assert isinstance(broken, AgentBrokeOff)
    assert (broken.usage, broken.estimated) == ({"input_tokens": 2, "output_tokens": 1}, ())
    assert broken.stop_reason == "content_filter"


async def test_what_was_refused_has_cost_nothing() -> None:
    async with client() as it:
        it.reach(base_url=it.server.url + "/nothing")
        await it.failure()
        assert accounts(it) == []


async def test_an_endpoint_that_never_tells_is_estimated() -> None:
    silent = b'data: {"choices": [{"delta": {"content": "four"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    async with client(script=says().then(Send(silent))) as it:
        reply = await it.ask("12345678")
    assert (reply.text, reply.usage) == ("four", {"input_tokens": 2, "output_tokens": 1})
    assert reply.estimated == ("input_tokens", "output_tokens")


async def test_an_endpoint_that_tells_all_the_time_is_believed() -> None:
    chunk = (
        b'data: {"choices": [{"delta": {"content": "a"}}], "usage": {"prompt_tokens": 9, "completion_tokens": %d}}\n\n'
    )
    async with client(script=says().then(Send(chunk % 7), Send(chunk % 8))) as it:
        await it.failure()
        (*_, broken) = accounts(it)
    assert (broken.usage, broken.estimated) == ({"input_tokens": 9, "output_tokens": 8}, ())


@pytest.mark.parametrize("count", ["true", "-3", '"5"', "9" * 400, "1e300", "null"])
async def test_counts_that_are_none(count: str) -> None:
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": %s, "completion_tokens": 3}}\n\n' % count.encode()
    async with client(script=says("a").then(Send(usage), ends=True)) as it:
        assert (await it.ask("p")).usage["input_tokens"] == 1


def test_estimates() -> None:
    assert (tokens_in(""), tokens_in("a"), tokens_in("abcde"), tokens_in("五")) == (0, 1, 2, 1)
    heard = Uncounted()
    for piece in ("a", "b", "c"):
        heard.add(piece)
    assert heard.tokens == 3  # a piece is a token, as most servers send them
    heard.add("x" * 37)
    assert heard.tokens == 10


# --- sessions ----------------------------------------------------------------------------------------------------


@both
async def test_a_stopped_answer_counts_against_the_limits(dialect: str, tmp_path: Path) -> None:
    async with lab(tmp_path, in_turn(stalls(*["word "] * 50), says("whole")), dialect) as it:
        session = await it.start()
        await it.server.until_saying()
        await until_it_says(session)
        session.cancel(immediate=True)
        await session.wait()
        assert [type(e.event) for e in it.events if isinstance(e.event, AgentAccount)][-1] is AgentBrokeOff
        again = await (await it.runtime.resume(session.id, limits=Limits(tokens=50))).wait()
        assert again.status is SessionStatus.CANCELLED
        assert again.cancellation is not None
        assert again.cancellation.source is Source.BUDGET
        assert len(it.server.visits) == 1
        done = await (await it.runtime.resume(session.id, limits=Limits(tokens=1000))).wait()
    assert done.context["said"] == "whole"


async def test_a_limit_is_reached_by_what_broke_off(tmp_path: Path) -> None:
    async with lab(tmp_path, hangs_up(*["word "] * 50)) as it:
        steps = ONE.replace("}", ", retry: {max_attempts: 9, initial_delay: 0.01}}")
        recipe = write_recipe(tmp_path, steps)
        session = await it.runtime.start(recipe, limits=Limits(tokens=150))
        result = await session.wait()
        assert result.status is SessionStatus.CANCELLED
        assert len(it.server.visits) == 3


FOUR = "- {id: ask, agent: a, prompt: 'p {{item}}', foreach: '{{all}}', parallel: 4, collect: said}"


async def test_a_limit_is_passed_by_what_is_in_hand_and_no_more(tmp_path: Path) -> None:
    """Nothing is asked once it is reached: of four at a time, three may be in hand then."""
    ten = says("word ", "word", every=0.05, prompt_tokens=8, completion_tokens=2)
    async with lab(tmp_path, ten) as it:
        session = await it.start(FOUR, all=list(range(20)), limits=Limits(tokens=75))
        result = await session.wait()
        assert (result.status, result.cancellation.source) == (SessionStatus.CANCELLED, Source.BUDGET)
        asked = len(it.server.visits)
        assert 8 <= asked <= 8 + 3
        assert len(it.server.having(Outcome.FINISHED)) == asked, "a limit is a graceful stop"
        assert sum(spent(event) for event in it.events) == 10 * asked
        done = await (await it.runtime.resume(session.id, limits=Limits(tokens=10_000))).wait()
        assert (done.status, len(it.server.visits)) == (SessionStatus.COMPLETED, 20)
    assert done.context["said"] == ["word word"] * 20


def spent(stamped: Stamped) -> int:
    """Tokens of an answer that has ended, whole or not."""
    event = stamped.event
    return sum(event.usage.values()) if isinstance(event, (AgentAnswered, AgentBrokeOff)) else 0


async def test_what_is_in_hand_has_a_moment_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "LIMIT_GRACE", 0.3)
    script = in_turn(*[stalls("half ")] * 3, says("whole", prompt_tokens=90, completion_tokens=10))
    async with lab(tmp_path, script) as it:
        session = await it.start(FOUR, all=list(range(20)), limits=Limits(tokens=100))
        result = await session.wait()
        assert (result.status, result.cancellation.source) == (SessionStatus.CANCELLED, Source.BUDGET)
        assert "limits.tokens (100) is reached: 100 used" in result.cancellation.reason
        assert "grace period of 0.3 s is over" in result.cancellation.reason
        await it.server.until_left(3)
        assert len(it.server.visits) == 4
        broken = [each.event for each in it.events if isinstance(each.event, AgentBrokeOff)]
    assert len(broken) == 3


KILLED = {"while it thinks": says().then(*[Think("hm ")] * 20, Wait(math.inf)), "in the text": stalls(*["word "] * 50)}


@pytest.mark.parametrize("moment", KILLED)
async def test_a_killed_runner_has_told_what_its_answer_took(tmp_path: Path, moment: str) -> None:
    recipe = write_recipe(tmp_path, ONE)
    with trio.fail_after(60):
        async with serving(KILLED[moment]) as server:
            agents = tmp_path / "agents.yaml"
            agents.write_text(
                json.dumps({"agents": {"*": {"backend": "openai", "base_url": server.url, "model": "m"}}})
            )

            def kill() -> dict[str, Any]:
                with running("run", recipe, "--agents", agents, cwd=tmp_path) as run:
                    run.until("output", path="ask")
                    run.until("agent_answering", path="ask")
                    run.process.kill()
                    run.process.wait()
                view: dict[str, Any] = json.loads(invoke("show", run.session_id, "--json").stdout)
                return view

            view = await trio.to_thread.run_sync(kill)
    assert view["usage"]["broken_off"] == 1
    assert view["usage"]["estimated_tokens"] == view["usage"]["tokens"] > 0
    (node,) = view["nodes"]
    assert node["answering"]["usage"]["input_tokens"] >= 1
    assert moment == "while it thinks" or node["answering"]["usage"]["output_tokens"] >= 1


# --- totals ------------------------------------------------------------------------------------------------------


def test_what_is_in_hand_is_settled_once() -> None:
    spent = Spending()
    for tokens in (1, 5):
        usage = {"input_tokens": 10, "output_tokens": tokens}
        spent.begin(AgentAnswering(path="a", agent="a", usage=usage, estimated=("output_tokens",)))
    assert spent.tokens == 0
    settled = spent.settled()
    assert (settled.tokens, settled.estimated_tokens, settled.broken_off, settled.unpriced) == (15, 5, 1, 1)
    assert settled.settled() == settled
    assert spent.tokens == 0
    spent.add(AgentAnswered(path="a", agent="a", usage=USAGE))
    assert (spent.settled().tokens, spent.answers, spent.broken_off) == (15, 1, 0)
