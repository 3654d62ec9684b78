"""The name of a scope inside its session: ``audit/scan[3]/report``; ``''`` is the session itself.

decisions.md, "Events, ids, paths, values": segments are joined by ``/``; a segment is a name as written plus ``[n]``
for iterations, counted from 0; ``~finally`` is reserved; letters are ASCII. Paths are plain strings: they are made for
every scope, compared and stored, and never parsed on the way.
"""

from __future__ import annotations

import re

ROOT = ""
FINALLY = "~finally"

_SEGMENT = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9_ -]*(?:\[[0-9]{1,9}\])?|~finally)\Z")


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


def in_cleanup(path: str) -> bool:
    """Whether ``path`` belongs to some ``finally``."""
    return FINALLY in path


def is_valid(path: str) -> bool:
    """Whether ``path`` is well formed. Paths from outside are checked before they are looked up."""
    return not path or (len(path) <= 4096 and all(_SEGMENT.match(part) for part in path.split("/")))


def names(path: str) -> list[str]:
    """The step names along ``path``, without iteration numbers."""
    return [part.partition("[")[0] for part in path.split("/")] if path else []
