"""Figures as SVG, readable on light and on dark pages: a frame, ticks, a polyline and a legend for each curve."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from html import escape

from attrs import frozen

from benchmarks.figure import Figure, Point

_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 40, 50
_COLOURS = ("#0b84a5", "#e4572e", "#6f4e7c", "#5b8c5a", "#c98f00")
_GREY = "#808080"


@frozen
class Axis:
    """Values to pixels.

    Args:
        low: the smallest value.
        high: the largest; above ``low``.
        begin: the pixel of ``low``.
        end: the pixel of ``high``.
        log: whether equal ratios, not equal differences, are equally long.
    """

    low: float
    high: float
    begin: float
    end: float
    log: bool

    @classmethod
    def over(cls, values: Iterable[float], begin: float, end: float, *, log: bool) -> Axis:
        """An axis that shows all values: from 0 on, or from power of ten to power of ten."""
        known = list(values)
        if log:
            low = 10.0 ** math.floor(math.log10(min(known)))
            high = 10.0 ** math.ceil(math.log10(max(known)))
            return cls(low, high if high > low else low * 10, begin, end, log)
        step = _step(max(known))
        return cls(0.0, step * math.ceil(max(known) / step), begin, end, log)

    def at(self, value: float) -> float:
        """The pixel of a value."""
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Where numbers stand."""
        if self.log:
            decades = round(math.log10(self.high / self.low))
            return [self.low * 10.0**n for n in range(decades + 1)]
        step = _step(self.high)
        return [step * n for n in range(round(self.high / step) + 1)]


def _step(high: float) -> float:
    """A round number, of which four to ten make ``high``."""
    if high <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(high))
    return next(power * part for part in (0.1, 0.2, 0.5, 1.0, 2.0) if high / (power * part) <= 8)


def draw(figure: Figure) -> str:
    """The text of an SVG file."""
    points = [point for curve in figure.curves for point in curve.points]
    x = Axis.over((point[0] for point in points), _LEFT, _WIDTH - _RIGHT, log=figure.log_x)
    y = Axis.over((point[1] for point in points), _HEIGHT - _BOTTOM, _TOP, log=figure.log_y)
    parts = [*_axes(figure, x, y), *_curves(figure, x, y)]
    style = f'font-family="sans-serif" font-size="12" fill="{_GREY}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" {style}>'
    return "\n".join([head, f"<title>{escape(figure.title)}</title>", *parts, "</svg>", ""])


def _axes(figure: Figure, x: Axis, y: Axis) -> Iterator[str]:
    yield _text(_WIDTH / 2, 18, figure.title, anchor="middle", size=14)
    yield _text((x.begin + x.end) / 2, _HEIGHT - 12, figure.x, anchor="middle")
    yield f'<g transform="rotate(-90 16 {_HEIGHT / 2:g})">{_text(16, _HEIGHT / 2, figure.y, anchor="middle")}</g>'
    for value in x.ticks():
        yield _line((x.at(value), y.begin), (x.at(value), y.end))
        yield _text(x.at(value), y.begin + 18, f"{value:,g}", anchor="middle")
    for value in y.ticks():
        yield _line((x.begin, y.at(value)), (x.end, y.at(value)))
        yield _text(x.begin - 8, y.at(value) + 4, f"{value:,g}", anchor="end")


def _curves(figure: Figure, x: Axis, y: Axis) -> Iterator[str]:
    for number, curve in enumerate(figure.curves):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [(x.at(across), y.at(up)) for across, up in curve.points]
        path = " ".join(f"{across:.1f},{up:.1f}" for across, up in places)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        if len(places) <= 20:
            yield from (f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3" fill="{colour}"/>' for across, up in places)
        up = _TOP + 16 + 18 * number
        yield f'<rect x="{_LEFT + 12}" y="{up - 9}" width="12" height="3" fill="{colour}"/>'
        yield _text(_LEFT + 30, up - 3, curve.name, colour=colour)


def _line(begin: Point, end: Point) -> str:
    (x1, y1), (x2, y2) = begin, end
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{_GREY}" stroke-opacity="0.3"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, colour: str = _GREY) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{escape(text)}</text>'
