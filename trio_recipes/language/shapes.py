"""Readers -> JSON Schema: what a reader of ``fields.py`` or ``schema.py`` takes, said in the words of editors.

Readers made by a factory (``whole(1, 20)``) are closures, so what they take is in their cells. The others stand in
:data:`NAMED`. A reader that is in neither place is a ``KeyError``: nothing of the language is left out by mistake.
"""

from __future__ import annotations

import inspect
import signal
from typing import TYPE_CHECKING, Any, TypeAlias

from trio_recipes.language import fields, schema
from trio_recipes.language.descriptions import DESCRIPTIONS
from trio_recipes.language.fields import RESERVED, RefusedError
from trio_recipes.language.load import read_stages
from trio_recipes.language.model import OnError
from trio_recipes.language.report import Place, Report
from trio_recipes.language.steps import read_steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_recipes.language.fields import Reader, Table

Schema: TypeAlias = "dict[str, Any]"

# The \w of editors knows ASCII only, that of Python all letters. So that no name is refused, all but ASCII passes.
WORD = r"A-Za-z0-9_\u0080-\uffff"
REFERENCE = rf"\{{\{{[{WORD}]+(?:\.[{WORD}]+)*\}}\}}"

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
ANY_MAPPING: Schema = {"type": "object"}


# --- small pieces ------------------------------------------------------------------------------------------------


def form(pattern: str, message: str) -> Schema:
    """Text of a form. ``errorMessage`` is what editors say instead of showing the pattern."""
    return TEXT | {"pattern": pattern, "errorMessage": message}


def words(*options: str | None) -> Schema:
    """One of a few words."""
    return {"enum": list(options)}


def refused(message: str) -> Schema:
    """A key that must not be used: what counts as not given is all that it takes."""
    return {"enum": [None, False], "errorMessage": message, "doNotSuggest": True}


def given(*keys: str) -> Schema:
    """Whether a mapping has one of ``keys``, and not as null or false, which count as absent."""
    each = [{"required": [key], "properties": {key: {"not": {"enum": [None, False]}}}} for key in keys]
    return each[0] if len(each) == 1 else {"anyOf": each}


def excludes(key: str, other: str) -> Schema:
    """Two keys that can't stand together."""
    return {"if": given(key), "then": {"properties": {other: refused(f"can't stand together with '{key}'")}}}


def or_null(found: Schema) -> Schema:
    """The same, or null, which counts as absent."""
    if "enum" in found:
        return found | {"enum": [*found["enum"], None]}
    if "type" in found:
        types = found["type"] if isinstance(found["type"], list) else [found["type"]]
        return found | {"type": [*types, "null"]}
    return {"anyOf": [found, {"type": "null"}]}


# --- tables ------------------------------------------------------------------------------------------------------


def properties(table: Table, what: str) -> Schema:
    """The keys of a table, each with its description."""
    found = {}
    for key, field in table.items():
        own = shape(field.read)
        found[key] = {"description": DESCRIPTIONS[what][key]} | (own if field.required else or_null(own))
    return found


def required(table: Table) -> list[str]:
    """The keys that a mapping needs."""
    return [key for key, field in table.items() if field.required]


def record(table: Table, what: str, *rules: Schema, lenient: bool = False) -> Schema:
    """A mapping with the keys of a table, and rules beyond that."""
    found: Schema = {"type": "object", "properties": properties(table, what), "additionalProperties": lenient}
    found |= {"required": required(table)} if required(table) else {}
    return found | ({"allOf": list(rules)} if rules else {})


# --- readers -----------------------------------------------------------------------------------------------------


def shape(read: Reader) -> Schema:
    """What a reader takes.

    Raises:
        KeyError: for a reader that this module does not know.
    """
    if read in NAMED:
        return NAMED[read]()
    factory = read.__qualname__.partition(".")[0]
    return MADE[factory](inspect.getclosurevars(read).nonlocals)


def _number(kind: str, low: float, high: float | None, *, above: bool = False) -> Schema:
    most = {} if high is None else {"maximum": high}
    return {"type": kind, "exclusiveMinimum" if above else "minimum": low} | most


def _matching(cells: dict[str, Any]) -> Schema:
    pattern = cells["compiled"].pattern.replace(r"[\w", f"[{WORD}").replace(r"\w", f"[{WORD}]")
    longest = {} if cells["limit"] is None else {"maxLength": cells["limit"]}
    return form(f"^(?:{pattern})$", f"must be {cells['rule']}") | longest


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _steps() -> Schema:
    return _list({"$ref": "#/$defs/step"}) | {"minItems": 1}


