"""A runtime may be there for months: it knows what runs, and what somebody holds, and forgets all else."""

import gc
import os
import subprocess
import sys
from collections import Counter
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from weakref import ref

import pytest
import trio

from trio_recipes import open_runtime
from trio_recipes.errors import ApprovalGatePausedError, SessionBusyError, SessionError, SessionNotFoundError
from trio_recipes.events import RunEnded, SessionStatus
from trio_recipes.language.load import parse_recipe
from trio_recipes.progress.fold import Progress
from trio_recipes.runtime.engine import Engine
from trio_recipes.sessions.manager import SessionManager
from trio_recipes.sessions.runtime import Runtime
from trio_recipes.sessions.session import Session
from trio_recipes.store.journal import WRITERS, SessionLog

RECIPE = """\
name: r
description: d
version: 1.0.0
context: {fails: false, seconds: 0}
steps:
  - {id: work, type: function, function: work, args: {fails: "{{fails}}", seconds: "{{seconds}}"}, output: said}
"""
KINDS = (Session, Engine, SessionLog, Progress)


async def work(fails: object, seconds: float) -> str:
    await trio.sleep(float(seconds))
    if fails is True:
        raise ValueError("as it was told")
    return "done"


def opened(folder: Path) -> AbstractAsyncContextManager[Runtime]:
    return open_runtime(store=str(folder / "store"), project=folder, functions={"work": work}, durability="process")


async def ended(runtime: Runtime, **context: object) -> str:
    session = await runtime.start(parse_recipe(RECIPE), context)
    await session.wait()
    return session.id


def alive() -> Counter[str]:
    gc.collect()
    return Counter(kind.__name__ for kind in map(type, gc.get_objects()) if kind in KINDS)


async def test_nothing_is_left_of_sessions_that_have_ended(tmp_path: Path) -> None:
    before = alive()
    async with opened(tmp_path) as runtime:
        for number in range(100):
            await ended(runtime, fails=number % 10 == 0)
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(ended, runtime)
        with trio.fail_after(20):
            while (alive() - before).total() > WRITERS:  # noqa: ASYNC110  a writer has its last log until its next job
                await trio.sleep(0.01)
        left = alive() - before
        assert left == Counter(SessionLog=left["SessionLog"])
        assert runtime.sessions == {}
        assert len(await runtime.list()) == 200


async def test_a_session_that_somebody_holds_stays_known(tmp_path: Path) -> None:
    async with opened(tmp_path) as runtime:
        session = await runtime.start(parse_recipe(RECIPE))
        assert runtime.get(session.id) is session
        assert runtime.sessions == {session.id: session}
        await session.wait()
        assert runtime.get(session.id) is session
        assert runtime.sessions == {}
        name, known = session.id, ref(session)
        del session
        gc.collect()
        assert known() is None
        with pytest.raises(KeyError):
            runtime.get(name)
        runtime.cancel_from_thread(name, "too late")
        with pytest.raises(KeyError):
            runtime.cancel_from_thread("0123456789abcdef-20260101-000000_recipe")


async def test_how_it_ended_can_be_asked_at_any_time(tmp_path: Path) -> None:
    async with opened(tmp_path) as runtime:
        session = await runtime.start(parse_recipe(RECIPE))
        live = await runtime.result(session.id)  # waits for it
        del session
        failed = await ended(runtime, fails=True)
        result = await runtime.result(live.session_id[:16])
        assert (result.status, result.context, result.final_output) == (live.status, live.context, live.final_output)
        assert (result.failure, result.cancellation, result.gates) == (None, None, ())
        events = [stamped async for stamped in runtime.events(live.session_id, 1)]
        assert [stamped.seq for stamped in events] == list(range(2, len(events) + 2))
        assert isinstance(events[-1].event, RunEnded)
        result = await runtime.result(failed)
        assert result.status is SessionStatus.FAILED
        assert result.failure is not None
        assert "as it was told" in result.failure.message
    async with opened(tmp_path) as runtime:
        assert (await runtime.result(failed)).failure == result.failure
        session = await runtime.start(parse_recipe(RECIPE), {"seconds": 100})
        session.cancel("enough", immediate=True)
        del session
        stopped = await runtime.result("@last")
        assert await runtime.cancel(stopped.session_id, "again") is False
        assert stopped.status is SessionStatus.CANCELLED
        assert stopped.cancellation is not None
        assert stopped.cancellation.reason == "enough"


async def test_a_paused_session_is_asked_after_too(tmp_path: Path) -> None:
    text = RECIPE.replace("steps:", "stages:\n  - name: one\n    approval: {required: true, prompt: ok?}\n    steps:")
    text = text.replace("  - {id", "      - {id")
    async with opened(tmp_path) as runtime:
        session = await runtime.start(parse_recipe(text))
        live = await session.wait()
        del session
        result = await runtime.result(live.session_id)
        assert (result.status, result.current_step) == (SessionStatus.PAUSED, "one")
        assert result.gate is not None
        assert result.gate.asked.prompt == "ok?"
        await runtime.approve(live.session_id, "one")
        with pytest.raises(ApprovalGatePausedError, match="one"):  # until it is resumed
            (await runtime.result(live.session_id)).unwrap()


async def test_what_has_not_ended_has_no_result(tmp_path: Path) -> None:
    async with opened(tmp_path) as runtime:
        with pytest.raises(SessionNotFoundError):
            await runtime.result("0123")
        with pytest.raises(SessionNotFoundError):
            await anext(runtime.events("0123"))
        manager = SessionManager(tmp_path / "store")
        made = manager.create_session(parse_recipe(RECIPE.split("steps:", maxsplit=1)[0] + STEPS), tmp_path)
        with pytest.raises(SessionError, match="has not run yet"):
            await runtime.result(made)


STEPS = "steps: [{id: s, type: bash, command: echo}]\n"
ELSEWHERE = """
import sys, trio
from tests.sessions.test_forgetting import RECIPE, opened, parse_recipe
from pathlib import Path

async def main():
    async with opened(Path(sys.argv[1])) as runtime:
        session = await runtime.start(parse_recipe(RECIPE), {"seconds": 100})
        print(session.id, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


def elsewhere(folder: Path) -> subprocess.Popen[str]:
    """A process that runs a session of this store for long, and prints its id."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen([sys.executable, "-c", ELSEWHERE, str(folder)], stdout=subprocess.PIPE, env=env, text=True)


async def test_a_session_that_another_process_runs(tmp_path: Path) -> None:
    async with opened(tmp_path) as runtime:
        with elsewhere(tmp_path) as other:
            assert other.stdout is not None
            name = (await trio.to_thread.run_sync(other.stdout.readline)).strip()
            with pytest.raises(SessionBusyError, match=f"process {other.pid}"):
                await runtime.result(name)
            other.kill()
        with trio.fail_after(20):
            while runtime.store.standing(name).alive:  # noqa: ASYNC110  until its watchman has ended, too
                await trio.sleep(0.01)
        assert (await runtime.result(name)).status is SessionStatus.INTERRUPTED
