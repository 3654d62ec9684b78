"""Agent steps: the request, the stream, the reply, the failures."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from tests.steps.leaf import Told, leaf
from trio_recipes.errors import BackendError, ConfigurationError, TemplateError
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.language.model import AgentStep
from trio_recipes.language.output import JSON_INSTRUCTION
from trio_recipes.language.template import Template
from trio_recipes.runtime.ports import AgentCall, AgentReply, AgentRequest, Choice, LeafCall, Reply
from trio_recipes.steps.agent import AgentRunner

Ask = Callable[[AgentRequest, AgentCall], Awaitable[Any]]


class Backend:
    """A backend made of a function."""

    def __init__(self, answer: Ask) -> None:
        self.answer = answer

    async def ask(self, request: AgentRequest, call: AgentCall) -> Any:
        return await self.answer(request, call)


def step(prompt: str = "p", **fields: Any) -> AgentStep:
    return AgentStep(id="step", agent="team:critic", prompt=Template.parse(prompt), **fields)


async def run(call: LeafCall, ask: Ask) -> Reply:
    async def choose(request: AgentRequest) -> Choice:
        await trio.lowlevel.checkpoint()
        return Choice(Backend(ask), request)

    return await AgentRunner(choose)(call)


def answering(answer: Any, *pieces: str) -> Ask:
    async def ask(request: AgentRequest, call: AgentCall) -> Any:
        await trio.lowlevel.checkpoint()
        for piece in pieces:
            call.stream(piece)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


async def test_the_request_carries_everything() -> None:
    seen: list[AgentRequest] = []

    async def ask(request: AgentRequest, call: AgentCall) -> AgentReply:
        await trio.lowlevel.checkpoint()
        seen.append(request)
        return AgentReply(text="ok")

    asked = step("look at {{file}}", mode="DEEP", parse_json=True, model="m-*", agent_config={"t": 1})
    await run(leaf(asked, Told(), "/project", attempt=2, file="a.py"), ask)
    assert seen == [
        AgentRequest(
            agent="team:critic",
            prompt=f"MODE: DEEP\n\nlook at a.py{JSON_INSTRUCTION}",
            session_id="s1",
            path="step",
            step_id="step",
            key="s1/step",
            attempt=2,
            parse_json=True,
            mode="DEEP",
            agent_config={"t": 1},
            model="m-*",
            orchestrator={"config": {"depth": 1}},
            project="/project",
        )
    ]


async def test_a_text_is_recorded_whole() -> None:
    log = Told()
    reply = await run(leaf(step(), log), answering(AgentReply(text="hällo")))
    assert reply == Reply(text="hällo", channel="text")
    assert log.output("text") == "hällo".encode()


async def test_streamed_pieces_are_the_record_of_the_text_they_make() -> None:
    log = Told()
    reply = await run(leaf(step(), log), answering(AgentReply(text="hällo"), "hä", "llo"))
    assert reply == Reply(text="hällo", channel="text")
    assert log.chunks("text") == ["hällo".encode()]


async def test_an_answer_other_than_what_was_streamed_is_recorded_beside_it() -> None:
    log = Told()
    reply = await run(leaf(step(), log), answering(AgentReply(text="final"), "thinking"))
    assert reply == Reply(text="final", channel="reply")
    assert (log.output("text"), log.output("reply")) == (b"thinking", b"final")


async def test_half_a_surrogate_pair_reads_the_same_live_and_from_the_record() -> None:
    log = Told()
    reply = await run(leaf(step(), log), answering(AgentReply(text="a\ud800"), "a\ud800"))
    assert reply == Reply(text="a?", channel="text")
    assert log.output("text") == b"a?"


@pytest.mark.parametrize(
    ("value", "reply"),
    [
        ({"a": (1, 2)}, Reply(value={"a": [1, 2]})),
        ({"output": [1], "usage": 3}, Reply(value=[1])),
        ({"output": "text"}, Reply(text="text", channel="text")),
        (None, Reply()),
    ],
)
async def test_values_are_unwrapped_and_normalised(value: Any, reply: Reply) -> None:
    assert await run(leaf(step(), Told()), answering(AgentReply(value=value))) == reply


async def failure_of(answer: Any, *pieces: str) -> Failure:
    reply = await run(leaf(step(), Told()), answering(answer, *pieces))
    assert reply.failure is not None
    return reply.failure


async def test_failures_of_the_backend() -> None:
    error = BackendError("slow down", rate_limited=True, retry_after=30)
    assert await failure_of(error) == Failure(
        FailureKind.RATE_LIMIT,
        "step 'step': agent 'team:critic': slow down",
        hint="the endpoint asks to wait 30 s",
        cause="BackendError",
        retry_after=30,
    )
    failure = await failure_of(BackendError("wrong key", retryable=False, exit_code=2))
    assert (failure.kind, failure.may_retry, failure.exit_code) == (FailureKind.BACKEND, False, 2)
    failure = await failure_of(ZeroDivisionError("oops"))
    assert (failure.kind, failure.cause, failure.may_retry) == (FailureKind.BACKEND, "ZeroDivisionError", True)
    assert failure.message == "step 'step': agent 'team:critic': ZeroDivisionError: oops"


async def test_answers_that_are_none() -> None:
    assert "the backend returned int, not AgentReply" in (await failure_of(5)).message
    assert "of type set can't be stored" in (await failure_of(AgentReply(value={"x": {1}}))).message  # type: ignore[dict-item]


async def test_what_was_streamed_before_a_failure_is_recorded() -> None:
    log = Told()
    reply = await run(leaf(step(), log), answering(BackendError("gone"), "half an ans"))
    assert reply.failure is not None
    assert log.output("text") == b"half an ans"


async def test_what_was_streamed_before_a_cancellation_is_recorded() -> None:
    log = Told()

    async def ask(request: AgentRequest, call: AgentCall) -> AgentReply:
        call.stream("half an ans")
        await trio.sleep_forever()
        raise AssertionError

    with trio.move_on_after(0.5) as scope:
        await run(leaf(step(), log), ask)
    assert scope.cancelled_caught
    assert log.output("text") == b"half an ans"


async def test_a_backend_that_fails_while_it_is_cancelled_was_cancelled() -> None:
    async def ask(request: AgentRequest, call: AgentCall) -> AgentReply:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("clean-up")

    with trio.CancelScope() as scope:
        scope.cancel()
        await run(leaf(step(), Told()), ask)
    assert scope.cancelled_caught


async def test_an_agent_that_nothing_answers() -> None:
    async def choose(request: AgentRequest) -> Choice:
        await trio.lowlevel.checkpoint()
        raise ConfigurationError(f"nothing answers the agent {request.agent!r}")

    reply = await AgentRunner(choose)(leaf(step(), Told()))
    assert reply.failure is not None
    assert "nothing answers the agent 'team:critic'" in reply.failure.message
    assert not reply.failure.may_retry


async def test_an_unknown_variable_is_the_callers_to_report() -> None:
    with pytest.raises(TemplateError, match="nobody"):
        await run(leaf(step("{{nobody}}"), Told()), answering(AgentReply(text="")))
