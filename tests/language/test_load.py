"""Sentences of recipe-language.md sections 1, 9, 10 and 12 about the document, its stages and what surrounds steps."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.language.helpers import HEAD, STEPS, VALID, errors, undefined, warnings
from trio_recipes.errors import InvalidRecipeError
from trio_recipes.language.load import load_recipe, parse_recipe
from trio_recipes.language.model import Approval, Backoff, Limits, RateLimiting, Recursion
from trio_recipes.language.source import MAX_BYTES
from trio_recipes.language.template import Template

CORPUS = sorted((Path(__file__).parents[3] / "shared" / "corpus").glob("*.yaml"))


def test_the_smallest_recipe() -> None:
    recipe = parse_recipe(VALID, "/r.yaml")
    assert (recipe.name, recipe.description, recipe.version) == ("example", "An example", "1.0.0")
    assert recipe.recursion == Recursion(5, 100)
    assert (recipe.file, recipe.text) == ("/r.yaml", VALID)
    assert recipe.digest == hashlib.sha256(VALID.encode()).hexdigest()
    assert [step.id for step in recipe.all_steps()] == ["only"]
    assert recipe.warnings == ()


def test_everything_a_document_can_hold() -> None:
    recipe = parse_recipe(
        VALID
        + """
author: Ada
created: 2026-03-31
updated: "2026-03-31T10:00:00"
tags: [a, b]
context: {a: 1, when: 2026-01-01, b: {c: [true, null]}}
recursion: {max_depth: 20, max_total_steps: 1000}
rate_limiting:
  max_concurrent_llm: 100
  min_delay_ms: 60000
  backoff: {enabled: false, initial_delay_ms: 100, max_delay_ms: 100, multiplier: 1, reset_after_success: 1}
