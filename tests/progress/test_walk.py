"""What stages, steps, calls and loops mean, by a tiny synchronous driver."""

import re
from typing import Any

import pytest

from tests.progress.driver import Walker, recipe, walked
from trio_recipes.events import ScopeStatus
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.progress.outcome import completed

HEAD = "context: {items: [x, y, z], item: outer}"


def variables(body: str, **options: Any) -> dict[str, Any]:
    options.setdefault("head", HEAD)
    return walked(body, **options).variables


def failure_of(walker: Walker) -> Failure:
    assert walker.outcome.failure is not None
    return walker.outcome.failure


# --- steps and stages --------------------------------------------------------------------------------------------


def test_steps_run_in_document_order_and_bind_their_outputs() -> None:
    walker = walked("""
steps:
- {id: a, type: bash, command: "1", output: one}
- {id: b, type: bash, command: "{{one}}2", output: two}
""")
    assert walker.leaves == ["a", "b"]
    assert walker.variables["two"] == "12"


def test_a_step_knows_its_id_and_index() -> None:
    body = (
        'steps: [{id: a, type: bash, command: x}, {id: b, type: bash, command: "{{step.id}}{{step.index}}", output: o}]'
    )
    assert variables(body)["o"] == "b1"


def test_a_condition_that_does_not_hold_skips_and_is_noted() -> None:
    found = variables('steps: [{id: a, type: bash, command: x, condition: "1 == 2", output: o}]')
    assert found["_skipped_steps"] == ["a"]
    assert "o" not in found


def test_a_condition_that_can_not_be_read_is_a_failure_of_its_step() -> None:
    walker = walked('steps: [{id: a, type: bash, command: x, condition: "{{missing}} == 1"}]')
    failure = failure_of(walker)
    assert (failure.kind, failure.path, failure.retryable) == (FailureKind.TEMPLATE, "a", False)
    assert walker.leaves == []


def test_stages_give_their_names_and_paths() -> None:
    walker = walked("""
stages:
- {name: one, steps: [{id: a, type: bash, command: "{{stage.name}}{{stage.index}}", output: o}]}
- {name: two, steps: [{id: b, type: bash, command: "{{stage.name}}{{stage.index}}{{o}}", output: p}]}
""")
    assert walker.leaves == ["one/a", "two/b"]
    assert walker.variables["p"] == "two1one0"


# --- on_error ----------------------------------------------------------------------------------------------------

BAD = "{id: bad, type: bash, command: fail, on_error: %s, output: o}"
NEXT = "{id: next, type: bash, command: ok}"
SUB = {"sub": recipe(f"steps: [{BAD % 'skip_remaining'}, {NEXT}]", "sub")}


def test_fail_stops_the_recipe_with_the_failures_path() -> None:
    walker = walked(f"steps: [{BAD % 'fail'}, {NEXT}]")
    assert walker.leaves == ["bad"]
    assert walker.outcome.status is ScopeStatus.FAILED
    assert failure_of(walker).path == "bad"


def test_continue_goes_on_with_null() -> None:
    walker = walked(f"steps: [{BAD % 'continue'}, {NEXT}]")
    assert walker.leaves == ["bad", "next"]
    assert walker.variables["o"] is None


@pytest.mark.parametrize(
    ("body", "leaves"),
    [
        ("steps: [%s, {id: next, type: bash, command: x}]", ["bad"]),
        (
            "stages: [{name: s, steps: [%s, {id: b, type: bash, command: x}]},"
            " {name: t, steps: [{id: c, type: bash, command: x}]}]",
            ["s/bad", "t/c"],
        ),
        ('steps: [{id: l, foreach: "{{items}}", steps: [%s]}, {id: next, type: bash, command: x}]', ["l[0]/bad"]),
    ],
)
def test_skip_remaining_ends_the_recipe_or_the_stage_as_completed(body: str, leaves: list[str]) -> None:
    walker = walked(body % BAD % "skip_remaining", head=HEAD)
    assert walker.leaves == leaves
    assert walker.outcome.status is ScopeStatus.COMPLETED


def test_skip_remaining_in_a_sub_recipe_ends_only_that() -> None:
    walker = walked(f"steps: [{{id: s, type: recipe, recipe: sub}}, {NEXT}]", recipes=SUB)
    assert walker.leaves == ["s/bad", "next"]


def test_a_failed_iteration_under_continue_is_null_in_its_place() -> None:
    body = 'steps: [{id: l, type: bash, command: "{{item}}", foreach: "{{items}}", on_error: continue, collect: all}]'
    assert variables(body, head="context: {items: [x, fail, z]}")["all"] == ["x", None, "z"]


