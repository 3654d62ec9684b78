"""Readers: plain data -> typed fields of the model, by tables.

A *reader* takes a value and its place and returns what the model holds, or raises :class:`RefusedError` with a message
that says what the field takes. A *table* names the keys of one mapping of the language and the reader of each;
:func:`read_mapping` applies it and reports every problem at its place. A field that was refused is left out, so that
its default stands in and everything else is still checked.

(cattrs is not used here: it knows neither positions nor which keys belong to which kind of step, and its errors would
be rewritten one by one. It costs 50 ms to import, too.)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

from trio_recipes.classes import frozen
from trio_recipes.errors import ExpressionError
from trio_recipes.language.expression import Expression
from trio_recipes.language.template import Template
from trio_recipes.language.wording import did_you_mean, kind_of, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trio_recipes.language.report import Place
    from trio_recipes.values import Value

    Reader: TypeAlias = Callable[[Value, Place], Any]

RESERVED = ("recipe", "session", "step")
"""Names of the engine's own variables that nothing may be stored under (recipe-language.md section 2)."""

_VARIABLE = re.compile(r"(?=.*[^\W_])\w+")


class RefusedError(Exception):
    """A value is not what its field takes; the message says what it takes and what was found."""


@frozen
class Field:
    """One key of a mapping of the language.

    Args:
        read: turns its value into what the model holds.
        name: the attribute of the model; the key itself unless given.
        required: whether the mapping needs it.
        placeholder: stands in for a required value that is missing or was refused (and reported).
    """

    read: Reader
    name: str = ""
    required: bool = False
    placeholder: Any = ""


Table: TypeAlias = "dict[str, Field]"


def read_mapping(value: Value, place: Place, table: Table, *, what: str, lenient: bool = False) -> dict[str, Any]:
    """Read a mapping by its table; null counts as absent.

    Args:
        value: what stands there.
        place: where.
        table: its keys.
        what: its name in messages, such as ``retry``.
        lenient: whether unknown keys are surprising (a warning) instead of wrong.

    Returns:
        The model's attributes by name; only those that were given and could be read, and placeholders.

    Raises:
        RefusedError: if the value is no mapping.
    """
    data = mapping(value, place)
    for key in data.keys() - table.keys():
        report = place.key(key).warn if lenient else place.key(key).error
        report(f"unknown key of {what}{did_you_mean(key, table)}" + (" (ignored)" if lenient else ""))
    return read_fields(data, place, table, what=what)


def read_fields(data: Mapping[str, Value], place: Place, table: Table, *, what: str) -> dict[str, Any]:
    """The known keys of a mapping, as :func:`read_mapping` does; unknown ones are the caller's to report."""
    values: dict[str, Any] = {}
    for key, field in table.items():
        name = field.name or key
        if data.get(key) is None:
            if field.required:
                place.error(f"{what} needs {key!r}")
                values[name] = field.placeholder
            continue
        try:
            values[name] = field.read(data[key], place.key(key))
        except RefusedError as refused:
            place.key(key).error(str(refused))
            if field.required:
                values[name] = field.placeholder
    return values


# --- scalars -----------------------------------------------------------------------------------------------------


def wrong(wanted: str, value: Value) -> RefusedError:
    """The refusal of ``value``: what is wanted, what was found, and what to do about YAML's guesses."""
    hint = ""
    if wanted.startswith("text") and isinstance(value, (bool, int, float)):
        hint = "; put it in quotes"
        hint += " (YAML reads bare yes, no, on and off as booleans)" if isinstance(value, bool) else ""
    elif isinstance(value, str) and re.fullmatch(r"[-+]?[\d.]+|true|false", value):
        hint = "; remove the quotes"
    return RefusedError(f"takes {wanted}; found {kind_of(value)}: {shown(value)}{hint}")


def text(value: Value, place: Place) -> str:
    """Any text."""
    del place
    if not isinstance(value, str):
        raise wrong("text", value)
    return value


def words(value: Value, place: Place) -> str:
    """Text that is not blank."""
    if not text(value, place).strip():
        raise RefusedError("must not be blank")
    return str(value)


def flag(value: Value, place: Place) -> bool:
    """Either true or false."""
    del place
    if not isinstance(value, bool):
        raise wrong("true or false", value)
    return value


