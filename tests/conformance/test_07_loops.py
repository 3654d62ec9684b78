"""Section 7: foreach, while, break_when, bodies."""

from pathlib import Path

import pytest

from tests.conformance.claims import bash, flat, refused, run, told

CONTEXT = "context: {l: [a, b, c], none: [], deep: {er: [1, 2]}, text: words}"


async def looped(tmp_path: Path, command: str, fields: str, **more: object) -> object:
    step = f"- {{id: s, type: bash, command: {command!r}, {fields}}}"
    return await run(flat(step, CONTEXT), tmp_path, **more)  # type: ignore[arg-type]


# --- foreach -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parallel", ["false", "true", "1", "2"])
async def test_results_come_in_input_order(tmp_path: Path, parallel: str) -> None:
    command = "case {{item}} in a) sleep 0.05;; esac; echo got {{item}}"
    ran = await run(
        flat(bash("s", command, foreach="'{{l}}'", parallel=parallel, collect="all", output="last"), CONTEXT), tmp_path
    )
    assert ran["all"] == ["got a\n", "got b\n", "got c\n"]
    assert "item" not in ran


async def test_with_only_output_the_last_result(tmp_path: Path) -> None:
    ran = await run(
        flat(bash("s", "echo got {{x}}", foreach="'{{deep.er}}'", as_="x", output="last"), CONTEXT), tmp_path
    )
    assert ran["last"] == "got 2\n"


@pytest.mark.parametrize("items", ["'{{l}} and more'", "'{{l}}{{l}}'", "l", "[1, 2]", "'{{ l }}'"])
def test_the_list_is_one_reference(tmp_path: Path, items: str) -> None:
    assert refused(flat(bash("s", "true", foreach=items), CONTEXT), tmp_path)


async def test_what_is_no_list_fails(tmp_path: Path) -> None:
    assert "list" in (await run(flat(bash("s", "true", foreach="'{{text}}'"), CONTEXT), tmp_path)).message


async def test_an_empty_list_is_skipped_and_collects_nothing(tmp_path: Path) -> None:
    steps = bash("s", "echo x >> ran", foreach="'{{none}}'", collect="all") + bash(
        "t", "echo {{_skipped_steps}}", output="o"
    )
    ran = await run(flat(steps, CONTEXT), tmp_path)
    assert (ran["all"], ran["o"], ran.lines()) == ([], "[s]\n", [])


async def test_a_longer_list_than_max_iterations_fails_with_both_numbers(tmp_path: Path) -> None:
    ran = await run(flat(bash("s", "echo >> ran", foreach="'{{l}}'", max_iterations=2), CONTEXT), tmp_path)
    assert ("3" in ran.message, "2" in ran.message, ran.lines()) == (True, True, [])
    hundred_and_one = await run(flat(bash("s", "true", foreach="'{{many}}'")), tmp_path, many=list(range(101)))
    assert "101" in hundred_and_one.message
    assert "100" in hundred_and_one.message


async def test_the_condition_is_evaluated_once_before_the_loop(tmp_path: Path) -> None:
    steps = bash("s", "echo {{item}}", foreach="'{{l}}'", condition="'{{go}} == 1'", output="go", collect="all")
    assert (await run(flat(steps, CONTEXT), tmp_path, go=1))["all"] == ["a\n", "b\n", "c\n"]


@pytest.mark.parametrize(
    ("parallel", "right"), [("true", True), ("3", True), ("0", False), ("-1", False), ("'yes'", False)]
)
def test_what_parallel_may_be(tmp_path: Path, parallel: str, right: bool) -> None:
    assert refused(flat(bash("s", "true", foreach="'{{l}}'", parallel=parallel), CONTEXT), tmp_path) is not right


async def test_parallel_iterations_see_a_copy_of_the_variables(tmp_path: Path) -> None:
    body = (
        "- id: s\n  foreach: '{{l}}'\n  parallel: true\n  collect: all\n  steps:\n"
        "    - {id: one, type: bash, command: 'echo {{item}}', output: mine}\n"
        "    - {id: two, type: bash, command: 'echo {{mine}}', output: seen}\n"
    )
    ran = await run(flat(body, CONTEXT), tmp_path)
    assert [text.strip() for text in ran["all"]] == ["a", "b", "c"]
    assert "mine" not in ran


@pytest.mark.parametrize("parallel", ["false", "true"])
async def test_under_continue_a_failed_iteration_is_null_and_reported(tmp_path: Path, parallel: str) -> None:
    loop = f"foreach: '{{{{l}}}}', parallel: {parallel}, collect: all, on_error: continue"
    step = f"- {{id: s, agent: x, prompt: '{{{{item}}}}', {loop}}}"

    def answer(request: object) -> str:
        if getattr(request, "prompt") == "b":  # noqa: B009
            raise RuntimeError("no")
        return "fine"

    ran = await run(flat(step, CONTEXT), tmp_path, answers={"s": answer})
    assert (ran.status, ran["all"]) == ("completed", ["fine", None, "fine"])


