"""``cancel``: feels instant, so nothing of trio, cattrs or yaml is imported on its way."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from trio_recipes.errors import UnknownScopeError
from trio_recipes.frontends.cli.deciding import user
from trio_recipes.frontends.cli.exits import FAILED, OK, TOO_LATE
from trio_recipes.frontends.cli.outlet import STDOUT
from trio_recipes.frontends.cli.parsing import seconds
from trio_recipes.frontends.printable import duration, printable
from trio_recipes.progress.path import is_valid
from trio_recipes.progress.tables import Effect
from trio_recipes.sessions.requesting import request
from trio_recipes.statuses import Level, SessionStatus
from trio_recipes.store.base import open_store
from trio_recipes.store.requests import Ack, answer_of
from trio_recipes.store.session_file import now

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trio_recipes.progress.standing import Standing
    from trio_recipes.store.session_file import SessionFile
    from trio_recipes.store.sqlite import SqliteStore

POLL_SECONDS = 0.02
ORPHAN_SECONDS = 20.0
"""After which a session that should be finished is not: what was started for it, or ran it, was killed."""
_LIVE = (SessionStatus.RUNNING, SessionStatus.CANCELLING, SessionStatus.QUEUED)
_ANSWERS = {
    "too_late": ": the request came too late, nothing was left to stop",
    "already_cancelled": ": it was cancelled already",
    "no_such_scope": ": the run never came to that part",
}


def add_options(parser: ArgumentParser) -> None:
    """The options of ``cancel``."""
    parser.add_argument("session", metavar="SESSION", help="an id, its first letters, or @last")
    parser.add_argument("--immediate", action="store_true", help="what is in flight too; again: cut clean-up short")
    parser.add_argument("--at", metavar="PATH", default="", help="stop this part only, such as audit/scan[3]")
    parser.add_argument("--grace", metavar="SECONDS", type=seconds, help="immediate after so many seconds")
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, for those who look later")
    parser.add_argument("--wait", action="store_true", help="return once it has stopped")


def main(options: Namespace) -> int:
    """Make the request durable, say what follows, and wait if asked to."""
    store = open_store(options.store, create=False)
    file = store.file(store.resolve(options.session))
    if options.at:
        _check_path(store, file, options.at)
    ack = request(file, _request(options), escalates=True)
    STDOUT.line(_message(file.session_id, ack, options))
    if not ack.accepted:
        return OK if ack.effect is Effect.ALREADY else TOO_LATE
    return _wait(file, ack, options.at) if options.wait else OK


def _check_path(store: SqliteStore, file: SessionFile, path: str) -> None:
    if not is_valid(path):
        raise UnknownScopeError(f"--at {path!r}: no path; paths look like audit/scan[3]/report, and `show` lists them")
    if _is_over(file, path) is None:
        from trio_recipes.sessions.scopes import check_scope  # noqa: PLC0415  reads the recipe: rarely needed

        check_scope(store, file.session_id, path)


def _is_over(file: SessionFile, path: str) -> bool | None:
    with file.reading() as connection:
        return file.is_over(connection, path)


def _request(options: Namespace) -> dict[str, Any]:
    return {
        "level": int(Level.IMMEDIATE if options.immediate else Level.GRACEFUL),
        "source": "user",
        "requester": f"{user()} (cancel command, pid {os.getpid()})",
        "reason": options.reason[:512],
        "requested_at": now(),
        "request_id": os.urandom(8).hex(),
        "at": options.at,
        "grace": options.grace,
    }


# --- what people read --------------------------------------------------------------------------------------------


def _message(session_id: str, ack: Ack, options: Namespace) -> str:
    what = f"{printable(options.at)} of {session_id}" if options.at else session_id
    go_on = f"go on with: trio-recipes resume {session_id}"
    if ack.effect is Effect.TOO_LATE:
        return f"too late: {session_id} is {ack.status} already"
    if ack.effect is Effect.ALREADY:
        return f"{what} is cancelled already; {go_on}"
    return f"{what}: {_follows(ack, options)}" + ("" if options.at else f"\n{go_on}")


def _follows(ack: Ack, options: Namespace) -> str:
    """What happens next."""
    if ack.unfinished:
        return "nothing of it was running; its finally steps run now, in the background"
    if ack.status is SessionStatus.CANCELLED:
        return "cancelled; nothing of it was running"
    if ack.status is SessionStatus.CREATED:
        return "it has not begun; when it does, it stops before its first step"
    if ack.effect is Effect.FORCE:
        return "stopping without further grace"
    if ack.level is Level.IMMEDIATE:
        return "stopping now, what is in flight too"
    limit = f" for at most {options.grace:g} s" if options.grace is not None else ""
    return f"stopping: steps in hand are finished{limit}, nothing new is started; cancel again to stop now"


# --- --wait ------------------------------------------------------------------------------------------------------


def _wait(file: SessionFile, ack: Ack, path: str) -> int:
    """Wait until the session, or the part of it, has stopped; say what became of the request."""
    began = time.monotonic()
    last_seen = began
    while (standing := _standing(file)).status in _LIVE and not (path and _is_over(file, path)):
        last_seen = time.monotonic() if standing.alive else last_seen
        if time.monotonic() - last_seen > ORPHAN_SECONDS:
            STDOUT.line(f"{file.session_id} is {standing.status}, and nobody runs its finally steps: cancel it again")
            return FAILED
        time.sleep(POLL_SECONDS)
    took = f"after {duration(time.monotonic() - began)}"
    answer = answer_of(file, ack.number) if ack.number else None
    if path and standing.status in _LIVE:
        STDOUT.line(f"{printable(path)} has stopped {took}; the session goes on")
    else:
        STDOUT.line(f"{file.session_id} is {standing.status}{_where(standing)} {took}{_ANSWERS.get(answer or '', '')}")
    return TOO_LATE if answer == "too_late" else OK


def _standing(file: SessionFile) -> Standing:
    with file.reading() as connection:
        return file.standing(connection)


def _where(standing: Standing) -> str:
    step = (standing.ended or {}).get("current_step")
    return f" at {printable(step)}" if step else ""
