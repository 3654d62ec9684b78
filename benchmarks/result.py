"""What came of a row."""

from __future__ import annotations

from attrs import frozen

from benchmarks.figure import Figure
from benchmarks.row import Row
from benchmarks.series import Series
from benchmarks.target import Verdict, judge


@frozen
class Result:
    """A row with its measurements.

    Args:
        row: what was measured.
        ours: our measurements, or None if there are none.
        baseline: those of the baseline.
        problem: why there are none, of ours or of the baseline.
    """

    row: Row
    ours: Series | None = None
    baseline: Series | None = None
    problem: str = ""

    @property
    def ratio(self) -> float | None:
        """Our median over the baseline's."""
        if self.ours is None or self.baseline is None or not self.baseline.median:
            return None
        return self.ours.median / self.baseline.median

    @property
    def verdict(self) -> Verdict:
        """Whether the row's targets are met."""
        if self.ours is None or self.problem:
            return Verdict.CANNOT
        return judge(self.row.targets, self.ours.median, self.baseline.median if self.baseline else None)

    def as_json(self) -> dict[str, object]:
        """As plain data, for ``--json``."""
        row = self.row
        return {
            "what": row.what,
            "size": row.size,
            "against": row.against,
            "unit": row.unit.name,
            "ratio": self.ratio,
            "targets": [target.text(row.unit.show) for target in row.targets],
            "verdict": str(self.verdict),
            "ours": self.ours.as_json() if self.ours else None,
            "baseline": self.baseline.as_json() if self.baseline else None,
            "problem": self.problem,
        }


@frozen
class GroupResult:
    """A group with its rows, and the load average (1 minute) around it."""

    name: str
    title: str
    results: tuple[Result, ...]
    load_before: float
    load_after: float
    seconds: float
    figures: tuple[Figure, ...] = ()

    def as_json(self) -> dict[str, object]:
        """As plain data, for ``--json``."""
        return {
            "name": self.name,
            "title": self.title,
            "load_before": self.load_before,
            "load_after": self.load_after,
            "seconds": round(self.seconds, 1),
            "rows": [result.as_json() for result in self.results],
        }
