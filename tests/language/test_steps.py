"""Sentences of recipe-language.md sections 2, 7, 8 and 12 about a single step."""

from __future__ import annotations

import pytest

from tests.language.helpers import document, errors, load, one, warnings
from trio_recipes.language.expression import Expression
from trio_recipes.language.model import (
    AgentStep,
    BashStep,
    BlockStep,
    Foreach,
    FunctionStep,
    OnError,
    RecipeStep,
    Recursion,
    Retry,
    While,
)
from trio_recipes.language.template import Template

AGENT = "agent: a, prompt: p"
BASH = "type: bash, command: ls"
RECIPE = "type: recipe, recipe: r.yaml"
FUNCTION = "type: function, function: f"


def test_agent_is_the_default_kind() -> None:
    step = one(AGENT)
    assert isinstance(step, AgentStep)
    assert (step.agent, step.prompt, step.timeout, step.retry) == ("a", Template.parse("p"), 600, Retry(1))
    assert (step.on_error, step.parse_json, step.output, step.condition) == (OnError.FAIL, False, None, None)


def test_everything_an_agent_step_can_hold() -> None:
    step = one(
        "agent: 'b:x', prompt: '{{x}}', mode: ANALYZE, agent_config: {a: {b: 1}}, provider: p, model: 'm-*', "
        "spawn_mode: subprocess, output: o, condition: '{{x}}', timeout: 5, retry: {max_attempts: 2, backoff: linear, "
        "initial_delay: 0.5, max_delay: 1}, on_error: skip_remaining, parse_json: true, on_interrupt: ask, "
        "on_resume: rerun"
    )
    assert isinstance(step, AgentStep)
    assert (step.mode, step.agent_config, step.provider, step.model) == ("ANALYZE", {"a": {"b": 1}}, "p", "m-*")
    assert (step.retry, step.on_error) == (Retry(2, "linear", 0.5, 1), OnError.SKIP_REMAINING)
    assert (step.condition, step.timeout) == (Expression.parse("{{x}}"), 5)
    assert (step.on_interrupt, step.on_resume, step.spawn_mode) == ("ask", "rerun", "subprocess")


def test_everything_a_bash_step_can_hold() -> None:
    step = one(
        "type: bash, command: 'a {{x}}', cwd: '{{y}}', env: {A: '{{x}}', B: 3}, output_exit_code: code, "
        "env_from_context: [x], kill_grace: 0, stop_signal: SIGINT, background: kill"
    )
    assert isinstance(step, BashStep)
    assert (step.command, step.cwd) == (Template.parse("a {{x}}"), Template.parse("{{y}}"))
    assert step.env == {"A": Template.parse("{{x}}"), "B": Template.parse("3")}
    assert (step.output_exit_code, step.env_from_context) == ("code", ("x",))
    assert (step.kill_grace, step.stop_signal, step.background) == (0, "INT", "kill")


def test_everything_a_recipe_step_can_hold() -> None:
    step = one("type: recipe, recipe: '{{x}}.yaml', context: {a: '{{x}}', b: [1]}, recursion: {max_depth: 2}")
    assert isinstance(step, RecipeStep)
    assert (step.recipe, step.timeout) == (Template.parse("{{x}}.yaml"), None)
    assert (step.context, step.recursion) == ({"a": "{{x}}", "b": [1]}, Recursion(2, 100))


@pytest.mark.parametrize("name", ["f", "package.module:callable", "a.b", "my-function"])
def test_function_steps(name: str) -> None:
    step = one(f"type: function, function: '{name}', args: {{a: '{{{{x}}}}'}}")
    assert isinstance(step, FunctionStep)
    assert (step.function, step.args, step.timeout) == (name, {"a": "{{x}}"}, 600)


