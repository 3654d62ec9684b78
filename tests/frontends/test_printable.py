"""Text for people."""

import pytest

from trio_recipes.frontends.printable import duration, in_one_line, printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain — ünïcode ✓\n\tindented", "plain — ünïcode ✓\n\tindented"),
        ("\x1b[31m", r"\x1b[31m"),
        ("a\rb\x07\x7f\x9b", r"a\x0db\x07\x7f\x9b"),
        ("\u202eevil", r"\u202eevil"),
        ("\udcff", r"\udcff"),
    ],
)
def test_control_characters_are_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_one_line() -> None:
    assert in_one_line("a\n  b\tc") == "a b c"
    assert in_one_line("x" * 10_000) == "x" * 199 + "…"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0s"), (9.94, "9.9s"), (12.3, "12s"), (65, "1m05s"), (7_630, "2h07m")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