def whole(low: int, high: int | None = None) -> Reader:
    """A whole number in a range."""
    wanted = f"a whole number from {low}" + (f" to {high}" if high is not None else "")

    def read(value: Value, place: Place) -> int:
        del place
        if not isinstance(value, int) or isinstance(value, bool) or value < low or (high is not None and value > high):
            raise wrong(wanted, value)
        return value

    return read


def number(low: float, high: float | None = None, *, above: bool = False) -> Reader:
    """A number in a range; ``above`` leaves out ``low`` itself."""
    wanted = f"a number {'above' if above else 'from'} {low:g}" + (f" to {high:g}" if high is not None else "")

    def read(value: Value, place: Place) -> float:
        del place
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise wrong(wanted, value)
        if value < low or (above and value == low) or (high is not None and value > high):
            raise wrong(wanted, value)
        return value

    return read


def choice(*options: str) -> Reader:
    """One of a few words."""
    wanted = " or ".join(repr(option) for option in options)

    def read(value: Value, place: Place) -> str:
        del place
        if isinstance(value, str) and value not in options:
            raise RefusedError(f"takes {wanted}; found {shown(value)}{did_you_mean(value, options)}")
        if not isinstance(value, str):
            raise wrong(f"text: {wanted}", value)
        return value

    return read


def matching(pattern: str, rule: str, limit: int | None = None) -> Reader:
    """Text of a form; ``rule`` says which one."""
    compiled = re.compile(pattern)

    def read(value: Value, place: Place) -> str:
        found = text(value, place)
        if not compiled.fullmatch(found):
            raise RefusedError(f"must be {rule}; found {shown(found)}")
        if limit is not None and len(found) > limit:
            raise RefusedError(f"must have at most {limit} characters; found {len(found)}: {shown(found)}")
        return found

    return read


def variable(value: Value, place: Place) -> str:
    """A variable's name (recipe-language.md section 2)."""
    name = text(value, place)
    if not _VARIABLE.fullmatch(name):
        raise RefusedError(f"names a variable: letters, digits and '_' only; found {shown(name)}")
    if name in RESERVED:
        raise RefusedError(f"{name!r} is a variable of the engine; choose another name")
    return name


# --- language ----------------------------------------------------------------------------------------------------


def template(value: Value, place: Place) -> Template:
    """Text with references."""
    return Template.parse(text(value, place))


def template_words(value: Value, place: Place) -> Template:
    """Text with references that is not blank."""
    return Template.parse(words(value, place))


def expression(value: Value, place: Place) -> Expression:
    """A condition; YAML's true and false are conditions, too."""
    source = str(value).lower() if isinstance(value, bool) else text(value, place)
    try:
        return Expression.parse(source)
    except ExpressionError as error:
        column = f" (column {error.column})" if error.column else ""
        raise RefusedError(f"the condition {shown(source)} can't be understood: {error}{column}") from error


# --- containers --------------------------------------------------------------------------------------------------


def mapping(value: Value, place: Place) -> dict[str, Value]:
    """A mapping of anything, kept as it is."""
    del place
    if not isinstance(value, dict):
        raise wrong("a mapping", value)
    return value


def sequence(value: Value, place: Place) -> list[Value]:
    """A list of anything."""
    del place
    if not isinstance(value, list):
        raise wrong("a list", value)
    return value


def each(read: Reader) -> Reader:
    """A list; what is wrong with its items is reported item by item."""

    def read_all(value: Value, place: Place) -> tuple[Any, ...]:
        items = []
        for index, item in enumerate(sequence(value, place)):
            try:
                items.append(read(item, place.item(index)))
            except RefusedError as refused:
                place.item(index).error(str(refused))
        return tuple(items)

    return read_all


def mapping_of(read_key: Reader, read: Reader) -> Reader:
    """A mapping whose keys follow a rule, and its values, too."""

    def read_all(value: Value, place: Place) -> dict[str, Any]:
        items = {}
        for key, item in mapping(value, place).items():
            try:
                items[read_key(key, place.key(key))] = read(item, place.key(key))
            except RefusedError as refused:
                place.key(key).error(str(refused))
        return items

    return read_all


def record(cls: Callable[..., Any], table: Table, what: str, *, lenient: bool = False) -> Reader:
    """A mapping that becomes an object."""

    def read(value: Value, place: Place) -> Any:
        return cls(**read_mapping(value, place, table, what=what, lenient=lenient))

    return read
