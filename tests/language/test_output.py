"""Sentences of recipe-language.md section 6, and hostile outputs in bounded time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_recipes.language import output
from trio_recipes.language.output import interpret
from trio_recipes.values import Value, normalise


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""),
        (" text as it is \n", " text as it is \n"),
        ("42", 42),
        (" null\n", None),
        ("true", True),
        ('"quoted"', "quoted"),
        ('\n{"a": [1.5]}\n', {"a": [1.5]}),
        ("[]", []),
        ("done [1] of 3", "done [1] of 3"),
        ('{"a": 1} tail', '{"a": 1} tail'),
        ("True", "True"),
        ("NaN", "NaN"),
        ("[Infinity]", "[Infinity]"),
        ("-Infinity", "-Infinity"),
        ("1e999", "1e999"),
        ("{'a': 1}", "{'a': 1}"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_default_is_the_text_unless_all_of_it_is_json(text: str, value: Value) -> None:
    assert interpret(text, parse_json=False) == value


EXTRACTED = [
    ("42", 42),
    ("null", None),
    ("no json here", "no json here"),
    ('Here:\n```json\n{"a": 1}\n```\nand [2]', {"a": 1}),
    ('[0] first\n```\n{"a": 1} and more\n```', {"a": 1}),
    ('```python\nprint()\n```\n{"a": 1}', {"a": 1}),
    ("```json\n{}\n```\nthen [3]", [3]),
    ('```json\n{"a": 1}', {"a": 1}),
    ("done [1] of 3", [1]),
    ("first [1] then [2]", [1]),
    ("[] {} then [3]", [3]),
    ("only {} and []", {}),
    ("only [] and {}", []),
    ("[note] [1, 2]", [1, 2]),
    ('{broken {"a": [1]}', {"a": [1]}),
    ('[{"a": 1}, {"b": 2', {"a": 1}),
    ("[NaN] [1]", [1]),
    ("[1e999] [2]", [2]),
]


@pytest.mark.parametrize(("text", "value"), EXTRACTED)
def test_parse_json_looks_inside(text: str, value: Value) -> None:
    assert interpret(text, parse_json=True) == value


@pytest.mark.parametrize(("text", "value"), EXTRACTED)
def test_the_fall_back_of_bash_steps_does_the_same(text: str, value: Value) -> None:
    assert interpret(text, parse_json=False, fallback=True) == value


@given(st.text(alphabet='[]{}",:01eE.-+ntrufals \\`jso\n'), st.booleans(), st.booleans())
def test_never_raises_and_gives_values(text: str, parse_json: bool, fallback: bool) -> None:
    normalise(interpret(text, parse_json=parse_json, fallback=fallback), "test")


@pytest.mark.parametrize("text", ["[" * 300 + "]" * 300, '{"a":' * 300 + "1" + "}" * 300], ids=["lists", "mappings"])
def test_what_is_nested_too_deeply_for_a_variable_is_text(text: str) -> None:
    assert interpret(text, parse_json=False) == text


HOSTILE = {
    "open-lists": "[" * 5_000_000,
    "open-lists-with-items": "[1," * 1_000_000,
    "open-mappings": '{"a":' * 1_000_000,
    "log-lines": "[2026-01-01 12:00] started\n" * 200_000,
    "strings": '["' * 2_000_000,
    "empty-in-open": "[[]" * 1_000_000,
    "empties": "{}" * 1_000_000,
    "one-long-attempt": "[1, " + "x" * 5_000_000,
    "fences": "```" * 1_000_000,
    "spaces": "[ " * 2_000_000,
    "digits": "[1" * 2_000_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_output_takes_bounded_time(text: str) -> None:
    begin = time.process_time()
    interpret(text, parse_json=True)
    assert time.process_time() - begin < 10


def test_json_at_the_end_of_a_long_log_is_found() -> None:
    log = "[2026-01-01 12:00] started {ok}\n" * 100_000
    assert interpret(log + '{"result": 1}', parse_json=True) == {"result": 1}


def test_very_long_text_stays_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "MAX_TEXT", 4)
    assert interpret("[1,2]", parse_json=True) == "[1,2]"
    assert interpret("[12]", parse_json=True) == [12]


def test_the_instruction_asks_for_json_at_the_end() -> None:
    assert "JSON" in output.JSON_INSTRUCTION
    assert output.JSON_INSTRUCTION.startswith("\n\n")
