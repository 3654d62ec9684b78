"""Awaiting trio from asyncio and asyncio from trio: values, errors, and cancellation in both directions."""

import asyncio
import contextvars
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
import pytest
import sniffio
import trio

from tests.integrations.asyncio.loops import Host, until
from trio_recipes.integrations.asyncio import guest_run, in_asyncio, in_trio, visits
from trio_recipes.integrations.asyncio.calls import Call

Log = list[str]


async def trio_add(a: int, b: int) -> int:
    await trio.lowlevel.checkpoint()
    return a + b


async def asyncio_add(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a + b


async def trio_rest(log: Log) -> None:
    """Wait, and clean up slowly when cancelled."""
    log.append("trio begins")
    try:
        await trio.sleep_forever()
    finally:
        with trio.move_on_after(5, shield=True):
            await trio.sleep(0.02)
        log.append("trio ends")


async def asyncio_rest(log: Log) -> None:
    """Wait, and clean up slowly when cancelled."""
    log.append("asyncio begins")
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0.02)  # noqa: ASYNC102  asyncio: cancelled once, it may go on waiting
        log.append("asyncio ends")


async def through_both(log: Log) -> None:
    """In trio, wait for asyncio."""
    await in_asyncio(asyncio_rest, log)


def test_values_and_errors_cross_both_ways(any_host: Host) -> None:
    async def fail(kind: type[Exception]) -> None:  # noqa: ASYNC124
        raise kind("of a function")

    async def from_trio() -> int:
        with pytest.raises(KeyError, match="of a function"):
            await in_asyncio(fail, KeyError)
        return await in_asyncio(asyncio_add, 1, 2)

    async def main() -> None:
        async with guest_run():
            assert await in_trio(trio_add, 1, 2) == 3
            assert await in_trio(from_trio) == 3
            with pytest.raises(OSError, match="of a function"):
                await in_trio(fail, OSError)

    any_host(main)


Stop = Callable[[Awaitable[None], Log], Awaitable[None]]


async def by_cancel(work: Awaitable[None], log: Log) -> None:
    task = asyncio.ensure_future(work)
    await until(lambda: log)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task
    assert task.cancelled()


async def by_timeout(work: Awaitable[None], log: Log) -> None:
    async def time_out(limit: asyncio.Timeout) -> None:
        await until(lambda: log)
        limit.reschedule(0)

    async def wait() -> None:
        async with asyncio.timeout(None) as limit:
            clock = asyncio.ensure_future(time_out(limit))
            await work
            await clock

    with pytest.raises(TimeoutError):
        await wait()


async def by_wait_for(work: Awaitable[None], log: Log) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(work, 0.5)  # long enough for it to begin


async def by_a_sibling(work: Awaitable[None], log: Log) -> None:
    async def wait() -> None:
        await work

    with pytest.RaisesGroup(ZeroDivisionError):
        async with asyncio.TaskGroup() as group:
            group.create_task(wait())
            await until(lambda: log)
            raise ZeroDivisionError


@pytest.mark.parametrize("stop", [by_cancel, by_timeout, by_wait_for, by_a_sibling])
@pytest.mark.parametrize("function", [trio_rest, through_both])
def test_asyncio_cancels_trio_and_waits_for_its_end(
    any_host: Host, stop: Stop, function: Callable[[Log], Awaitable[None]]
) -> None:
    log: Log = []

    async def main() -> None:
        async with guest_run():
            await stop(in_trio(function, log), log)
            assert [line.partition(" ")[2] for line in log] == ["begins", "ends"]

    any_host(main)


def test_trio_cancels_asyncio_and_waits_for_its_end(any_host: Host) -> None:
    log: Log = []

    async def from_trio() -> bool:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(in_asyncio, asyncio_rest, log)
                while not log:  # noqa: ASYNC110  asyncio's side has no event of trio's
                    await trio.sleep(0.005)
                scope.cancel()
        log.append("scope left")
        return scope.cancelled_caught

    async def main() -> None:
        async with guest_run():
            assert await in_trio(from_trio)

    any_host(main)
    assert log == ["asyncio begins", "asyncio ends", "scope left"]


def test_a_second_cancellation_does_not_cut_the_first_short() -> None:
    log: Log = []

    async def main() -> None:
        async with guest_run():
            task = asyncio.create_task(in_trio(trio_rest, log))
            await until(lambda: log)
            task.cancel("first")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel("second")
            with pytest.raises(asyncio.CancelledError, match="first"):
                await task
            assert log[-1] == "trio ends"

    Host()(main)


def test_scopes_of_anyio_tell_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """They cancel a task in every turn of the loop until it has left them: a slow end would be a busy loop."""
    log: Log = []
    told = 0
    cancel = Call.cancel

    def counted(call: Call[object], error: asyncio.CancelledError | None = None) -> None:
        nonlocal told
        told += 1
        cancel(call, error)

    monkeypatch.setattr(Call, "cancel", counted)

    async def main() -> None:
        async with guest_run():
            with anyio.move_on_after(0.5) as scope:
                await in_trio(through_both, log)
            assert scope.cancelled_caught
            with pytest.RaisesGroup(ZeroDivisionError):
                async with anyio.create_task_group() as group:
                    group.start_soon(in_trio, trio_rest, log)
                    await until(lambda: len(log) == 3)
                    raise ZeroDivisionError
            task = asyncio.current_task()
            assert task
            assert task.cancelling() == 0

    Host()(main)
    assert log == ["asyncio begins", "asyncio ends", "trio begins", "trio ends"]
    assert told <= 4


