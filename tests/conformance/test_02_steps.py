"""Section 2: fields of every kind of step, and those of agent, bash and recipe steps."""

import sys
from pathlib import Path

import pytest

from tests.conformance.claims import HEAD, bash, flat, refused, run, told

AGENT = "agent: x, prompt: p"
BASH = "type: bash, command: 'true'"
RECIPE = "type: recipe, recipe: sub.yaml"
SUB = flat("- {id: in, type: bash, command: 'echo {{given}}', output: out}", "context: {given: nothing}")


def step(fields: str, name: str = "a") -> str:
    return f"- {{id: {name}, {fields}}}\n"


# --- of every kind -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "right"),
    [
        (f"id: a_B-9, {BASH}", True),
        (f"id: 'a b', {BASH}", False),
        (f"id: 'a/b', {BASH}", False),
        (BASH, False),  # no id
        ("id: a, agent: x, prompt: p", True),  # `agent` is the default kind
        ("id: a, type: robot, command: x", False),
        (f"id: a, {BASH}, output: x_9", True),
        (f"id: a, {BASH}, output: x-9", False),
        (f"id: a, {BASH}, output: recipe", False),
        (f"id: a, {BASH}, output: session", False),
        (f"id: a, {BASH}, output: step", False),
        (f"id: a, {BASH}, timeout: 1", True),
        (f"id: a, {BASH}, timeout: 0", False),
        (f"id: a, {BASH}, timeout: -1", False),
        (f"id: a, {BASH}, retry: {{max_attempts: 1, backoff: linear, initial_delay: 0, max_delay: 1}}", True),
        (f"id: a, {BASH}, retry: {{max_attempts: 0}}", False),
        (f"id: a, {BASH}, retry: {{backoff: sometimes}}", False),
        (f"id: a, {BASH}, retry: 3", False),
        (f"id: a, {BASH}, on_error: continue", True),
        (f"id: a, {BASH}, on_error: skip_remaining", True),
        (f"id: a, {BASH}, on_error: fail", True),
        (f"id: a, {BASH}, on_error: ignore", False),
        (f"id: a, {BASH}, parse_json: 'yes'", False),
        (f"id: a, {BASH}, depends_on: [a]", False),
        (f"id: a, {BASH}, depends_on: [nobody]", False),
    ],
)
def test_fields_of_every_kind(tmp_path: Path, fields: str, right: bool) -> None:
    assert refused(flat(f"- {{{fields}}}"), tmp_path) is not right


def test_a_long_id_is_a_warning(tmp_path: Path) -> None:
    assert told(flat(step(BASH, "x" * 50)), tmp_path) == ""
    assert "warning" in told(flat(step(BASH, "x" * 51)), tmp_path)


def test_ids_are_unique(tmp_path: Path) -> None:
    assert refused(flat(step(BASH) + step(BASH)), tmp_path)


def test_depends_on_names_what_stands_earlier(tmp_path: Path) -> None:
    assert not refused(flat(step(BASH) + step(f"{BASH}, depends_on: [a]", "b")), tmp_path)
    assert refused(flat(step(f"{BASH}, depends_on: [b]") + step(BASH, "b")), tmp_path)


def test_unknown_keys_are_errors_with_a_suggestion(tmp_path: Path) -> None:
    said = told(flat(step(f"{BASH}, timeot: 3")), tmp_path)
    assert "did you mean 'timeout'" in said
    assert refused(flat(step(f"{BASH}, timeot: 3")), tmp_path)


@pytest.mark.parametrize(
    ("fields", "kind", "key"),
    [
        (f"{BASH}, prompt: p", "bash", "prompt"),
        (f"{BASH}, agent: x", "bash", "agent"),
        (f"{BASH}, mode: m", "bash", "mode"),
        (f"{BASH}, recipe: r.yaml", "bash", "recipe"),
        (f"{BASH}, context: {{}}", "bash", "context"),
        (f"{AGENT}, command: c", "agent", "command"),
        (f"{AGENT}, recipe: r.yaml", "agent", "recipe"),
        (f"{RECIPE}, prompt: p", "recipe", "prompt"),
        (f"{RECIPE}, command: c", "recipe", "command"),
        (f"{RECIPE}, spawn_mode: subprocess", "recipe", "spawn_mode"),
    ],
)
def test_keys_of_another_kind_of_step_are_told_as_such(tmp_path: Path, fields: str, kind: str, key: str) -> None:
    (tmp_path / "sub.yaml").write_text(SUB)
    assert f"{kind} steps cannot have '{key}'" in told(flat(step(fields)), tmp_path)


