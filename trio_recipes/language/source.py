"""YAML text -> positioned plain data, within limits (recipe-language.md section 1).

What comes out are JSON values only (:mod:`trio_recipes.values`), and the position of every key. Each reason for
refusing a text becomes a problem with its line; only what no reader should go on after (a syntax error, a passed
limit) ends the reading.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

from trio_recipes.errors import Problem
from trio_recipes.language.builder import Builder, StopReadingError
from trio_recipes.language.wording import shown

if TYPE_CHECKING:
    from trio_recipes.language.report import Report
    from trio_recipes.values import Value

MAX_BYTES = 10_000_000
"""Size of a recipe file."""

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_HINTS = (
    (r"\\t|tab", "indent with spaces, not with tabs"),
    (r"mapping values are not allowed", "a text with ': ' in it must be quoted, or the indentation is wrong"),
    (r"unexpected end of stream", "a quote or bracket that was opened before is never closed"),
    (r"unknown escape character", "write backslashes twice inside double quotes, or use single quotes"),
    (r"cannot start any token", "a text that starts with this character must be quoted"),
    (r"could not find expected ':'", "this is neither 'key: value' nor part of a quoted text; look at its indentation"),
    (r"did not find expected", "look at the indentation and the quotes of this line and those above"),
)

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(text: str, report: Report) -> Value:
    """Parse YAML as far as it can be understood.

    Args:
        text: the document.
        report: receives every problem, and the position of each key.
    """
    if not _is_readable(text, report):
        return None
    builder = Builder(report)
    try:
        return builder.document(yaml.parse(text.removeprefix("\ufeff"), _Loader))
    except StopReadingError:
        return None
    except yaml.YAMLError as error:
        report.note(_syntax_problem(error, text, report.file))
        return None
    finally:
        report.positions = builder.positions


def too_large(file: str | None) -> Problem:
    """The refusal of a document above :data:`MAX_BYTES`."""
    return Problem(f"is larger than {MAX_BYTES // 1_000_000} MB; move what is data into files of its own", file)


def _is_readable(text: str, report: Report) -> bool:
    if len(text) > MAX_BYTES:
        report.note(too_large(report.file))
        return False
    found = _UNPRINTABLE.search(text)
    if found is None:
        return True
    line = text.count("\n", 0, found.start()) + 1
    column = found.start() - text.rfind("\n", 0, found.start())
    message = f"the control character {shown(found.group())} can't stand in YAML; escape it, in double quotes"
    report.note(Problem(message, report.file, line, column))
    return False


def _syntax_problem(error: yaml.YAMLError, text: str, file: str | None) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return Problem(f"this is not YAML: {shown(str(error))}", file)
    context_mark = getattr(error, "context_mark", None)
    context = getattr(error, "context", None)
    message = f"this is not YAML: {getattr(error, 'problem', None) or context}"
    if context and context_mark:
        message += f" ({context} that began on line {context_mark.line + 1})"
    return Problem(message + _hint(message, _line(text, mark.line)), file, mark.line + 1, mark.column + 1)


def _line(text: str, number: int) -> str:
    return next(iter(text.split("\n", number + 1)[number : number + 1]), "")


def _hint(message: str, line: str) -> str:
    if re.search(r"[:-] +\{\{", line):
        return "; a value that starts with {{ must be quoted"
    if line[: len(line) - len(line.lstrip())].count("\t"):
        return "; indent with spaces, not with tabs"
    return next((f"; {hint}" for pattern, hint in _HINTS if re.search(pattern, message)), "")
