"""The name of a scope inside its session: ``audit/scan[3]/report``; ``''`` is the session itself.

Segments are joined by ``/``; a segment is a name as written plus ``[n]`` for iterations, counted from 0; ``~finally``
is reserved; letters are ASCII. Paths are plain strings: they are made for every scope, compared and stored, and never
parsed on the way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

ROOT = ""
FINALLY = "~finally"

_SEGMENT = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9_ -]*|~finally)(?:\[[0-9]{1,9}\])?\Z")


def child(path: str, name: str) -> str:
    """The path of the scope ``name`` below ``path``."""
    return f"{path}/{name}" if path else name


def iteration(path: str, index: int) -> str:
    """The path of iteration ``index`` (from 0) of the loop at ``path``."""
    return f"{path}[{index}]"


def contains(outer: str, inner: str) -> bool:
    """Whether ``inner`` is ``outer`` or stands below it; a loop contains its iterations."""
    if not outer or outer == inner:
        return True
    return inner.startswith(outer) and inner[len(outer)] in "/["


def reaches(outer: str, inner: str) -> bool:
    """Whether a request at ``outer`` concerns ``inner``: what stands below it, but for the ``finally`` there."""
    return contains(outer, inner) and FINALLY not in inner[len(outer) :]


def in_cleanup(path: str) -> bool:
    """Whether ``path`` belongs to some ``finally``."""
    return FINALLY in path


def cleanup(path: str) -> str:
    """The path of the ``finally`` of the recipe or stage at ``path``."""
    return child(path, FINALLY)


def pass_cleanup(path: str) -> str:
    """The path of the ``finally`` behind one pass of a loop body, as ``scan/~finally[3]``.

    It stands beside the pass, not below it: the pass is over by then, and may be a sub-recipe with one of its own.
    """
    loop, _, index = path.rpartition("[")
    return f"{child(loop, FINALLY)}[{index}"


def cleanups_behind(path: str) -> Iterator[str]:
    """Where the ``finally`` of each body that ``path`` belongs to would stand, the innermost first."""
    before = ""
    while True:
        if path.endswith("]"):
            yield pass_cleanup(path)
        if cleanup(path) != before:  # what belongs to a ``finally`` is no part of the body before it
            yield cleanup(path)
        if not path:
            return
        before, path = path, outer(path)


def outer(path: str) -> str:
    """The scope directly around ``path``: ``a/b`` around ``a/b[3]`` and ``a/b/~finally[3]``, ``a`` around that."""
    above, _, name = path.rpartition("/")
    return path[: path.rindex("[")] if path.endswith("]") and not name.startswith(FINALLY) else above


def around(path: str) -> Iterator[str]:
    """Every scope around ``path``, the innermost first, the root last."""
    while path:
        path = outer(path)
        yield path


def is_valid(path: str) -> bool:
    """Whether ``path`` is well formed. Paths from outside are checked before they are looked up."""
    return not path or (len(path) <= 4096 and all(_SEGMENT.match(part) for part in path.split("/")))