async def test_a_false_condition_skips_the_step_and_leaves_its_output_undefined(tmp_path: Path) -> None:
    steps = bash("a", "echo ran >> ran", condition="'1 == 2'", output="x") + bash(
        "b", "echo {{_skipped_steps}}", output="y"
    )
    ran = await run(flat(steps), tmp_path)
    assert ("x" in ran, ran["y"], ran.lines()) == (False, "[a]\n", [])


async def test_no_output_no_variable(tmp_path: Path) -> None:
    ran = await run(flat(bash("a", "echo x") + bash("b", "echo y", output="b")), tmp_path)
    assert dict(ran.result.context) == {"b": "y\n"}


async def test_a_retry_without_max_attempts_means_three_and_none_means_one(tmp_path: Path) -> None:
    fails = "echo x >> ran; exit 1"
    await run(flat(bash("a", fails, retry="{initial_delay: 0}")), tmp_path)
    assert len((tmp_path / "ran").read_text().split()) == 3
    (tmp_path / "ran").unlink()
    await run(flat(bash("a", fails)), tmp_path)
    assert len((tmp_path / "ran").read_text().split()) == 1


# --- agent -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "right"),
    [
        ("prompt: p", False),
        ("agent: x", False),
        ("foreach: '{{l}}', steps: [{id: b, agent: x, prompt: p}]", True),  # the body asks
        (f"{AGENT}, mode: ANALYZE, agent_config: {{temperature: 0}}, provider: p, model: 'm-*'", True),
        (f"{AGENT}, provider_preferences: [{{provider: p, model: m}}, {{class: fast}}]", True),
        (f"{AGENT}, provider_preferences: []", False),
        (f"{AGENT}, provider_preferences: [{{model: m}}]", False),
        (f"{AGENT}, provider_preferences: [{{class: cheap}}]", False),
        (f"{AGENT}, provider_preferences: [{{provider: p}}], model: m", False),
        (f"{AGENT}, provider_preferences: [{{provider: p}}], provider: p", False),
        (f"{AGENT}, model_role: reviewer", True),
        (f"{AGENT}, model_role: reviewer, model: m", False),
        (f"{AGENT}, model_role: reviewer, provider_preferences: [{{provider: p}}]", False),
        (f"{AGENT}, spawn_mode: subprocess", True),
        (f"{AGENT}, spawn_mode: thread", False),
    ],
)
def test_fields_of_agent_steps(tmp_path: Path, fields: str, right: bool) -> None:
    assert refused(flat(step(fields), "context: {l: [1]}"), tmp_path) is not right


async def test_what_an_agent_is_asked(tmp_path: Path) -> None:
    fields = "agent: 'b:one', prompt: 'about {{x}}', mode: ANALYZE, parse_json: true, spawn_mode: subprocess"
    ran = await run(flat(step(fields), "context: {x: birds}"), tmp_path)
    (request,) = ran.requests
    assert request.prompt.startswith("MODE: ANALYZE\n\nabout birds")
    assert "JSON" in request.prompt
    assert (request.agent, request.mode, request.spawn_mode) == ("b:one", "ANALYZE", "subprocess")


# --- bash --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["''", "'  '", "null"])
def test_a_command_is_not_blank(tmp_path: Path, command: str) -> None:
    assert refused(flat(f"- {{id: a, type: bash, command: {command}}}"), tmp_path)


async def test_cwd_is_relative_to_the_project_and_must_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    ran = await run(flat(bash("a", "pwd", cwd="'{{d}}'", output="where"), "context: {d: deep}"), tmp_path)
    assert ran["where"].strip() == str((tmp_path / "deep").resolve())
    for wrong in ("nowhere", "claim.yaml"):
        assert "cwd" in (await run(flat(bash("a", "pwd", cwd=wrong)), tmp_path)).message


