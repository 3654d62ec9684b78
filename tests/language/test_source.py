"""YAML that is refused, with its line, and in bounded time (recipe-language.md section 1)."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.language.helpers import HEAD, STEPS, VALID, errors, warnings
from trio_recipes.errors import InvalidRecipeError, Problem
from trio_recipes.language.load import parse_recipe
from trio_recipes.language.report import Report
from trio_recipes.language.source import read
from trio_recipes.values import Value


def understood(text: str) -> tuple[Value, Report]:
    report = Report()
    return read(text, report), report


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", {"a": 1}),
        ("\ufeffa: é", {"a": "é"}),
        (
            "a: [1, 1.5, -3, 0x10, 1_000, true, no, null, ~, '1', =]",
            {"a": [1, 1.5, -3, 16, 1000, True, False, None, None, "1", "="]},
        ),
        ("a: 1e3", {"a": "1e3"}),
        ("a: 1.0.0", {"a": "1.0.0"}),
        ("a: 2026-03-31", {"a": "2026-03-31"}),
        ("a: 2026-03-31T10:00:00Z", {"a": "2026-03-31T10:00:00+00:00"}),
        ("a: !!str 1\nb: !!int '2'\nc: ! 3\nd: !!map {}", {"a": "1", "b": 2, "c": "3", "d": {}}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}),
        ("a: {<<: [{b: 1}, {b: 2, c: 3}]}", {"a": {"b": 1, "c": 3}}),
        ("", None),
        ("# nothing", None),
        ("--- hello", "hello"),
    ],
)
def test_reads(text: str, value: Value) -> None:
    data, report = understood(text)
    assert data == value
    assert report.problems == []


def test_knows_where_keys_and_items_stand() -> None:
    _, report = understood("steps:\n  - id: a\n    retry:\n      max_delay: 3\n  - {id: b}\n")
    assert report.positions == {
        "steps": (1, 1),
        "steps[0]": (2, 5),
        "steps[0].id": (2, 5),
        "steps[0].retry": (3, 5),
        "steps[0].retry.max_delay": (4, 7),
        "steps[1]": (5, 5),
        "steps[1].id": (5, 6),
    }


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        pytest.param("a: 1\nb: 2\na: 3", 3, "'a' stands here and on line 1", id="duplicate-key"),
        pytest.param("1: a", 1, "quote this one (a whole number: 1)", id="number-as-key"),
        pytest.param("a:\n  on: b", 2, "quote this one (a boolean: true)", id="boolean-as-key"),
        pytest.param("[a]: b", 1, "a list can't be a key", id="list-as-key"),
        pytest.param("a: {{b}}", 1, "a value that starts with {{ must be quoted", id="bare-reference"),
        pytest.param("a:\n  b: {{c}} d", 2, "a value that starts with {{ must be quoted", id="bare-reference-and-text"),
        pytest.param("a: !!python/object:os.system x", 1, "tag", id="python-tag"),
        pytest.param("a: !mine x", 1, "the tag '!mine' is not allowed", id="own-tag"),
        pytest.param("a: !!binary aGk=", 1, "tag", id="binary"),
        pytest.param("a: !!set {b}", 1, "tag", id="set"),
        pytest.param("a: !!int x", 1, "'x' reads as int and is none", id="tag-does-not-fit"),
        pytest.param("a: 2026-13-45", 1, "'2026-13-45' reads as timestamp and is none", id="no-date"),
        pytest.param("a: .nan", 1, "quote it", id="nan"),
        pytest.param("a: -.inf", 1, "quote it", id="infinity"),
        pytest.param("a: 1.0e+999", 1, "quote it", id="overflow"),
        pytest.param("a: 1000000000000000001", 1, "too large; quote it", id="integer"),
        pytest.param("a: " + "9" * 5000, 1, "too large; quote it", id="huge-integer"),
        pytest.param("a: *b", 1, "'*b' refers to an anchor that does not stand above it", id="no-anchor"),
        pytest.param("a: &b [*b]", 1, "stands inside of what it refers to", id="recursive"),
        pytest.param("a: {<<: 3}", 1, "'<<' takes a mapping", id="merge"),
        pytest.param("a: 1\n---\nb: 2", 2, "a second document", id="two-documents"),
        pytest.param("a:\n\tb: 1", 2, "indent with spaces", id="tab"),
        pytest.param("a: 'b\nc: d", 2, "never closed", id="open-quote"),
        pytest.param("a: b: c", 1, "must be quoted", id="colon"),
        pytest.param("a: @b", 1, "must be quoted", id="at"),
        pytest.param('a: "\\d"', 1, "write backslashes twice", id="escape"),
        pytest.param("a: [1,\n 2\nb: 3", 3, "that began on line 1", id="open-list"),
        pytest.param("a: 1\nb: \x1b[31m", 2, r"the control character '\x1b'", id="control-character"),
        pytest.param("a: \ud800", 1, r"'\ud800'", id="surrogate"),
    ],
)
def test_refuses_with_the_line(text: str, line: int, words: str) -> None:
    _, report = understood(text)
    found = [problem for problem in report.problems if words in problem.message]
    assert found, report.problems
    assert found[0].line == line
    assert report.has_errors


@pytest.mark.parametrize(("text", "words"), [("012", "the number 10"), ("1:30", "the number 90"), ("1:30.5", "90.5")])
def test_warns_of_what_yaml_makes_of_numbers(text: str, words: str) -> None:
    (found,) = warnings(VALID + f"context: {{a: {text}}}\n")
    assert found.startswith("context.a: ")
    assert words in found


def _bomb() -> str:
    lines = ["context:", "  a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)]
    return VALID + "\n".join(lines)


HOSTILE: dict[str, Callable[[], str]] = {
    "alias-bomb": _bomb,
    "alias-bomb-by-merging": lambda: VALID + "context: {a: &a {<<: *a}}",
    "deep-lists": lambda: HEAD + "steps: " + "[" * 100_000,
    "deep-closed-lists": lambda: HEAD + "steps: " + "[" * 100_000 + "]" * 100_000,
    "deep-block-lists": lambda: "- " * 100_000,
    "deep-mappings": lambda: "{a: " * 100_000,
    "deep-keys": lambda: "? " * 100_000,
    "deep-list-keys": lambda: "{[" * 100_000,
    "too-many-steps": lambda: HEAD + "steps:\n" + "- {id: a}\n" * 30_000,
    "far-too-many-steps": lambda: (
        HEAD + "steps:\n" + "".join(f"- {{id: s{n}, type: bash, command: ls}}\n" for n in range(100_000))
    ),
    "larger-than-the-limit": lambda: VALID + "context: {a: " + "y" * 10_000_000 + "}",
    "many-values": lambda: VALID + "context: {a: [" + "y," * 4_000_000 + "]}",
    "many-wrong-steps": lambda: HEAD + "steps:\n" + "- {id: a, commnd: b}\n" * 9_000,
    "long-key": lambda: VALID + "context: {" + "k" * 1_000_000 + ": 1}",
    "long-condition": lambda: HEAD + "steps: [{id: a, agent: b, prompt: c, condition: '" + "(" * 4_000_000 + "'}]",
    "nul": lambda: VALID + "author: \0",
}

LARGE: dict[str, Callable[[], str]] = {
    "long-text": lambda: VALID + "context: {a: " + "y" * 9_900_000 + "}",
    "braces": lambda: HEAD + "steps: [{id: a, agent: b, prompt: '" + "{{" * 2_000_000 + "'}]",
    "spaced-braces": lambda: HEAD + "steps: [{id: a, agent: b, prompt: '" + "{{a  " * 1_000_000 + "'}]",
    "blocks": lambda: HEAD + "steps: [{id: a, agent: b, prompt: '" + "{{#if " * 500_000 + "{%" * 500_000 + "'}]",
    "filters": lambda: HEAD + "steps: [{id: a, agent: b, prompt: '" + "{{a|" * 500_000 + "{{a[" * 500_000 + "'}]",
    "long-reference": lambda: HEAD + "steps: [{id: a, agent: b, prompt: '{{" + "a." * 1_000_000 + "'}]",
    "nested-loops": lambda: (
        HEAD + "steps: " + "[{id: a, foreach: '{{x}}', steps: " * 45 + "[{id: z, agent: b, prompt: c}]" + "}]" * 45
    ),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_refused_in_bounded_time(text: Callable[[], str]) -> None:
    written = text()
    begin = time.process_time()
    with pytest.raises(InvalidRecipeError) as caught:
        parse_recipe(written)
    assert time.process_time() - begin < 20
    assert len(str(caught.value)) < 1_000_000


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE)
def test_large_text_is_read_in_bounded_time(text: Callable[[], str]) -> None:
    written = text()
    begin = time.process_time()
    parse_recipe(written)
    assert time.process_time() - begin < 20


def test_a_thousand_steps_load_quickly() -> None:
    step = "- {id: s%d, type: bash, command: 'echo {{x}}', condition: \"{{x}} == 'y'\", output: o%d, timeout: 30}\n"
    text = HEAD + "steps:\n" + "".join(step % (n, n) for n in range(1000))
    begin = time.process_time()
    assert len(parse_recipe(text).steps) == 1000
    assert time.process_time() - begin < 2  # about 0.15 s on a quiet machine


def test_messages_show_control_characters_escaped_and_cut_long_values() -> None:
    (message,) = errors(HEAD + STEPS.replace("only", '"\\e[31m' + "x" * 500 + '"'))
    assert r"\x1b[31m" in message
    assert "\x1b" not in message
    assert len(message) < 250


def test_problems_print_as_compilers_do() -> None:
    assert str(Problem("bad", "a.yaml", 3, 5, "steps[0].id")) == "a.yaml:3:5: steps[0].id: bad"
