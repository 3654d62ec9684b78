"""One coordinator and the sessions under it: a runtime for each project, opened when it is first needed."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trio_recipes.events import RunEnded, Stamped, Warned
from trio_recipes.integrations.amplifier.agents import SpawnBackend, SpawnResolver
from trio_recipes.integrations.amplifier.outbox import Outbox
from trio_recipes.integrations.amplifier.token import TokenWatch
from trio_recipes.integrations.amplifier.tracker import Tracker
from trio_recipes.integrations.asyncio import open_runtime
from trio_recipes.sessions.sources import project_bundles

if TYPE_CHECKING:
    from trio_recipes.integrations.amplifier.places import Place
    from trio_recipes.integrations.amplifier.settings import Settings
    from trio_recipes.integrations.asyncio import Runtime
    from trio_recipes.runtime.ports import AgentRequest
    from trio_recipes.sessions.session import Session

_log = logging.getLogger("trio_recipes.integrations")


class Host:
    """What the mounted tool works with.

    Args:
        coordinator: of the Amplifier session.
        settings: of the tool.
    """

    def __init__(self, coordinator: Any, settings: Settings) -> None:
        self.coordinator, self.settings = coordinator, settings
        self.outbox = Outbox(coordinator)
        self.requester = f"Amplifier session {getattr(coordinator, 'session_id', None) or os.getpid()}"
        self._backend = SpawnBackend(coordinator, self._place_of)
        self._watch = TokenWatch(getattr(coordinator, "cancellation", None), self.running, self.requester)
        self._trackers: dict[str, Tracker] = {}
        self._runtimes: dict[str, Runtime] = {}
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    # --- runtimes ------------------------------------------------------------------------------------------------

    @property
    def project(self) -> str:
        """The project's folder, as the application says now."""
        folder = self.coordinator.get_capability("session.working_dir") or Path.cwd()
        return str(Path(folder).expanduser().resolve())

    async def runtime(self) -> Runtime:
        """The runtime of the project.

        Raises:
            StoreUnusableError: if the store can't be used.
            ConfigurationError: if this thread runs trio already.
        """
        self._follow_loop()
        async with self._opening:
            project = self.project
            if project not in self._runtimes:
                self._runtimes[project] = await self._stack.enter_async_context(self._opened(project))
            return self._runtimes[project]

    def _follow_loop(self) -> None:
        """An application may have a new event loop for each turn; what ran in the last one ended with it."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._stack, self._opening = loop, AsyncExitStack(), asyncio.Lock()
            self._runtimes, self._trackers, self.outbox = {}, {}, Outbox(self.coordinator)

    def _opened(self, project: str) -> Any:
        return open_runtime(
            store=self.settings.store,
            project=project,
            agents=self._backend,
            resolver=SpawnResolver(self._backend),
            bundles=partial(self._find, project),
            observe=self._observe,
        )

    def _find(self, project: str, path: str) -> Any:
        """Where ``@bundle:path`` leads to: Amplifier's bundles, or else those of the project."""
        resolver = self.coordinator.get_capability("mention_resolver")
        return project_bundles(project)(path) if resolver is None else resolver.resolve(path)

    async def close(self) -> None:
        """Stop every session, those in the background too, and leave nothing behind."""
        self._follow_loop()
        try:
            for runtime in self._runtimes.values():
                await runtime.drain(self.settings.drain_seconds)
            await self.outbox.close()
        finally:
            self._watch.close()
            self._runtimes = {}
            await self._stack.aclose()

    # --- sessions ------------------------------------------------------------------------------------------------

    def running(self) -> Iterator[Session]:
        """The sessions under this coordinator that have not ended."""
        for runtime in self._runtimes.values():
            for session in runtime.trio.sessions.values():
                if session.result is None:
                    yield session

    def begun(self, session: Session) -> None:
        """Take note of a session that is about to run."""
        self._trackers[session.id] = Tracker(session)
        self._watch.attend()

    def _observe(self, session_id: str, stamped: Stamped) -> None:
        """In the loop, for each event: have hooks and people told. What goes wrong here harms no run."""
        tracker = self._trackers.get(session_id)
        if tracker is None:
            return
        try:
            for name, data in tracker.take(stamped.event):
                self.outbox.emit(name, data)
            self._show(stamped)
        except Exception:
            _log.exception("the event %s could not be told to Amplifier", stamped.event.name)
        if isinstance(stamped.event, RunEnded):
            del self._trackers[session_id]

    def _show(self, stamped: Stamped) -> None:
        event = stamped.event
        if isinstance(event, Warned):
            self.outbox.show(event.message, "warning")
        elif isinstance(event, RunEnded) and event.cancellation is not None:
            where = f" at step: {event.current_step}" if event.current_step else " before its first step"
            self.outbox.show(f"Recipe cancelled{where}", "warning")

    def _place_of(self, request: AgentRequest) -> Place | None:
        tracker = self._trackers.get(request.session_id)
        return tracker.place(request.path) if tracker else None