def test_retry_without_attempts_means_three() -> None:
    assert one(f"{AGENT}, retry: {{}}").retry == Retry(3)


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        # presence and kinds
        ("agent: a", "steps[0]: an agent step needs 'prompt'"),
        ("prompt: p", "steps[0]: an agent step needs 'agent'"),
        ("type: bash", "steps[0]: a bash step needs 'command'"),
        ("type: bash, command: ' '", "steps[0].command: must not be blank"),
        ("type: recipe", "steps[0]: a recipe step needs 'recipe'"),
        ("type: function", "steps[0]: a function step needs 'function'"),
        ("type: shell, command: ls", "steps[0].type: takes 'agent' or 'bash' or 'recipe' or 'function'; found 'shell'"),
        ("type: 3", "steps[0].type: takes text"),
        (f"{BASH}, prompt: p", "steps[0].prompt: bash steps cannot have 'prompt'; it belongs to agent steps"),
        (f"{AGENT}, command: ls", "steps[0].command: agent steps cannot have 'command'; it belongs to bash steps"),
        (f"{AGENT}, context: {{}}", "agent steps cannot have 'context'; it belongs to recipe steps"),
        (f"{RECIPE}, mode: x", "recipe steps cannot have 'mode'"),
        (f"{FUNCTION}, cwd: x", "function steps cannot have 'cwd'"),
        (f"{BASH}, comand: ls", "steps[0].comand: unknown key of a bash step; did you mean 'command'?"),
        (f"{AGENT}, zzz: 1", "steps[0].zzz: unknown key of an agent step (there are: "),
        # types
        (
            f"{AGENT}, timeout: '10'",
            "steps[0].timeout: takes a number above 0; found a string: '10'; remove the quotes",
        ),
        (f"{AGENT}, timeout: 0", "steps[0].timeout: takes a number above 0; found a whole number: 0"),
        (f"{AGENT}, timeout: true", "found a boolean: true"),
        (f"{AGENT}, output: a-b", "steps[0].output: names a variable"),
        (f"{AGENT}, output: session", "steps[0].output: 'session' is a variable of the engine"),
        (f"{AGENT}, output: _", "steps[0].output: names a variable"),
        ("agent: a, prompt: yes", "put it in quotes (YAML reads bare yes, no, on and off as booleans)"),
        (f"{AGENT}, condition: '{{{{a}}}} = 1'", "steps[0].condition: the condition '{{a}} = 1' can't be understood: "),
        (f"{AGENT}, on_error: continu", "did you mean 'continue'?"),
        (
            f"{AGENT}, on_error: no",
            "steps[0].on_error: takes text: 'fail' or 'continue' or 'skip_remaining'; found a boolean",
        ),
        (
            f"{AGENT}, parse_json: 'true'",
            "steps[0].parse_json: takes true or false; found a string: 'true'; remove the quotes",
        ),
        (f"{AGENT}, depends_on: a", "steps[0].depends_on: takes a list"),
        # retry
        (f"{AGENT}, retry: 3", "steps[0].retry: takes a mapping"),
        (f"{AGENT}, retry: {{max_attempts: 0}}", "steps[0].retry.max_attempts: takes a whole number from 1"),
        (f"{AGENT}, retry: {{backoff: expo}}", "steps[0].retry.backoff: takes 'exponential' or 'linear'"),
        (f"{AGENT}, retry: {{max_delay: -1}}", "steps[0].retry.max_delay: takes"),
        # agent
        (f"{AGENT}, spawn_mode: thread", "steps[0].spawn_mode: takes 'subprocess'"),
        (f"{AGENT}, provider_preferences: []", "steps[0].provider_preferences: needs at least one entry"),
        (f"{AGENT}, provider_preferences: [{{}}]", "takes either 'provider' (and perhaps 'model') or 'class'"),
        (f"{AGENT}, provider_preferences: [{{class: slow}}]", "provider_preferences[0].class: takes 'reasoning'"),
        (f"{AGENT}, provider_preferences: [{{class: fast, model: m}}]", "'model' goes with 'provider'"),
        (f"{AGENT}, provider_preferences: [{{provider: p}}], provider: p", "can't stand together with 'provider'"),
        (f"{AGENT}, provider_preferences: [{{provider: p}}], model: p", "can't stand together with 'model'"),
        (f"{AGENT}, model_role: x, model: p", "steps[0].model_role: can't stand together with 'model'"),
        (f"{AGENT}, model_role: x, provider_preferences: [{{provider: p}}]", "can't stand together"),
        # bash
        (f"{BASH}, env: {{A: [1]}}", "steps[0].env.A: takes text"),
        (f"{BASH}, env: {{'A=B': x}}", "steps[0].env.A=B: must be a name of an environment variable"),
        (f'{BASH}, cwd: "a\\0b"', "steps[0].cwd: must not contain a NUL character"),
        (f"{BASH}, output_exit_code: recipe", "steps[0].output_exit_code: 'recipe' is a variable of the engine"),
        (f"{BASH}, kill_grace: 61", "steps[0].kill_grace: takes a number from 0 to 60"),
        (f"{BASH}, stop_signal: FOO", "steps[0].stop_signal: names a signal that ends a process"),
        (f"{BASH}, stop_signal: STOP", "steps[0].stop_signal: names a signal that ends a process"),
        (f"{BASH}, background: keep", "steps[0].background: takes 'session' or 'kill'"),
        # function
        ("type: function, function: 'a b'", "steps[0].function: must be a name, or package.module:callable"),
        # loops
        (f"{AGENT}, foreach: files", "steps[0].foreach: must be one reference to a list"),
        (f"{AGENT}, foreach: '{{{{a}}}},{{{{b}}}}'", "steps[0].foreach: must be one reference to a list"),
        (f"{AGENT}, foreach: [1, 2]", "steps[0].foreach: takes text; found a list"),
        (f"{AGENT}, foreach: '{{{{a}}}}', while_condition: 'true'", "can't stand together with 'foreach'"),
        (f"{AGENT}, foreach: '{{{{a}}}}', as: step", "steps[0].as: 'step' is a variable of the engine"),
        (f"{AGENT}, foreach: '{{{{a}}}}', collect: a.b", "steps[0].collect: names a variable"),
        (f"{AGENT}, foreach: '{{{{a}}}}', max_iterations: 0", "steps[0].max_iterations: takes a whole number from 1"),
        (
            f"{AGENT}, foreach: '{{{{a}}}}', parallel: 'yes'",
            "takes true, false or a whole number from 1; found a string",
        ),
        (f"{AGENT}, foreach: '{{{{a}}}}', parallel: 0", "takes true, false or a whole number from 1; found"),
        (f"{AGENT}, foreach: '{{{{a}}}}', parallel: 2.5", "takes true, false or a whole number from 1; found"),
        (
            f"{AGENT}, foreach: '{{{{a}}}}', parallel: 2, checkpoint_iterations: true",
            "can't stand together with 'parallel'",
        ),
        (f"{AGENT}, parallel: 2", "steps[0].parallel: needs foreach"),
        (f"{AGENT}, checkpoint_iterations: true", "steps[0].checkpoint_iterations: needs foreach"),
        (f"{AGENT}, break_when: 'true'", "steps[0].break_when: needs foreach or while_condition"),
        (f"{AGENT}, steps: [{{id: b, {AGENT}}}]", "steps[0].steps: needs foreach or while_condition"),
        (f"{AGENT}, finally: [{{id: b, {AGENT}}}]", "steps[0].finally: needs foreach or while_condition"),
        (f"{AGENT}, while_condition: forever", "steps[0].while_condition: must refer to a variable"),
        (f"{AGENT}, while_condition: 'true', max_while_iterations: 1001", "takes a whole number from 1 to 1000"),
        (f"{AGENT}, while_condition: 'true', update_context: {{step: x}}", "update_context.step: 'step' is a variable"),
        (f"{AGENT}, while_condition: 'true', update_context: {{n: 3}}", "steps[0].update_context.n: takes text"),
        ("while_condition: 'true', steps: []", "steps[0].steps: needs at least one step"),
        ("while_condition: 'true', steps: [{id: b}]", "steps[0].steps[0]: an agent step needs 'agent'"),
        (
            f"while_condition: 'true', while_steps: [{{id: b, {AGENT}}}], steps: [{{id: c, {AGENT}}}]",
            "can't stand together",
        ),
    ],
)
def test_bad_steps(step: str, problem: str) -> None:
    found = errors(document(f"- {{id: only, {step}}}"))
    assert any(problem in message for message in found), found


