"""Units, and how their values are written: three significant digits."""

from __future__ import annotations

from attrs import frozen


@frozen
class Unit:
    """A unit: its name, and larger or smaller ones that values are written in."""

    name: str
    scales: tuple[tuple[float, str], ...]

    def show(self, value: float) -> str:
        for scale, name in self.scales:
            if abs(value) >= scale:
                return f"{three_digits(value / scale)} {name}"
        scale, name = self.scales[-1]
        return f"{three_digits(value / scale)} {name}"


def three_digits(value: float) -> str:
    size = abs(value)
    if size >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"


SECONDS = Unit("s", ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")))
BYTES = Unit("B", ((1e6, "MB"), (1e3, "kB"), (1.0, "B")))
PAGES = Unit("pages", ((1.0, "pages"),))
