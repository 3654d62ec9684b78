"""``graph``: what follows what, in two notations that no recipe can break out of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from textwrap import dedent

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from tests.language.helpers import HEAD, load
from trio_recipes.frontends.cli.main import main
from trio_recipes.frontends.diagrams.dot import dot
from trio_recipes.frontends.diagrams.mermaid import mermaid
from trio_recipes.frontends.diagrams.outline import LONGEST_LINE, outline
from trio_recipes.frontends.diagrams.parts import Group, Item, Node, NodeKind, Outline
from trio_recipes.frontends.printable import in_one_line
from trio_recipes.language.load import parse_recipe
from trio_recipes.language.model import AgentStep, Recipe, RecipeStep


def unknown(caller: Recipe, step: RecipeStep) -> None:
    """No sub-recipe can be found."""


def drawn(steps: str, top: str = "") -> Outline:
    return outline(load(steps, top), unknown)


def nodes(items: Iterable[Item]) -> list[Node]:
    return [node for item in items for node in (nodes(item.items) if isinstance(item, Group) else [item])]


def groups(items: Iterable[Item]) -> list[Group]:
    return [found for item in items if isinstance(item, Group) for found in (item, *groups(item.items))]


def arrows(diagram: Outline) -> list[str]:
    """``a -yes-> b``, by the first line of each label; dotted ones with ``..>``."""
    names = {node.id: node.lines[0].partition(" ")[0] if node.lines else "+" for node in nodes(diagram.items)}
    return [
        f"{names[edge.source]} {f'-{edge.label}' if edge.label else ''}{'..>' if edge.dotted else '->'} "
        f"{names[edge.target]}"
        for edge in diagram.edges
    ]


def frames(diagram: Outline) -> dict[str, list[str]]:
    """The ids of the boxes in each frame, by the frame's whole label."""
    return {"; ".join(group.lines): [n.lines[0] for n in nodes(group.items)] for group in groups(diagram.items)}


BASH = "type: bash, command: ls"


def test_steps_follow_each_other() -> None:
    diagram = drawn(f"- {{id: a, {BASH}}}\n- {{id: b, agent: x, prompt: p}}")
    assert arrows(diagram) == ["example -> a", "a -> b", "b -> end"]
    assert [node.kind for node in nodes(diagram.items)] == ["start", "bash", "agent", "end"]


def test_a_condition_has_two_ways_on() -> None:
    diagram = drawn(f"- {{id: a, {BASH}, condition: '{{{{x}}}}'}}\n- {{id: b, {BASH}}}")
    assert arrows(diagram) == ["example -> {{x}}", "{{x}} -yes-> a", "a -> b", "{{x}} -no-> b", "b -> end"]


def test_loops_are_frames_that_repeat() -> None:
    diagram = drawn(
        f"""
        - {{id: a, {BASH}, foreach: "{{{{xs}}}}", as: x, parallel: 3, max_iterations: 7}}
        - {{id: b, {BASH}, foreach: "{{{{xs}}}}", parallel: true}}
        - id: c
          while_condition: "{{{{n}}}} < 3"
          break_when: "{{{{n}}}} == 2"
          on_error: continue
          steps: [{{id: d, {BASH}}}, {{id: e, {BASH}}}]
          finally: [{{id: f, {BASH}}}]
          cleanup_timeout: 12
        """
    )
    assert frames(diagram) == {
        "a: for each x of {{xs}}; at most 3 at once, at most 7 times": ["a"],
        "b: for each item of {{xs}}; all at once": ["b"],
        "c: while {{n}} < 3; until {{n}} == 2; on error: go on": ["d", "e", "f"],
        "finally, at most 12s": ["f"],
    }
    assert arrows(diagram) == [
        "example -> a",
        "a -next..> a",
        "a -> b",
        "b -> d",
        "d -> e",
        "e -always..> f",
        "f -next..> d",
        "f -> end",
    ]


