"""Steps written for asyncio: functions and agents of an application, called where they belong, cancelled for real."""

import asyncio
import contextvars
import sys
from collections.abc import Mapping
from typing import Any

import pytest
import trio

from tests.campaign.lab import Lab
from tests.integrations.asyncio.loops import Host, until
from tests.integrations.asyncio.test_runtime import opened
from trio_recipes import AgentReply, AgentRequest, CancellationRequestedError, SessionStatus, StepFailedError
from trio_recipes.integrations.asyncio import ForTrio
from trio_recipes.runtime.ports import AgentCall
from trio_recipes.testing import ScriptedAgent

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


def functions(**by_name: Any) -> dict[str, Any]:
    return {"steps": [{"id": name, "type": "function", "function": name, "output": name} for name in by_name]}


def test_functions_of_every_kind_are_called_where_they_belong(host: Host, lab: Lab) -> None:
    async def for_asyncio() -> str:
        await asyncio.sleep(0)
        return VARIABLE.get()

    class Called:
        async def __call__(self) -> str:
            return await for_asyncio()

    async def for_trio() -> str:
        await trio.lowlevel.checkpoint()
        return VARIABLE.get()

    given: dict[str, Any] = {
        "plain": lambda: "plain",
        "returns_awaitable": lambda **_: for_asyncio(),
        "coroutine": for_asyncio,
        "callable": Called(),
        "for_trio": ForTrio(for_trio),
    }

    async def main() -> Mapping[str, Any]:
        VARIABLE.set("seen")
        async with opened(lab, functions=given) as runtime:
            context: Mapping[str, Any] = await runtime.run(lab.write("calls", **functions(**given)))
            return context

    context = host(main)
    assert {name: context[name] for name in given} == {**dict.fromkeys(given, "seen"), "plain": "plain"}


def test_a_function_of_asyncio_is_really_cancelled_with_its_step(any_host: Host, lab: Lab) -> None:
    log: list[str] = []

    async def rest() -> None:
        log.append("begun")
        try:
            await asyncio.sleep(3600)
        except Exception:  # no cancellation passes here
            log.append("swallowed")
        finally:
            await asyncio.sleep(0.01)  # noqa: ASYNC102  asyncio: cancelled once, it may go on waiting
            log.append("ended")

    async def fail() -> None:  # noqa: ASYNC124
        raise LookupError("nothing there")

    async def main() -> None:
        async with opened(lab, functions={"rest": rest, "fail": fail}) as runtime:
            session = await runtime.start(lab.write("rest", **functions(rest=rest)))
            await until(lambda: log)
            session.cancel(immediate=True)
            assert (await session.wait()).status is SessionStatus.CANCELLED
            assert log == ["begun", "ended"]

            step = {"id": "rest", "type": "function", "function": "rest", "timeout": 0.05, "on_error": "continue"}
            await runtime.run(lab.write("timed", steps=[step]))
            assert log == ["begun", "ended"] * 2

            session = await runtime.start(lab.write("part", steps=[{**step, "timeout": 60}]))
            await until(lambda: len(log) == 5)
            session.cancel(at="rest", immediate=True)
            assert (await session.wait()).status is SessionStatus.COMPLETED

            with pytest.raises(StepFailedError, match="LookupError: nothing there"):
                await runtime.run(lab.write("fail", **functions(fail=fail)))
        assert log == ["begun", "ended"] * 3

    any_host(main)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_an_eager_function_that_stops_its_own_session_at_once_is_cancelled(lab: Lab) -> None:
    log: list[str] = []

    async def main() -> None:
        factory = getattr(asyncio, "eager_task_factory")  # noqa: B009  type checkers know Python 3.11
        asyncio.get_running_loop().set_task_factory(factory)

        async def stop() -> None:
            log.append("begun")
            (session,) = runtime.sessions.values()
            session.cancel("by its own step", immediate=True)
            try:
                await asyncio.sleep(3600)
            finally:
                log.append("ended")

        async with opened(lab, functions={"stop": stop}) as runtime:
            with pytest.raises(CancellationRequestedError):
                await runtime.run(lab.write("stops", **functions(stop=stop)))
            assert log == ["begun", "ended"]

    Host()(main)


class Assistant:
    """An agent written for asyncio."""

    async def ask(self, request: AgentRequest, call: AgentCall) -> AgentReply:
        await asyncio.sleep(0)
        call.stream(f"{request.prompt}")
        if request.agent == "slow":
            await asyncio.sleep(3600)
        return AgentReply(text=request.prompt)


def test_agents_written_for_asyncio_answer(host: Host, lab: Lab) -> None:
    ask = {"id": "ask", "agent": "{{who}}", "prompt": "a question", "output": "answer"}
    recipe = {who: lab.write(who, steps=[{**ask, "agent": who}]) for who in ("quick", "slow", "ours", "marked")}

    class ForTrioBackend:
        async def ask(self, request: AgentRequest, call: AgentCall) -> AgentReply:
            await trio.lowlevel.checkpoint()
            return AgentReply(text="from trio")

    agents = {"marked": ForTrio(ForTrioBackend()), "ours": ScriptedAgent(default="scripted"), "*": Assistant()}

    async def main() -> None:
        async with opened(lab, agents=agents) as runtime:
            assert (await runtime.run(recipe["quick"]))["answer"] == "a question"
            assert (await runtime.run(recipe["ours"]))["answer"] == "scripted"
            assert (await runtime.run(recipe["marked"]))["answer"] == "from trio"
        async with opened(lab, agents=Assistant()) as runtime:
            session = await runtime.start(recipe["slow"])
            async for stamped in session.events():
                if stamped.event.name == "output":
                    session.cancel(immediate=True)
            assert (await session.wait()).status is SessionStatus.CANCELLED

    host(main)
