"""Looks whether resources have changed, as long as a client wants to know: sessions of any process, and recipes.

The store is looked at, like everybody does who watches a session that another process runs; no session tells of itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import trio
from attrs import field
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourcesListChanged, ResourceUpdated

from trio_recipes.classes import define
from trio_recipes.errors import InvalidCallError, RecipesError
from trio_recipes.frontends.mcp.recipes import find_recipes, recipe_file
from trio_recipes.frontends.mcp.resources import RECIPE, SESSION

if TYPE_CHECKING:
    from trio_recipes.sessions.runtime import Runtime

LISTING: Final = ""
"""Stands for the list of resources among their URIs."""

LOOK_SECONDS: Final = 0.2
"""Between two looks at what is wanted, if they are quick."""

_RESTS: Final = 4
"""How many times as long as it looks it rests: a machine that is busy, or many resources, make looks slow."""

_LISTING_SECONDS: Final = 1.0
"""Between two looks at the list: the whole project is searched for it."""

_MOST: Final = 100
"""How many resources are looked at: each look opens a session's file."""


@define(eq=False)
class Lookout:
    """Tells of changes.

    Args:
        runtime: whose project and store are looked at.
        bus: where changes are told.
    """

    runtime: Runtime
    bus: InMemorySubscriptionBus = field(factory=InMemorySubscriptionBus)
    _wanted: Counter[str] = field(factory=Counter)
    _marks: dict[str, object] = field(factory=dict)
    _listed_at: float = 0.0
    _begun: trio.Event = field(factory=trio.Event)

    @asynccontextmanager
    async def wanting(self, uris: Collection[str]) -> AsyncGenerator[None]:
        """Tell of changes of these resources that come after the beginning of the block, until its end.

        Raises:
            InvalidCallError: if too many are wanted.
        """
        new = {uri for uri in uris if uri not in self._wanted}
        if len(self._wanted) + len(new) > _MOST:
            raise InvalidCallError(f"too many resources are subscribed to (at most {_MOST}): unsubscribe from some")
        self._wanted.update(uris)
        try:
            for uri, mark in (await self._look_at(new)).items():
                self._marks.setdefault(uri, mark)
            self._begun.set()
            yield
        finally:
            self._wanted -= Counter(uris)
            self._marks = {uri: mark for uri, mark in self._marks.items() if uri in self._wanted}

    def knows(self, uri: str) -> bool:
        """Whether there is such a resource, as far as it is wanted."""
        return uri != LISTING and self._marks.get(uri) is not None

    async def run(self) -> None:
        """Look, and look again; until cancelled."""
        while True:
            if not self._wanted:
                self._begun = trio.Event()
                await self._begun.wait()
            begun = trio.current_time()
            for uri, mark in (await self._look_at(self._due())).items():
                await self._compare(uri, mark)
            took = trio.current_time() - begun
            await trio.sleep(max(LOOK_SECONDS, took * _RESTS))

    def _due(self) -> Collection[str]:
        """What is looked at this time."""
        now = trio.current_time()
        if now < self._listed_at + _LISTING_SECONDS:
            return self._marks.keys() - {LISTING}
        self._listed_at = now
        return self._marks.keys()

    async def _look_at(self, uris: Collection[str]) -> dict[str, object]:
        wanted = list(uris)
        if not wanted:
            return {}
        return await trio.to_thread.run_sync(self._look, wanted, abandon_on_cancel=True)

    def _look(self, uris: list[str]) -> dict[str, object]:
        return {uri: mark_of(self.runtime, uri) for uri in uris}

    async def _compare(self, uri: str, mark: object) -> None:
        if uri not in self._marks or self._marks[uri] == mark:
            return  # it is not wanted any more, or what it was
        self._marks[uri] = mark
        await self.bus.publish(ResourcesListChanged() if uri == LISTING else ResourceUpdated(uri))


def mark_of(runtime: Runtime, uri: str) -> object:
    """Something that differs whenever a resource does; None where there is none. Blocks."""
    try:
        if uri == LISTING:
            return _mark_of_list(runtime)
        if uri.startswith(RECIPE):
            found = recipe_file(runtime.project, unquote(uri.removeprefix(RECIPE))).stat()
            return found.st_mtime_ns, found.st_size
        return _mark_of_session(runtime, unquote(uri.removeprefix(SESSION))) if uri.startswith(SESSION) else None
    except (RecipesError, OSError):
        return None


def _mark_of_session(runtime: Runtime, session_id: str) -> Any:
    store = runtime.store
    file = store.file(store.resolve(session_id))
    with file.reading() as connection:
        standing = file.standing(connection)
        if standing.created["project_path"] != runtime.project:
            return None
        asked = [row.number for row in file.unanswered(connection)]
        return standing.status, file.last_move(connection), asked


def _mark_of_list(runtime: Runtime) -> Any:
    return find_recipes(runtime.project), runtime.store.layout.sessions.stat().st_mtime_ns
