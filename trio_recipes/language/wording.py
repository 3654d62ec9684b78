"""How messages name values, types and alternatives: one voice for every error of the language."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN = 80
"""Characters of a value that a message repeats."""

NAMES = 30
"""Names that a message lists before it says how many more there are."""

_CONTAINERS = reprlib.Repr()
_CONTAINERS.maxlevel = 2

_KINDS = {
    bool: "a boolean",
    int: "a whole number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a mapping",
    type(None): "null",
}


def shown(value: object) -> str:
    """``value`` in one line: text in quotes, control characters escaped, cut at about 80 characters."""
    if isinstance(value, str):
        return repr(value) if len(value) <= SHOWN else f"{value[:SHOWN]!r}…"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = _CONTAINERS.repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def kind_of(value: object) -> str:
    """The type of ``value`` in the words of the language: ``a list``, ``a string``."""
    return _KINDS.get(type(value), type(value).__name__)


def listed(names: Iterable[str]) -> str:
    """``a, b, c`` in order of the alphabet; at most :data:`NAMES` of them, then how many more; ``none`` for none."""
    ordered = sorted(names)
    text = ", ".join(shown(name)[1:-1] for name in ordered[:NAMES])
    more = len(ordered) - NAMES
    return (text or "none") + (f" and {more} more" if more > 0 else "")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the nearest of ``names``, or nothing where none is near."""
    import difflib  # noqa: PLC0415 - only errors need it

    near = difflib.get_close_matches(name[:SHOWN], list(names), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
