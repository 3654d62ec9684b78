"""Where problems of one document gather, each with its field, line and column."""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import field

from trio_recipes.classes import define, frozen
from trio_recipes.errors import InvalidRecipeError, Problem
from trio_recipes.language.wording import SHOWN, shown

Position = tuple[int, int]
"""Line and column, from 1."""

MAX_PROBLEMS = 1000
"""Problems that one report holds; a file with more of them has one cause."""

_LAST_PART = re.compile(r"(?:\.?[^.\[\]]+|\[\d+\]|.)$", re.DOTALL)


@define
class Report:
    """The problems of one document.

    Args:
        file: the document's file, or None.
        positions: where each field stands; a field that is missing there stands where its parent does.
        problems: what was found so far, in the order of finding.
        broken: paths whose value could not be understood: what is said about it later would only confuse.
        steps: how many steps were read so far.
    """

    file: str | None = None
    positions: Mapping[str, Position] = field(factory=dict)
    problems: list[Problem] = field(factory=list)
    broken: set[str] = field(factory=set)
    steps: int = 0

    def add(self, path: str, message: str, *, warning: bool = False) -> None:
        """Note a problem of the field at ``path``, unless it is known as broken."""
        if path in self.broken:
            return
        line, column = locate(path, self.positions) or (None, None)
        self.note(Problem(message, self.file, line, column, path, warning))

    def note(self, problem: Problem) -> None:
        """Note a problem that knows its place."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)
        elif len(self.problems) == MAX_PROBLEMS:
            self.problems.append(Problem(f"more than {MAX_PROBLEMS} problems; mend these first", self.file))

    @property
    def has_errors(self) -> bool:
        """Whether anything is wrong, not merely surprising."""
        return any(not problem.warning for problem in self.problems)

    def in_order(self) -> list[Problem]:
        """The problems as they stand in the document."""
        return sorted(self.problems, key=lambda problem: (problem.line or 0, problem.column or 0))

    def raise_errors(self) -> None:
        """Raise everything gathered, warnings included, if anything is wrong.

        Raises:
            InvalidRecipeError: with all problems in document order.
        """
        if self.has_errors:
            raise InvalidRecipeError(self.in_order())


def locate(path: str, positions: Mapping[str, Position]) -> Position | None:
    """The position of a field, or of its nearest ancestor that has one."""
    while path and path not in positions:
        path = _LAST_PART.sub("", path)
    return positions.get(path)


def segment(key: str) -> str:
    """A key as it stands in a field path: as it is, unless it is long or has control characters."""
    return key if key.isprintable() and len(key) <= SHOWN else shown(key)[1:-1]


@frozen
class Place:
    """Where in a document a value stands, and where to report what is wrong with it.

    Args:
        path: the field path, such as ``steps[3].timeout``; empty for the document.
        report: gathers the problems.
    """

    path: str
    report: Report

    def key(self, name: str) -> Place:
        """The place of the value under ``name`` in this mapping."""
        return Place(f"{self.path}.{segment(name)}" if self.path else segment(name), self.report)

    def item(self, index: int) -> Place:
        """The place of an item of this list."""
        return Place(f"{self.path}[{index}]", self.report)

    def error(self, message: str) -> None:
        """Report that this value is wrong."""
        self.report.add(self.path, message)

    def warn(self, message: str) -> None:
        """Report that this value is surprising."""
        self.report.add(self.path, message, warning=True)

    @property
    def line(self) -> int | None:
        """The line it stands on."""
        position = locate(self.path, self.report.positions)
        return position[0] if position else None
