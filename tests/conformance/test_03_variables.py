"""Sections 3 to 5: variables, templates, conditions."""

from pathlib import Path
from typing import Any

import pytest

from tests.conformance.claims import bash, flat, refused, run, staged, told

ASK = "- {id: ask, agent: x, prompt: '%s'}"


async def asked(prompt: str, tmp_path: Path, **context: Any) -> str:
    ran = await run(flat(ASK % prompt, f"context: {context!r}" if context else ""), tmp_path)
    return ran.prompts[0] if ran.prompts else f"failed: {ran.message}"


# --- 3: variables ------------------------------------------------------------------------------------------------


async def test_the_order_of_precedence(tmp_path: Path) -> None:
    steps = (
        "- {id: one, agent: x, prompt: '{{v}}'}\n"
        "- {id: two, agent: x, prompt: '{{v}}', foreach: '{{l}}', as: v}\n"
        "- {id: three, agent: x, prompt: '{{v}}', output: v}\n"
        "- {id: four, agent: x, prompt: '{{v}}'}\n"
    )
    ran = await run(flat(steps, "context: {v: recipes, l: [loops]}"), tmp_path, v="callers")
    assert ran.prompts == ["callers", "loops", "callers", "answer of three"]


async def test_the_engines_own_variables(tmp_path: Path) -> None:
    names = "{{recipe.name}} {{recipe.version}} {{recipe.description}} {{session.project}} {{step.id}} {{step.index}}"
    recipe = flat(
        bash("z", "true") + ASK % f"{names} {{{{session.id}}}}|{{{{session.started}}}}", "context: {recipe: r}"
    )
    ran = await run(recipe, tmp_path, session="the caller's")
    said, _, started = ran.prompts[0].partition("|")
    assert said == f"claim 1.0.0 a claim {tmp_path} ask 1 {ran.result.session_id}"
    assert started[:2] == "20"


async def test_the_stage(tmp_path: Path) -> None:
    stages = (
        "- {name: first, steps: [{id: a, type: bash, command: 'true'}]}\n"
        "- {name: part two, steps: [{id: ask, agent: x, prompt: '{{stage.name}} {{stage.index}}'}]}"
    )
    assert (await run(staged(stages), tmp_path)).prompts == ["part two 1"]


async def test_loops_have_an_index_and_an_iteration(tmp_path: Path) -> None:
    loop = "while_condition: 'true', max_while_iterations: 2"
    step = f"- {{id: ask, agent: x, prompt: '{{{{_loop_index}}}}-{{{{_loop_iteration}}}}', {loop}}}"
    assert (await run(flat(step), tmp_path)).prompts == ["0-1", "1-2"]


# --- 4: templates ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "rendered"),
    [
        ("{{a}}", "1"),
        ("{{d.e.f}}", "deep"),
        ("{{yes}} {{no}}", "true false"),
        ("{{l}}", '[1, "two", null]'),
        ("{{d}}", '{"e": {"f": "deep"}}'),
        ("{{nothing}}", "None"),
        ("{{ a }} {{#if a}} {{a b}} {a} {{}}", "{{ a }} {{#if a}} {{a b}} {a} {{}}"),
        ("{{a}}{{a}}", "11"),
        ("{{{a}}}", "{1}"),
        ("{{quote}}", "{{a}}"),
    ],
)
async def test_what_templates_render(tmp_path: Path, prompt: str, rendered: str) -> None:
    context: dict[str, Any] = {
        "a": 1,
        "d": {"e": {"f": "deep"}},
        "yes": True,
        "no": False,
        "l": [1, "two", None],
        "nothing": None,
    }
    ran = await run(
        flat("- {id: ask, agent: x, prompt: PROMPT}".replace("PROMPT", repr(prompt))),
        tmp_path,
        **context,
        quote="{{a}}",
    )
    assert ran.prompts == [rendered]


def test_an_unknown_name_lists_the_names_there_are(tmp_path: Path) -> None:
    said = told(flat(ASK % "{{missing}}", "context: {present: 1}"), tmp_path)
    assert "missing" in said
    assert "present" in said


async def test_a_part_of_what_is_no_mapping_tells_its_type_and_parse_json(tmp_path: Path) -> None:
    steps = "- {id: one, agent: x, prompt: p, output: text}\n" + ASK % "{{text.part}}"
    message = (await run(flat(steps), tmp_path)).message
    assert "parse_json: true" in message
    assert "text" in message


