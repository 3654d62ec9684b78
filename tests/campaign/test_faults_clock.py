"""Wall clocks that jump by days, back and forth, while sessions run: times that are told are wrong, nothing else is."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.campaign.lab import Lab, eventually, takes_less_than
from trio_recipes import open_runtime
from trio_recipes.events import SessionStatus
from trio_recipes.sessions.manager import SessionManager

DAY = 86_400


@pytest.fixture
def jumping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks what time it is gets another day; what measures durations is left alone."""
    chance, wall, wall_ns = random.Random(26), time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: wall() + chance.uniform(-10, 10) * DAY)
    monkeypatch.setattr(time, "time_ns", lambda: wall_ns() + chance.randint(-10 * DAY, 10 * DAY) * 10**9)


@pytest.fixture
def recipe(lab: Lab) -> Path:
    loop: dict[str, Any] = {"foreach": "{{items}}", "parallel": 2, "collect": "all"}
    steps = [lab.step("{{item}}", id="each", **loop), lab.step("long"), lab.step("last")]
    return lab.write("plain", context={"items": ["a", "b", "c"]}, steps=steps)


@pytest.mark.usefixtures("jumping")
@pytest.mark.parametrize("grace", [None, 0.2])
async def test_a_stop_and_a_resume_while_the_clock_jumps(lab: Lab, recipe: Path, grace: float | None) -> None:
    """A grace period is never longer than it was asked for, whatever the clocks say (and perhaps shorter)."""
    lab.hold("long")
    async with open_runtime(store=str(lab.store), project=lab.root) as runtime:
        session = await runtime.start(recipe)
        await trio.to_thread.run_sync(eventually, lambda: lab.begun("long"))
        with takes_less_than(10):
            await runtime.cancel(session.id, grace=grace, immediate=grace is None)
            assert (await session.wait()).status is SessionStatus.CANCELLED
        lab.release()
        assert lab.manager.load_state(session.id, lab.root)["session_id"] == session.id
        resumed = await runtime.resume(session.id)
        result = await resumed.wait()
    assert result.status is SessionStatus.COMPLETED
    assert lab.executions() == {"a": 1, "b": 1, "c": 1, "long": 2, "last": 1}
    assert [stamped.seq for stamped in lab.stamped(session.id)] == [*range(1, len(lab.stamped(session.id)) + 1)]


@pytest.mark.usefixtures("jumping")
async def test_nobody_who_waits_is_deleted_because_of_a_clock(lab: Lab, recipe: Path) -> None:
    lab.hold("long")
    async with open_runtime(store=str(lab.store), project=lab.root) as runtime:
        session = await runtime.start(recipe)
        SessionManager(lab.store, auto_cleanup_days=0).cleanup_old_sessions(lab.root)
        assert lab.manager.session_exists(session.id, lab.root)
        lab.release()
        assert (await session.wait()).status is SessionStatus.COMPLETED
