"""Many sessions, many runners, many who ask: every acknowledged request is honoured, and nobody is stuck.

``python -m benchmarks.reliability load`` does the same with 200 sessions and 20 runners for a minute.
"""

import random
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.campaign.lab import PATIENCE, Lab, bash
from tests.campaign.load import Crowd
from trio_recipes import load_recipe
from trio_recipes.testing import Forks, assert_no_survivors

pytestmark = pytest.mark.slow


async def test_many_are_stopped_by_many(tmp_path: Path) -> None:
    with Forks("trio_recipes.__main__:main") as commands:
        crowd = Crowd(tmp_path, commands, here=25, runners=4, callers=6, chance=random.Random(26))
        await crowd.run(seconds=2.5)
    figures = crowd.judge()
    assert not crowd.errors, "\n".join(crowd.errors)
    assert figures["requests without an answer"] == figures["processes left"] == 0
    assert figures["accepted"] > 10


async def test_twenty_sessions_in_one_runtime_stopped_by_anybody(lab: Lab) -> None:
    """Each ends as it was asked to, none because of another; resumed, all give what they should."""
    chance = random.Random(20)
    loop: dict[str, Any] = {"foreach": "{{items}}", "parallel": 2, "collect": "results"}
    step = bash("scan", "sleep 0.02; echo {{item}}", **loop)
    recipe = lab.write("loop", context={"items": list(range(8))}, steps=[step])

    async def stop_somehow(session: Any, how: str) -> None:
        await trio.sleep(chance.uniform(0, 0.2))
        if how == "api":
            session.cancel(immediate=True)
        elif how == "manager":
            await trio.to_thread.run_sync(lab.manager.request_cancellation, session.id, lab.root, True)

    async with lab.runtime(PATIENCE * 2) as runtime:
        loaded = load_recipe(recipe)
        sessions = [await runtime.start(loaded) for _ in range(20)]
        async with trio.open_nursery() as nursery:
            for number, session in enumerate(sessions):
                nursery.start_soon(stop_somehow, session, ("api", "manager", "nobody")[number % 3])
        results = [await session.wait() for session in sessions]
        assert {str(result.status) for result in results[2::3]} == {"completed"}
        assert {str(result.status) for result in results} <= {"completed", "cancelled"}
        for result in results:
            assert_no_survivors(result.session_id)
            if str(result.status) == "cancelled":
                again = await runtime.resume(result.session_id)
                assert (await again.wait()).unwrap()["results"] == list(range(8))
