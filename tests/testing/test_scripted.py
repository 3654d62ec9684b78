"""The scripted agent."""

import math
import re
from collections.abc import Callable

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

import trio_recipes.testing
from trio_recipes.errors import BackendError
from trio_recipes.runtime.ports import AgentBackend, AgentReply, AgentRequest, Forcible
from trio_recipes.testing import ScriptedAgent, after, failing, in_turn, streamed


@define(eq=False)
class Call:
    """Keeps what is streamed, and when."""

    forcible: Forcible = field(factory=Forcible)
    pieces: list[tuple[float, str]] = field(factory=list)

    def stream(self, piece: str) -> None:
        self.pieces.append((trio.current_time(), piece))

    def account(self, so_far: Callable[[], AgentReply]) -> None: ...

    def output(self, channel: str, data: bytes, *, background: bool = False) -> None: ...

    def signalled(self, pid: int, signal: str) -> None: ...

    def resisted(self, what: str, *, pid: int | None = None) -> None: ...


async def ask(agent: AgentBackend, prompt: str = "p", step: str = "s", name: str = "a") -> AgentReply:
    return await agent.ask(AgentRequest(agent=name, prompt=prompt, step_id=step, path=f"loop[0]/{step}"), Call())


async def test_the_most_specific_rule_is_taken() -> None:
    agent = ScriptedAgent(
        "default",
        paths={"loop[0]/s1": "path"},
        steps={"s1": "step 1", "s2": "step 2"},
        prompts={"needle": "text", re.compile(r"\d+"): "pattern"},
        agents={"critic": "agent"},
    )
    assert (await ask(agent, step="s1")).text == "path"
    assert (await ask(agent, "a needle", "s2")).text == "step 2"
    assert (await ask(agent, "a needle, 5", name="critic")).text == "text"
    assert (await ask(agent, "5", name="critic")).text == "pattern"
    assert (await ask(agent, name="critic")).text == "agent"
    assert (await ask(agent)).text == "default"
    assert agent.prompts_seen == ["p", "a needle", "a needle, 5", "5", "p", "p"]
    assert (agent.started, agent.finished, agent.running) == (6, 6, 0)


async def test_a_request_that_nobody_thought_of_fails() -> None:
    agent = ScriptedAgent(steps={"s": "x"})
    with pytest.raises(BackendError, match=r"no answer for agent 'b' at 'loop\[0\]/t'") as caught:
        await ask(agent, step="t", name="b")
    assert not caught.value.retryable
    assert agent.failed == 1


async def test_sorts_of_answers() -> None:
    async def slow(request: AgentRequest) -> object:
        await trio.lowlevel.checkpoint()
        return lambda _: {"asked": request.prompt}

    reply = AgentReply(text="t", cost_usd=0.5)
    assert await ask(ScriptedAgent(reply)) == reply
    assert await ask(ScriptedAgent({"a": [1]})) == AgentReply(value={"a": [1]})
    assert await ask(ScriptedAgent(lambda request: request.prompt.upper())) == AgentReply(text="P")
    assert await ask(ScriptedAgent(slow)) == AgentReply(value={"asked": "p"})
    with pytest.raises(ZeroDivisionError):
        await ask(ScriptedAgent(ZeroDivisionError()))


async def test_failures_and_successes_in_turn() -> None:
    agent = ScriptedAgent(failing(2, then=in_turn("first", "then")))
    for _ in range(2):
        with pytest.raises(BackendError, match="scripted failure"):
            await ask(agent)
    assert [(await ask(agent)).text for _ in range(3)] == ["first", "then", "then"]
    assert (agent.started, agent.failed, agent.finished) == (5, 2, 3)
    with pytest.raises(BackendError, match="busy"):
        await ask(ScriptedAgent(failing(1, "x", BackendError("busy", rate_limited=True))))


async def test_waiting_is_trios(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    assert (await ask(ScriptedAgent(after(3600, after(60, "late"))))).text == "late"
    assert trio.current_time() - began == 3660


async def test_pieces_come_one_by_one(autojump_clock: MockClock) -> None:
    call, began = Call(), trio.current_time()
    request = AgentRequest(agent="a", prompt="p")
    reply = await ScriptedAgent(streamed("a", "b", every=2)).ask(request, call)
    assert reply.text == "ab"
    assert call.pieces == [(began + 2, "a"), (began + 4, "b")]
    assert (await ask(ScriptedAgent(streamed("a", then="other")))).text == "other"


async def test_a_cancelled_request_is_counted(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent(after(math.inf))
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask, agent)
            await agent.wait_started(3)
            assert (agent.running, agent.cancelled) == (3, 0)
            nursery.cancel_scope.cancel()
        await agent.wait_idle()
    assert (agent.running, agent.cancelled, agent.finished) == (0, 3, 0)


async def test_waiting_for_a_request_that_never_comes_waits(autojump_clock: MockClock) -> None:
    with trio.move_on_after(1) as limit:
        await ScriptedAgent("x").wait_started()
    assert limit.cancelled_caught


def test_names_are_imported_when_they_are_used() -> None:
    for name in trio_recipes.testing.__all__:
        assert getattr(trio_recipes.testing, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = trio_recipes.testing.nothing
