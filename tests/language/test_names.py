"""Undefined variables are found before anything runs (recipe-language.md sections 3 and 7)."""

from __future__ import annotations

import pytest

from tests.language.helpers import HEAD, load, undefined
from trio_recipes.language.load import parse_recipe
from trio_recipes.language.names import check_recipe

CONTEXT = "context: {files: [a], config: {name: x, deep: {k: 1}}, text: t}"


@pytest.mark.parametrize(
    "reference",
    [
        "files",
        "config.name",
        "config.deep.k",
        "recipe.version",
        "session.project",
        "step.id",
        "_skipped_steps",
        "caller",
        "caller.anything",
    ],
)
def test_known_from_the_start(reference: str) -> None:
    assert undefined(load(f"- {{id: a, agent: x, prompt: '{{{{{reference}}}}}'}}", CONTEXT), "caller") == []


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("flies", "did you mean 'files'?"),
        ("config.nmae", "'config' has no 'nmae'; did you mean 'name'?"),
        ("text.part", "'text' is a string, so it has no 'part'"),
        ("recipe.nme", "'recipe' has no 'nme'"),
        ("stage.name", "there is no variable 'stage'"),
        ("_outcome", "there is no variable '_outcome'"),
        ("_loop_index", "there is no variable '_loop_index'"),
        ("later", "step 'b' (line 7) sets it, but not before this step"),
    ],
)
def test_unknown(reference: str, words: str) -> None:
    recipe = load(
        f"- {{id: a, agent: x, prompt: '{{{{{reference}}}}}'}}\n- {{id: b, agent: x, prompt: p, output: later}}",
        CONTEXT,
    )
    (problem,) = check_recipe(recipe)
    assert words in problem.message
    assert (problem.field, problem.line) == ("steps[0].prompt", 6)


def test_nobody_overrides_what_the_engine_sets() -> None:
    recipe = parse_recipe(HEAD + "context: {session: 7}\nsteps: [{id: a, type: bash, command: 'echo {{session.id}}'}]")
    assert check_recipe(recipe, given=["recipe"]) == []


def test_a_caller_overrides_what_is_known_of_the_context() -> None:
    recipe = load("- {id: a, agent: x, prompt: '{{text.part}}'}", CONTEXT)
    assert undefined(recipe, "text") == []


@pytest.mark.parametrize(
    ("step", "field"),
    [
        ("agent: x, prompt: '{{u}}'", "prompt"),
        ("agent: x, prompt: p, condition: '{{u}} == 1'", "condition"),
        ("agent: x, prompt: p, foreach: '{{u}}'", "foreach"),
        ("agent: x, prompt: p, while_condition: '{{u}}'", "while_condition"),
        ("agent: x, prompt: p, while_condition: 'true', break_when: '{{u}}'", "break_when"),
        ("agent: x, prompt: p, while_condition: 'true', update_context: {v: '{{u}}'}", "update_context.v"),
        ("agent: x, prompt: p, foreach: '{{files}}', as: u, condition: '{{u}}'", "condition"),
        ("type: bash, command: 'ls {{u}}'", "command"),
        ("type: bash, command: ls, cwd: '{{u}}'", "cwd"),
        ("type: bash, command: ls, env: {A: '{{u}}'}", "env.A"),
        ("type: bash, command: ls, env_from_context: [text, u]", "env_from_context[1]"),
        ("type: recipe, recipe: '{{u}}'", "recipe"),
        ("type: recipe, recipe: r, context: {a: [{b: '{{u}}'}]}", "context.a[0].b"),
        ("type: function, function: f, args: {a: '{{u}}'}", "args.a"),
        ("foreach: '{{files}}', steps: [{id: i, agent: x, prompt: '{{u}}'}]", "steps[0].prompt"),
        (
            "foreach: '{{files}}', steps: [{id: i, agent: x, prompt: p}], "
            "finally: [{id: f, agent: x, prompt: '{{u}}'}]",
            "finally[0].prompt",
        ),
    ],
)
def test_every_field_is_checked(step: str, field: str) -> None:
    assert undefined(load(f"- {{id: a, {step}}}", CONTEXT)) == [f"steps[0].{field}"]


