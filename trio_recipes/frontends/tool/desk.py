"""Where calls of the tool are worked on: the runtime, who calls, and the project whose sessions they may see."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import trio

from trio_recipes.classes import frozen
from trio_recipes.errors import InvalidCallError, InvalidRecipeError, SessionNotFoundError, StoreError
from trio_recipes.sessions.sources import file_behind, locate

if TYPE_CHECKING:
    from trio_recipes.language.model import AgentStep
    from trio_recipes.progress.standing import Standing
    from trio_recipes.sessions.runtime import Runtime
    from trio_recipes.sessions.session import Session
    from trio_recipes.store.session_file import SessionFile

Remarks: TypeAlias = "Callable[[Sequence[AgentStep]], Sequence[str]]"


@frozen(eq=False)
class Desk:
    """What every operation needs.

    Args:
        runtime: runs sessions.
        via: the door, for decisions on gates.
        caller: who calls, or "".
        remarks: what the host has to say about agent steps of a recipe that is validated.
    """

    runtime: Runtime
    via: str
    caller: str
    remarks: Remarks

    @property
    def requester(self) -> str:
        """Who calls, for the record."""
        return self.caller or f"{self.via}, pid {os.getpid()}"

    # --- recipes -------------------------------------------------------------------------------------------------

    async def recipe(self, path: str) -> str:
        """What ``recipe_path`` means: a file, relative to the project's folder, or ``@bundle:path`` as it is.

        Raises:
            InvalidCallError: if there is no such recipe.
        """
        return await trio.to_thread.run_sync(partial(self._recipe, path))

    def _recipe(self, path: str) -> str:
        key = file_behind(locate(path, None, self.runtime.project))
        try:
            file = self.runtime.sources.file_of(key)
        except InvalidRecipeError as error:
            why = str(error).removeprefix(repr(path)).removeprefix(":").strip()
            raise InvalidCallError(f"Could not resolve @mention path: {path} ({why})") from None
        if not os.path.isfile(file):  # noqa: PTH113  never raises, whatever a model wrote
            raise InvalidCallError(f"Failed to load recipe: there is no file {file}")
        return key

    # --- sessions ------------------------------------------------------------------------------------------------

    async def find(self, session_id: str) -> SessionFile:
        """The project's session of this id, or of this unique prefix of one.

        Raises:
            SessionNotFoundError: if the project has none.
            SessionError: if a prefix means several.
        """
        return await trio.to_thread.run_sync(partial(self._find, session_id))

    def _find(self, session_id: str) -> SessionFile:
        store = self.runtime.store
        try:
            name = store.resolve(session_id)
            standing = store.standing(name)
        except SessionNotFoundError:
            raise _not_found(session_id) from None
        if standing.created.get("project_path") != self.runtime.project:
            raise _not_found(session_id)
        return store.file(name)

    def live(self, session_id: str) -> Session | None:
        """The session, if this runtime runs it."""
        session = self.runtime.sessions.get(session_id)
        return session if session is not None and session.result is None else None

    def standings(self) -> Iterator[tuple[str, Standing]]:
        """The project's sessions, newest first; damaged ones are left out. Blocks."""
        for session_id, standing in self.runtime.store.standings():
            if isinstance(standing, StoreError):
                continue
            if standing.created.get("project_path") == self.runtime.project:
                yield session_id, standing


def _not_found(session_id: str) -> SessionNotFoundError:
    return SessionNotFoundError(f"Session not found: {session_id}. Use 'list' to see those of this project.")
