"""Section 1: the document and its stages."""

from pathlib import Path

import pytest

from tests.conformance.claims import HEAD, flat, refused, run, staged, told

STEP = "- {id: a, type: bash, command: 'true'}"


def headed(**changes: str) -> str:
    """A recipe with one key of its head set to something else; with an empty text, left out."""
    head = {"name": "claim", "description": "d", "version": "1.0.0"} | changes
    lines = "".join(f"{key}: {value}\n" for key, value in head.items() if value)
    return f"{lines}steps:\n  {STEP}\n"


@pytest.mark.parametrize("name", ["claim", "A-b_9", "x" * 100, "'9'"])
def test_names_that_are_right(tmp_path: Path, name: str) -> None:
    assert told(headed(name=name), tmp_path) == ""


@pytest.mark.parametrize("name", ["''", "a b", "a.b", "x" * 101, "1", "[a]"])
def test_names_that_are_wrong(tmp_path: Path, name: str) -> None:
    assert ": name: " in told(headed(name=name), tmp_path)


@pytest.mark.parametrize("key", ["name", "description", "version"])
def test_what_is_required(tmp_path: Path, key: str) -> None:
    assert refused(headed(**{key: ""}), tmp_path)
    assert key in told(headed(**{key: ""}), tmp_path)


def test_a_long_description_is_a_warning(tmp_path: Path) -> None:
    assert told(headed(description="d" * 500), tmp_path) == ""
    assert "warning: description" in told(headed(description="d" * 501), tmp_path)
    assert not refused(headed(description="d" * 501), tmp_path)


@pytest.mark.parametrize("version", ["0.0.0", "10.20.30"])
def test_versions_that_are_right(tmp_path: Path, version: str) -> None:
    assert told(headed(version=version), tmp_path) == ""


@pytest.mark.parametrize("version", ["v1.0.0", "1.0", "1.0.0-rc1", "1.0.0+b", "1.0.x", "1"])
def test_versions_that_are_wrong(tmp_path: Path, version: str) -> None:
    assert "version" in told(headed(version=version), tmp_path)


def test_what_is_for_people(tmp_path: Path) -> None:
    head = "author: Somebody\ncreated: 2026-01-02\nupdated: '2026-01-02T03:04:05Z'\ntags: [one, two]"
    assert told(flat(STEP, head), tmp_path) == ""
    assert "tags" in told(flat(STEP, "tags: one"), tmp_path)
    assert "tags[0]" in told(flat(STEP, "tags: [[x]]"), tmp_path)


async def test_a_callers_variables_override_the_context(tmp_path: Path) -> None:
    text = flat("- {id: a, agent: x, prompt: '{{x}}-{{y}}'}", "context: {x: 1, y: [2, {z: null}]}")
    assert (await run(text, tmp_path)).prompts == ['1-[2, {"z": null}]']
    assert (await run(text, tmp_path, x="ours")).prompts == ['ours-[2, {"z": null}]']


@pytest.mark.parametrize(
    ("recursion", "right"),
    [
        ("{max_depth: 1, max_total_steps: 1}", True),
        ("{max_depth: 20, max_total_steps: 1000}", True),
        ("{max_depth: 0}", False),
        ("{max_depth: 21}", False),
        ("{max_total_steps: 0}", False),
        ("{max_total_steps: 1001}", False),
        ("{max_depth: '5'}", False),
        ("5", False),
    ],
)
def test_recursion(tmp_path: Path, recursion: str, right: bool) -> None:
    assert ("recursion" in told(flat(STEP, f"recursion: {recursion}"), tmp_path)) is not right


async def test_the_orchestrators_config_reaches_the_backend(tmp_path: Path) -> None:
    head = "orchestrator: {config: {min_delay_between_calls_ms: 0, theirs: [1]}}"
    ran = await run(flat("- {id: a, agent: x, prompt: hi}", head), tmp_path)
    assert ran.requests[0].orchestrator == {"config": {"min_delay_between_calls_ms": 0, "theirs": [1]}}
    wrong = flat(STEP, "orchestrator: {config: {min_delay_between_calls_ms: -1}}")
    assert "min_delay_between_calls_ms" in told(wrong, tmp_path)


@pytest.mark.parametrize("above", ["", "orchestrator: {config: {theirs: 0}}"])
async def test_the_orchestrators_config_of_the_caller_holds_for_the_called(tmp_path: Path, above: str) -> None:
    below = "orchestrator: {config: {theirs: 1}}"
    (tmp_path / "sub.yaml").write_text(flat("- {id: a, agent: x, prompt: hi}", below))
    ran = await run(flat("- {id: call, type: recipe, recipe: sub.yaml}", above), tmp_path)
    assert ran.requests[0].orchestrator == {"config": {"theirs": 0 if above else 1}}


