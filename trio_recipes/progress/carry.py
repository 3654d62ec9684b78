"""What a linked session takes over from the one that it was split off: events that say what those records say."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from trio_recipes.events import (
    AttemptFailed,
    AttemptStarted,
    Event,
    Output,
    ScopeFinished,
    ScopeStarted,
    WorkEnded,
)
from trio_recipes.progress.path import ROOT
from trio_recipes.progress.verdicts import Fate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trio_recipes.events import Stamped
    from trio_recipes.progress.fold import Progress
    from trio_recipes.progress.retrace import Trail

Dated: TypeAlias = "tuple[int, Event]"
"""When something happened, in microseconds since the epoch (UTC), and what."""

_OF_A_RECORD = (ScopeStarted, AttemptStarted, AttemptFailed, Output, ScopeFinished)


def carried(stamped: Iterable[Stamped], progress: Progress, trail: Trail) -> list[Dated]:
    """The events behind the records that stay, in the order of the records.

    Args:
        stamped: all events of the old session.
        progress: what they add up to.
        trail: which of its records stay.
    """
    histories = _histories(stamped)
    reopened = {ROOT, *trail.reopened}
    events: list[Dated] = []
    for path in progress.records:
        if path in trail.kept:
            events += [(0, WorkEnded(path=path, outcome=progress.bodies[path]))] if path in progress.bodies else []
            events += [dated for dated in histories[path] if path not in reopened or _is_start(dated)]
    return [*events, *_gates(progress, trail)]


def _histories(stamped: Iterable[Stamped]) -> dict[str, list[Dated]]:
    """The events of each scope since it last began."""
    found: dict[str, list[Dated]] = {}
    for one in stamped:
        if isinstance(one.event, ScopeStarted):
            found[one.event.path] = []
        if isinstance(one.event, _OF_A_RECORD):
            found.setdefault(one.event.path, []).append((one.at, one.event))
    return found


def _is_start(dated: Dated) -> bool:
    return isinstance(dated[1], ScopeStarted)


def _gates(progress: Progress, trail: Trail) -> Iterator[Dated]:
    """What was approved; what is still being asked is asked again, by the new session."""
    for path, gate in progress.gates.items():
        if path in trail.gates and trail.gates[path].fate is Fate.REUSED and gate.decided is not None:
            yield gate.asked_at, gate.asked
            yield gate.decided_at or gate.asked_at, gate.decided
