"""The variables that ``--context FILE`` and ``--set K=V`` give."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from trio_recipes.errors import ConfigurationError
from trio_recipes.language.fields import RESERVED
from trio_recipes.language.report import Report
from trio_recipes.language.source import read
from trio_recipes.language.wording import kind_of, shown
from trio_recipes.plainfile import why_unread

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_recipes.values import Value

_NAME = re.compile(r"\w+")


def given_variables(file: str | None, settings: Iterable[str]) -> dict[str, Value]:
    """All of them; ``--set`` counts more than the file, and later ones more than earlier ones.

    Raises:
        ConfigurationError: if the file or a setting can't be understood.
    """
    given = _from_file(Path(file)) if file else {}
    return given | dict(map(_setting, settings))


def _from_file(file: Path) -> dict[str, Value]:
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(f"--context {file}: is not UTF-8 text") from None
    except OSError as error:
        raise ConfigurationError(f"--context {file}: can't be read: {why_unread(error)}") from None
    value = _parsed(text, str(file))
    if not isinstance(value, dict):
        raise ConfigurationError(f"--context {file}: must be a mapping of variables, found {kind_of(value)}")
    return value


def _setting(text: str) -> tuple[str, Value]:
    """``K=V``: V is read as YAML, so ``n=3`` is a number, ``files='[a, b]'`` a list and ``s='"3"'`` a text."""
    name, found, value = text.partition("=")
    if not found or not name:
        raise ConfigurationError(f"--set {shown(text)}: must be NAME=VALUE")
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"--set {shown(name)}: names of variables have letters, digits and '_' only")
    if name in RESERVED:
        raise ConfigurationError(f"--set {name}: is a variable of the engine; choose another name")
    return name, _parsed(value, f"--set {name}")


def _parsed(text: str, source: str) -> Value:
    report = Report(source)
    value = read(text, report)
    if report.has_errors:
        raise ConfigurationError("\n".join(str(problem) for problem in report.in_order()))
    return value
