"""The end of a runtime in an asyncio application: what it waits for, what it stops, and when it is cut short."""

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
import trio

from tests.campaign.lab import Lab
from tests.integrations.asyncio.loops import Host, until
from tests.integrations.asyncio.test_runtime import by_cancel, opened, two_steps
from trio_recipes import Level, SessionStatus, Source
from trio_recipes.integrations.asyncio import Session, drained


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


def test_drained_begins_when_the_signal_comes_and_calls_the_hosts_handler(host: Host, lab: Lab) -> None:
    recipe = two_steps(lab)
    heard: list[int] = []

    async def main() -> None:
        async with opened(lab) as runtime:
            async with drained(runtime, 60):
                session = await runtime.start(recipe)
                await until(lambda: lab.begun("second"))
                signal.raise_signal(signal.SIGTERM)
                await until(lambda: session.status is SessionStatus.CANCELLING)
                assert heard == [signal.SIGTERM]
                signal.raise_signal(signal.SIGTERM)
                result = await session.wait()
            assert signal.getsignal(signal.SIGTERM) == take
        assert result.cancellation
        assert (result.cancellation.source, result.cancellation.level) == (Source.SIGNAL, Level.IMMEDIATE)

    def take(number: int, _frame: object) -> None:
        heard.append(number)

    before = signal.signal(signal.SIGTERM, take)
    try:
        host(main)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM] * 2


@pytest.mark.parametrize("threaded", [False, True])
def test_drained_sets_no_handler_where_there_is_none_and_drains_in_the_end(lab: Lab, threaded: bool) -> None:
    recipe = two_steps(lab)

    async def main() -> Session:
        async with opened(lab) as runtime, drained(runtime, 0):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            session: Session = await runtime.start(recipe)
            await until(lambda: lab.begun("second"))
        return session

    with ThreadPoolExecutor(1) as thread:  # no handlers there at all
        session = thread.submit(Host(), main).result() if threaded else Host()(main)
    assert session.result
    assert session.result.cancellation
    assert session.result.cancellation.level is Level.IMMEDIATE
