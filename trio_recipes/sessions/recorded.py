"""How a session ended, as its records tell it: for who asks later, or in another process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_recipes.errors import SessionBusyError, SessionError
from trio_recipes.sessions.history import read_history
from trio_recipes.sessions.result import SessionResult, gates_at_end
from trio_recipes.sessions.session import public_context
from trio_recipes.store.owner import describe

if TYPE_CHECKING:
    from trio_recipes.store.session_file import SessionFile


def recorded_result(file: SessionFile) -> SessionResult:
    """The result of a session's last run; no secrets are in it. Blocks; a large session takes a while.

    Raises:
        SessionNotFoundError: if there is no such session.
        SessionBusyError: if a live process runs it.
        SessionError: if it has never run.
        StoreUnusableError: if its file is damaged.
    """
    history = read_history(file)
    standing, ended = history.standing, history.progress.ended
    if standing.alive:
        with file.reading() as connection:
            raise SessionBusyError(file.session_id, describe(file.owner(connection)[2]))
    if not standing.run:
        raise SessionError(f"session {file.session_id} has not run yet: resume begins it")
    context = public_context(history.frame.variables)
    return SessionResult(
        session_id=file.session_id,
        status=standing.status,
        context=context,
        final_output=context.get("final_output", history.outcome.value),
        failure=ended.failure if ended else None,
        cancellation=ended.cancellation if ended else None,
        current_step=ended.current_step if ended else None,
        still_running=ended.still_running if ended else (),
        gates=gates_at_end(history.progress, ended.current_step) if ended else (),
    )