orchestrator: {config: {anything: 1, min_delay_between_calls_ms: 0}}
secrets: [token]
limits: {deadline: 1h30m, cost_usd: 2.5, tokens: 1000}
schedule: graph
max_parallel_steps: 4
finally: [{id: tidy, type: bash, command: rm x}]
cleanup_timeout: 5
"""
    )
    assert (recipe.author, recipe.created, recipe.tags) == ("Ada", "2026-03-31", ("a", "b"))
    assert recipe.context == {"a": 1, "when": "2026-01-01", "b": {"c": [True, None]}}
    assert recipe.recursion == Recursion(20, 1000)
    assert recipe.rate_limiting == RateLimiting(100, 60000, Backoff(False, 100, 100, 1.0, 1))
    assert recipe.orchestrator == {"config": {"anything": 1, "min_delay_between_calls_ms": 0}}
    assert recipe.secrets == ("token",)
    assert recipe.limits == Limits(5400.0, 2.5, 1000)
    assert (recipe.schedule, recipe.max_parallel_steps, recipe.cleanup_timeout) == ("graph", 4, 5)
    assert [step.id for step in recipe.all_steps()] == ["only", "tidy"]
    assert recipe.warnings == ()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("name: bad name", "name: must be letters, digits, '-' and '_' only; found 'bad name'"),
        ("name: " + "n" * 101, "name: must have at most 100 characters; found 101"),
        ("name:", "a recipe needs 'name'"),
        ("description: ''", "description: must not be blank"),
        ("version: 1.0", "version: takes text; found a number: 1.0; put it in quotes"),
        ("version: v1.0.0", "version: must be MAJOR.MINOR.PATCH"),
        ("version: 1.0.0-beta", "pre-release and build parts are not part of it"),
        ("version: 1.0.0+4", "pre-release and build parts are not part of it"),
        ("version: '1.0'", "version: must be MAJOR.MINOR.PATCH"),
        ("author: 3", "author: takes text; found a whole number: 3; put it in quotes"),
        ("tags: one", "tags: takes a list; found a string: 'one'"),
        ("tags: [1]", "tags[0]: takes text; found a whole number: 1"),
        ("context: [a]", "context: takes a mapping; found a list: ['a']"),
        ("recursion: {max_depth: 0}", "recursion.max_depth: takes a whole number from 1 to 20; found"),
        ("recursion: {max_depth: 21}", "recursion.max_depth: takes a whole number from 1 to 20; found"),
        ("recursion: {max_total_steps: 1001}", "recursion.max_total_steps: takes"),
        ("recursion: {max_dept: 3}", "recursion.max_dept: unknown key of recursion; did you mean 'max_depth'?"),
        ("rate_limiting: {max_concurrent_llm: 101}", "rate_limiting.max_concurrent_llm: takes"),
        ("rate_limiting: {min_delay_ms: 60001}", "rate_limiting.min_delay_ms: takes"),
        ("rate_limiting: {backoff: {initial_delay_ms: 99}}", "rate_limiting.backoff.initial_delay_ms: takes"),
        ("rate_limiting: {backoff: {max_delay_ms: 999}}", "must be at least initial_delay_ms (1000); found 999"),
        ("rate_limiting: {backoff: {multiplier: 0.5}}", "rate_limiting.backoff.multiplier: takes"),
        ("rate_limiting: {backoff: {reset_after_success: 0}}", "reset_after_success: takes"),
        ("rate_limiting: {backoff: {enabled: 'yes'}}", "rate_limiting.backoff.enabled: takes true or false"),
        ("orchestrator: {config: {min_delay_between_calls_ms: -1}}", "min_delay_between_calls_ms: takes"),
        ("limits: {deadline: soon}", "limits.deadline: takes a duration such as '90s', '45m' or '1h30m'"),
        ("limits: {deadline: 0}", "limits.deadline: takes a number above 0"),
        ("limits: {cost: 1}", "limits.cost: unknown key of limits; did you mean 'cost_usd'?"),
        ("secrets: [recipe]", "secrets[0]: 'recipe' is a variable of the engine"),
        ("schedule: grpah", "schedule: takes 'order' or 'graph'; found 'grpah'; did you mean 'graph'?"),
        ("steps: []", "steps: needs at least one step"),
        ("steps: {id: a}", "steps: takes a list; found a mapping"),
        ("stages: []", ""),
    ],
)
def test_bad_values_are_named(line: str, problem: str) -> None:
    key = line.partition(":")[0]
    kept = [old for old in VALID.splitlines() if old.partition(":")[0] != key]
    found = errors("\n".join([*kept, line]))
    assert any(problem in message for message in found) if problem else found == []


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("contxt: {}", "contxt: unknown key of a recipe; did you mean 'context'? (ignored)"),
        ("created: yesterday", "created: is no ISO 8601 date"),
        ("max_parallel_steps: 3", "max_parallel_steps: has no effect without 'schedule: graph'"),
        ("orchestrator: {other: 1}", "orchestrator.other: unknown key of orchestrator"),
        ("secrets: [a]\ncontext: {a: x}", "context.a: is secret, and its value stands in this file"),
    ],
)
def test_surprises_are_warnings(line: str, warning: str) -> None:
    (found,) = warnings(VALID + line)
    assert warning in found


def test_a_long_description_is_a_warning() -> None:
    (found,) = warnings(VALID.replace("An example", "x" * 501))
    assert found == "description: has 501 characters; 500 are enough"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("", ": a recipe needs 'steps'"),
        (STEPS + "stages: [{name: s, steps: [{id: b, agent: a, prompt: p}]}]", "stages: stands together with 'steps'"),
    ],
)
def test_exactly_one_of_steps_and_stages(body: str, problem: str) -> None:
    (found,) = errors(HEAD + body)
    assert problem in found


def test_all_problems_are_reported_together_in_document_order() -> None:
    with pytest.raises(InvalidRecipeError) as caught:
        parse_recipe("name: a b\nversion: 1.0\nsteps:\n  - {id: x, tpye: bash}\n  - 3\n", "r.yaml")
    assert [str(problem).partition(": ")[0] for problem in caught.value.problems] == [
        "r.yaml",
        "r.yaml:1:1",
        "r.yaml:2:1",
        "r.yaml:4:5",
        "r.yaml:4:5",
        "r.yaml:4:13",
        "r.yaml:5:5",
    ]


# --- stages and approval -----------------------------------------------------------------------------------------


def staged(stage: str) -> str:
    return HEAD + "stages:\n  - {name: First one, steps: [{id: a, agent: x, prompt: p}]}\n  - {" + stage + "}\n"


def test_a_stage_and_its_gate() -> None:
    text = staged(
        "name: Second_2-b, steps: [{id: b, agent: x, prompt: p}], "
        "schedule: graph, max_parallel_steps: 2, cleanup_timeout: 1, "
        "approval: {required: true, prompt: 'Go, {{b}}?', timeout: 60, default: approve, by: human}, "
        "finally: [{id: c, type: bash, command: ls}]"
    )
    recipe = parse_recipe(text)
    first, second = recipe.stages
    assert (first.name, first.approval, first.schedule) == ("First one", Approval(), "order")
    assert second.approval == Approval(True, Template.parse("Go, {{b}}?"), 60, "approve", "human")
    assert (second.schedule, second.max_parallel_steps, second.cleanup_timeout, second.line) == ("graph", 2, 1, 6)
    assert [step.id for step in recipe.all_steps()] == ["a", "b", "c"]


def test_a_stage_inherits_the_schedule_of_its_recipe() -> None:
    recipe = parse_recipe(
        staged("name: s, steps: [{id: b, agent: x, prompt: p}]") + "schedule: graph\nmax_parallel_steps: 3\n"
    )
    assert [(stage.schedule, stage.max_parallel_steps) for stage in recipe.stages] == [("graph", 3), ("graph", 3)]


@pytest.mark.parametrize(
    ("stage", "problem"),
    [
        ("name: s", "stages[1]: a stage needs 'steps'"),
        ("name: s, steps: []", "stages[1].steps: needs at least one step"),
        ("steps: [{id: b, agent: x, prompt: p}]", "stages[1]: a stage needs 'name'"),
        ("name: 'a/b', steps: [{id: b, agent: x, prompt: p}]", "stages[1].name: must be letters"),
        ("name: ' ', steps: [{id: b, agent: x, prompt: p}]", "stages[1].name: must be letters"),
        ("name: First one, steps: [{id: b, agent: x, prompt: p}]", "is also the stage on line 5"),
        ("name: s, steps: [{id: a, agent: x, prompt: p}]", "'a' is also the step on line 5"),
        ("name: s, steps: [{id: b, agent: x, prompt: p}], approval: {required: true}", "needs a 'prompt'"),
        ("name: s, steps: [{id: b, agent: x, prompt: p}], approval: {timeout: -1}", "approval.timeout: takes"),
        ("name: s, steps: [{id: b, agent: x, prompt: p}], approval: {default: yes}", "approval.default: takes text"),
        ("name: s, steps: [{id: b, agent: x, prompt: p}], approval: {requird: true}", "did you mean 'required'?"),
        ("name: s, steps: [{id: b, agent: x, prompt: p}], approval: true", "approval: takes a mapping"),
    ],
)
def test_bad_stages(stage: str, problem: str) -> None:
    assert any(problem in message for message in errors(staged(stage)))


def test_unknown_keys_of_a_stage_are_warnings() -> None:
    (found,) = warnings(staged("name: s, steps: [{id: b, agent: x, prompt: p}], aproval: {required: true}"))
    assert "stages[1].aproval: unknown key of a stage; did you mean 'approval'? (ignored)" in found


# --- files -------------------------------------------------------------------------------------------------------


def test_a_file_is_read_and_remembered(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(VALID)
    assert load_recipe(file).file == str(file)
    assert load_recipe(os.path.relpath(file)).file == str(file)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"name: caf\xe9", "is not UTF-8"),
        (b"x" * (MAX_BYTES + 1), "is larger than 10 MB"),
        (b"", "is empty"),
        (b"- a", "is no YAML mapping"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "r.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidRecipeError) as caught:
        load_recipe(file)
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(file))


def test_a_folder_and_an_impossible_path_are_no_recipes(tmp_path: Path) -> None:
    for path in (tmp_path, "a\0b"):
        with pytest.raises(InvalidRecipeError, match="can't be read"):
            load_recipe(path)


@pytest.mark.skipif(not CORPUS, reason="recipes of others are not here")
@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.name)
def test_recipes_of_others_are_valid(file: Path) -> None:
    recipe = load_recipe(file)
    assert recipe.warnings == ()
    assert undefined(recipe) == []


# --- any mutation of a valid recipe loads or is refused ----------------------------------------------------------

SPECIMEN = """\
name: example
description: An example
version: 1.0.0
context: {files: [a, b], n: 1}
limits: {deadline: 45m}
stages:
  - name: one
    approval: {required: true, prompt: "{{n}}?", timeout: 3}
    steps:
      - id: a
        foreach: "{{files}}"
        as: file
        parallel: 2
        agent: x
        prompt: "{{file}}"
        retry: {max_attempts: 2, backoff: linear}
        provider_preferences: [{provider: p, model: m}]
      - {id: b, type: bash, command: "ls {{n}}", env: {A: 1}, depends_on: [a]}
      - {id: c, type: recipe, recipe: sub.yaml, context: {x: "{{n}}"}}
      - id: d
        while_condition: "{{n}} < 3 and not 'a' == \\"b\\""
        update_context: {n: "3"}
        steps: [{id: e, type: function, function: f, args: {y: ["{{n}}"]}}]
"""

PIECES = [
    "",
    ":",
    "- ",
    "\n",
    "  ",
    "{",
    "}",
    "[",
    "]",
    "'",
    '"',
    "&a ",
    "*a",
    "null",
    "3",
    "-1",
    "true",
    "!!",
    "x",
    "{{",
    "}}",
    "\t",
    "<<",
]


@given(
    st.lists(
        st.tuples(st.integers(0, len(SPECIMEN)), st.integers(0, 12), st.sampled_from(PIECES)), min_size=1, max_size=4
    )
)
def test_any_mutation_loads_or_is_refused(edits: list[tuple[int, int, str]]) -> None:
    text = SPECIMEN
    for start, length, piece in edits:
        text = text[:start] + piece + text[start + length :]
    with suppress(InvalidRecipeError):
        parse_recipe(text)


def test_the_specimen_is_valid() -> None:
    assert errors(SPECIMEN) == []
