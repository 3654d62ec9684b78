"""Outline -> SVG, drawn by Graphviz's ``dot``: the layout of graphs is an art of its own."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Final

from trio_recipes.errors import ConfigurationError
from trio_recipes.frontends.diagrams.dot import dot

if TYPE_CHECKING:
    from trio_recipes.frontends.diagrams.parts import Outline

PATIENCE: Final = 60.0
"""Seconds that Graphviz may take: its layout of a few thousand boxes takes several."""


def svg(outline: Outline) -> str:
    """The picture, as a document of its own.

    Raises:
        ConfigurationError: Graphviz is not installed, or it can't draw this.
    """
    program = shutil.which("dot")
    if program is None:
        raise ConfigurationError(
            "SVG is drawn by Graphviz, and there is no program `dot` on the PATH: install it (apt install graphviz, "
            "brew install graphviz), or take --format mermaid, which many editors and web pages draw"
        )
    try:
        drawn = subprocess.run(
            [program, "-Tsvg"], input=dot(outline).encode(), capture_output=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigurationError(_failed(f"it took more than {PATIENCE:g} seconds")) from None
    if drawn.returncode != 0:
        raise ConfigurationError(_failed(drawn.stderr.decode(errors="replace").strip()))
    return drawn.stdout.decode()


def _failed(why: str) -> str:
    return f"Graphviz could not draw this recipe ({why}): --format dot prints what it was given"
