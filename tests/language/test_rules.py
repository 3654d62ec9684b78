"""Rules that cross steps: ids, depends_on, secrets (recipe-language.md sections 1, 2 and 12)."""

from __future__ import annotations

import pytest

from tests.language.helpers import document, errors, load, warnings
from trio_recipes.language.references import literal_sub_recipes

A = "agent: a, prompt: p"
LOOP = "foreach: '{{x}}'"


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        (f"- {{id: a, {A}}}\n- {{id: a, {A}}}", "steps[1].id: 'a' is also the step on line 5; ids are unique"),
        (f"- {{id: l, {LOOP}, steps: [{{id: a, {A}}}, {{id: a, {A}}}]}}", "steps[0].steps[1].id: 'a' is also"),
        (f"- {{id: 'a b', {A}}}", "steps[0].id: must be letters, digits, '-' and '_' only; found 'a b'"),
        (f"- {{id: 'é', {A}}}", "steps[0].id: must be letters"),
        (f"- {{{A}}}", "steps[0]: an agent step needs 'id'"),
        (f"- {{id: a, {A}, depends_on: [a]}}", "steps[0].depends_on[0]: a step can't depend on itself"),
        (f"- {{id: a, {A}, depends_on: [b]}}\n- {{id: b, {A}}}", "'b' stands later"),
        (
            f"- {{id: build, {A}}}\n- {{id: b, {A}, depends_on: [biuld]}}",
            "no step 'biuld' before this one; did you mean 'build'?",
        ),
        (f"- {{id: a, {A}, depends_on: [3]}}", "steps[0].depends_on[0]: takes text"),
    ],
)
def test_identity_and_order(steps: str, problem: str) -> None:
    found = errors(document(steps))
    assert any(problem in message for message in found), found


@pytest.mark.parametrize(
    "steps",
    [
        f"- {{id: a, {A}}}\n- {{id: b, {A}, depends_on: [a]}}",
        f"- {{id: a, {A}}}\n- {{id: l, {LOOP}, steps: [{{id: a, {A}}}, {{id: b, {A}, depends_on: [a]}}]}}",
        f"- {{id: a, {A}}}\n- {{id: l, {LOOP}, steps: [{{id: b, {A}, depends_on: [a]}}]}}",
    ],
)
def test_fine_dependencies(steps: str) -> None:
    assert warnings(document(steps)) == []


def test_a_long_id_is_a_warning() -> None:
    assert warnings(document(f"- {{id: {'x' * 51}, {A}}}")) == ["steps[0].id: has 51 characters; 50 are enough"]


def test_a_secret_in_a_command_is_an_error_that_names_the_way_out() -> None:
    (found,) = errors(document("- {id: a, type: bash, command: 'curl {{token}}'}", "secrets: [token]"))
    assert found.startswith("steps[0].command: 'token' is secret")
    assert "env_from_context: [token]" in found


def test_literal_sub_recipes() -> None:
    recipe = load(
        f"""
        - {{id: a, type: recipe, recipe: one.yaml}}
        - {{id: b, type: recipe, recipe: "{{{{x}}}}.yaml"}}
        - {{id: c, {LOOP}, steps: [{{id: d, type: recipe, recipe: two.yaml}}]}}
        """
    )
    assert [(step.id, path) for step, path in literal_sub_recipes(recipe)] == [("a", "one.yaml"), ("d", "two.yaml")]


def test_a_secret_in_the_name_of_a_recipe_is_an_error() -> None:
    (found,) = errors(document("- {id: a, type: recipe, recipe: '{{token}}.yaml'}", "secrets: [token]"))
    assert found == "steps[0].recipe: 'token' is secret, and the names of recipes are recorded"