def test_stages_have_gates() -> None:
    recipe = parse_recipe(
        HEAD
        + dedent(f"""
        stages:
          - name: one
            steps: [{{id: a, {BASH}}}]
            approval: {{required: true, prompt: Go?, timeout: 60, default: approve, by: human}}
          - {{name: two, steps: [{{id: b, {BASH}}}]}}
        """)
    )
    diagram = outline(recipe, unknown)
    assert frames(diagram) == {"stage one": ["a"], "stage two": ["b"]}
    (gate,) = [node for node in nodes(diagram.items) if node.kind is NodeKind.GATE]
    assert gate.lines == ("approval", "Go?", "no answer in 1m00s: approve", "by a person only")
    assert arrows(diagram) == ["example -> a", "a -> approval", "approval -approved-> b", "b -> end"]


def test_a_graph_follows_its_dependencies() -> None:
    steps = f"- {{id: a, {BASH}}}\n- {{id: b, {BASH}, depends_on: [a]}}\n- {{id: c, {BASH}}}\n"
    diagram = drawn(steps, "schedule: graph\nmax_parallel_steps: 2")
    assert arrows(diagram) == ["example -> a", "a -> b", "example -> c", "b -> end", "c -> end"]
    assert nodes(diagram.items)[0].lines == ("example 1.0.0", "as dependencies allow, at most 2 at once")


def test_wide_stages_meet_in_one_point() -> None:
    stage = "{{name: s{0}, schedule: graph, steps: [{{id: a{0}, {1}}}, {{id: b{0}, {1}}}]}}"
    recipe = parse_recipe(f"{HEAD}stages: [{stage.format(1, BASH)}, {stage.format(2, BASH)}]")
    assert arrows(outline(recipe, unknown))[2:6] == ["a1 -> +", "b1 -> +", "+ -> a2", "+ -> b2"]


def test_what_happens_when_work_is_slow_or_fails() -> None:
    step = "retry: {max_attempts: 3, backoff: linear}, timeout: 30, on_error: skip_remaining, on_interrupt: ask"
    label = nodes(drawn(f"- {{id: a, agent: x, prompt: p, {step}}}").items)[1].lines
    assert label[:2] == ("a", "agent x")
    assert label[2].startswith("timeout 30s, 3 attempts, linear back-off, on error: skip")


def test_sub_recipes_are_drawn_once_and_may_call_each_other() -> None:
    called = load("- {id: back, type: recipe, recipe: root.yaml}")
    root = load(
        """
        - {id: a, type: recipe, recipe: sub.yaml}
        - {id: b, type: recipe, recipe: sub.yaml}
        - {id: c, type: recipe, recipe: "{{x}}.yaml"}
        """
    )
    recipes = {"sub.yaml": evolve(called, name="sub"), "root.yaml": root}
    diagram = outline(root, lambda _, step: recipes.get(step.recipe.source))
    assert frames(diagram) == {"recipe sub": ["sub 1.0.0", "back", "end"]}
    assert [arrow for arrow in arrows(diagram) if "calls" in arrow] == [
        "a -calls..> sub",
        "b -calls..> sub",
        "c -calls..> {{x}}.yaml",
        "back -calls..> example",
    ]


# --- notations ---------------------------------------------------------------------------------------------------

SAFE = r"(?:[\w ,/?'(){}.-]|#\d+;|<br/>)*"
MERMAID_LINE = re.compile(
    rf'flowchart TD| *subgraph n\d+ \["{SAFE}"\]| *end| *n\d+[\[({{>/]+"{SAFE}"[\])}}/]+|'
    rf' *n\d+ (?:-->|-\.->)(?:\|"{SAFE}"\|)? n\d+'
)
DOT_TEXT = r'"(?:[^"\\\n&]|\\[\\"n]|&amp;)*"'
DOT_LINE = re.compile(
    rf"digraph recipe {{| *}}| *(?:node|edge) \[fontname={DOT_TEXT}\];| *fontname={DOT_TEXT};|"
    rf" *subgraph cluster_n\d+ {{|"
    rf" *label={DOT_TEXT}; style=\w+; labeljust=l;| *n\d+ \[label={DOT_TEXT}, [\w=, ]+\];|"
    rf" *n\d+ -> n\d+(?: \[[\w=, ]*(?:label={DOT_TEXT})?[\w=, ]*\])?;"
)