@pytest.mark.parametrize(
    "first",
    [
        "agent: x, prompt: p, output: v",
        "agent: x, prompt: p, output: v, condition: '{{text}} == t'",
        "type: bash, command: ls, output_exit_code: v",
        "agent: x, prompt: p, foreach: '{{files}}', collect: v",
        "agent: x, prompt: p, foreach: '{{files}}', output: v",
        "agent: x, prompt: p, while_condition: 'true', update_context: {v: a}",
        "foreach: '{{files}}', steps: [{id: i, agent: x, prompt: p, output: v}]",
        "foreach: '{{files}}', parallel: true, collect: v, steps: [{id: i, agent: x, prompt: p}]",
    ],
)
def test_what_a_step_sets_is_known_to_those_after_it(first: str) -> None:
    assert undefined(load(f"- {{id: a, {first}}}\n- {{id: b, agent: x, prompt: '{{{{v.x}}}}'}}", CONTEXT)) == []


@pytest.mark.parametrize(
    "first",
    [
        "agent: x, prompt: p, foreach: '{{files}}', as: v",
        "foreach: '{{files}}', parallel: 2, steps: [{id: i, agent: x, prompt: p, output: v}]",
        "type: bash, command: ls, foreach: '{{files}}', parallel: true, output_exit_code: v",
    ],
)
def test_what_stays_inside_of_a_loop_is_not(first: str) -> None:
    assert undefined(load(f"- {{id: a, {first}}}\n- {{id: b, agent: x, prompt: '{{{{v}}}}'}}", CONTEXT)) == [
        "steps[1].prompt"
    ]


@pytest.mark.parametrize(
    "step",
    [
        "agent: x, prompt: '{{f}} {{_loop_index}} {{_loop_iteration}}', foreach: '{{files}}', as: f",
        "agent: x, prompt: p, output: o, while_condition: 'true', break_when: '{{b}}', "
        "update_context: {a: '{{o}}', b: '{{a}}'}",
        "foreach: '{{files}}', steps: [{id: i, agent: x, prompt: '{{item}}', output: o}, "
        "{id: j, agent: x, prompt: '{{o}}'}]",
        "foreach: '{{files}}', steps: [{id: i, agent: x, prompt: p}], "
        "finally: [{id: f, agent: x, prompt: '{{_outcome}}'}]",
    ],
)
def test_inside_of_a_loop(step: str) -> None:
    assert undefined(load(f"- {{id: a, {step}}}", CONTEXT)) == []


def test_a_graph_step_sees_what_it_depends_on() -> None:
    recipe = load(
        """
        - {id: a, agent: x, prompt: p, output: va}
        - {id: b, agent: x, prompt: "{{va}} {{text}}", output: vb, depends_on: [a]}
        - {id: c, agent: x, prompt: "{{va}} {{vb}}", depends_on: [b]}
        - {id: d, agent: x, prompt: "{{vb}}", depends_on: [a]}
        """,
        CONTEXT + "\nschedule: graph",
    )
    assert undefined(recipe) == ["steps[3].prompt"]


def test_stages_know_theirs() -> None:
    recipe = parse_recipe(
        HEAD
        + """
stages:
  - name: one
    steps: [{id: a, agent: x, prompt: "{{stage.name}} {{_approval_message}}", output: v}]
    approval: {required: true, prompt: "{{v}} {{w}}"}
    finally: [{id: f, agent: x, prompt: "{{_outcome}} {{v}}"}]
  - name: two
    steps: [{id: b, agent: x, prompt: "{{v}} {{_approval.by}} {{stage.nme}}", output: w}]
finally: [{id: g, agent: x, prompt: "{{w}} {{_outcome}}"}]
"""
    )
    assert undefined(recipe) == ["stages[0].approval.prompt", "stages[1].steps[0].prompt"]


def test_secrets_are_known() -> None:
    assert undefined(load("- {id: a, type: bash, command: ls, env_from_context: [token]}", "secrets: [token]")) == []


def test_an_agents_words_in_a_command_are_a_warning() -> None:
    recipe = load("- {id: a, agent: x, prompt: p, output: v}\n- {id: b, type: bash, command: 'echo {{v}}'}")
    (problem,) = check_recipe(recipe)
    assert problem.warning
    assert "env_from_context: [v]" in problem.message