def test_exactly_one_of_steps_and_stages_with_at_least_one_entry(tmp_path: Path) -> None:
    both = f"{HEAD}steps:\n  {STEP}\nstages:\n  - {{name: s, steps: [{{id: b, type: bash, command: 'true'}}]}}\n"
    assert "has one of them" in told(both, tmp_path)
    assert "needs 'steps'" in told(HEAD, tmp_path)
    assert refused(f"{HEAD}steps: []\n", tmp_path)
    assert refused(f"{HEAD}stages: []\n", tmp_path)
    assert refused(f"{HEAD}stages:\n  - {{name: s, steps: []}}\n", tmp_path)


def test_unknown_keys_of_the_document_are_warnings_with_a_suggestion(tmp_path: Path) -> None:
    said = told(flat(STEP, "descripton: x"), tmp_path)
    assert "warning" in said
    assert "did you mean 'description'" in said
    assert not refused(flat(STEP, "descripton: x"), tmp_path)


@pytest.mark.parametrize("text", ["- a list\n", "just text\n", "", "5\n"])
def test_what_is_no_mapping(tmp_path: Path, text: str) -> None:
    assert "mapping" in told(text, tmp_path)


def test_a_bad_type_is_told_with_file_line_field_and_value(tmp_path: Path) -> None:
    said = told(flat("- id: a\n  type: bash\n  command: 'true'\n  timeout: soon"), tmp_path)
    assert said.startswith(f"{tmp_path / 'claim.yaml'}:9:")
    assert "steps[0].timeout" in said
    assert "'soon'" in said


def test_all_problems_are_reported_together(tmp_path: Path) -> None:
    said = told(flat("- {id: a, type: bash}\n- {id: a, agent: 5}\n- {id: c, typ: bash}", "tags: 5"), tmp_path)
    for field in ("tags", "steps[0]", "steps[1]", "steps[2]"):
        assert field in said


def test_no_tag_constructs_an_object(tmp_path: Path) -> None:
    text = flat(STEP, "context: {x: !!python/object/apply:os.system ['touch harmed']}")
    assert refused(text, tmp_path)
    assert not (tmp_path / "harmed").exists()


def test_text_is_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "claim.yaml"
    file.write_bytes(headed(description="\u00fc").encode("latin-1"))
    from trio_recipes import validate_recipe  # noqa: PLC0415

    assert "is not UTF-8" in str(validate_recipe(file)[0])


# --- stages ------------------------------------------------------------------------------------------------------

STEPS = "steps: [{id: a, type: bash, command: 'true'}]"


@pytest.mark.parametrize(
    ("name", "right"), [("Part one-b_9", True), ("x" * 100, True), ("x" * 101, False), ("a/b", False)]
)
def test_names_of_stages(tmp_path: Path, name: str, right: bool) -> None:
    assert refused(staged(f"- {{name: '{name}', {STEPS}}}"), tmp_path) is not right


def test_stages_have_names_of_their_own_and_so_have_steps_across_them(tmp_path: Path) -> None:
    other = "steps: [{id: b, type: bash, command: 'true'}]"
    assert told(staged(f"- {{name: one, {STEPS}}}\n- {{name: two, {other}}}"), tmp_path) == ""
    assert refused(staged(f"- {{name: one, {STEPS}}}\n- {{name: one, {other}}}"), tmp_path)
    assert refused(staged(f"- {{name: one, {STEPS}}}\n- {{name: two, {STEPS}}}"), tmp_path)


@pytest.mark.parametrize(
    ("approval", "right"),
    [
        ("{required: true, prompt: 'go on with {{a}}?'}", True),
        ("{required: true, prompt: p, timeout: 0, default: approve}", True),
        ("{required: false}", True),
        ("{required: true}", False),
        ("{required: true, prompt: p, timeout: -1}", False),
        ("{required: true, prompt: p, default: maybe}", False),
        ("{required: 'yes', prompt: p}", False),
    ],
)
def test_approvals(tmp_path: Path, approval: str, right: bool) -> None:
    steps = "steps: [{id: s, type: bash, command: 'true', output: a}]"
    assert refused(staged(f"- {{name: one, {steps}, approval: {approval}}}"), tmp_path) is not right
