"""Tests of recipes over recordings of what agents answered, for pytest.

Put this into the ``conftest.py`` at the root of your tests::

    pytest_plugins = ["trio_recipes.testing.replaying"]

A test then takes the fixture ``replay``; paths are relative to the test's own file::

    def test_review(replay):
        result = replay("../review.yaml", "recordings/review.json", {"base": "main"})
        assert "looks good" in result.unwrap()["final_output"]

``pytest --record-agents agents.yaml`` asks the agents, and writes their answers into the recordings. Without it nobody
is asked: a prompt that is not the recorded one fails its step, and the failure shows what is different.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from trio_recipes.agents.backends.replay import ReplayBackend
from trio_recipes.agents.load import RECORDING
from trio_recipes.classes import frozen
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.sessions.recordings import recorded_answers, recording_of, write_recording
from trio_recipes.store.base import open_store

if TYPE_CHECKING:
    from trio_recipes.sessions.result import SessionResult

OPTION = "--record-agents"


@frozen
class Replay:
    """Runs recipes over recordings, or records.

    Args:
        store: where the sessions of the test are kept.
        folder: what paths are relative to.
        record: who is to be asked, as for ``run --agents``; None replays.
    """

    store: Path
    folder: Path
    record: str | None = None

    def __call__(
        self, recipe: str, recording: str, context: Mapping[str, Any] | None = None, **options: Any
    ) -> SessionResult:
        """Run a recipe to its end; for async tests there is :meth:`run`.

        Args:
            recipe: its file.
            recording: a file (``….json``); or a session of your own store, which can't be recorded.
            context: variables over the recipe's own.
            options: as for ``open_runtime``.

        Raises:
            RecipesError: it can't begin: there is no such recipe or recording, say.
        """
        return trio.run(partial(self.run, recipe, recording, context, **options))

    async def run(
        self, recipe: str, recording: str, context: Mapping[str, Any] | None = None, **options: Any
    ) -> SessionResult:
        """As :meth:`__call__`, in a trio program."""
        agents = await trio.to_thread.run_sync(self._agents, recording)
        async with open_runtime(store=str(self.store), agents=agents, **options) as runtime:
            session = await runtime.start(self.folder / recipe, context)
            result = await session.wait()
        if self.record is not None and recording.endswith(RECORDING):
            await trio.to_thread.run_sync(self._keep, session.id, self.folder / recording)
        return result

    def _agents(self, recording: str) -> str | ReplayBackend:
        if self.record is not None:
            return self.record
        name = str(self.folder / recording) if recording.endswith(RECORDING) else recording
        return ReplayBackend(name).recalled(partial(recorded_answers, open_store()))

    def _keep(self, session_id: str, file: Path) -> None:
        answers = recording_of(open_store(str(self.store)).file(session_id), masked=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_recording(answers, file)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that records."""
    text = "ask these agents (an agents file, or 'echo') and write what they answer into the recordings"
    parser.getgroup("trio_recipes").addoption(OPTION, metavar="FILE", help=text)


@pytest.fixture
def replay(request: pytest.FixtureRequest, tmp_path: Path) -> Replay:
    """Runs recipes over recordings (see the text of ``trio_recipes.testing.replaying``)."""
    record: str | None = request.config.getoption(OPTION)
    return Replay(tmp_path / "sessions", request.path.parent, record)


def save_recording(session_id: str, file: str | os.PathLike[str], store: str | None = None) -> None:
    """Write what agents answered in a session into a file, for tests that replay it; secrets are hidden. Blocks.

    Args:
        session_id: an id, a unique prefix of one, or ``@last``.
        file: to be written; its name ends in ``.json``.
        store: where the session is; the user's own store by default.

    Raises:
        SessionNotFoundError: there is no such session.
    """
    known = open_store(store, create=False)
    write_recording(recording_of(known.file(known.resolve(session_id)), masked=True), Path(file))