HOSTILE = st.text() | st.sampled_from(
    [
        '"] end --> n1["',
        "</script><b>&quot;#quot;#35;",
        "%%{init: {}}%% style x:#fff; `**b**` __i__",
        "1. list",
        "- list",
        "www.example.org",
        "$$x$$",
        "\\N\\l\\",
        "a\x1b[31m\r\n\u202eb\ud800",
    ]
)


def hostile(text: str) -> tuple[Outline, str]:
    """A recipe with a text at every place that takes one."""
    recipe = load("- {id: a, agent: x, prompt: p, foreach: '{{xs}}'}\n- {id: b, type: bash, command: c}")
    first, second = recipe.steps
    assert isinstance(first, AgentStep)
    steps = (evolve(first, agent=text), evolve(second, id=text))
    return outline(evolve(recipe, name=text, steps=steps), unknown), in_one_line(f"agent {text}", LONGEST_LINE)


@given(HOSTILE)
def test_no_text_breaks_out_of_mermaid(text: str) -> None:
    diagram, label = hostile(text)
    written = mermaid(diagram)
    assert [line for line in written.split("\n")[:-1] if not MERMAID_LINE.fullmatch(line)] == []
    assert label in re.sub(r"#(\d+);", lambda match: chr(int(match[1])), written)


@given(HOSTILE)
def test_no_text_breaks_out_of_dot(text: str) -> None:
    diagram, label = hostile(text)
    written = dot(diagram)
    assert [line for line in written.split("\n")[:-1] if not DOT_LINE.fullmatch(line)] == []
    assert label in re.sub(r"\\(.)", r"\1", written.replace("&amp;", "&"))


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("step-1_a.b v1.0.0", "step-1_a.b v1.0.0"),
        ("1. x", "1#46; x"),
        ("- x", "#45; x"),
        ("_x_", "#95;x#95;"),
        ("www.x", "www#46;x"),
        ("{{a}} == 'b'", "{{a}} #61;#61; 'b'"),
    ],
)
def test_mermaid_keeps_what_is_harmless(text: str, escaped: str) -> None:
    written = mermaid(Outline((Node("n1", NodeKind.BASH, (text,)),), ()))
    assert written == f'flowchart TD\n  n1["{escaped}"]\n'


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    (tmp_path / "sub.yaml").write_text(f"{HEAD}steps: [{{id: deep, {BASH}}}]")
    file = tmp_path / "r.yaml"
    file.write_text(f"{HEAD}steps: [{{id: a, type: recipe, recipe: sub.yaml}}]")
    return file


@pytest.mark.parametrize(("options", "begin"), [([], "flowchart TD\n"), (["--format", "dot"], "digraph recipe {\n")])
def test_the_command_follows_sub_recipes(
    recipe_file: Path, options: list[str], begin: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["graph", str(recipe_file), *options]) == 0
    output = capfd.readouterr().out
    assert output.startswith(begin)
    assert "deep" in output


@pytest.mark.parametrize("broken", ["r.yaml", "sub.yaml"])
def test_an_invalid_recipe_is_refused(recipe_file: Path, broken: str, capfd: pytest.CaptureFixture[str]) -> None:
    recipe_file.with_name(broken).write_text("name: 3")
    assert main(["graph", str(recipe_file)]) == 2
    assert broken in capfd.readouterr().err


def test_the_schema_is_printed_without_a_recipe(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--schema"]) == 0
    assert '"$schema": "https://json-schema.org/draft/2020-12/schema"' in capfd.readouterr().out
