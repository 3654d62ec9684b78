"""Whatever a recipe, a condition or a variable holds: it is used, or refused by an error of ours, and in good time."""

from __future__ import annotations

import copy
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import yaml
from hypothesis import given
from hypothesis import strategies as st

from trio_recipes import InvalidRecipeError, open_runtime
from trio_recipes.errors import RecipesError
from trio_recipes.frontends.diagrams.dot import dot
from trio_recipes.frontends.diagrams.mermaid import mermaid
from trio_recipes.frontends.diagrams.outline import outline
from trio_recipes.language.expression import Expression
from trio_recipes.language.load import parse_recipe
from trio_recipes.language.template import Template
from trio_recipes.values import normalise

SPECIMEN: dict[str, Any] = {
    "name": "fuzzed",
    "description": "d",
    "version": "1.0.0",
    "context": {"items": [1, 2], "n": 1, "deep": {"a": {"b": "c"}}},
    "limits": {"deadline": "1h"},
    "recursion": {"max_depth": 3, "max_total_steps": 10},
    "rate_limiting": {"max_concurrent_llm": 2, "backoff": {"multiplier": 2}},
    "secrets": ["token"],
    "schedule": "graph",
    "steps": [
        {"id": "a", "agent": "x:y", "prompt": "{{items}}", "output": "o", "retry": {"max_attempts": 2}, "timeout": 5},
        {
            "id": "b",
            "type": "bash",
            "command": "echo",
            "env": {"A": "{{n}}"},
            "depends_on": ["a"],
            "on_error": "continue",
        },
        {"id": "c", "type": "function", "function": "m:f", "args": {"x": [1]}, "condition": "{{n}} > 3 and not false"},
        {"id": "d", "type": "recipe", "recipe": "x.yaml", "context": {"y": "{{n}}"}, "foreach": "{{items}}", "as": "i"},
        {
            "id": "e",
            "foreach": "{{items}}",
            "parallel": 2,
            "collect": "es",
            "steps": [{"id": "f", "agent": "a", "prompt": "p"}],
        },
    ],
    "finally": [{"id": "z", "type": "bash", "command": "rm x"}],
}

texts = st.text(max_size=20) | st.sampled_from(
    [
        "{{a}}",
        "{{",
        "}}",
        "{{a.b.c.d}}",
        "'",
        '"',
        "\x1b[31m",
        "\u202e",
        "=",
        "<<",
        "NaN",
        "1e999",
        "../../x",
        "a" * 3000,
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(10**40), 10**40) | st.floats() | texts | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(texts | st.integers() | st.booleans(), inner, max_size=4)
    ),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


PLACES = [place for place in places(SPECIMEN) if place]


def test_the_specimen_is_a_recipe() -> None:
    assert parse_recipe(yaml.safe_dump(SPECIMEN)).name == "fuzzed"


@given(st.lists(st.tuples(st.sampled_from(PLACES), values), min_size=1, max_size=3))
def test_any_document_is_a_recipe_or_refused(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    document = copy.deepcopy(SPECIMEN)
    for (*way, last), value in changes:
        holder: Any = document
        with suppress(KeyError, IndexError, TypeError):  # an earlier change has taken that place away
            for key in way:
                holder = holder[key]
            holder[last] = value
    try:
        recipe = parse_recipe(yaml.safe_dump(document, allow_unicode=True))
    except InvalidRecipeError as error:
        refusal = str(error)
    else:
        refusal = ""
        drawn = outline(recipe, lambda _caller, _step: None)
        assert mermaid(drawn)
        assert dot(drawn)
    assert "\x1b" not in refusal


@given(
    st.sampled_from(["{{x}} == {{y}}", "{{x}} < {{y.a}}", "not {{x}}", "{{x}} and {{y}}", "'{{x}}' >= 'b'"]),
    values,
    values,
)
def test_any_values_can_be_compared(condition: str, x: object, y: object) -> None:
    with suppress(RecipesError):
        variables = {"x": normalise(x, "x"), "y": normalise(y, "y")}
        assert Expression.parse(condition).test(variables) in (True, False)


@given(st.text(alphabet="{}. x#|[]'\"()\\\n", max_size=40), values)
def test_any_template_is_rendered_or_refused(text: str, x: object) -> None:
    with suppress(RecipesError):
        Template.parse(text).render({"x": normalise(x, "x")})


# --- while it runs -----------------------------------------------------------------------------------------------

HEAD = "name: r\ndescription: d\nversion: 1.0.0\n"

ENDLESS = {
    "a recipe that calls itself": "steps: [{id: again, type: recipe, recipe: main.yaml}]",
    "by a path that is computed": "steps: [{id: again, type: recipe, recipe: '{{name}}.yaml'}]\ncontext: {name: main}",
    "in a loop": "steps: [{id: again, type: recipe, recipe: main.yaml, foreach: '{{x}}'}]\ncontext: {x: [1, 2, 3]}",
    "a condition that always holds": "steps: [{id: w, type: bash, command: 'true', while_condition: 'true'}]",
}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
async def test_what_never_ends_is_ended(tmp_path: Path, text: str) -> None:
    (tmp_path / "main.yaml").write_text(HEAD + text)
    with trio.fail_after(20):
        async with open_runtime(store=tmp_path / "store", project=tmp_path, durability="process") as runtime:
            try:
                result = await (await runtime.start(tmp_path / "main.yaml")).wait()
            except InvalidRecipeError:
                return
    assert result.status in ("failed", "completed")


async def test_hostile_variables_are_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "main.yaml").write_text(HEAD + "steps: [{id: a, type: bash, command: 'true'}]")
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    circle: dict[str, Any] = {}
    circle["self"] = circle
    hostile: list[Any] = [deep, circle, float("nan"), float("inf"), {1: 2}, b"x", object(), 10**5000, {"a": {1, 2}}]
    async with open_runtime(store=tmp_path / "store", project=tmp_path) as runtime:
        for value in hostile:
            began = time.process_time()
            with suppress(RecipesError):
                await (await runtime.start(tmp_path / "main.yaml", {"x": value})).wait()
            assert time.process_time() - began < 5
