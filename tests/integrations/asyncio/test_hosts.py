"""Hosts of every kind: programs that are interrupted, notebooks, test suites; nothing hangs, nothing is lost."""

import asyncio
import gc
import os
import signal
import threading
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio

from tests.campaign.lab import PATIENCE, Lab, Runner, eventually
from tests.integrations.asyncio.loops import KINDS, Host, new_loop, until
from trio_recipes import ConfigurationError, Level, SessionStatus, Source
from trio_recipes.events import RunEnded
from trio_recipes.integrations.asyncio import Runtime, guest_run, in_trio, open_runtime
from trio_recipes.testing import assert_no_survivors

LOOPS = [kind for kind in KINDS if kind != "debug"]


def program(lab: Lab, name: str, *arguments: str) -> Runner:
    return lab.python("-m", "tests.integrations.asyncio.programs", name, *arguments)


def two_steps(lab: Lab) -> str:
    """The second step waits until it is released."""
    lab.hold("second")
    return str(lab.write("two", steps=[lab.step("first"), lab.step("second")]))


def host_line(runner: Runner) -> dict[str, Any]:
    """What the program says of its host, at its end."""
    found = [line for line in runner.lines() if line["event"] == "host"]
    assert found, runner.stderr
    return found[-1]


def assert_stopped_by_host(lab: Lab, session_id: str) -> None:
    assert_no_survivors(session_id)
    ended = lab.events(session_id)[-1]
    assert isinstance(ended, RunEnded)
    assert ended.cancellation is not None
    assert (ended.status, ended.cancellation.source) == (SessionStatus.CANCELLED, Source.HOST)
    assert (ended.cancellation.level, ended.current_step) == (Level.IMMEDIATE, "second")


# --- programs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LOOPS)
def test_ctrl_c_under_asyncio_run_stops_the_session(lab: Lab, kind: str) -> None:
    runner = program(lab, "with_asyncio_run", kind, str(lab.store), two_steps(lab)).started()
    eventually(lambda: lab.begun("second"))
    runner.signal(signal.SIGINT)
    assert runner.wait() == -signal.SIGINT, "the program did not end by Ctrl+C"
    assert_stopped_by_host(lab, runner.session_id)


def test_asyncio_run_that_ends_early_stops_what_was_left_open(lab: Lab) -> None:
    runner = program(lab, "ends_early", "asyncio", str(lab.store), two_steps(lab)).started()
    assert runner.wait() == 0, runner.stderr
    assert host_line(runner)["in_trio"] is False
    assert "Traceback" not in runner.stderr
    assert_stopped_by_host(lab, runner.session_id)


def test_a_run_whose_loop_is_gone_is_ended_by_the_next(lab: Lab) -> None:
    runner = program(lab, "with_a_bare_loop", "asyncio", str(lab.store), two_steps(lab), "again").started()
    first = runner.session_id
    eventually(lambda: lab.begun("second"))
    runner.signal(signal.SIGINT)
    eventually(lambda: lab.executions()["first"] == 2, "the second session")
    assert_no_survivors(first)
    assert lab.status(first) == "cancelled"
    eventually(lambda: lab.executions()["second"] == 2)
    lab.release()
    assert runner.wait() == 0, runner.stderr
    assert host_line(runner)["in_trio"] is False


def test_a_program_that_ends_without_its_loop_does_not_hang(lab: Lab) -> None:
    runner = program(lab, "with_a_bare_loop", "asyncio", str(lab.store), two_steps(lab), "no").started()
    eventually(lambda: lab.begun("second"))
    runner.signal(signal.SIGINT)
    assert runner.wait() == 0
    assert_no_survivors(runner.session_id, within=PATIENCE)  # its watchman sees to that
    eventually(lambda: lab.status(runner.session_id) == "interrupted")
    lab.release()
    assert lab.resume(runner.session_id).ended()["status"] == "completed"


@pytest.mark.parametrize("kind", LOOPS)
def test_ctrl_c_never_strikes_in_trios_own_code(lab: Lab, kind: str) -> None:
    runner = program(lab, "by_many_interrupts", kind)
    assert runner.wait() == 0, runner.stderr
    line = host_line(runner)
    assert (line["interrupted"], line["turns"]) == (20, 20)
    assert line["handler_is_pythons"], "the handler of SIGINT was not given back"


# --- loops that live long, or run in pieces ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_notebook_runs_its_loop_in_pieces(lab: Lab, kind: str) -> None:
    recipe = two_steps(lab)
    loop = new_loop(kind)
    loop.set_debug(kind == "debug")
    stack = AsyncExitStack()
    runtime: Runtime = loop.run_until_complete(
        stack.enter_async_context(open_runtime(store=str(lab.store), project=lab.root))
    )
    session = loop.run_until_complete(runtime.start(recipe))
    loop.run_until_complete(until(lambda: lab.begun("second")))
    assert session.cancel("between two cells", immediate=True).accepted
    assert session.status is SessionStatus.CANCELLING
    assert loop.run_until_complete(session.wait()).status is SessionStatus.CANCELLED
    lab.release()
    again = loop.run_until_complete(runtime.resume(session.id))
    assert loop.run_until_complete(again.wait()).status is SessionStatus.COMPLETED
    loop.run_until_complete(stack.aclose())
    loop.close()
    assert not trio.lowlevel.in_trio_run()


def test_a_runtime_can_be_entered_and_left_by_different_tasks(lab: Lab) -> None:
    """As async fixtures do: a part of the fixture before the test, another after it, each a task of its own."""

    async def fixture() -> AsyncGenerator[Runtime]:
        async with open_runtime(store=str(lab.store), project=lab.root) as runtime:
            yield runtime  # noqa: ASYNC119  what async fixtures are made of

    recipe = lab.write("one", steps=[lab.step("first")])
    for _ in range(3):
        with asyncio.Runner(debug=True) as runner:
            made = fixture()
            runtime = runner.run(_next(made))
            assert runner.run(_run(runtime, str(recipe)))["first"] == "value of first\n"
            with pytest.raises(StopAsyncIteration):
                runner.run(_next(made))
    assert lab.executions() == {"first": 3}


async def _next(made: AsyncGenerator[Runtime]) -> Runtime:
    return await anext(made)


async def _run(runtime: Runtime, recipe: str) -> dict[str, Any]:
    return {**await runtime.run(recipe)}


def test_many_loops_one_after_another_leave_nothing(any_host: Host) -> None:
    async def main() -> None:
        async with open_runtime():
            await in_trio(trio.sleep, 0)

    any_host(main)
    gc.collect()
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(15):
        any_host(main)
    gc.collect()
    assert threading.active_count() <= threads + 1
    assert len(os.listdir("/proc/self/fd")) <= files  # noqa: PTH208


def test_a_loop_that_was_closed_under_its_runs_does_not_block_the_thread(lab: Lab) -> None:
    recipe = two_steps(lab)
    loop = asyncio.new_event_loop()
    stack = AsyncExitStack()
    runtime: Runtime = loop.run_until_complete(
        stack.enter_async_context(open_runtime(store=str(lab.store), project=lab.root))
    )
    session = loop.run_until_complete(runtime.start(recipe))
    loop.run_until_complete(until(lambda: lab.begun("second")))
    [keeper] = asyncio.all_tasks(loop)
    keeper._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()

    async def main() -> None:
        async with guest_run():
            assert session.status is SessionStatus.CANCELLED
            assert lab.status(session.id) == "cancelled"
        for late in (runtime.list, stack.aclose):
            with pytest.raises(ConfigurationError, match="no trio run is open under this event loop"):
                await late()

    Host()(main)