# --- sub-recipes -------------------------------------------------------------------------------------------------


def test_a_sub_recipe_sees_only_its_context_and_results_in_what_it_added() -> None:
    sub = recipe(
        'steps: [{id: a, type: bash, command: "{{given}}{{own}}", output: made}]', "sub", "context: {own: D, given: d}"
    )
    found = variables(
        'steps: [{id: s, type: recipe, recipe: sub, context: {given: "{{item}}"}, output: o}]', recipes={"sub": sub}
    )
    assert found["o"] == {"made": "outerD", "own": "D"}
    assert "made" not in found


def test_a_sub_recipe_does_not_see_its_callers_variables() -> None:
    sub = recipe('steps: [{id: a, type: bash, command: x, condition: "{{item}} == outer"}]', "sub")
    walker = walked("steps: [{id: s, type: recipe, recipe: sub}]", recipes={"sub": sub}, head=HEAD)
    assert failure_of(walker).path == "s/a"


def loop_of_recipes(depth: int) -> dict[str, Any]:
    made = {f"r{n}": recipe(f"steps: [{{id: s, type: recipe, recipe: r{n + 1}}}]", f"r{n}") for n in range(depth)}
    return made | {f"r{depth}": recipe("steps: [{id: leaf, type: bash, command: x}]", f"r{depth}")}


@pytest.mark.parametrize(("depth", "fits"), [(3, True), (4, False)])
def test_five_recipes_may_be_on_the_stack(depth: int, fits: bool) -> None:
    walker = walked("steps: [{id: s, type: recipe, recipe: r0}]", recipes=loop_of_recipes(depth))
    assert walker.outcome.goes_on is fits
    if not fits:
        assert "r > r0 > r1 > r2 > r3 > r4" in failure_of(walker).message


def test_agent_steps_over_the_whole_tree_are_counted_and_others_are_not() -> None:
    sub = recipe("steps: [{id: a, agent: x, prompt: p}, {id: b, type: bash, command: x}]", "sub")
    body = 'steps: [{id: l, type: recipe, recipe: sub, foreach: "{{items}}"}]'
    walker = Walker(lambda _ask: completed("done"), {"sub": sub})
    failure = walker.run(recipe(body, head=HEAD + "\nrecursion: {max_total_steps: 2}")).outcome.failure
    assert walker.leaves == ["l[0]/a", "l[0]/b", "l[1]/a", "l[1]/b"]
    assert failure is not None
    assert (failure.kind, failure.path) == (FailureKind.LIMIT, "l[2]/a")


# --- loops -------------------------------------------------------------------------------------------------------

EACH = '{id: l, type: bash, command: "{{item}}", foreach: "{{items}}"%s}'


@pytest.mark.parametrize("parallel", [1, 2, "true"])
def test_foreach_collects_in_input_order(parallel: object) -> None:
    assert variables("steps: [" + EACH % f", collect: all, parallel: {parallel}" + "]")["all"] == ["x", "y", "z"]


@pytest.mark.parametrize("parallel", [1, "true"])
def test_with_only_output_the_last_result_is_kept(parallel: object) -> None:
    assert variables("steps: [" + EACH % f", output: o, parallel: {parallel}" + "]")["o"] == "z"


@pytest.mark.parametrize("parallel", [1, "true"])
def test_loop_variables_are_put_back(parallel: object) -> None:
    found = variables("steps: [" + EACH % f", parallel: {parallel}" + "]")
    assert found["item"] == "outer"
    assert "_loop_index" not in found


def test_loop_variables_are_put_back_after_a_failure() -> None:
    found = variables("steps: [" + EACH % ", on_error: fail" + "]", head="context: {items: [fail], item: outer}")
    assert found["item"] == "outer"


def test_nested_loops_shadow_each_other() -> None:
    inner = '{id: m, type: bash, command: "{{item}}{{_loop_iteration}}", foreach: "{{inner}}", collect: got}'
    after = '{id: n, type: bash, command: "{{got}}{{item}}{{_loop_index}}", output: seen}'
    body = f'steps: [{{id: l, foreach: "{{{{items}}}}", collect: all, steps: [{inner}, {after}]}}]'
    found = variables(body, head="context: {items: [x, y], inner: [p, q]}")
    assert found["all"] == ['["p1", "q2"]x0', '["p1", "q2"]y1']


