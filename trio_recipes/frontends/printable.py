"""Text for people: from recipes, outputs and reasons it comes with its control characters escaped."""

from __future__ import annotations

import re
from functools import cache

SHORT = 200
"""Characters that a line shows of a long text."""


def printable(text: str) -> str:
    r"""``text`` with control characters escaped (``\x1b``), newlines and tabs kept."""
    return text if text.isprintable() else _control().sub(_escaped, text)


@cache
def _control() -> re.Pattern[str]:
    """What moves a cursor, rings, changes colours, reverses text or hides in it; newline and tab are harmless."""
    return re.compile(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"
    )


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def in_one_line(text: str, limit: int = SHORT) -> str:
    """``text`` in one printable line, cut at ``limit`` characters."""
    line = printable(" ".join(text[: limit * 4].split()))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def counted(number: int, noun: str) -> str:
    """``1 step``, ``2 steps``, ``no steps``; more than 999 with commas."""
    amount = f"{number:,}" if number else "no"
    return f"{amount} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A duration as people say it: ``0.3s``, ``12s``, ``4m05s``, ``2h07m``."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"
