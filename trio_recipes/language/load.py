"""Text -> :class:`~trio_recipes.language.model.Recipe`, with every problem of the document reported at once.

Reading goes on after a problem wherever it can: a field that was refused is reported and left out, so that the rest
is still looked at. Only a recipe without errors is returned; its warnings stand in ``Recipe.warnings``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import evolve

from trio_recipes.errors import InvalidRecipeError, Problem
from trio_recipes.language.fields import Field, RefusedError, each, mapping, read_mapping, sequence
from trio_recipes.language.model import Recipe, Stage
from trio_recipes.language.report import Place, Report
from trio_recipes.language.rules import check_structure
from trio_recipes.language.schema import DOCUMENT, SCHEDULE, STAGE
from trio_recipes.language.source import MAX_BYTES, read, too_large
from trio_recipes.language.steps import FINALLY, read_steps
from trio_recipes.plainfile import open_plain, why_unread

if TYPE_CHECKING:
    from trio_recipes.language.fields import Table
    from trio_recipes.values import Value

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""The marks that such a text begins with."""

Unfit: TypeAlias = Callable[[int], "Problem | None"]
"""Says why the file behind a descriptor may not be used, if so."""


def load_recipe(path: str | os.PathLike[str], *, unfit: Unfit | None = None) -> Recipe:
    """Read a recipe from a file.

    Args:
        path: of the file.
        unfit: is asked about the file once it is open, when nobody can put another in its place.

    Raises:
        InvalidRecipeError: if the file can't be read, or what it holds is no valid recipe.
    """
    file = os.path.abspath(os.fspath(path))  # noqa: PTH100 - symbolic links stay: relative paths start where they stand
    return parse_recipe(_text_of(file, unfit), file)


def parse_recipe(text: str, file: str | None = None) -> Recipe:
    """Read a recipe from text (recipe-language.md sections 1, 2, 7, 9, 10, 12).

    Args:
        text: the YAML document.
        file: where it came from, for messages and for relative paths of sub-recipes.

    Raises:
        InvalidRecipeError: with every problem of the document.
    """
    report = Report(file)
    data = read(text, report)
    if not isinstance(data, dict):
        report.raise_errors()
        message = "is empty; a recipe is a YAML mapping" if data is None else "is no YAML mapping, as a recipe must be"
        raise InvalidRecipeError([Problem(message, file, 1)])
    recipe = _recipe(data, text, report)
    check_structure(recipe, report)
    report.raise_errors()
    return evolve(recipe, warnings=tuple(report.in_order()))


def _text_of(file: str, unfit: Unfit | None) -> str:
    content = _bytes_of(file, unfit)
    if len(content) > MAX_BYTES:
        raise InvalidRecipeError([too_large(file)])
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = "is UTF-16 text; save it as UTF-8" if content[:2] in _UTF_16 else "is not UTF-8 text; recipes are"
        raise InvalidRecipeError([Problem(message, file, line)]) from error


def _bytes_of(file: str, unfit: Unfit | None) -> bytes:
    """At most one byte more than a recipe may have."""
    try:
        with open_plain(file) as stream:
            problem = unfit(stream.fileno()) if unfit is not None else None
            if problem is not None:
                raise InvalidRecipeError([problem])
            return stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise InvalidRecipeError([Problem(f"can't be read: {why_unread(error)}", file)]) from error


def _recipe(data: dict[str, Value], text: str, report: Report) -> Recipe:
    place = Place("", report)
    values = read_mapping(_one_of_two(data, place), place, RECIPE, what="a recipe", lenient=True)
    if stages := values.get("stages"):
        values["stages"] = tuple(_inherit(stage, values) for stage in stages)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Recipe(**values, file=report.file, text=text, digest=digest, positions=report.positions)


def _one_of_two(data: dict[str, Value], place: Place) -> dict[str, Value]:
    """The document with ``steps`` or ``stages``; an empty one beside the other counts as absent (section 1)."""
    given = [key for key in ("steps", "stages") if data.get(key) is not None]
    filled = [key for key in given if data[key]]
    if not given:
        place.error("a recipe needs 'steps' (or 'stages', each with steps)")
    if len(filled) == 2:
        place.key("stages").error("stands together with 'steps'; a recipe has one of them")
    return {key: value for key, value in data.items() if not filled or key not in given or key in filled}


def _inherit(stage: Stage, recipe: dict[str, Any]) -> Stage:
    """A stage without a schedule has that of its recipe."""
    parallel = stage.max_parallel_steps or recipe.get("max_parallel_steps")
    schedule = stage.schedule if stage.schedule != "order" else recipe.get("schedule", "order")
    return evolve(stage, schedule=schedule, max_parallel_steps=parallel)


def read_stage(value: Value, place: Place) -> Stage:
    """One stage (section 1)."""
    values = read_mapping(value, place, STAGE | BLOCK, what="a stage", lenient=True)
    if mapping(value, place).get("steps") is None:
        place.error("a stage needs 'steps'")
    return Stage(**{"steps": (), **values}, line=place.line, where=place.path)


def read_stages(value: Value, place: Place) -> tuple[Stage, ...]:
    """At least one stage."""
    if not sequence(value, place):
        raise RefusedError("needs at least one stage")
    stages: tuple[Stage, ...] = each(read_stage)(value, place)
    return stages


BLOCK: Table = {"steps": Field(read_steps)} | FINALLY | SCHEDULE
"""Steps, as a recipe and a stage hold them."""

RECIPE: Table = DOCUMENT | BLOCK | {"stages": Field(read_stages)}
"""The whole document."""