@pytest.mark.parametrize(
    ("step", "warning"),
    [
        (f"{AGENT}, collect: x", "steps[0].collect: has no effect without foreach or while_condition"),
        (f"{AGENT}, as: x", "steps[0].as: has no effect without foreach"),
        (f"{AGENT}, max_while_iterations: 3", "steps[0].max_while_iterations: has no effect without while_condition"),
        (f"{AGENT}, retry: {{atempts: 3}}", "steps[0].retry.atempts: unknown key of retry"),
        (f"{BASH}, env: {{A: true}}", "steps[0].env.A: the variable will be 'True'"),
        (
            f"{AGENT}, foreach: '{{{{a}}}}', steps: [{{id: b, {BASH}}}]",
            "has no effect: the work of this loop is its 'steps'",
        ),
        ("agent: 'a{{x}}', prompt: p", "steps[0].agent: is not a template"),
        ("agent: a, prompt: '{{ x }}'", "'{{ x }}' is literal text; a variable is written {{x}}, without spaces"),
        ("agent: a, prompt: '{{#if x}}a{{/if}}'", "templates have no blocks"),
        ("agent: a, prompt: '{% if x %}'", "templates have no blocks"),
        ("agent: a, prompt: '{{x|upper}}'", "templates have no filters"),
        ("agent: a, prompt: '{{x[0]}}'", "templates have no filters"),
    ],
)
def test_surprising_steps(step: str, warning: str) -> None:
    found = warnings(document(f"- {{id: only, {step}}}"))
    assert any(warning in message for message in found), found


