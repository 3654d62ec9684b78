"""Sessions in an asyncio application: run, stopped from both sides, resumed; steps written for asyncio."""

import asyncio
import contextvars
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_recipes
from tests.campaign.lab import Lab
from tests.integrations.asyncio.loops import Host, until
from trio_recipes import (
    AgentReply,
    AgentRequest,
    ApprovalGatePausedError,
    CancellationRequestedError,
    InvalidRecipeError,
    Level,
    SessionManager,
    SessionStatus,
    Source,
    StepFailedError,
)
from trio_recipes.errors import ConfigurationError, StoreUnusableError
from trio_recipes.integrations.asyncio import ForTrio, Runtime, Session, open_runtime, run_recipe
from trio_recipes.runtime.ports import AgentCall
from trio_recipes.testing import ScriptedAgent, assert_no_survivors


def opened(lab: Lab, **options: Any) -> Any:
    return open_runtime(store=str(lab.store), project=lab.root, **options)


def two_steps(lab: Lab) -> Path:
    """The second step waits until it is released."""
    lab.hold("second")
    return lab.write("two", steps=[lab.step("first"), lab.step("second")])


def test_it_runs_a_recipe(host: Host, lab: Lab) -> None:
    recipe = lab.write("greet", context={"name": "you"}, steps=[lab.step("hello", "'hello {{name}}'")])

    async def main() -> None:
        async with opened(lab) as runtime:
            assert (await runtime.run(recipe))["hello"] == "hello you\n"
            session = await runtime.start(recipe, {"name": "there"})
            result = await session.wait()
            assert result.context["hello"] == "hello there\n"
            assert (session.status, session.result) == (SessionStatus.COMPLETED, result)
            assert runtime.get(session.id) == session
            assert session.id in [name for name, _ in await runtime.list()]
        assert (await run_recipe(recipe, store=str(lab.store), project=lab.root))["name"] == "you"

    host(main)


def test_what_goes_wrong_is_raised(lab: Lab) -> None:
    recipe = lab.write("bad", steps=[{"id": "bad", "type": "bash", "command": "exit 3"}])
    gate = {"required": True, "prompt": "go on?"}
    gated = lab.write("gated", stages=[{"name": "one", "steps": [lab.step("a")], "approval": gate}])

    async def main() -> None:
        async with opened(lab) as runtime:
            with pytest.raises(StepFailedError, match="failed at bad"):
                await runtime.run(recipe)
            with pytest.raises(InvalidRecipeError):
                await runtime.run(lab.write("worse", steps=[{"id": "x", "type": "nothing"}]))
            with pytest.raises(ApprovalGatePausedError) as paused:
                await runtime.run(gated)
            await runtime.approve(paused.value.session_id, "one", by="a person")
            session = await runtime.resume(paused.value.session_id)
            assert (await session.wait()).status is SessionStatus.COMPLETED
        with pytest.raises(StoreUnusableError):
            async with open_runtime(store="sqlite:////dev/null/store"):
                pass

    Host()(main)


# --- stopped from the asyncio side -------------------------------------------------------------------------------

Stop = Callable[[Awaitable[object], Callable[[], bool]], Awaitable[None]]