def test_a_function_that_is_cancelled_before_it_begins_never_begins(any_host: Host) -> None:
    log: Log = []

    async def from_trio() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await in_asyncio(asyncio_rest, log)
        with trio.CancelScope() as scope:
            trio.lowlevel.current_trio_token().run_sync_soon(scope.cancel)
            await in_asyncio(asyncio_rest, log)

    async def main() -> None:
        async with guest_run():
            task = asyncio.create_task(in_trio(trio_rest, log))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await in_trio(from_trio)

    any_host(main)
    assert "trio begins" not in log
    assert log.count("asyncio begins") == log.count("asyncio ends")


# --- functions that do not do as they are told -------------------------------------------------------------------


def test_what_a_cancelled_function_returns_or_raises_does_not_count(
    any_host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    async def swallow() -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        return "as if nothing had happened"

    async def trip() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            raise ValueError("while it cleaned up") from None  # noqa: ASYNC104  that is the mistake

    async def from_trio(function: Callable[[], Awaitable[object]]) -> bool:
        with trio.move_on_after(0.5) as scope:
            await in_asyncio(function)
        return scope.cancelled_caught

    async def main() -> None:
        async with guest_run():
            assert await in_trio(from_trio, swallow)
            assert await in_trio(from_trio, trip)

    any_host(main)
    assert "trip failed while it was stopped" in caplog.text


def test_a_function_that_goes_on_waiting_is_told_again(any_host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits, "CLEANUP_SECONDS", 0.02)
    monkeypatch.setattr(visits, "AGAIN_SECONDS", 0.01)
    begun, told = False, 0

    async def stubborn() -> None:
        nonlocal begun, told
        begun = True
        while told < 4:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:  # noqa: ASYNC103  that is the mistake
                told += 1

    async def from_trio() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(in_asyncio, stubborn)
            while not begun:  # noqa: ASYNC110  it is asyncio's
                await trio.sleep(0.005)
            nursery.cancel_scope.cancel()

    async def main() -> None:
        async with guest_run():
            await in_trio(from_trio)

    any_host(main)
    assert told == 4


def test_a_function_that_never_ends_is_left_alone_and_that_is_said(
    any_host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(visits, "CLEANUP_SECONDS", 0.01)
    monkeypatch.setattr(visits, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(visits, "LONGEST_SECONDS", 0.05)
    enough = False

    async def deaf() -> None:
        while not enough:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    async def from_trio() -> bool:
        with trio.move_on_after(0.5) as scope:
            await in_asyncio(deaf)
        return scope.cancelled_caught

    async def main() -> None:
        nonlocal enough
        async with guest_run():
            assert await in_trio(from_trio)
        assert len(asyncio.all_tasks()) == 2  # asyncio.run has to know of it from now on
        enough = True

    any_host(main)
    assert "deaf resists its cancellation" in caplog.text


def test_a_function_that_is_cancelled_by_others_has_failed(any_host: Host) -> None:
    async def cancel_itself() -> None:
        task = asyncio.current_task()
        assert task
        task.cancel()
        await asyncio.sleep(3600)

    async def main() -> None:
        async with guest_run():
            with pytest.raises(RuntimeError, match="cancel_itself was cancelled within asyncio"):
                await in_trio(in_asyncio, cancel_itself)

    any_host(main)


def test_the_end_of_asyncio_run_leaves_it_to_trio_to_stop_functions() -> None:
    log: Log = []

    async def main() -> None:
        async with guest_run():
            task = asyncio.create_task(in_trio(through_both, log))
            await until(lambda: log)
            assert task in asyncio.all_tasks()
            assert not [task for task in asyncio.all_tasks() if "rest" in task.get_name()]
            task.cancel()
            await asyncio.wait([task])

    Host()(main)


# --- what a function sees ----------------------------------------------------------------------------------------

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


def test_context_variables_and_the_library_in_use_are_right(any_host: Host) -> None:
    async def look() -> tuple[str, str]:  # noqa: ASYNC124
        return VARIABLE.get(), sniffio.current_async_library()

    async def look_twice() -> list[tuple[str, str]]:
        VARIABLE.set("by trio")
        return [await look(), await in_asyncio(look)]

    async def main() -> None:
        VARIABLE.set("by asyncio")
        async with guest_run():
            assert await in_trio(look) == ("by asyncio", "trio")
            assert await in_trio(look_twice) == [("by trio", "trio"), ("by trio", "asyncio")]
            assert await look() == ("by asyncio", "asyncio")

    any_host(main)


if sys.version_info >= (3, 12):

    def test_eager_tasks_do_not_run_inside_trio() -> None:
        async def look() -> str:  # noqa: ASYNC124
            return sniffio.current_async_library()

        async def main() -> None:
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            async with guest_run():
                assert await in_trio(in_asyncio, look) == "asyncio"

        Host()(main)
