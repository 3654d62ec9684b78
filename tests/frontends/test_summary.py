"""Summaries: whatever the value, what the agent gets is small, JSON, and says what is missing."""

import json

from hypothesis import given
from hypothesis import strategies as st

from trio_recipes.frontends.summary import CUT_NOTE, LIMIT, shortened
from trio_recipes.values import Value

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
SMALL = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
LARGE = st.integers(1, 40_000).flatmap(
    lambda size: st.sampled_from(
        ["x" * size, "ü" * size, "\ud800" * size, ["a"] * size, {"k": "é" * size}, [[1] * size]]
    )
)


@given(SMALL | LARGE)
def test_it_is_never_much_larger_than_the_limit(value: object) -> None:
    assert len(json.dumps(shortened(value), ensure_ascii=False)) <= 2 * LIMIT  # type: ignore[arg-type]


@given(SMALL | LARGE)
def test_what_is_small_stays_as_it_is_and_nothing_is_shortened_twice(value: object) -> None:
    once = shortened(value)  # type: ignore[arg-type]
    length = len(value) if isinstance(value, str) else len(json.dumps(value, ensure_ascii=False))
    assert (once == value) == (length <= LIMIT)
    if not isinstance(value, str):
        assert shortened(once) == once


@given(st.integers(LIMIT + 1, 3 * LIMIT))
def test_a_text_keeps_its_beginning(size: int) -> None:
    text = "".join(chr(97 + number % 26) for number in range(size))
    assert shortened(text) == text[:LIMIT] + CUT_NOTE


@given(st.sampled_from(["ü", "x"]), st.integers(LIMIT, 3 * LIMIT))
def test_a_structure_becomes_a_preview_with_its_size(letter: str, size: int) -> None:
    value: Value = {"key": letter * size}
    got = shortened(value)
    assert isinstance(got, dict)
    assert got["_truncated"] is True
    assert got["_type"] == "dict"
    assert got["_full_size_bytes"] == len(json.dumps(value, ensure_ascii=False).encode())
    assert str(got["_preview"]).startswith('{"key": "' + letter)
