"""One line of the table."""

from __future__ import annotations

from attrs import frozen

from benchmarks.target import Target
from benchmarks.unit import SECONDS, Unit


@frozen
class Row:
    """One line of the table.

    Args:
        what: from what to what.
        ours: the name of the measurement that is judged.
        against: what the baseline is, for people; empty if there is none.
        baseline: the name of the baseline's measurement.
        targets: all must be met by the medians.
        unit: of both measurements.
        size: of what was measured (tasks, levels, the number of a step): where it stands in a figure.
    """

    what: str
    ours: str
    against: str = ""
    baseline: str | None = None
    targets: tuple[Target, ...] = ()
    unit: Unit = SECONDS
    size: int | None = None
