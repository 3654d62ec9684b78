"""What every event has, and what several of them hold."""

from __future__ import annotations

from typing import ClassVar

from trio_recipes.classes import frozen
from trio_recipes.statuses import Level, Source

VERSION = 1
"""``v`` of every event: raised when the meaning of a field changes."""


@frozen(kw_only=True)
class Event:
    """Something that happened at ``path``."""

    name: ClassVar[str] = "event"

    path: str = ""


@frozen
class Stamped:
    """An event in its place.

    Args:
        seq: number within the session, from 1, without gaps.
        run: the run it belongs to; 0 before the first.
        at: microseconds since the epoch (UTC).
        event: what happened.
    """

    seq: int
    run: int
    at: int
    event: Event


@frozen
class Cancellation:
    """Who asked a scope to stop, how, and why.

    Args:
        level: graceful or immediate.
        source: by which door.
        requester: for people: ``pid 4711``, ``Ctrl+C``, a user's name; "" if unknown.
        reason: free text of at most 512 characters; "" if none was given.
        requested_at: microseconds since the epoch (UTC), on the requester's clock.
        request_id: the caller's id of the request: the same id is the same request.
        at: the path it was asked for; ``''`` is the whole session.
        grace: seconds after which a graceful request becomes immediate, or None.
    """

    level: Level
    source: Source = Source.API
    requester: str = ""
    reason: str = ""
    requested_at: int = 0
    request_id: str = ""
    at: str = ""
    grace: float | None = None


@frozen
class Holdout:
    """Something that ran on when its run ended, although it was told to stop.

    Args:
        path: the scope that it belongs to; ``''`` for what was left in the background.
        what: for people.
        pid: of a process.
        thread: name of a thread.
        task: name of a trio task.
        stack: where a thread or task was when its step gave it up, outermost call first.
    """

    path: str
    what: str
    pid: int | None = None
    thread: str | None = None
    task: str | None = None
    stack: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.path}: {self.what}" if self.path else self.what