async def test_env_is_templated_and_added_to_what_is_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHERITED", "here")
    ran = await run(
        flat(bash("a", "echo $INHERITED $MADE", env="{MADE: '{{x}}'}", output="o"), "context: {x: too}"), tmp_path
    )
    assert ran["o"] == "here too\n"


async def test_the_exit_code_as_a_string(tmp_path: Path) -> None:
    ran = await run(flat(bash("a", "exit 3", output_exit_code="code", on_error="continue")), tmp_path)
    assert ran["code"] == "3"
    assert (await run(flat(bash("a", "true", output_exit_code="code")), tmp_path))["code"] == "0"


async def test_a_group_of_its_own_with_empty_stdin(tmp_path: Path) -> None:
    command = 'read line; echo "$line"; ps -o pgid= -p $$ | tr -d " "; echo $$'
    read, group, pid = (await run(flat(bash("a", command, output="o")), tmp_path))["o"].splitlines()
    assert (read, group) == ("", pid)


async def test_output_is_captured_whole_and_what_is_no_utf_8_is_replaced(tmp_path: Path) -> None:
    ran = await run(flat(bash("a", r"head -c 300000 /dev/zero | tr '\0' x; printf '\377'", output="o")), tmp_path)
    assert ran["o"] == "x" * 300_000 + "\ufffd"


@pytest.mark.parametrize("variable", ["AMPLIFIER_PYTHON", "TRIO_RECIPES_PYTHON"])
async def test_the_running_interpreter(tmp_path: Path, variable: str) -> None:
    assert (await run(flat(bash("a", f"echo ${variable}", output="o")), tmp_path))["o"].strip() == sys.executable


async def test_a_non_zero_exit_fails_with_code_and_stderr(tmp_path: Path) -> None:
    ran = await run(flat(bash("a", "echo oops >&2; exit 7")), tmp_path)
    assert (ran.status, "7" in ran.message, "oops" in ran.message) == ("failed", True, True)


async def test_under_continue_a_non_zero_exit_gives_stdout(tmp_path: Path) -> None:
    ran = await run(flat(bash("a", "echo so far; exit 7", on_error="continue", output="o")), tmp_path)
    assert (ran.status, ran["o"]) == ("completed", "so far\n")


# --- recipe ------------------------------------------------------------------------------------------------------


async def test_a_sub_recipe_sees_only_what_it_is_given_over_its_own_defaults(tmp_path: Path) -> None:
    given = step(f"{RECIPE}, context: {{given: '{{{{mine}}}}'}}, output: got")
    ran = await run(flat(given, "context: {mine: a gift, other: 1}"), tmp_path, files={"sub.yaml": SUB})
    assert ran["got"] == {"out": "a gift\n"}
    ran = await run(
        flat(step(f"{RECIPE}, output: got"), "context: {given: not passed}"), tmp_path, files={"sub.yaml": SUB}
    )
    assert ran["got"]["out"] == "nothing\n"


async def test_the_result_leaves_out_what_was_given_and_the_engines_own(tmp_path: Path) -> None:
    steps = bash("s", "false", condition="'1 == 2'") + bash("t", "echo 3", output="new")
    sub = flat(steps, "context: {given: 1, default: 2}")
    text = flat(step(f"{RECIPE}, context: {{given: 5}}, output: got"))
    got = (await run(text, tmp_path, files={"sub.yaml": sub}))["got"]
    assert got == {"default": 2, "new": 3}


async def test_paths_are_templates_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "outer.yaml").write_text(
        f"{HEAD}steps:\n  - {{id: o, type: recipe, recipe: sub.yaml, output: it}}\n"
    )
    (tmp_path / "in" / "sub.yaml").write_text(SUB)
    ran = await run(
        flat(step("type: recipe, recipe: '{{where}}/outer.yaml', output: got"), "context: {where: in}"), tmp_path
    )
    assert ran["got"]["it"]["out"] == "nothing\n"