def _variable() -> Schema:
    pattern = rf"^(?!(?:{'|'.join(RESERVED)})$)_*[{WORD.replace('_', '')}][{WORD}]*$"
    return form(pattern, "names a variable: letters, digits and '_' only; not recipe, session or step")


def _not_blank() -> Schema:
    return form(r"\S", "must not be blank")


def _command() -> Schema:
    return form(r"^\s*[^\s\0][^\0]*$", "must not be blank, and have no NUL character")


def _without_nul(*other_types: str) -> Schema:
    return {"type": ["string", *other_types], "pattern": r"^[^\0]*$", "errorMessage": "must have no NUL character"}


def _version() -> Schema:
    return form(r"^[0-9]+\.[0-9]+\.[0-9]+$", "must be MAJOR.MINOR.PATCH in quotes, such as '1.0.0'")


def _duration() -> Schema:
    text = form(r"^(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d)){1,5}$", "takes a duration such as 90s, 45m or 1h30m")
    return {"anyOf": [text, _number("number", 0, None, above=True)]}


def _signal() -> Schema:
    names = {name.removeprefix("SIG") for name in signal.Signals.__members__ if _accepts(schema.signal_name, name)}
    in_any_case = ("".join(f"[{c}{c.lower()}]" if c.isalpha() else f"[{c}]" for c in name) for name in sorted(names))
    pattern = rf"^(?:[Ss][Ii][Gg])?(?:{'|'.join(in_any_case)})$"
    return form(pattern, "names a signal that ends a process, such as TERM, INT or HUP")


def _accepts(read: Reader, value: str) -> bool:
    try:
        read(value, Place("", Report()))
    except RefusedError:
        return False
    return True


def _preference() -> Schema:
    rules = (given("provider", "class"), excludes("class", "provider"), excludes("class", "model"))
    return record(schema.PREFERENCE, "preference", *rules)


def _approval() -> Schema:
    is_required = {"properties": {"required": {"const": True}}, "required": ["required"]}
    question = {"required": ["prompt"], "properties": {"prompt": _not_blank()}}
    return record(schema.APPROVAL, "approval", {"if": is_required, "then": question})


def _orchestrator_config() -> Schema:
    delay = schema.ORCHESTRATOR["min_delay_between_calls_ms"]
    return ANY_MAPPING | {"properties": {"min_delay_between_calls_ms": or_null(shape(delay.read))}}


NAMED: dict[Reader, Callable[[], Schema]] = {
    fields.text: lambda: TEXT,
    fields.template: lambda: TEXT,
    fields.words: _not_blank,
    fields.template_words: _not_blank,
    fields.flag: lambda: FLAG,
    fields.variable: _variable,
    fields.expression: lambda: {"type": ["string", "boolean"]},
    fields.mapping: lambda: ANY_MAPPING,
    schema.version: _version,
    schema.parallel: lambda: {"type": ["boolean", "integer"], "minimum": 1},
    schema.retry: lambda: record(schema.RETRY, "retry", lenient=True),
    schema.on_error: lambda: words(*OnError),
    schema.shell_text: _without_nul,
    schema.command: _command,
    schema.env_value: lambda: _without_nul("number", "boolean"),
    schema.signal_name: _signal,
    schema.duration: _duration,
    schema.preference: _preference,
    schema.preferences: lambda: _list(_preference()) | {"minItems": 1},
    schema.rate_limiting: lambda: record(schema.RATE_LIMITING, "rate_limiting"),
    schema.orchestrator: lambda: record(schema.ORCHESTRATOR, "orchestrator", lenient=True),
    schema.orchestrator_config: _orchestrator_config,
    schema.approval: _approval,
    read_steps: _steps,
    read_stages: lambda: _list({"$ref": "#/$defs/stage"}) | {"minItems": 1},
}
"""The readers that are plain functions."""

MADE: dict[str, Callable[[Any], Schema]] = {
    "whole": lambda cells: _number("integer", cells["low"], cells["high"]),
    "number": lambda cells: _number("number", cells["low"], cells["high"], above=cells["above"]),
    "choice": lambda cells: words(*cells["options"]),
    "matching": _matching,
    "each": lambda cells: _list(shape(cells["read"])),
    "mapping_of": lambda cells: {
        "type": "object",
        "propertyNames": shape(cells["read_key"]),
        "additionalProperties": shape(cells["read"]),
    },
    "record": lambda cells: record(cells["table"], cells["what"], lenient=cells["lenient"]),
}
"""The factories of readers; each gets the cells of the closure that it made."""
