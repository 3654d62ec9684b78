"""Where a session stands, from its few lifecycle rows: what ``cancel`` and ``list`` need, without trio and cattrs.

The rows are plain JSON here on purpose, and values are named tuples: the ``cancel`` command must feel instant, and an
import of attrs or cattrs takes longer than all it does. :mod:`trio_recipes.progress.fold` is the full account of the
same rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from trio_recipes.progress.path import contains
from trio_recipes.statuses import CancellationStatus, Level, SessionStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Row(NamedTuple):
    """One lifecycle event as the store has it. ``at`` in microseconds since the epoch (UTC)."""

    seq: int
    at: int
    event: str
    body: Mapping[str, Any]
    path: str = ""


class Standing(NamedTuple):
    """Where a session stands.

    Args:
        status: as people see it.
        run: number of the last run, 0 before the first.
        level: the session's own level in this epoch (parts of it may stand higher).
        parts: level by path, of parts that were asked to stop.
        cancelled: the last run ended by cancellation and that has not been cleared.
        created: the body of ``session_created``.
        created_at: when, in microseconds since the epoch.
        ended: the body of the last ``run_ended``, or None while a run is open.
        last_at: when the last lifecycle event happened.
        request: the request that set the level, as JSON, or None.
        alive: whether somebody runs it.
    """

    status: SessionStatus
    run: int
    level: Level
    parts: Mapping[str, Level]
    cancelled: bool
    created: Mapping[str, Any]
    created_at: int
    ended: Mapping[str, Any] | None
    last_at: int
    request: Mapping[str, Any] | None
    alive: bool = False

    @property
    def cancellation(self) -> CancellationStatus:
        """The public projection of level and outcome."""
        if self.cancelled:
            return CancellationStatus.CANCELLED
        return CancellationStatus.NONE if self.status in _ENDED_OTHERWISE else _PUBLIC[self.level]

    def level_at(self, path: str) -> Level:
        """The level asked for at ``path`` itself, for a part around it, or for the whole session."""
        return max([self.level, *(level for part, level in self.parts.items() if contains(part, path))])


_ENDED_OTHERWISE = frozenset({SessionStatus.COMPLETED, SessionStatus.DENIED, SessionStatus.FAILED})
"""A request that came too late for these changed nothing."""

_PUBLIC = {
    Level.NONE: CancellationStatus.NONE,
    Level.GRACEFUL: CancellationStatus.REQUESTED,
    Level.IMMEDIATE: CancellationStatus.IMMEDIATE,
}


def standing_of(rows: Iterable[Row], pending: Iterable[Mapping[str, Any]], *, owned: bool, alive: bool) -> Standing:
    """Derive where a session stands.

    Args:
        rows: its lifecycle events in order.
        pending: requests (as JSON cancellations) that no owner has delivered yet, in order.
        owned: whether a runner is written down as its owner.
        alive: whether that runner (or its watchman) is alive.
    """
    epoch = _Epoch()
    for row in rows:
        epoch.take(row)
    pending = [*pending]
    asked = [*epoch.requests, *pending]
    level, request = _highest(r for r in asked if not r.get("at"))
    parts: dict[str, Level] = {}
    for body in asked:
        at = body.get("at")
        if at:
            parts[at] = max(parts.get(at, Level.NONE), Level(body["level"]))
    status = epoch.status(level, owned=owned, alive=alive)
    if status in _WAITS and epoch.created.get("cleans_up") and _highest(r for r in pending if not r.get("at"))[0]:
        status = SessionStatus.CANCELLING  # its finally is due: until that is over
    return Standing(
        status=status,
        run=epoch.run,
        level=level,
        parts=parts,
        cancelled=status is SessionStatus.CANCELLED,
        created=epoch.created,
        created_at=epoch.created_at,
        ended=epoch.ended,
        last_at=epoch.last_at,
        request=request,
        alive=alive,
    )


_WAITS = frozenset({SessionStatus.PAUSED, SessionStatus.INTERRUPTED})


def _highest(requests: Iterable[Mapping[str, Any]]) -> tuple[Level, Mapping[str, Any] | None]:
    level, found = Level.NONE, None
    for body in requests:
        if body["level"] > level:
            level, found = Level(body["level"]), body
    return level, found


class _Epoch:
    """What the lifecycle rows say about the epoch that is open: since the last run began, or since it was cleared."""

    def __init__(self) -> None:
        self.run = 0
        self.created: Mapping[str, Any] = {}
        self.created_at = self.last_at = 0
        self.ended: Mapping[str, Any] | None = None
        self.waits_for_start = True
        self.requests: list[Mapping[str, Any]] = []

    def take(self, row: Row) -> None:
        self.last_at = row.at
        if row.event == "session_created":
            self.created, self.created_at = row.body, row.at
        elif row.event == "recipe_replaced":
            self.created = {**self.created, **row.body}
        elif row.event == "run_started":
            self.run, self.ended, self.waits_for_start = self.run + 1, None, False
            self.requests.clear()
        elif row.event == "run_ended":
            self.ended, self.waits_for_start = row.body, False
        elif row.event == "cancellation_cleared":
            # What ended otherwise stays as it ended: completed is final, paused still waits for its approval.
            self.waits_for_start = self.ended is None or self.ended["status"] == SessionStatus.CANCELLED
            self.requests.clear()
        elif row.event == "cancel_requested":
            self.requests.append(row.body["cancellation"])

    def status(self, level: Level, *, owned: bool, alive: bool) -> SessionStatus:
        if self.waits_for_start and not owned:
            return SessionStatus.CREATED
        if self.ended is not None:
            return SessionStatus(self.ended["status"])
        if not alive:
            return SessionStatus.INTERRUPTED
        return SessionStatus.CANCELLING if level else SessionStatus.RUNNING
