"""The part of docs/performance.md that ``--write`` replaces, and the pictures beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.svg import draw

BEGIN = "<!-- figures: begin (python -m benchmarks --write docs/performance.md) -->"
END = "<!-- figures: end -->"


def replaced(text: str, figures: str) -> str:
    """The page with new figures between its markers.

    Raises:
        ValueError: if the markers are not there, once each and in order.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there is no {BEGIN!r} followed by {END!r}")
    return f"{head}{BEGIN}\n\n{figures}\n\n{END}{tail}"


def write(file: Path, figures: str, pictures: Iterable[Figure]) -> None:
    """Replace the figures of a page, and draw its pictures into the folder of the same name."""
    file.write_text(replaced(file.read_text(encoding="utf-8"), figures), encoding="utf-8")
    folder = file.with_suffix("")
    folder.mkdir(exist_ok=True)
    for picture in pictures:
        (folder / f"{picture.name}.svg").write_text(draw(picture), encoding="utf-8")
