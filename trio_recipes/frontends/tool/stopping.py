"""``cancel``: ask a session, or a part of it, to stop, whichever process runs it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from trio_recipes.classes import frozen
from trio_recipes.errors import SessionError, UnknownScopeError
from trio_recipes.events import Cancellation, Level, SessionStatus, Source
from trio_recipes.frontends.tool.wording import resume_info
from trio_recipes.progress.path import is_valid
from trio_recipes.sessions.requesting import request
from trio_recipes.sessions.scopes import check_scope
from trio_recipes.store.codec import cancellation_to_json
from trio_recipes.store.session_file import now

if TYPE_CHECKING:
    from trio_recipes.frontends.tool.call import Call
    from trio_recipes.frontends.tool.desk import Desk
    from trio_recipes.sessions.session import Session
    from trio_recipes.store.session_file import SessionFile


@frozen
class _Asked:
    """What became of a request: whether it was accepted, the level that holds, and where the session stands."""

    accepted: bool
    level: Level
    status: SessionStatus


async def cancel(desk: Desk, call: Call) -> Mapping[str, Any]:
    """Stop it; durable when this returns. A second graceful request means "now".

    Raises:
        SessionError: if there is no such session, or nothing is left to stop.
        UnknownScopeError: if the session can have no such part.
    """
    file = await desk.find(call["session_id"])
    cancellation = _cancellation(desk, call)
    if cancellation.at:
        await trio.to_thread.run_sync(partial(_check_path, desk, file, cancellation.at))
    session = desk.live(file.session_id)
    if session is not None:
        asked = await _cancel_here(session, cancellation)
    else:
        asked = await trio.to_thread.run_sync(partial(_cancel_there, file, cancellation))
    if not asked.accepted:
        raise SessionError(_refusal(file.session_id, cancellation.at, asked.status))
    return _output(file.session_id, cancellation.at, asked)


def _cancellation(desk: Desk, call: Call) -> Cancellation:
    return Cancellation(
        level=Level.IMMEDIATE if call["immediate"] else Level.GRACEFUL,
        source=Source.TOOL,
        requester=desk.requester,
        reason=(call["reason"] or "")[:512],
        requested_at=now(),
        request_id=call["request_id"] or os.urandom(8).hex(),
        at=call["at"] or "",
        grace=call["grace"],
    )


def _check_path(desk: Desk, file: SessionFile, path: str) -> None:
    if not is_valid(path):
        raise UnknownScopeError(f"{path!r} is no path; paths look like audit/scan[3]/report, and 'status' names some")
    check_scope(desk.runtime.store, file.session_id, path)


async def _cancel_here(session: Session, asked: Cancellation) -> _Asked:
    """In this process it takes effect before anything else happens in it."""
    reply = session.cancel(
        asked.reason,
        immediate=asked.level is Level.IMMEDIATE,
        at=asked.at,
        grace=asked.grace,
        source=asked.source,
        requester=asked.requester,
        request_id=asked.request_id,
        escalates=True,
    )
    await reply.durable()
    return _Asked(reply.accepted, reply.level, session.status)


def _cancel_there(file: SessionFile, cancellation: Cancellation) -> _Asked:
    ack = request(file, cancellation_to_json(cancellation), escalates=True)
    return _Asked(ack.accepted, ack.level, ack.status)


# --- what the agent reads ----------------------------------------------------------------------------------------


def _refusal(session_id: str, path: str, status: SessionStatus) -> str:
    if status is SessionStatus.CANCELLED:
        return f"Session already cancelled: {session_id}. Use 'resume' to restart."
    if path and status in (SessionStatus.RUNNING, SessionStatus.CANCELLING):
        return f"Too late: '{path}' of session {session_id} has finished already."
    return f"Session already {status}: {session_id}. Nothing is left to cancel."


def _output(session_id: str, path: str, asked: _Asked) -> dict[str, Any]:
    what = f"'{path}' of session {session_id}" if path else f"session {session_id}"
    immediate = asked.level is Level.IMMEDIATE
    how = "Immediate" if immediate else "Graceful"
    return {
        "status": "cancellation_requested",
        "session_id": session_id,
        **({"at": path} if path else {}),
        "level": how.lower(),
        "session_status": str(asked.status),
        "message": f"{how} cancellation of {what} requested.",
        "next_steps": _next_steps(asked),
        "resume_info": "The rest of the session goes on." if path else resume_info(session_id),
    }


def _next_steps(asked: _Asked) -> str:
    if asked.status is SessionStatus.CANCELLED:
        return "Nothing of it was running: it is cancelled."
    if asked.status is SessionStatus.CREATED:
        return "It has not begun; when it does, it stops before its first step."
    if asked.level is Level.IMMEDIATE:
        return "What is in flight is stopped now, then its clean-up steps run; 'status' tells when it has stopped."
    return (
        "Steps in hand are finished, nothing new is started; 'status' tells when it has stopped. "
        "Use 'cancel' again, or with immediate: true, to stop it now."
    )
