"""YAML scalars -> JSON values: the types of YAML 1.1 without its surprises."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from trio_recipes.language.wording import shown
from trio_recipes.values import normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trio_recipes.values import Value

MAX_INTEGER = 10**18
"""Whole numbers beyond it are ids or mistakes, and belong in quotes."""

_LONGEST_INTEGER = len(f"-{MAX_INTEGER:#b}")

_YAML = "tag:yaml.org,2002:"
MERGE = f"{_YAML}merge"

_RESOLVER = Resolver()
_CONSTRUCTOR = SafeConstructor()


class ScalarError(ValueError):
    """A scalar that has no value; the message says what to write instead."""


def tag_of(event: yaml.ScalarEvent) -> str:
    """The tag a scalar has, or that its text implies where it is plain."""
    if event.tag not in (None, "!"):
        return str(event.tag)
    if event.tag is None and event.implicit[0]:
        return str(_RESOLVER.resolve(yaml.ScalarNode, event.value, (True, False)))  # type: ignore[no-untyped-call]
    return f"{_YAML}str"


def is_scalar_tag(tag: str) -> bool:
    """Whether ``tag`` names a type that a recipe can hold."""
    return tag in _READERS


def construct(tag: str, text: str) -> Value:
    """The value of a scalar.

    Raises:
        ScalarError: if the text is not of that type, or a recipe can't hold the value.
    """
    try:
        return _READERS[tag](text)
    except ScalarError:
        raise
    except (ArithmeticError, AttributeError, LookupError, ValueError) as error:
        kind = tag.removeprefix(_YAML)
        raise ScalarError(f"{shown(text)} reads as {kind} and is none; quote it") from error


def surprise(tag: str, text: str, value: Value) -> str:
    """What YAML 1.1 makes of ``012`` and ``1:30``, for a warning; nothing for other texts."""
    digits = text.lstrip("+-")
    is_octal = tag == f"{_YAML}int" and len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
    if is_octal or (":" in text and tag in (f"{_YAML}int", f"{_YAML}float")):
        return f"YAML reads {text} as the number {value}; quote it if text is meant"
    return ""


def _node(tag: str, text: str) -> yaml.ScalarNode:
    return yaml.ScalarNode(f"{_YAML}{tag}", text)


def _boolean(text: str) -> bool:
    return SafeConstructor.bool_values[text.lower()]


def _integer(text: str) -> int:
    if len(text) <= _LONGEST_INTEGER:
        value = int(_CONSTRUCTOR.construct_yaml_int(_node("int", text)))
        if abs(value) <= MAX_INTEGER:
            return value
    raise ScalarError(f"the number {shown(text)} is too large; quote it")


def _number(text: str) -> float:
    value = float(_CONSTRUCTOR.construct_yaml_float(_node("float", text)))
    if not math.isfinite(value):
        raise ScalarError(f"{shown(text)} is not a number that a variable can hold; quote it if text is meant")
    return value


def _date(text: str) -> Value:
    return normalise(_CONSTRUCTOR.construct_yaml_timestamp(_node("timestamp", text)), "date")


_READERS: Mapping[str, Callable[[str], Value]] = {
    f"{_YAML}str": str,
    f"{_YAML}value": str,
    MERGE: str,
    f"{_YAML}null": lambda _: None,
    f"{_YAML}bool": _boolean,
    f"{_YAML}int": _integer,
    f"{_YAML}float": _number,
    f"{_YAML}timestamp": _date,
}
