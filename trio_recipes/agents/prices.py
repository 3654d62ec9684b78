"""What models charge, from a file of the user's: prices change, so none are built in.

The file is TOML, in US dollars for a million tokens; the first name or glob that fits counts, exact names first::

    [models."gpt-*"]
    input = 2.5
    output = 10
    cached_input = 1.25   # of the tokens read, those that the endpoint had in its cache; like input if absent
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import Factory

from trio_recipes.agents.places import is_there, user_file
from trio_recipes.classes import frozen
from trio_recipes.errors import ConfigurationError
from trio_recipes.language.wording import did_you_mean, listed, shown

if TYPE_CHECKING:
    from trio_recipes.values import Value

USER_FILE: Final = "trio_recipes/prices.toml"
"""Where users keep their prices, below ``$XDG_CONFIG_HOME`` or ``~/.config``."""

_MILLION: Final = 1_000_000
_FIELDS: Final = ("cached_input", "input", "output")

Source: TypeAlias = "str | os.PathLike[str] | Mapping[str, Mapping[str, float]] | None"


@frozen
class Price:
    """Of one model, in US dollars for a million tokens.

    Args:
        input: tokens read.
        output: tokens written.
        cached_input: tokens read that were in the endpoint's cache; None: as ``input``.
    """

    input: float = 0.0
    output: float = 0.0
    cached_input: float | None = None

    def of(self, usage: Mapping[str, int]) -> float:
        """What an answer of this usage costs, in US dollars; ``cached_tokens`` are among the ``input_tokens``."""
        cached = min(usage.get("cached_tokens", 0), usage.get("input_tokens", 0))
        read = usage.get("input_tokens", 0) - cached
        cached_price = self.input if self.cached_input is None else self.cached_input
        return (read * self.input + cached * cached_price + usage.get("output_tokens", 0) * self.output) / _MILLION


@frozen
class Prices:
    """Prices by model.

    Args:
        models: by exact name or glob; globs are tried in order.
    """

    models: Mapping[str, Price] = Factory(dict)

    def cost(self, model: str | None, usage: Mapping[str, int]) -> float | None:
        """What an answer cost in US dollars, or None if that can't be told."""
        price = self._of(model) if model and usage else None
        return price.of(usage) if price else None

    def _of(self, model: str) -> Price | None:
        if model in self.models:
            return self.models[model]
        return next((price for glob, price in self.models.items() if fnmatchcase(model, glob)), None)


def load_prices(source: Source = None) -> Prices:
    """The prices in a file, or as a mapping; by default those in the user's own file, if there is one.

    Raises:
        ConfigurationError: the file is not as it should be; all problems are told together.
    """
    if isinstance(source, Mapping):
        return _read({"models": source}, "prices")
    file = user_file(USER_FILE) if source is None else Path(source)
    if source is None and not is_there(file):
        return Prices()
    try:
        return _read(_toml(file), str(file))
    except FileNotFoundError:
        raise ConfigurationError(f"{file}: there is no such file of prices") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file}: can't be read as TOML: {error}") from None


def _toml(file: Path) -> dict[str, Any]:
    text = file.read_text(encoding="utf-8")
    import tomllib  # noqa: PLC0415  only for those who have such a file

    return tomllib.loads(text)


def _read(document: Mapping[str, object], where: str) -> Prices:
    problems = [f"{where}: unknown key {key!r}; the file has one table, 'models'" for key in {*document} - {"models"}]
    models = document.get("models", {})
    if not isinstance(models, Mapping):
        raise ConfigurationError(f"{where}: models must be a table from models to prices, found {shown(models)}")
    for model, fields in models.items():
        problems += [f"{where}: models.{model}: {problem}" for problem in _wrong(fields)]
    if problems:
        raise ConfigurationError("\n".join(problems))
    return Prices({str(model): Price(**fields) for model, fields in models.items()})


def _wrong(fields: Value) -> list[str]:
    if not isinstance(fields, Mapping):
        return [f"must be a table with {listed(_FIELDS)}, found {shown(fields)}"]
    unknown = [f"unknown key {key!r}{did_you_mean(key, _FIELDS)}" for key in fields if key not in _FIELDS]
    return unknown + [
        f"{key} must be US dollars for a million tokens, 0 or more, found {shown(price)}"
        for key, price in fields.items()
        if key in _FIELDS and not (isinstance(price, (int, float)) and not isinstance(price, bool) and price >= 0)
    ]
