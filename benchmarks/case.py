"""What is measured: groups of cases, a case being two probes that take turns, and the rows that come of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from attrs import define, frozen

from benchmarks.target import Target
from benchmarks.unit import SECONDS, Unit

if TYPE_CHECKING:
    from benchmarks.figure import Figure
    from benchmarks.result import Result

Probe: TypeAlias = Callable[[], Awaitable[Mapping[str, float]]]
"""Measures once. What it measured has names, so that one run of something may give several figures."""


Draw: TypeAlias = "Callable[[Sequence[Result]], Sequence[Figure]]"
"""Makes figures of a group's results."""


class CannotMeasureError(Exception):
    """This can't be measured here; the text says why."""


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


@frozen
class Case:
    """Two probes that take turns, and the rows that their measurements give.

    Args:
        rows: what is reported.
        ours: measures us, once.
        baseline: measures what we are compared with, once; None where `ours` measures both.
        repetitions: how often each probe runs.
        warm_ups: how often each runs before that, unrecorded.
    """

    rows: tuple[Row, ...]
    ours: Probe
    baseline: Probe | None
    repetitions: int
    warm_ups: int = 1


@define(eq=False)
class Bench:
    """What a group of cases gets from the harness.

    Args:
        quick: measure less; the whole suite takes about two minutes.
        folder: on the disk that is measured: all stores and databases lie below it.
        root: of the project; where commands run.
    """

    quick: bool
    folder: Path
    root: Path

    def pick(self, full: int, quick: int) -> int:
        """A size or a number of repetitions."""
        return quick if self.quick else full


def _no_figures(_results: Sequence[Result]) -> Sequence[Figure]:
    return ()


@frozen
class Group:
    """Cases that share what they need, such as a runtime.

    Args:
        name: for the command line.
        title: for people.
        open: makes the cases, for as long as they are measured.
        draw: makes figures of the results.
    """

    name: str
    title: str
    open: Callable[[Bench], AbstractAsyncContextManager[Sequence[Case]]]
    draw: Draw = _no_figures
