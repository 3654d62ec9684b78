"""Many sessions, many runners, many who ask: every acknowledged request is honoured, and nobody is stuck.

``python -m benchmarks.reliability load`` does the same with 200 sessions and 20 runners for a minute.
"""

import random
from pathlib import Path

import pytest

from tests.campaign.load import Crowd
from trio_recipes.testing import Forks


@pytest.mark.slow
async def test_many_are_stopped_by_many(tmp_path: Path) -> None:
    with Forks("trio_recipes.__main__:main") as commands:
        crowd = Crowd(tmp_path, commands, here=25, runners=4, callers=6, chance=random.Random(26))
        await crowd.run(seconds=2.5)
    figures = crowd.judge()
    assert not crowd.errors, "\n".join(crowd.errors)
    assert figures["requests without an answer"] == figures["processes left"] == 0
    assert figures["accepted"] > 10