async def test_a_value_that_is_one_reference_keeps_its_type(tmp_path: Path) -> None:
    steps = "- {id: s, agent: x, prompt: '{{x.k}}', output: o}\n- {id: t, agent: x, prompt: '{{y}} {{z}}'}"
    sub = flat(steps, "context: {x: 0, y: 0, z: 0}")
    step = "- {id: r, type: recipe, recipe: sub.yaml, context: {x: '{{m}}', y: 'is {{n}}', z: ['{{n}}']}}"
    ran = await run(flat(step, "context: {m: {k: [1]}, n: 5}"), tmp_path, files={"sub.yaml": sub})
    assert ran.prompts == ["[1]", "is 5 [5]"]


# --- 5: conditions -----------------------------------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "one": 1, "ten": "10", "text": "some words", "empty": "", "zero": 0, "yes": True, "no": False, "minus": -3,
    "word": "false", "quoted": "it's", "none": "none", "l": [1],
}  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("", True),
        ("{{one}} == 1", True),
        ("{{one}} == '1'", True),
        ("{{one}} == '1.0'", True),
        ("{{ten}} > 9", True),
        ("{{ten}} >= 10 and {{ten}} <= 10", True),
        ("{{text}} == 'some words'", True),
        ('{{text}} == "some words"', True),
        ("{{text}} != some", True),
        ("'b' > 'a'", True),
        ("'10' > '9'", True),
        ("'x10' > 'x9'", False),
        ("{{minus}} < 0", True),
        ("-3 < -2.5", True),
        ("{{yes}} == true", True),
        ("{{yes}} == TRUE", True),
        ("{{no}} == False", True),
        ("{{quoted}} == 'it\\'s'", True),
        (r"'a\\b' == 'a\\b'", True),
        ("{{yes}}", True),
        ("{{no}}", False),
        ("{{empty}}", False),
        ("{{zero}}", False),
        ("{{word}}", False),
        ("{{none}}", False),
        ("{{text}}", True),
        ("None", False),
        ("False", False),
        ("no", True),
        ("not {{no}}", True),
        ("not {{no}} and {{no}}", False),
        ("{{yes}} or {{no}} and {{no}}", True),
        ("({{yes}} or {{no}}) and {{no}}", False),
        ("not not {{yes}}", True),
        ("({{one}} == 1) == true", True),
    ],
)
async def test_conditions(tmp_path: Path, condition: str, holds: bool) -> None:
    ran = await run(flat(f"- {{id: a, agent: x, prompt: p, condition: {condition!r}}}"), tmp_path, **VALUES)
    assert (ran.status, bool(ran.prompts)) == ("completed", holds), ran.message


@pytest.mark.parametrize("condition", ["{{one}} ==", "(", "1 = 1", "'open", "{{one}} AND {{one}}", "1 2", "== 1"])
def test_conditions_that_are_none(tmp_path: Path, condition: str) -> None:
    assert "condition" in told(flat(f"- {{id: a, agent: x, prompt: p, condition: {condition!r}}}"), tmp_path, **VALUES)


@pytest.mark.parametrize("value", [None, ...])
async def test_undefined_and_null_are_errors_that_list_the_names(tmp_path: Path, value: Any) -> None:
    context = {} if value is ... else {"maybe": value}
    steps = (
        bash("z", "true", condition="'1 == 2'", output="maybe")
        + "- {id: a, agent: x, prompt: p, condition: '{{maybe}} == 1'}"
    )
    ran = await run(flat(steps, "context: {known: 1}"), tmp_path, **context)
    assert ran.status == "failed"
    assert "maybe" in ran.message
    assert "known" in ran.message


async def test_errors_of_break_when_are_warnings(tmp_path: Path) -> None:
    steps = bash("z", "true", condition="'1 == 2'", output="maybe") + (
        "- {id: a, agent: x, prompt: p, while_condition: 'true', max_while_iterations: 2, break_when: '{{maybe}} == 1'}"
    )
    ran = await run(flat(steps), tmp_path)
    assert (ran.status, len(ran.prompts), bool(ran.warnings)) == ("completed", 2, True)


def test_a_condition_is_checked_before_anything_runs(tmp_path: Path) -> None:
    assert refused(flat("- {id: a, agent: x, prompt: p, condition: '1 =='}"), tmp_path)
