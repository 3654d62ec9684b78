"""Requests to stop a session, from any process: durable before they are acknowledged, each answered once.

In one transaction the requester reads where the session stands, decides by :func:`trio_recipes.progress.tables.judge`,
writes its row and commits: that is the acknowledgement. The answer is the owner's. A session that nobody runs is
cancelled by the requester itself.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from trio_recipes.errors import SessionBusyError, SessionError, UnknownScopeError
from trio_recipes.progress.path import is_valid
from trio_recipes.progress.tables import APPLIED, Effect, Verdict, judge
from trio_recipes.statuses import Level, SessionStatus
from trio_recipes.store.owner import describe, is_alive
from trio_recipes.store.session_file import SessionFile

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from trio_recipes.progress.standing import Standing
    from trio_recipes.store.records import RequestRow

_UNOWNED = frozenset({SessionStatus.PAUSED, SessionStatus.INTERRUPTED})
_ENDED = frozenset({SessionStatus.COMPLETED, SessionStatus.DENIED, SessionStatus.FAILED, SessionStatus.CANCELLED})


class Ack(NamedTuple):
    """The acknowledgement of a request.

    Args:
        accepted: whether the session stops, or goes on stopping, because of it.
        effect: what it does.
        level: what holds from now on.
        status: of the session after the request.
        number: of the request's row, or None if it was refused.
        unfinished: nobody runs the session and a ``finally`` may be due: somebody has to finish it.
    """

    accepted: bool
    effect: Effect
    level: Level
    status: SessionStatus
    number: int | None = None
    unfinished: bool = False


def submit(file: SessionFile, cancellation: Mapping[str, Any], *, escalates: bool) -> Ack:
    """Ask a session to stop. Blocks for about a millisecond.

    Args:
        file: the session.
        cancellation: the JSON of a :class:`~trio_recipes.events.Cancellation`; its ``request_id`` names the request:
            the same id is the same request, however often it is sent.
        escalates: a second graceful request by this door means "now".

    Raises:
        SessionNotFoundError: if there is no such session.
        SessionError: for a part of a session that is not running.
        UnknownScopeError: if ``at`` is no path at all.
        StoreWriteError: if the request can't be made durable; it was not made then.
    """
    connection = file.connect()
    try:
        with file.transaction(connection):
            ack = _decide(file, connection, cancellation, escalates=escalates)
    finally:
        connection.close()
    if ack.accepted:
        wake(file)
    return ack


def _decide(
    file: SessionFile, connection: sqlite3.Connection, cancellation: Mapping[str, Any], *, escalates: bool
) -> Ack:
    standing = file.standing(connection)
    known = file.request(connection, cancellation["request_id"])
    if known:
        return Ack(True, Effect.JOIN, Level(known.body["level"]), standing.status, known.number)
    at = cancellation.get("at", "")
    if not is_valid(at):
        raise UnknownScopeError(f"{at!r} is no path; paths look like audit/scan[3]/report")
    if at and standing.status in _UNOWNED:
        raise SessionError(f"session {file.session_id} is {standing.status}: no part of it runs; cancel it as a whole")
    asked = Level(cancellation["level"])
    hastens = cancellation.get("grace") is not None
    verdict = judge(standing.status, standing.level_at(at), asked, escalates=escalates and not hastens)
    if not verdict.accepted:
        return Ack(False, verdict.effect, verdict.level, standing.status)
    body = _resolved(cancellation, verdict, asked)
    number = file.ask(connection, cancellation["request_id"], body)
    status, unfinished = standing.status, False
    if not standing.alive and status is not SessionStatus.CREATED:
        unfinished = bool(standing.created.get("cleans_up")) and verdict.effect is not Effect.FORCE
        status = SessionStatus.CANCELLING if unfinished else SessionStatus.CANCELLED
        if not unfinished:
            _end_unowned(file, connection, standing, body)
    return Ack(True, verdict.effect, verdict.level, status, number, unfinished)


def _resolved(cancellation: Mapping[str, Any], verdict: Verdict, asked: Level) -> dict[str, Any]:
    """The request as it takes effect: the owner delivers it and does not judge again."""
    body = {name: value for name, value in cancellation.items() if value not in ("", None)}
    body["level"] = int(verdict.level)
    if verdict.effect is Effect.FORCE:
        body["forced"] = True
    if verdict.level > asked:
        body["escalates"] = True
    return body


def _end_unowned(
    file: SessionFile, connection: sqlite3.Connection, standing: Standing, body: Mapping[str, Any]
) -> None:
    about = _as_cancellation(body)
    file.append_unowned(connection, "cancel_requested", {"cancellation": about}, standing.run)
    file.append_unowned(connection, "run_ended", {"status": "cancelled", "cancellation": about}, standing.run)
    file.answer_all(connection, lambda _row: APPLIED)


def _as_cancellation(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in ("forced", "escalates")}


def mark_cancelled(file: SessionFile, step: str | None) -> bool:
    """Record that a session nobody runs ended by cancellation; False if it had ended before.

    Raises:
        SessionBusyError: if a live runner has it: only that may say how it ends.
    """
    connection = file.connect()
    try:
        with file.transaction(connection):
            standing = _unowned(file, connection)
            if standing.status in _ENDED:
                return False
            body: dict[str, Any] = {"status": "cancelled"}
            if standing.request:
                body["cancellation"] = _as_cancellation(standing.request)
            if step:
                body["current_step"] = step
            file.append_unowned(connection, "run_ended", body, standing.run)
            file.answer_all(connection, lambda _row: APPLIED)
            return True
    finally:
        connection.close()


def clear_cancellation(file: SessionFile) -> None:
    """Begin a new epoch at level none, and drop what was asked of parts.

    Raises:
        SessionBusyError: while a live runner has the session.
    """
    connection = file.connect()
    try:
        with file.transaction(connection):
            standing = _unowned(file, connection)
            if standing.cancelled or standing.level or standing.parts:
                file.append_unowned(connection, "cancellation_cleared", {}, standing.run)
                file.answer_all(connection, lambda _row: APPLIED)
    finally:
        connection.close()


def _unowned(file: SessionFile, connection: sqlite3.Connection) -> Standing:
    _, runner, body = file.owner(connection)
    if runner is not None and is_alive(file.layout, runner):
        raise SessionBusyError(file.session_id, describe(body))
    return file.standing(connection)


def answer_of(file: SessionFile, number: int) -> str | None:
    """What became of a request, or None while it has not been answered."""
    with file.reading() as connection:
        found = file.request(connection, number)
    return found.answer if found else None


def delivered(row: RequestRow) -> tuple[dict[str, Any], bool, bool]:
    """A request's cancellation as JSON, whether it escalates, and whether it forces."""
    return _as_cancellation(row.body), bool(row.body.get("escalates")), bool(row.body.get("forced"))


def wake(file: SessionFile) -> None:
    """Tell the owner to look: one byte without meaning. Nobody listening is fine: the row is what counts."""
    try:
        fd = os.open(file.layout.wake(file.session_id), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(fd, b"!")
    except OSError:
        pass  # the pipe is full of bytes that say the same
    finally:
        os.close(fd)