@pytest.mark.parametrize(
    "step",
    [
        f"{AGENT}, parallel: false, checkpoint_iterations: false",
        f"{AGENT}, command: null, foreach: null",
        "type: bash, command: \"docker ps --format '{{.Names}}'\"",
        f"{AGENT}, foreach: '{{{{a}}}} ', collect: b",
        f"{AGENT}, while_condition: true",
        f"{AGENT}, condition: ''",
        f"{AGENT}, timeout: 0.5",
    ],
)
def test_fine_steps(step: str) -> None:
    assert warnings(document(f"- {{id: only, {step}}}")) == []


@pytest.mark.parametrize(
    ("loop", "parallel"), [("", 1), (", parallel: true", None), (", parallel: false", 1), (", parallel: 3", 3)]
)
def test_foreach(loop: str, parallel: int | None) -> None:
    step = one(f"{AGENT}, foreach: '{{{{files}}}}', as: file, collect: all, max_iterations: 7{loop}")
    assert step.loop == Foreach(
        items=Template.parse("{{files}}"), variable="file", collect="all", max_iterations=7, parallel=parallel
    )
    assert isinstance(step, AgentStep)
    assert step.timeout == 600


def test_while() -> None:
    step = one(
        f"{AGENT}, while_condition: '{{{{n}}}} < 3', max_while_iterations: 5, break_when: '{{{{n}}}} == 2', "
        "update_context: {n: '{{r}}'}, output: r"
    )
    assert step.loop == While(
        condition=Expression.parse("{{n}} < 3"),
        max_iterations=5,
        update_context={"n": Template.parse("{{r}}")},
        break_when=Expression.parse("{{n}} == 2"),
    )


@pytest.mark.parametrize("spelling", ["steps", "while_steps"])
def test_a_loop_with_a_body_is_a_block(spelling: str) -> None:
    step = load(
        f"""
        - id: outer
          foreach: "{{{{files}}}}"
          {spelling}:
            - {{id: inner, {BASH}}}
            - {{id: loop, while_condition: "true", steps: [{{id: deep, {AGENT}}}]}}
          finally: [{{id: tidy, {BASH}}}]
          cleanup_timeout: 3
        """
    ).steps[0]
    assert isinstance(step, BlockStep)
    assert (step.timeout, step.cleanup_timeout) == (None, 3)
    assert [inner.id for inner in step.body] == ["inner", "loop"]
    assert [inner.id for inner in step.body[1].body] == ["deep"]
    assert (step.body[1].body[0].where, step.finally_[0].where) == (
        f"steps[0].{spelling}[1].steps[0]",
        "steps[0].finally[0]",
    )


def test_the_digest_names_the_definition() -> None:
    same = [one("agent: a, prompt: p"), one("prompt: 'p', agent: \"a\"")]
    other = one("agent: a, prompt: q")
    assert same[0].digest == same[1].digest != other.digest
    assert same[0].source == {"id": "only", "agent": "a", "prompt": "p"}


def test_a_step_knows_its_place() -> None:
    step = load(f"- {{id: a, {AGENT}}}\n- {{id: b, {AGENT}}}").steps[1]
    assert (step.line, step.where) == (6, "steps[1]")
