"""From results to figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.case import Draw
from benchmarks.figure import Curve, Figure, distribution
from benchmarks.result import Result
from benchmarks.series import Series

MILLISECONDS = 1e3
"""Of a second: what the axes show."""


def over_size(name: str, title: str, x: str, *, keep: Callable[[Result], bool]) -> Draw:
    """A figure of medians over the sizes of rows: ours, and the baseline.

    Args:
        name: of the figure's file.
        title: above it.
        x: what the sizes are.
        keep: which rows belong into it.
    """

    def draw(results: Sequence[Result]) -> Sequence[Figure]:
        rows = [result for result in results if result.row.size is not None and keep(result)]
        found = [
            _medians("trio_recipes", [(row.row.size, row.ours) for row in rows]),
            _medians(rows[0].row.against if rows else "", [(row.row.size, row.baseline) for row in rows]),
        ]
        curves = tuple(curve for curve in found if curve.points)
        return [Figure(name, title, x, "milliseconds (median)", curves, log_x=True, log_y=True)] * bool(curves)

    return draw


def _medians(name: str, measured: Sequence[tuple[int | None, Series | None]]) -> Curve:
    return Curve(name, tuple((size, series.median * MILLISECONDS) for size, series in measured if size and series))


def distributions(name: str, title: str) -> Draw:
    """A figure of how the measurements of each row, and those of its baseline, are distributed."""

    def draw(results: Sequence[Result]) -> Sequence[Figure]:
        curves = [
            distribution(label, [value * MILLISECONDS for value in series.values])
            for result in results
            for label, series in ((result.row.what, result.ours), (f"in process: {result.row.what}", result.baseline))
            if series is not None
        ]
        return [Figure(name, title, "milliseconds", "percent", tuple(curves), log_x=True)] * bool(curves)

    return draw
