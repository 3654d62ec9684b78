"""The stop ladder of one process tree, as a table. Pure: it knows no processes, no clock and no trio.

    running -> terminating (until a deadline) -> killing -> reaped

Timeout, failure and cancellation all *join* the ladder; none restarts it.
Two facts follow, and `test_ladder.py` holds them: levels only rise, and the deadline only comes forward.
What each level does to processes is `stopping.py`'s business.
"""

import enum
import math
from collections.abc import Mapping
from typing import Final

from trio_recipes.classes import frozen


class Level(enum.IntEnum):
    """How far the stop of a process tree has come."""

    RUNNING = 0
    """Nobody wants it stopped. Its leader may have ended: the others are background processes then."""
    TERMINATING = 1
    """Each process has had its stop signal, and may use the time until the deadline."""
    KILLING = 2
    """SIGKILL for whatever is still there."""
    REAPED = 3
    """Nothing is left, or what is left can't be killed and has been reported."""


class Event(enum.Enum):
    """What moves a tree along its ladder."""

    STOP = enum.auto()
    """Somebody wants it stopped, within a grace period."""
    DEADLINE = enum.auto()
    """The grace period is over."""
    FORCE = enum.auto()
    """Somebody drops the grace period: the deadline of this stop, or of one yet to come, is now."""
    LEADER_GONE = enum.auto()
    """The process we started has ended. That ends nothing: its children deserve their grace as well."""
    TREE_GONE = enum.auto()
    """No process of the tree is left."""
    GIVEN_UP = enum.auto()
    """What is left resists SIGKILL, and has had its time."""


Cause = str
"""Why a tree is stopped, for reports: ``cancelled``, ``failed``, ``background``, ``closed``, …"""

MOVES: Final[Mapping[Level, Mapping[Event, Level]]] = {
    Level.RUNNING: {
        Event.STOP: Level.TERMINATING,
        Event.FORCE: Level.RUNNING,
        Event.LEADER_GONE: Level.RUNNING,
        Event.TREE_GONE: Level.REAPED,
    },
    Level.TERMINATING: {
        Event.STOP: Level.TERMINATING,
        Event.DEADLINE: Level.KILLING,
        Event.FORCE: Level.KILLING,
        Event.LEADER_GONE: Level.TERMINATING,
        Event.TREE_GONE: Level.REAPED,
    },
    Level.KILLING: {
        Event.STOP: Level.KILLING,
        Event.DEADLINE: Level.KILLING,
        Event.FORCE: Level.KILLING,
        Event.LEADER_GONE: Level.KILLING,
        Event.TREE_GONE: Level.REAPED,
        Event.GIVEN_UP: Level.REAPED,
    },
    Level.REAPED: dict.fromkeys(Event, Level.REAPED),
}
"""Where each event leads. What isn't listed can't happen, and is a `KeyError`."""


@frozen
class Ladder:
    """Where a tree stands.

    Attributes:
        level: How far it has come.
        deadline: When the grace period ends, on the caller's clock in seconds; infinite before a stop.
        cause: What the first stop gave as its cause; later ones join it and don't rename it.
    """

    level: Level = Level.RUNNING
    deadline: float = math.inf
    cause: Cause | None = None

    def after(self, event: Event, *, now: float, grace: float = math.inf, cause: Cause | None = None) -> "Ladder":
        """Return where the tree stands after an event: this very place if the event changes nothing.

        Args:
            event: What happened.
            now: The time on the caller's clock, in seconds.
            grace: For `Event.STOP`: seconds between the stop signal and SIGKILL.
            cause: For `Event.STOP`: why.

        Raises:
            KeyError: The event can't happen at this level.
        """
        wanted = {Event.STOP: now + grace, Event.FORCE: now}.get(event, math.inf)
        moved = Ladder(MOVES[self.level][event], min(self.deadline, wanted), self.cause or cause)
        return self if moved == self else moved