def test_an_empty_list_skips_and_collects_nothing() -> None:
    found = variables("steps: [" + EACH % ", collect: all" + "]", head="context: {items: []}")
    assert (found["all"], found["_skipped_steps"]) == ([], ["l"])


@pytest.mark.parametrize(
    ("items", "words"), [("text", "parse_json"), ("{a: 1}", "dict"), ("[1, 2, 3]", "3 items.*max_iterations: 2")]
)
def test_what_can_not_be_looped_over_is_a_failure(items: str, words: str) -> None:
    walker = walked("steps: [" + EACH % ", max_iterations: 2" + "]", head=f"context: {{items: {items}}}")
    assert re.search(words, failure_of(walker).message)


def test_while_checks_first_and_counts() -> None:
    body = """
steps:
- {id: w, type: bash, command: "{{_loop_index}}{{_loop_iteration}}", while_condition: "{{go}} == yes",
   update_context: {go: "{{next}}", next: "no"}, collect: all}
"""
    found = variables(body, head='context: {go: "yes", next: "yes"}')
    assert found["all"] == ["01", "12"]


def test_while_ends_at_its_maximum() -> None:
    found = variables(
        "steps: [{id: w, type: bash, command: x, while_condition: 'true', max_while_iterations: 3, collect: all}]"
    )
    assert len(found["all"]) == 3


@pytest.mark.parametrize("parallel", [1, "true"])
def test_break_when_sees_output_and_ends_after_that_iteration(parallel: object) -> None:
    more = f", output: o, collect: all, parallel: {parallel}, break_when: \"{{{{o}}}} == 'y'\""
    assert variables("steps: [" + EACH % more + "]")["all"] == ["x", "y"]


@pytest.mark.parametrize("parallel", [1, "true"])
def test_a_break_when_that_can_not_be_read_is_a_warning(parallel: object) -> None:
    more = f', collect: all, parallel: {parallel}, break_when: "{{{{missing}}}} == 1"'
    walker = walked("steps: [" + EACH % more + "]", head=HEAD)
    assert walker.variables["all"] == ["x", "y", "z"]
    assert "break_when ignored" in walker.warnings[0]


@pytest.mark.parametrize("parallel", [1, "true"])
def test_an_update_context_that_can_not_be_rendered_is_a_failure(parallel: object) -> None:
    more = f', parallel: {parallel}, update_context: {{a: "{{{{missing}}}}"}}'
    walker = walked("steps: [" + EACH % more + "]", head=HEAD)
    assert "update_context" in failure_of(walker).message


def test_the_value_of_a_body_is_its_last_steps() -> None:
    two = '{id: a, type: bash, command: A}, {id: b, type: bash, command: "{{item}}"}'
    body = f'steps: [{{id: l, foreach: "{{{{items}}}}", collect: all, steps: [{two}]}}]'
    assert variables(body)["all"] == ["x", "y", "z"]


def test_results_keep_the_input_order_whatever_ends_first() -> None:
    walker = Walker(reverse=True)
    more = ", collect: all, parallel: true, output: o, break_when: \"{{o}} == 'y'\""
    walker.run(recipe("steps: [" + EACH % more + "]", head=HEAD))
    assert walker.leaves == ["l[2]", "l[1]", "l[0]"]
    assert walker.variables["all"] == ["x", "y"]


@pytest.mark.parametrize("reverse", [False, True])
def test_the_first_break_in_input_order_counts_whatever_ends_first(reverse: bool) -> None:
    walker = Walker(reverse=reverse)
    more = ", collect: all, parallel: true, output: o, break_when: \"{{o}} != 'x'\""
    walker.run(recipe("steps: [" + EACH % more + "]", head=HEAD))
    assert walker.variables["all"] == ["x", "y"]


def test_parallel_iterations_do_not_see_each_other() -> None:
    body = """
steps:
- {id: l, foreach: "{{items}}", parallel: true, collect: all,
   steps: [{id: a, type: bash, command: "{{shared}}{{item}}", output: shared}]}
"""
    found = variables(body, head="context: {items: [x, y], shared: s}")
    assert (found["all"], found["shared"]) == (["sx", "sy"], "s")


def test_a_failed_parallel_loop_fails_with_an_iterations_failure() -> None:
    walker = walked("steps: [" + EACH % ", parallel: true" + "]", head="context: {items: [x, fail, z]}")
    failure = failure_of(walker)
    assert failure.path == "l[1]"
    assert "1 of 3 iterations failed" in failure.message
