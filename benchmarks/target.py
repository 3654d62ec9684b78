"""What a figure may be at most. Medians are judged: the rest of a distribution is printed, not judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

from attrs import frozen

Show = Callable[[float], str]
"""How a value of the row's unit is written."""


class Target(Protocol):
    """A limit for a median, given the median of the baseline if there is one."""

    def is_met(self, ours: float, baseline: float | None) -> bool: ...

    def text(self, show: Show) -> str: ...


@frozen
class Times:
    """At most so many times the baseline."""

    limit: float

    def is_met(self, ours: float, baseline: float | None) -> bool:
        return baseline is not None and ours <= self.limit * baseline

    def text(self, show: Show) -> str:
        return f"≤ {self.limit:g}×"


@frozen
class More:
    """At most so much more than the baseline."""

    limit: float

    def is_met(self, ours: float, baseline: float | None) -> bool:
        return baseline is not None and ours - baseline <= self.limit

    def text(self, show: Show) -> str:
        return f"≤ +{show(self.limit)}"


@frozen
class Within:
    """At most so much, whatever the baseline."""

    limit: float

    def is_met(self, ours: float, baseline: float | None) -> bool:
        return ours <= self.limit

    def text(self, show: Show) -> str:
        return f"≤ {show(self.limit)}"


class Verdict(StrEnum):
    """What came of a row."""

    MET = "met"
    MISSED = "MISSED"
    NO_TARGET = "no target"
    CANNOT = "cannot"


def judge(targets: Sequence[Target], ours: float, baseline: float | None) -> Verdict:
    """Every target has to be met."""
    if not targets:
        return Verdict.NO_TARGET
    return Verdict.MET if all(target.is_met(ours, baseline) for target in targets) else Verdict.MISSED