async def by_cancel(work: Awaitable[object], begun: Callable[[], bool]) -> None:
    task = asyncio.ensure_future(work)
    await until(begun)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_timeout(work: Awaitable[object], begun: Callable[[], bool]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(None) as timeout, asyncio.TaskGroup() as group:
            group.create_task(_after(begun, lambda: timeout.reschedule(0)))
            await work

    with pytest.raises(TimeoutError):
        await limited()


async def by_a_sibling(work: Awaitable[object], begun: Callable[[], bool]) -> None:
    async def wait() -> None:
        await work

    with pytest.RaisesGroup(ZeroDivisionError):
        async with asyncio.TaskGroup() as group:
            group.create_task(wait())
            await until(begun)
            raise ZeroDivisionError


async def _after(begun: Callable[[], bool], act: Callable[[], object]) -> None:
    await until(begun)
    act()


@pytest.mark.parametrize("stop", [by_cancel, by_timeout, by_a_sibling])
def test_stopped_by_the_host_it_has_really_ended_and_can_be_resumed(any_host: Host, lab: Lab, stop: Stop) -> None:
    recipe = two_steps(lab)

    async def main() -> None:
        async with opened(lab) as runtime:
            await stop(runtime.run(recipe), lambda: lab.begun("second"))
            [session] = runtime.sessions.values()
            result = session.result
            assert result is not None, "the task went on before its session had ended"
            assert_no_survivors(session.id)
            assert result.cancellation is not None
            assert (result.status, result.current_step) == (SessionStatus.CANCELLED, "second")
            assert (result.cancellation.level, result.cancellation.source) == (Level.IMMEDIATE, Source.HOST)
            assert "the host's task was cancelled" in result.cancellation.reason
            assert lab.status(session.id) == "cancelled"
            lab.release()
            again = await runtime.resume(session.id)
            assert (await again.wait()).unwrap()["second"] == "value of second\n"
        assert lab.executions() == {"first": 1, "second": 2}

    any_host(main)


def test_cancelling_a_wait_cancels_only_the_wait(lab: Lab) -> None:
    recipe = two_steps(lab)

    async def main() -> None:
        async with opened(lab) as runtime:
            session = await runtime.start(recipe)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await session.wait()
            assert session.status is SessionStatus.RUNNING
            lab.release()
            assert (await session.wait()).status is SessionStatus.COMPLETED

    Host()(main)


def test_a_session_nobody_can_hold_any_more_is_stopped(lab: Lab) -> None:
    """Cancelled at the very moment at which ``start`` has succeeded, in every turn of the loop there is."""
    recipe = two_steps(lab)

    async def main() -> None:
        async with opened(lab) as runtime:
            held: list[Session] = []
            for turns in range(12):
                starting = asyncio.create_task(runtime.start(recipe))
                known = len(runtime.sessions)
                while len(runtime.sessions) == known and not starting.done():  # noqa: ASYNC110  turn by turn
                    await asyncio.sleep(0)
                for _ in range(turns):
                    await asyncio.sleep(0)
                starting.cancel()
                await asyncio.wait([starting])
                held += [] if starting.cancelled() else [starting.result()]
                assert [each for each in runtime.sessions.values() if each.result is None] == held, "still running"
            for session in runtime.sessions.values():
                if session in held:
                    session.cancel(immediate=True)
                result = await session.wait()
                assert result.cancellation
                assert result.cancellation.source is (Source.API if session in held else Source.HOST)
            assert len(held) < 12

    Host()(main)


def test_the_wrong_door_says_which_is_the_right_one() -> None:
    async def main() -> None:
        with pytest.raises(ConfigurationError, match=r"use the one of trio_recipes.integrations.asyncio"):
            async with trio_recipes.open_runtime():
                raise AssertionError

    Host()(main)


# --- stopped from the inside, or from elsewhere ------------------------------------------------------------------


def test_cancel_is_delivered_when_it_returns_and_wakes_who_waits(host: Host, lab: Lab) -> None:
    recipe = two_steps(lab)

    async def main() -> None:
        async with opened(lab) as runtime:
            session = await runtime.start(recipe)
            waiting = asyncio.create_task(session.wait())
            await until(lambda: lab.begun("second"))
            reply = session.cancel("enough", immediate=True)
            assert (reply.accepted, reply.level, session.status) == (True, Level.IMMEDIATE, SessionStatus.CANCELLING)
            await reply.durable()
            result = await waiting
            with pytest.raises(CancellationRequestedError, match="immediate cancellation"):
                result.unwrap()
            assert not session.cancel().accepted

    host(main)


def test_a_request_from_elsewhere_ends_run_with_the_recipes_own_error(host: Host, lab: Lab) -> None:
    recipe = two_steps(lab)

    async def main() -> None:
        async with opened(lab) as runtime:
            running = asyncio.create_task(runtime.run(recipe))
            await until(lambda: lab.begun("second"))
            [name] = runtime.sessions
            manager = SessionManager(lab.store)
            await asyncio.to_thread(manager.request_cancellation, name, lab.root, immediate=True)
            with pytest.raises(CancellationRequestedError, match="immediate"):
                await running

    host(main)


def test_a_gracefully_cancelled_session_finishes_the_step_in_hand(lab: Lab) -> None:
    lab.hold("first")
    recipe = lab.write("two", steps=[lab.step("first"), lab.step("second")])

    async def main() -> None:
        async with opened(lab) as runtime:
            session = await runtime.start(recipe)
            await until(lambda: lab.begun("first"))
            assert await runtime.cancel(session.id, "that will do")
            runtime.cancel_from_thread(session.id, "the same again")
            lab.release()
            assert (await session.wait()).current_step == "second"
        assert lab.executions() == {"first": 1}

    Host()(main)


# --- leaving -----------------------------------------------------------------------------------------------------


def test_leaving_waits_for_sessions(lab: Lab) -> None:
    recipe = two_steps(lab)

    async def main() -> Session:
        async with opened(lab) as runtime:
            session: Session = await runtime.start(recipe)
            await until(lambda: lab.begun("second"))
            asyncio.get_running_loop().call_later(0.05, lab.release)
        return session

    assert Host()(main).status is SessionStatus.COMPLETED


def test_leaving_by_an_exception_cancels_them(host: Host, lab: Lab) -> None:
    recipe = two_steps(lab)

    sessions: list[Session] = []

    async def main() -> None:
        async with opened(lab) as runtime:
            sessions.append(await runtime.start(recipe))
            await until(lambda: lab.begun("second"))
            raise KeyError

    with pytest.raises(KeyError):
        host(main)
    result = sessions[0].result
    assert result
    assert result.cancellation
    assert (result.cancellation.source, result.cancellation.reason) == (Source.HOST, "the host's code raised KeyError")


@pytest.mark.parametrize("while_leaving", [False, True])
def test_leaving_cancelled_cancels_them(host: Host, lab: Lab, while_leaving: bool) -> None:
    recipe = two_steps(lab)
    sessions: list[Session] = []

    async def hold() -> None:
        async with opened(lab) as runtime:
            sessions.append(await runtime.start(recipe))
            if not while_leaving:
                await asyncio.sleep(3600)

    async def main() -> None:
        await by_cancel(hold(), lambda: lab.begun("second"))

    host(main)
    [session] = sessions
    assert session.result
    assert session.result.cancellation
    assert session.result.cancellation.source is Source.HOST
    assert lab.status(session.id) == "cancelled"


def test_cancelled_while_it_opens_it_leaves_nothing(lab: Lab) -> None:
    async def main() -> None:
        for turns in range(15):
            opening = opened(lab)
            entering = asyncio.create_task(opening.__aenter__())
            for _ in range(turns):
                await asyncio.sleep(0)
            entering.cancel()
            await asyncio.wait([entering])
            if not entering.cancelled():  # it was quicker
                await opening.__aexit__(None, None, None)
            assert not trio.lowlevel.in_trio_run()

    Host()(main)


def test_drain_lets_steps_finish_within_the_grace_period(host: Host, lab: Lab) -> None:
    lab.hold("slow", "quick")
    slow, quick = (lab.write(name, steps=[lab.step(name), lab.step("after")]) for name in ("slow", "quick"))

    async def main() -> None:
        async with opened(lab) as runtime:
            await runtime.start(slow)
            await runtime.start(quick)
            await until(lambda: lab.begun("slow", "quick"))
            draining = asyncio.create_task(runtime.drain(0.5))
            lab.release("quick")
            ended = await draining
            levels = [result.cancellation.level for result in ended if result.cancellation]
            assert levels == [Level.IMMEDIATE, Level.GRACEFUL]

    host(main)


# --- events ------------------------------------------------------------------------------------------------------


def test_events_are_replayed_and_followed(host: Host, lab: Lab) -> None:
    recipe = two_steps(lab)
    seen: list[tuple[str, str]] = []

    async def main() -> None:
        async with opened(lab, observe=lambda name, stamped: seen.append((name, stamped.event.name))) as runtime:
            session = await runtime.start(recipe)
            names: list[str] = []
            async for stamped in session.events():
                names.append(stamped.event.name)
                if names.count("scope_started") == 3 and lab.begun("second"):
                    lab.release()
            assert (names[0], names[-1]) == ("session_created", "run_ended")
            assert [stamped.seq async for stamped in session.events(after=len(names) - 1)] == [len(names)]
            async for _ in session.events():
                break  # what is left of it must not trouble anybody
        assert seen[-1] == (session.id, "run_ended")

    host(main)


# --- steps written for asyncio -----------------------------------------------------------------------------------

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


# --- several at once, and one after another ----------------------------------------------------------------------


def test_runtimes_of_one_loop_do_not_disturb_each_other(lab: Lab) -> None:
    recipe = two_steps(lab)

    async def fail_with(session: list[Session]) -> None:
        async with opened(lab) as two:
            session.append(await two.start(recipe))
            raise KeyError

    async def main() -> None:
        async with opened(lab) as one:
            kept: Session = await one.start(recipe)
            inside: list[Session] = []
            with pytest.raises(KeyError):
                await fail_with(inside)
            [stopped] = inside
            assert (stopped.status, kept.status) == (SessionStatus.CANCELLED, SessionStatus.RUNNING)
            await until(lambda: lab.begun("second"))
            lab.release()
            assert (await kept.wait()).status is SessionStatus.COMPLETED

    Host()(main)


def test_twenty_sessions_at_once_are_cancelled_by_their_task_group(host: Host, lab: Lab) -> None:
    lab.hold("wait")
    recipe = lab.write("many", steps=[lab.step("wait")])

    async def main(runtime: Runtime) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(runtime.run(recipe))
            await until(lambda: lab.executions().get("wait") == 20)
            raise ZeroDivisionError

    async def around() -> None:
        async with opened(lab) as runtime:
            with pytest.RaisesGroup(ZeroDivisionError):
                await main(runtime)
            assert {session.status for session in runtime.sessions.values()} == {SessionStatus.CANCELLED}

    host(around)
