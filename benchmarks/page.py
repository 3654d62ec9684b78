"""The parts of docs/performance.md that ``--write`` replaces, and the pictures beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from attrs import frozen

from benchmarks.figure import Figure
from benchmarks.svg import draw


@frozen
class Block:
    """A part of the page that is replaced as a whole.

    Args:
        begin: the line before it.
        end: the line after it.
    """

    begin: str
    end: str


FIGURES = Block("<!-- figures: begin (python -m benchmarks --write docs/performance.md) -->", "<!-- figures: end -->")
PEERS = Block("<!-- peers: begin (nox -s peers -- --write docs/performance.md) -->", "<!-- peers: end -->")


def replaced(text: str, block: Block, figures: str) -> str:
    """The page with new figures between the markers of a block.

    Raises:
        ValueError: if the markers are not there, in order.
    """
    head, begin, rest = text.partition(block.begin)
    _, end, tail = rest.partition(block.end)
    if not begin or not end:
        raise ValueError(f"there is no {block.begin!r} followed by {block.end!r}")
    return f"{head}{block.begin}\n\n{figures}\n\n{block.end}{tail}"


def write(file: Path, block: Block, figures: str, pictures: Iterable[Figure]) -> None:
    """Replace a block of a page, and draw its pictures into the folder of the same name."""
    file.write_text(replaced(file.read_text(encoding="utf-8"), block, figures), encoding="utf-8")
    folder = file.with_suffix("")
    folder.mkdir(exist_ok=True)
    for picture in pictures:
        (folder / f"{picture.name}.svg").write_text(draw(picture), encoding="utf-8")
