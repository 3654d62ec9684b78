"""One cell of the matrix: a shape of recipe, a moment, and a way to ask for the stop."""

from __future__ import annotations

from attrs import frozen

from tests.campaign.shapes import SHAPES, Shape
from trio_recipes.events import Level

LEVELS = ("graceful", "immediate", "grace")
MOMENTS = ("before", "first", "between", "commit", "last")

SHORT, LONG = 0.1, 30.0
"""Grace periods: for steps that are held beyond it, and where they are not."""


@frozen
class Cell:
    """One combination.

    Args:
        shape: of the recipe.
        moment: of the request.
        level: of the request.
    """

    shape: str
    moment: str
    level: str

    @property
    def holds(self) -> bool:
        """Whether steps are in flight, held, at the moment of the request."""
        return self.moment in ("first", "last")

    @property
    def grace(self) -> float | None:
        """The grace period to ask for; where steps are held, it passes."""
        if self.level != "grace":
            return None
        return SHORT if self.holds else LONG

    @property
    def ends(self) -> Level:
        """The level at which the session ends."""
        stops_now = self.level == "immediate" or (self.level == "grace" and self.holds)
        return Level.IMMEDIATE if stops_now else Level.GRACEFUL

    @property
    def too_late(self) -> bool:
        """Whether nothing was left to start, and what was in hand could finish."""
        return self.moment == "last" and self.level == "graceful"

    def held(self, shape: Shape) -> tuple[str, ...]:
        """The steps to hold until the request has been noticed."""
        return {"before": (), "first": shape.first, "last": shape.last}.get(self.moment, shape.next)

    def __str__(self) -> str:
        return f"{self.shape}-{self.moment}-{self.level}"


CELLS = [Cell(shape, moment, level) for shape in SHAPES for moment in MOMENTS for level in LEVELS]
