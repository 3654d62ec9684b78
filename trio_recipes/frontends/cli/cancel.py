"""``cancel``: feels instant, so nothing of trio, cattrs or yaml is imported on its way."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from trio_recipes.errors import SessionError
from trio_recipes.events import Level, SessionStatus
from trio_recipes.frontends.cli.exits import OK, TOO_LATE
from trio_recipes.frontends.printable import duration, printable
from trio_recipes.progress.path import is_valid
from trio_recipes.progress.tables import Effect
from trio_recipes.store.base import open_store
from trio_recipes.store.requests import Ack, answer_of, submit
from trio_recipes.store.session_file import now

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trio_recipes.store.session_file import SessionFile
    from trio_recipes.store.sqlite import SqliteStore

POLL_SECONDS = 0.02
_LIVE = (SessionStatus.RUNNING, SessionStatus.CANCELLING, SessionStatus.QUEUED)
_ANSWERS = {
    "applied": "done",
    "too_late": "it came too late: nothing was left to stop",
    "already_cancelled": "it was cancelled already",
    "no_such_scope": "the run never came to that part",
}


def add_options(parser: ArgumentParser) -> None:
    """The options of ``cancel``."""
    parser.add_argument("session", metavar="SESSION", help="an id, its first letters, or @last")
    parser.add_argument("--immediate", action="store_true", help="stop what is in flight too; again: cut clean-up short")
    parser.add_argument("--at", metavar="PATH", default="", help="stop this part only, such as audit/scan[3]")
    parser.add_argument("--grace", metavar="SECONDS", type=seconds, help="immediate after so many seconds")
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, for those who look later")
    parser.add_argument("--wait", action="store_true", help="return once it has stopped")


def seconds(text: str) -> float:
    """A number of seconds, not negative."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError
    return value


def main(options: Namespace) -> int:
    """Make the request durable, say what follows, and wait if asked to."""
    store = open_store(options.store, create=False)
    session_id = store.resolve(options.session)
    if options.at:
        _check_path(store, session_id, options.at)
    file = store.file(session_id)
    ack = submit(file, _request(options), escalates=True)
    print(_message(session_id, ack, options))
    if not ack.accepted:
        return OK if ack.effect is Effect.ALREADY else TOO_LATE
    return _wait(store, file, ack) if options.wait else OK


def _check_path(store: SqliteStore, session_id: str, path: str) -> None:
    if not is_valid(path):
        raise SessionError(f"--at {path!r}: no path; paths look like audit/scan[3]/report, and `show` lists them")
    if not _has_begun(store.file(session_id), path):
        from trio_recipes.sessions.scopes import check_scope  # noqa: PLC0415  reads the recipe: rarely needed

        check_scope(store, session_id, path)


def _has_begun(file: SessionFile, path: str) -> bool:
    with file.reading() as connection:
        return file.knows(connection, path)


def _request(options: Namespace) -> dict[str, Any]:
    user = os.environ.get("USER") or f"user {os.getuid()}"
    return {
        "level": int(Level.IMMEDIATE if options.immediate else Level.GRACEFUL),
        "source": "user",
        "requester": f"{user}, cancel command (pid {os.getpid()})",
        "reason": options.reason[:512],
        "requested_at": now(),
        "request_id": os.urandom(8).hex(),
        "at": options.at,
        "grace": options.grace,
    }


# --- what people read --------------------------------------------------------------------------------------------


def _message(session_id: str, ack: Ack, options: Namespace) -> str:
    what = f"{printable(options.at)} of {session_id}" if options.at else session_id
    if ack.effect is Effect.ALREADY:
        return f"{what} is cancelled already; go on with: trio-recipes resume {session_id}"
    if ack.effect is Effect.TOO_LATE:
        return f"too late: {session_id} is {ack.status}"
    return f"{what}: {_follows(ack, options)}{_how_to_go_on(session_id, ack, options)}"


def _follows(ack: Ack, options: Namespace) -> str:
    if ack.status is SessionStatus.CANCELLED:
        return "cancelled (nothing of it was running)"
    if ack.effect is Effect.FORCE:
        return "stopping without further grace"
    if ack.level is Level.IMMEDIATE:
        return "stopping now: what is in flight is stopped too"
    grace = f", stopped after {options.grace:g} s" if options.grace is not None else ""
    return f"stopping gracefully: steps in hand are finished{grace}, nothing new starts (again: stop now)"


def _how_to_go_on(session_id: str, ack: Ack, options: Namespace) -> str:
    return "" if options.at else f"\ngo on with: trio-recipes resume {session_id}"


# --- --wait ------------------------------------------------------------------------------------------------------


def _wait(store: SqliteStore, file: SessionFile, ack: Ack) -> int:
    began = time.monotonic()
    standing = store.standing(file.session_id)
    while standing.status in _LIVE:
        time.sleep(POLL_SECONDS)
        standing = store.standing(file.session_id)
    where = (standing.ended or {}).get("current_step")
    place = f" at {printable(where)}" if where else ""
    print(f"{file.session_id} is {standing.status}{place} after {duration(time.monotonic() - began)}{_answer(file, ack)}")
    return TOO_LATE if ack.number and answer_of(file, ack.number) == "too_late" else OK


def _answer(file: SessionFile, ack: Ack) -> str:
    answer = answer_of(file, ack.number) if ack.number else None
    return f": {_ANSWERS.get(answer, answer)}" if answer and answer != "applied" else ""
