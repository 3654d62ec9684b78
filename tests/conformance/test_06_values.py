"""Sections 6 and 11: from output to value, and the result."""

from pathlib import Path
from typing import Any

import pytest

from tests.conformance.claims import bash, flat, run

FENCED = 'Here:\n```json\n{"a": 1}\n``` and {"b": 2}'


async def answered(tmp_path: Path, text: object, **fields: object) -> Any:
    more = "".join(f", {key}: {str(value).lower()}" for key, value in fields.items())
    ran = await run(flat(f"- {{id: a, agent: x, prompt: p, output: v{more}}}"), tmp_path, answers={"a": text})
    return ran["v"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("42", 42),
        (" [1, 2]\n", [1, 2]),
        ("null", None),
        ('{"a": 1}', {"a": 1}),
        ('so {"a": 1}', 'so {"a": 1}'),
        (FENCED, FENCED),
        ("", ""),
    ],
)
async def test_text_is_text_unless_the_whole_of_it_is_json(tmp_path: Path, text: str, value: object) -> None:
    assert await answered(tmp_path, text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        (FENCED, {"a": 1}),
        ('first [] then {"b": 2}', {"b": 2}),
        ("only [] and {}", []),
        ("nothing at all", "nothing at all"),
        ('words [1] {"b": 2}', [1]),
    ],
)
async def test_parse_json_looks_for_json_in_the_text(tmp_path: Path, text: str, value: object) -> None:
    assert await answered(tmp_path, text, parse_json=True) == value


async def test_bash_steps_look_for_json_too(tmp_path: Path) -> None:
    steps = bash("a", "echo done [1] of 3", output="a") + bash("b", "echo no json here", output="b")
    ran = await run(flat(steps), tmp_path)
    assert (ran["a"], ran["b"]) == ([1], "no json here\n")


async def test_a_backend_may_answer_a_mapping_with_output(tmp_path: Path) -> None:
    assert await answered(tmp_path, {"output": [1]}) == [1]
    assert await answered(tmp_path, {"other": 1}) == {"other": 1}


async def test_the_final_output_is_the_variable_of_that_name_or_the_last_output(tmp_path: Path) -> None:
    last = await run(flat(bash("a", "echo 1", output="x") + bash("b", "echo 2", output="y")), tmp_path)
    assert last.result.final_output == 2
    named = await run(flat(bash("a", "echo 1", output="final_output") + bash("b", "echo 2", output="y")), tmp_path)
    assert named.result.final_output == 1
