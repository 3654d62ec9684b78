"""Sessions in an asyncio application: run, stopped from both sides, resumed."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import trio_recipes
from tests.campaign.lab import Lab
from tests.integrations.asyncio.loops import Host, until
from trio_recipes import (
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
from trio_recipes.integrations.asyncio import Runtime, Session, open_runtime, run_recipe
from trio_recipes.testing import assert_no_survivors


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
            assert not any(each.result is None for each in runtime.sessions.values()), "it went on before the end"
            [(name, _)] = await runtime.list()
            result = await runtime.result(name)
            assert_no_survivors(name)
            assert result.cancellation is not None
            assert (result.status, result.current_step) == (SessionStatus.CANCELLED, "second")
            assert (result.cancellation.level, result.cancellation.source) == (Level.IMMEDIATE, Source.HOST)
            assert "the host's task was cancelled" in result.cancellation.reason
            assert lab.status(name) == "cancelled"
            lab.release()
            again = await runtime.resume(name)
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
            for session in held:
                session.cancel(immediate=True)
                await session.wait()
            names = {session.id for session in held}
            for name, _ in await runtime.list():
                result = await runtime.result(name)
                assert result.cancellation
                assert result.cancellation.source is (Source.API if name in names else Source.HOST)
            assert len(held) < 12

    Host()(main)


def test_nothing_is_missing_that_there_is_in_trio() -> None:
    trios = trio_recipes.Runtime
    methods = {name for name in dir(trios) if callable(getattr(trios, name)) and not name.startswith("_")}
    assert methods > {"start", "drain", "list"}
    assert methods <= {*dir(Runtime)}


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
                if stamped.event.name == "scope_started" and names.count("scope_started") == 3:
                    await until(lambda: lab.begun("second"))
                    lab.release()
            assert (names[0], names[-1]) == ("session_created", "run_ended")
            assert [stamped.seq async for stamped in session.events(after=len(names) - 1)] == [len(names)]
            async for _ in session.events():
                break  # what is left of it must not trouble anybody
        assert seen[-1] == (session.id, "run_ended")

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
            results = [await runtime.result(name) for name, _ in await runtime.list()]
            assert [result.status for result in results] == [SessionStatus.CANCELLED] * 20

    host(around)
