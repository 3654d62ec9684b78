"""What is measured: groups of cases, a case being two probes that take turns, and the rows that come of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from attrs import define, frozen

from benchmarks.row import Row

if TYPE_CHECKING:
    from benchmarks.figure import Figure
    from benchmarks.result import Result


@frozen
class Cannot:
    """Instead of one measurement: it can't be had, while others can.

    Args:
        why: for the table.
    """

    why: str


Measured: TypeAlias = "Mapping[str, float] | Mapping[str, float | Cannot]"
Probe: TypeAlias = Callable[[], Awaitable[Measured]]
"""Measures once. What it measured has names, so that one run of something may give several figures."""


Draw: TypeAlias = "Callable[[Sequence[Result]], Sequence[Figure]]"
"""Makes figures of a group's results."""


class CannotMeasureError(Exception):
    """This can't be measured here; the text says why."""


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
        quick: measure less; the whole suite takes less than a minute.
        folder: on the disk that is measured: all stores and databases lie below it.
        root: of the project; where commands run.
        peers: the folder that holds an environment for each peer, if there is one.
    """

    quick: bool
    folder: Path
    root: Path
    peers: Path | None = None

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
        peers: whether it needs the environments of peers; it is left out where there are none.
    """

    name: str
    title: str
    open: Callable[[Bench], AbstractAsyncContextManager[Sequence[Case]]]
    draw: Draw = _no_figures
    peers: bool = False
