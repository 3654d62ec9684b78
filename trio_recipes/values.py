"""What a variable can hold: JSON values, normalised where they enter and treated as immutable afterwards.

Tuple -> list, date -> ISO text, attrs class -> mapping; non-string keys, NaN, Infinity, bytes and other objects are
refused.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, TypeAlias, TypeGuard

import attrs

from trio_recipes.errors import ValueRefusedError

Value: TypeAlias = bool | int | float | str | list["Value"] | dict[str, "Value"] | None
Variables: TypeAlias = Mapping[str, Value]

MAX_BITS = 10_000
"""Of an integer: Python itself refuses to print longer ones."""

MAX_DEPTH = 200
"""Nested containers allowed in one value: json and the replay must never run out of stack."""


def normalise(value: object, where: str) -> Value:
    """Turn ``value`` into a JSON value, or refuse it.

    Args:
        value: anything a caller, a recipe, a function or a backend hands over.
        where: for the error: the step or place the value came from.

    Raises:
        ValueRefusedError: for a type or number JSON has no form for, naming ``where`` and the type.
    """
    return _normalise(value, where, MAX_DEPTH)


def _normalise(value: object, where: str, depth: int) -> Value:
    if value is None or isinstance(value, (bool, str)):
        return value
    if depth == 0:
        raise ValueRefusedError(f"{where}: a value is nested more than {MAX_DEPTH} levels deep; flatten it")
    if isinstance(value, Mapping):
        return {_key(key, where): _normalise(item, where, depth - 1) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [_normalise(item, where, depth - 1) for item in value]
    return _scalar(value, where, depth)


def _scalar(value: object, where: str, depth: int) -> Value:
    if isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise ValueRefusedError(f"{where}: a number has more than {MAX_BITS} bits; pass it as text")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueRefusedError(f"{where}: {value!r} has no JSON form; use null or a string")
        return float(value)
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if attrs.has(type(value)):
        return _normalise(attrs.asdict(value, recurse=False), where, depth - 1)  # type: ignore[arg-type]
    kind = type(value).__name__
    hint = "decode it to text" if isinstance(value, (bytes, bytearray)) else "return text, numbers, lists or mappings"
    if isinstance(value, AbstractSet):
        hint = "sort it into a list"
    raise ValueRefusedError(f"{where}: a value of type {kind} can't be stored; {hint}")


def _key(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise ValueRefusedError(f"{where}: the key {key!r} is a {type(key).__name__}; keys of mappings must be strings")
    return key


MAX_COUNT: Final = 10**12
"""Tokens that no answer has."""


def counts(usage: Mapping[str, object]) -> dict[str, int]:
    """The counts of tokens in what an endpoint, an agent program or a backend tells, and nothing else of it."""
    return {name: number for name, number in usage.items() if _is_count(number)}


def _is_count(number: object) -> TypeGuard[int]:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < MAX_COUNT
