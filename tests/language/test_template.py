"""Sentences of recipe-language.md section 4."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_recipes.errors import TemplateError
from trio_recipes.language.template import Template, render_tree
from trio_recipes.values import Value

VARIABLES: dict[str, Value] = {
    "name": "Ada",
    "yes": True,
    "no": False,
    "nothing": None,
    "count": 3,
    "half": 0.5,
    "items": [1, "é"],
    "tree": {"leaf": {"colour": "red"}, "flag": True},
    "sneaky": "{{name}}",
    "größe": "unicode",
}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        pytest.param("", "", id="empty"),
        pytest.param("plain", "plain", id="no-reference"),
        pytest.param("Hello {{name}}!", "Hello Ada!", id="reference"),
        pytest.param("{{tree.leaf.colour}}", "red", id="dotted"),
        pytest.param("{{yes}} {{no}}", "true false", id="booleans"),
        pytest.param("{{nothing}}", "None", id="null"),
        pytest.param("{{count}}{{half}}", "30.5", id="numbers"),
        pytest.param("{{items}}", '[1, "é"]', id="list-as-json"),
        pytest.param("{{tree.leaf}}", '{"colour": "red"}', id="mapping-as-json"),
        pytest.param("{{ name }}", "{{ name }}", id="spaces-are-text"),
        pytest.param("{{#if name}}x{{/if}}", "{{#if name}}x{{/if}}", id="blocks-are-text"),
        pytest.param("{{name|upper}} {{items[0]}}", "{{name|upper}} {{items[0]}}", id="filters-are-text"),
        pytest.param("{{tree.}} {{.leaf}} {{}}", "{{tree.}} {{.leaf}} {{}}", id="half-references-are-text"),
        pytest.param("{{{name}}}", "{Ada}", id="third-brace-is-text"),
        pytest.param("{{sneaky}}", "{{name}}", id="one-pass-only"),
        pytest.param("{{größe}}", "unicode", id="letters-of-any-script"),
    ],
)
def test_renders(text: str, rendered: str) -> None:
    assert Template.parse(text).render(VARIABLES) == rendered


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("{{nmae}}", ["'nmae'", "did you mean 'name'", "count, größe"], id="unknown"),
        pytest.param("{{tree.leef}}", ["'tree' has no key 'leef'", "did you mean 'leaf'"], id="unknown-part"),
        pytest.param("{{name.first}}", ["'name' is a string", "parse_json: true"], id="part-of-text"),
        pytest.param("{{items.0}}", ["'items' is a list", "parse_json: true"], id="part-of-list"),
        pytest.param("{{tree.flag.x}}", ["'tree.flag' is a boolean"], id="part-of-part"),
    ],
)
def test_says_what_is_missing(text: str, words: list[str]) -> None:
    with pytest.raises(TemplateError) as caught:
        Template.parse(text).render(VARIABLES)
    assert [word for word in words if word not in str(caught.value)] == []


def test_lists_at_most_thirty_names() -> None:
    variables: dict[str, Value] = {f"v{number:03}": 1 for number in range(100)}
    with pytest.raises(TemplateError, match=r"v029 and 70 more"):
        Template.parse("{{x}}").render(variables)


@pytest.mark.parametrize("name", ["yes", "nothing", "count", "items", "tree"])
def test_value_keeps_its_type_where_the_text_is_one_reference(name: str) -> None:
    template = Template.parse(f"{{{{{name}}}}}")
    assert template.is_single_reference
    assert template.value(VARIABLES) is VARIABLES[name]


@pytest.mark.parametrize("text", ["", "x", " {{count}}", "{{count}}\n", "{{count}}{{count}}", "{{ count }}"])
def test_value_is_text_otherwise(text: str) -> None:
    template = Template.parse(text)
    assert not template.is_single_reference
    assert template.value(VARIABLES) == template.render(VARIABLES)


def test_trees_are_rendered_recursively_and_keep_types() -> None:
    tree: Value = {"a": ["{{items}}", "n={{count}}", 7], "{{name}}": {"b": "{{yes}}", "c": None}}
    assert render_tree(tree, VARIABLES) == {"a": [[1, "é"], "n=3", 7], "{{name}}": {"b": True, "c": None}}


def test_skipped_steps_are_named_where_a_variable_is_missing() -> None:
    with pytest.raises(TemplateError, match=r"a step that is skipped sets nothing: skipped are both, deep$"):
        Template.parse("{{result}}").render({"_skipped_steps": ["deep", "both"]})
    with pytest.raises(TemplateError, match=r"\(there are: _skipped_steps\)$"):
        Template.parse("{{result}}").render({"_skipped_steps": []})


def test_references_are_in_order_with_repetitions() -> None:
    assert Template.parse("{{b.c}} {{a}} {{b.c}}").references == ("b.c", "a", "b.c")


@given(st.text(alphabet="{} ab.x#\n"))
def test_any_text_is_a_template_and_only_references_change(text: str) -> None:
    template = Template.parse(text)
    assert template.source == text
    names = {reference.partition(".")[0] for reference in template.references}
    if not names:
        assert template.render({}) == text
    elif all("." not in reference for reference in template.references):
        assert template.render({name: f"{{{{{name}}}}}" for name in names}) == text


@given(values)
def test_a_single_reference_gives_the_value_back(value: Value) -> None:
    template = Template.parse("{{x}}")
    assert template.value({"x": value}) is value
    if isinstance(value, (list, dict)):
        assert json.loads(template.render({"x": value})) == value
