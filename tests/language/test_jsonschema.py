"""The JSON Schema of the language says what the loader says, as far as a schema can."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.language.helpers import HEAD, VALID, document, errors
from trio_recipes.language.descriptions import DESCRIPTIONS
from trio_recipes.language.jsonschema import json_schema
from trio_recipes.language.load import load_recipe
from trio_recipes.language.report import Report
from trio_recipes.language.source import read

ROOT = Path(__file__).parents[2]
RECIPES = sorted([*(ROOT / "docs" / "examples").glob("*.yaml"), *(ROOT.parent / "shared" / "corpus").glob("*.yaml")])

Validator = pytest.importorskip("jsonschema").Draft202012Validator
SCHEMA = json_schema()


def is_accepted(text: str) -> bool:
    return bool(Validator(SCHEMA).is_valid(read(text, Report())))


def step(keys: str) -> str:
    return document(f"- {{id: only, {keys}}}")


def staged(keys: str) -> str:
    return HEAD + "stages:\n  - {" + keys + "}\n"


AGENT = "agent: a, prompt: p"
BASH = "type: bash, command: ls"
EACH = "foreach: '{{xs}}'"


def test_it_is_a_schema() -> None:
    Validator.check_schema(SCHEMA)
    json.dumps(SCHEMA)


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.name)
def test_real_recipes_are_accepted(file: Path) -> None:
    load_recipe(file)
    assert is_accepted(file.read_text())


ODD_BUT_FINE = [
    VALID,
    VALID + "unknown: 1\ncontext:\nlimits: {deadline: 1h30m, tokens: 5}\n",
    VALID + "stages: []\n",
    "steps: []\n" + staged(f"name: One 1, steps: [{{id: b, {AGENT}}}], other: 1"),
    VALID.replace("name: example", "name: größe"),
    step(f"{AGENT}, command: null, env: false, timeout: null"),
    step(f"type: null, {AGENT}, parallel: false, checkpoint_iterations: false"),
    step(f"{AGENT}, retry: {{atempts: 3}}"),
    step(f"{AGENT}, while_condition: true, collect: x"),
    step(f"{AGENT}, foreach: ' {{{{größe.x}}}}', parallel: true"),
    step(f"prompt: 3, {EACH}, while_steps: [{{id: b, {BASH}}}], finally: [{{id: c, {BASH}}}]"),
    step(f"{BASH}, stop_signal: sigint, env: {{A: 1, B: true}}, kill_grace: 0"),
    step(f"{AGENT}, provider_preferences: [{{class: fast}}, {{provider: p, model: m}}]"),
]


@pytest.mark.parametrize("text", ODD_BUT_FINE)
def test_what_the_loader_accepts_is_accepted(text: str) -> None:
    assert errors(text) == []
    assert is_accepted(text)


MISTAKES = [
    # missing
    "steps: [{id: a, agent: a, prompt: p}]",
    HEAD,
    HEAD + "steps: []",
    step("agent: a"),
    step("type: bash"),
    step("type: recipe"),
    step("type: function, function: null"),
    step(f"{EACH}, steps: [{{id: b}}]"),
    document("- {agent: a, prompt: p}"),
    staged("name: s"),
    staged(f"steps: [{{id: a, {AGENT}}}]"),
    staged(f"name: s, steps: [{{id: a, {AGENT}}}], approval: {{required: true}}"),
    staged(f"name: s, steps: [{{id: a, {AGENT}}}], approval: {{required: true, prompt: ' '}}"),
    # misspelt
    step(f"{AGENT}, promt: x"),
    step("type: shell, command: ls"),
    step(f"{AGENT}, on_error: continu"),
    step(f"{AGENT}, retry: {{backoff: expo}}"),
    step(f"{BASH}, stop_signal: FOO"),
    step(f"{BASH}, stop_signal: STOP"),
    VALID + "recursion: {max_dept: 3}",
    VALID + "limits: {cost: 1}",
    VALID + "schedule: grpah",
    VALID + "rate_limiting: {backof: {}}",
    staged(f"name: s, steps: [{{id: a, {AGENT}}}], approval: {{requird: true}}"),
    # mistyped
    VALID.replace("1.0.0", "1.0"),
    VALID.replace("1.0.0", "v1.0.0"),
    VALID.replace("An example", "''"),
    VALID.replace("name: example", "name: bad name"),
    VALID.replace("name: example", "name: " + "n" * 101),
    VALID + "tags: one",
    VALID + "context: [a]",
    VALID + "secrets: [recipe]",
    VALID + "recursion: {max_depth: 21}",
    VALID + "rate_limiting: {backoff: {initial_delay_ms: 99}}",
    VALID + "orchestrator: {config: {min_delay_between_calls_ms: -1}}",
    VALID + "limits: {deadline: soon}",
    VALID + "limits: {deadline: 0}",
    HEAD + "steps: {id: a}",
    HEAD + "steps: [3]",
    step(f"{AGENT}, timeout: '10'"),
    step(f"{AGENT}, timeout: 0"),
    step(f"{AGENT}, timeout: true"),
    step(f"{AGENT}, output: a-b"),
    step(f"{AGENT}, output: session"),
    step(f"{AGENT}, output: _"),
    step(f"{AGENT}, depends_on: a"),
    step("agent: a, prompt: yes"),
    step(f"{BASH}, env: {{A: [1]}}"),
    step(f"{BASH}, env: {{'A=B': x}}"),
    step('type: bash, command: "a\\0b"'),
    step(f"{BASH}, kill_grace: 61"),
    step("type: function, function: 'a b'"),
    step(f"{AGENT}, foreach: files"),
    step(f"{AGENT}, {EACH}, parallel: 'yes'"),
    step(f"{AGENT}, {EACH}, parallel: 0"),
    step(f"{AGENT}, while_condition: forever"),
    step(f"{AGENT}, while_condition: 'true', update_context: {{step: x}}"),
    step(f"{AGENT}, provider_preferences: []"),
    # what does not go together
    VALID + f"stages: [{{name: s, steps: [{{id: b, {AGENT}}}]}}]",
    step(f"{BASH}, prompt: p"),
    step(f"{AGENT}, context: {{}}"),
    step(f"{AGENT}, parallel: 2"),
    step(f"{AGENT}, break_when: 'true'"),
    step(f"{AGENT}, steps: [{{id: b, {AGENT}}}]"),
    step(f"{AGENT}, {EACH}, while_condition: 'true'"),
    step(f"{AGENT}, model_role: x, model: p"),
    step(f"{AGENT}, provider_preferences: [{{}}]"),
    step(f"{AGENT}, provider_preferences: [{{class: fast, model: m}}]"),
]


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_are_refused_by_loader_and_schema(text: str) -> None:
    assert errors(text) != []
    assert not is_accepted(text)


def test_every_description_is_of_a_key() -> None:
    text = json.dumps(SCHEMA)
    assert [line for keys in DESCRIPTIONS.values() for line in keys.values() if json.dumps(line) not in text] == []


# --- any change of a valid recipe: what loads is accepted, and what is accepted loads or is refused ----------------

SPECIMEN = yaml.safe_load("""
name: example
description: An example
version: 1.0.0
context: {xs: [a], n: 1}
recursion: {max_depth: 3}
rate_limiting: {max_concurrent_llm: 2, backoff: {enabled: true, multiplier: 2}}
orchestrator: {config: {a: 1}}
limits: {deadline: 45m}
secrets: [token]
steps:
  - {id: a, agent: x, prompt: p, retry: {max_attempts: 2}, provider_preferences: [{provider: p, model: m}]}
  - {id: b, type: bash, command: ls, env: {A: 1}, stop_signal: INT, output: o, condition: "{{n}} > 0", depends_on: [a]}
  - {id: c, type: recipe, recipe: sub.yaml, context: {x: 1}, foreach: "{{xs}}", as: x, parallel: 2, collect: all}
  - id: d
    while_condition: "{{n}} < 3"
    break_when: "{{n}} == 2"
    update_context: {n: "3"}
    steps: [{id: e, type: function, function: f, args: {y: 1}}]
    finally: [{id: f, type: bash, command: ls}]
""")
VALUES = [None, False, True, 0, -1, 2.5, "", " ", "x", "a b", "true", "bash", "{{x}}", [], [1], ["x"], {}, {"id": "x"}]
KEYS = ["foreach", "steps", "stages", "type", "command", "prompt", "model", "collect", "parallel", "while_steps", "zzz"]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every key of every mapping, and every index of every list, with what holds it."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


@given(st.lists(st.tuples(st.integers(0, 500), st.sampled_from(["", *KEYS]), st.sampled_from(VALUES)), max_size=3))
def test_any_change(changes: list[tuple[int, str, Any]]) -> None:
    recipe = copy.deepcopy(SPECIMEN)
    for number, new_key, value in changes:
        found = list(places(recipe))
        holder, key = found[number % len(found)]
        holder[new_key if new_key and isinstance(holder, dict) else key] = copy.deepcopy(value)
    text = json.dumps(recipe)
    assert errors(text) or is_accepted(text)