def test_checkpoint_iterations_needs_foreach_and_excludes_parallel(tmp_path: Path) -> None:
    assert not refused(flat(bash("s", "true", foreach="'{{l}}'", checkpoint_iterations="true"), CONTEXT), tmp_path)
    assert refused(flat(bash("s", "true", checkpoint_iterations="true"), CONTEXT), tmp_path)
    both = bash("s", "true", foreach="'{{l}}'", checkpoint_iterations="true", parallel="true")
    assert refused(flat(both, CONTEXT), tmp_path)


# --- while -------------------------------------------------------------------------------------------------------


async def test_the_order_within_an_iteration(tmp_path: Path) -> None:
    step = (
        "- id: s\n  type: bash\n  command: echo {{n}}{{_loop_index}}{{_loop_iteration}} >> ran; echo {{n}}\n"
        "  while_condition: '{{n}} != xxx'\n  output: was\n  update_context: {n: '{{n}}x', seen: '{{was}}'}\n"
        "  break_when: '{{n}} == never'\n  collect: all\n"
    )
    ran = await run(flat(step), tmp_path, n="")
    assert ran.lines() == ["01", "x12", "xx23"]
    assert (ran["n"], ran["seen"], len(ran["all"])) == ("xxx", "xx\n", 3)
    assert "_loop_index" not in ran


@pytest.mark.parametrize(
    ("fields", "right"),
    [
        ("while_condition: '{{go}} == 1'", True),
        ("while_condition: 'true'", True),
        ("while_condition: 'yes'", False),
        ("while_condition: 'true', max_while_iterations: 1000", True),
        ("while_condition: 'true', max_while_iterations: 1001", False),
        ("while_condition: 'true', max_while_iterations: 0", False),
        ("while_condition: 'true', foreach: '{{l}}'", False),
        ("break_when: '1 == 1'", False),
        ("steps: [{id: b, type: bash, command: 'true'}]", False),
        ("while_condition: 'true', update_context: {recipe: y}", False),
        ("while_condition: 'true', update_context: {a-b: y}", False),
    ],
)
def test_fields_of_loops(tmp_path: Path, fields: str, right: bool) -> None:
    text = flat(f"- {{id: s, type: bash, command: 'true', {fields}}}", "context: {go: 0, l: [1]}")
    assert refused(text, tmp_path) is not right, told(text, tmp_path)


async def test_at_most_a_hundred_times_unless_told_otherwise(tmp_path: Path) -> None:
    ran = await run(
        flat(
            "- {id: s, agent: x, prompt: p, while_condition: 'true', collect: all}",
            "recursion: {max_total_steps: 1000}",
        ),
        tmp_path,
    )
    assert len(ran["all"]) == 100


async def test_a_condition_that_is_false_at_first_runs_nothing(tmp_path: Path) -> None:
    ran = await run(flat(bash("s", "echo >> ran", while_condition="'{{go}} == 1'", collect="all")), tmp_path, go=0)
    assert (ran.lines(), ran.status) == ([], "completed")


@pytest.mark.parametrize("loop", ["foreach: '{{l}}'", "while_condition: 'true'"])
async def test_break_when_works_in_both_loops(tmp_path: Path, loop: str) -> None:
    fields = f"{loop}, output: n, break_when: '{{{{n}}}} == 2', collect: all"
    step = f"- {{id: s, type: bash, command: 'echo x >> ran; wc -l < ran', {fields}}}"
    ran = await run(flat(step, CONTEXT), tmp_path)
    assert ran["all"] == [1, 2]


# --- bodies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["steps", "while_steps"])
async def test_a_body_has_steps_of_every_kind_and_its_value_is_the_last_ones(tmp_path: Path, key: str) -> None:
    step = (
        f"- id: s\n  foreach: '{{{{l}}}}'\n  collect: all\n  {key}:\n"
        "    - {id: one, type: bash, command: 'printf {{item}}', output: one}\n"
        "    - {id: never, type: bash, command: 'echo >> ran', condition: '1 == 2'}\n"
        "    - {id: inner, type: bash, command: 'echo {{one}}{{n}}', foreach: '{{deep.er}}', as: n, output: inner}\n"
    )
    ran = await run(flat(step, CONTEXT), tmp_path)
    assert ["".join(value.split()) for value in ran["all"]] == ["a2", "b2", "c2"]
    assert ran.lines() == []
