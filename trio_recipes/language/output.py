"""From the text that a step puts out to its value (recipe-language.md section 6).

JSON is strict here (no NaN, no Infinity, no number that overflows), and the search for it in prose does a bounded
amount of work, so that no output, however hostile, costs more than about a second.
"""

from __future__ import annotations

import json
import math
import re
import sys
from typing import TYPE_CHECKING, NoReturn

from trio_recipes.errors import ValueRefusedError
from trio_recipes.values import MAX_DEPTH, normalise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_recipes.values import Value

MAX_TEXT = 64 * 1024 * 1024
"""Characters above which text stays text; the caller says so."""

JSON_INSTRUCTION = """

---
Your answer is read by a program. Explain as much as you like first, but end the answer with the result as one \
valid JSON value (an object or an array, as asked above) and write nothing after it: double quotes around keys and \
strings, no comments, no trailing commas. A ```json code block around it is fine."""
"""Appended to the prompt of an agent step with ``parse_json: true``."""

_MAX_EFFORT = 20_000_000
"""Characters that attempts may read in vain in one search, all together."""

_ATTEMPT = 100
"""What starting an attempt costs, in characters."""

_TOO_DEEP = 10_000 if sys.version_info < (3, 14) else 200_000
"""What an attempt costs that ran out of stack: it does not tell how far it came. Python 3.14 goes on to the end of the
real stack, some 70,000 brackets deep."""

_WINDOW = 16_384
"""Characters already read that an attempt may have before it."""

_FENCE = re.compile(r"```(?:json)?\s*", re.IGNORECASE)
_START = re.compile(
    r"""\{(?=\s*["}])
      | \[(?=\s*(?:[\[{"\]]|-?\d[\d.eE+-]*\s*[,\]]|true\b|false\b|null\b))
    """,
    re.VERBOSE,
)
"""Where an object or array may begin: cheap, and most brackets in prose and logs don't qualify."""


def interpret(text: str, *, parse_json: bool, fallback: bool = False) -> Value:
    """The value of a step's output. Never raises: what can't be read as JSON is the text itself.

    Args:
        text: what the backend answered or the command printed.
        parse_json: the step's key of that name: look for JSON inside of the text, too.
        fallback: whether to look for it even without ``parse_json`` (bash steps do).
    """
    if len(text) > MAX_TEXT:
        return text
    readings = _search(text) if parse_json or fallback else _whole(text)
    return next((value for value in readings if _fits(value, text)), text)


def holds_json(text: str) -> bool:
    """Whether :func:`interpret` finds JSON in a text that should hold some."""
    return len(text) <= MAX_TEXT and any(_fits(value, text) for value in _search(text))


def _search(text: str) -> Iterator[Value]:
    yield from _whole(text)
    yield from _fenced(text)
    yield from _anywhere(text)


def _whole(text: str) -> Iterator[Value]:
    stripped = text.strip()
    if not stripped or stripped[0] not in '{["-0123456789tfn':
        return
    try:
        yield _DECODER.decode(stripped)
    except (ValueError, RecursionError):
        return


def _fenced(text: str) -> Iterator[Value]:
    opening = _FENCE.search(text)
    if opening is None or text.find("```", opening.end()) < 0:
        return
    try:
        value, _ = _DECODER.raw_decode(text, opening.end())
    except (ValueError, RecursionError):
        return
    if not _is_empty(value):
        yield value


def _anywhere(text: str) -> Iterator[Value]:
    """Objects and arrays in document order; the first empty one last."""
    empty: list[Value] = []
    position, effort = 0, _MAX_EFFORT
    while effort > 0 and (opening := _START.search(text, position)):
        start = opening.start()
        if start > _WINDOW:  # a JSONDecodeError counts the lines before it, so what was read is dropped
            text, position = text[start:], 0
            continue
        effort -= _ATTEMPT
        try:
            value, position = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            effort -= _cost(error, start)
            position = start + 1
            continue
        if not _is_empty(value):
            yield value
        elif not empty:
            empty.append(value)
    yield from empty


def _cost(error: Exception, start: int) -> int:
    return error.pos - start if isinstance(error, json.JSONDecodeError) else _TOO_DEEP


def _is_empty(value: Value) -> bool:
    return isinstance(value, (dict, list)) and not value


def _fits(value: Value, text: str) -> bool:
    """Whether a variable may hold it: not nested too deeply. Short of brackets, nothing needs a look."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return True
    try:
        normalise(value, "output")
    except ValueRefusedError:
        return False
    return True


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits} is out of range")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_float=_float, parse_constant=_refuse)
