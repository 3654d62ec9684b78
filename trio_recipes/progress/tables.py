"""Moves of sessions, scopes and cancellation levels, as tables.

``REQUESTS`` decides: runtime and store both judge by it. The tables of moves are the map of what statuses mean; tests
hold them against the enumerations and against what may be resumed, and nothing enforces them while a run lasts.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from trio_recipes.statuses import Level, ScopeStatus, SessionStatus

S, C = SessionStatus, ScopeStatus

SESSION_MOVES: Final[dict[SessionStatus, frozenset[SessionStatus]]] = {
    S.CREATED: frozenset({S.QUEUED, S.RUNNING, S.CANCELLED, S.DENIED}),
    S.QUEUED: frozenset({S.RUNNING, S.CANCELLED, S.INTERRUPTED}),
    S.RUNNING: frozenset({S.CANCELLING, S.PAUSED, S.COMPLETED, S.FAILED, S.DENIED, S.CANCELLED, S.INTERRUPTED}),
    S.CANCELLING: frozenset({S.COMPLETED, S.FAILED, S.CANCELLED, S.INTERRUPTED}),
    S.PAUSED: frozenset({S.RUNNING, S.CANCELLING, S.CANCELLED, S.DENIED}),
    S.COMPLETED: frozenset(),
    S.DENIED: frozenset(),
    S.FAILED: frozenset({S.RUNNING}),
    S.CANCELLED: frozenset({S.RUNNING}),
    S.INTERRUPTED: frozenset({S.RUNNING, S.CANCELLING, S.CANCELLED, S.DENIED}),
}
"""Completed and denied are final; failed, cancelled, paused and interrupted sessions may be resumed."""

SCOPE_MOVES: Final[dict[ScopeStatus, frozenset[ScopeStatus]]] = {
    C.PENDING: frozenset({C.RUNNING, C.SKIPPED, C.FAILED, C.CANCELLED}),
    C.RUNNING: frozenset({C.WAITING, C.COMPLETED, C.FAILED, C.SKIPPED, C.CANCELLED, C.INTERRUPTED}),
    C.WAITING: frozenset({C.RUNNING, C.COMPLETED, C.FAILED, C.CANCELLED, C.INTERRUPTED}),
    C.COMPLETED: frozenset(),
    C.SKIPPED: frozenset(),
    C.FAILED: frozenset({C.RUNNING}),
    C.CANCELLED: frozenset({C.RUNNING}),
    C.INTERRUPTED: frozenset({C.RUNNING, C.CANCELLED}),
}
"""Within one session; a resume moves what was not final to running again."""

RESUMABLE: Final = frozenset({S.CREATED, S.PAUSED, S.FAILED, S.CANCELLED, S.INTERRUPTED})
FINISHED: Final = frozenset({S.COMPLETED, S.DENIED})


APPLIED, TOO_LATE, NO_SUCH_SCOPE = "applied", "too_late", "no_such_scope"
"""What a request is answered, once: by the session's owner, or by the requester if there is none."""


class Effect(Enum):
    """What a request to stop does."""

    RAISE = "raise the level"
    JOIN = "nothing: it is already so"
    FORCE = "drop what is left of kill_grace and of finally"
    TOO_LATE = "nothing: the session has ended"
    ALREADY = "nothing: it is already cancelled"


class Verdict(NamedTuple):
    """What a request to stop does, and the level that holds afterwards."""

    effect: Effect
    level: Level

    @property
    def accepted(self) -> bool:
        """Whether the session stops (or goes on stopping) because of it."""
        return self.effect in (Effect.RAISE, Effect.JOIN, Effect.FORCE)


N, G, I = Level.NONE, Level.GRACEFUL, Level.IMMEDIATE  # noqa: E741  the letters of the table below

#: (level now, level asked for) -> (verdict if repetition escalates by this door, verdict if it does not)
REQUESTS: Final[dict[tuple[Level, Level], tuple[Verdict, Verdict]]] = {
    (N, G): (Verdict(Effect.RAISE, G), Verdict(Effect.RAISE, G)),
    (N, I): (Verdict(Effect.RAISE, I), Verdict(Effect.RAISE, I)),
    (G, G): (Verdict(Effect.RAISE, I), Verdict(Effect.JOIN, G)),
    (G, I): (Verdict(Effect.RAISE, I), Verdict(Effect.RAISE, I)),
    (I, G): (Verdict(Effect.JOIN, I), Verdict(Effect.JOIN, I)),
    (I, I): (Verdict(Effect.FORCE, I), Verdict(Effect.FORCE, I)),
}

_ENDED: Final[dict[SessionStatus, Effect]] = {
    S.COMPLETED: Effect.TOO_LATE,
    S.DENIED: Effect.TOO_LATE,
    S.FAILED: Effect.TOO_LATE,
    S.CANCELLED: Effect.ALREADY,
}


def judge(status: SessionStatus, now: Level, asked: Level, *, escalates: bool) -> Verdict:
    """Decide on a request to stop.

    Args:
        status: of the session, at the moment of the request.
        now: the level that holds for the scope asked for.
        asked: graceful or immediate.
        escalates: whether a second graceful request by this door means "now".
    """
    if status in _ENDED:
        return Verdict(_ENDED[status], now)
    return REQUESTS[now, asked][0 if escalates else 1]
