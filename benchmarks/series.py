"""A series of measurements of one thing, and what is said of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from attrs import frozen


@frozen
class Series:
    """Measurements of one thing, in the order in which they were taken; at least one."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def p95(self) -> float:
        """The smallest value that 95 % of them do not exceed (nearest rank: always one that was measured)."""
        return nearest_rank(self.values, 0.95)

    @property
    def p99(self) -> float:
        """The same for 99 %."""
        return nearest_rank(self.values, 0.99)

    @property
    def maximum(self) -> float:
        return max(self.values)

    def as_json(self) -> dict[str, object]:
        figures = {
            "median": self.median,
            "p95": self.p95,
            "p99": self.p99,
            "max": self.maximum,
            "min": min(self.values),
        }
        return {**figures, "n": len(self.values), "values": list(self.values)}


def nearest_rank(values: Sequence[float], share: float) -> float:
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
