"""What a group's measurements look like, as data: curves over a size, or a distribution."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

Point = tuple[float, float]


@frozen
class Curve:
    """One line of a figure.

    Args:
        name: for its legend.
        points: x and y, in order of x.
    """

    name: str
    points: tuple[Point, ...]


@frozen
class Figure:
    """A picture in docs/performance.

    Args:
        name: of its file, without the ending.
        title: above it.
        x: what its x axis shows.
        y: what its y axis shows, with the unit.
        curves: at least one, each with at least one point.
        log_x: whether the x axis is logarithmic; all x are above 0 then.
        log_y: the same for the y axis.
    """

    name: str
    title: str
    x: str
    y: str
    curves: tuple[Curve, ...]
    log_x: bool = False
    log_y: bool = False


def distribution(name: str, values: Iterable[float]) -> Curve:
    """The share of values (in percent, y) that are at most x."""
    ordered = sorted(values)
    return Curve(name, tuple((value, 100 * (rank + 1) / len(ordered)) for rank, value in enumerate(ordered)))
