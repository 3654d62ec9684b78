"""Where a scope stands in its recipes."""

import pytest

from trio_recipes.integrations.amplifier.places import find, steps_of
from trio_recipes.language.load import parse_recipe
from trio_recipes.language.model import Recipe, RecipeStep

HEAD = "name: {}\ndescription: d\nversion: 1.0.0\ncontext: {{items: [1]}}\n"

FLAT = parse_recipe(
    HEAD.format("flat")
    + """
steps:
  - {id: a, type: bash, command: "true"}
  - {id: each, foreach: "{{items}}", parallel: 2, type: bash, command: "true"}
  - id: outer
    foreach: "{{items}}"
    steps:
      - {id: in, type: bash, command: "true"}
      - {id: wide, foreach: "{{items}}", parallel: true, type: bash, command: "true"}
  - {id: subs, foreach: "{{items}}", parallel: true, type: recipe, recipe: sub.yaml}
  - {id: unknown, type: recipe, recipe: "{{which}}.yaml"}
finally:
  - {id: tidy, type: bash, command: "true"}
"""
)
SUB = parse_recipe(
    HEAD.format("sub")
    + """
stages:
  - {name: one, steps: [{id: x, type: bash, command: "true"}]}
  - {name: two words, steps: [{id: y, type: bash, command: "true"}, {id: z, type: bash, command: "true"}]}
"""
)


def called(step: RecipeStep, _caller: Recipe, _path: str) -> Recipe | None:
    return SUB if step.recipe.source == "sub.yaml" else None


FOUND = [
    # path, recipe, prefix, step, index, iteration, in a loop's body, batch
    ("", FLAT, "", None, 0, None, False, None),
    ("a", FLAT, "", "a", 0, None, False, None),
    ("each", FLAT, "", "each", 1, None, False, None),
    ("each[3]", FLAT, "", "each", 1, 3, False, "each"),
    ("outer[0]/in", FLAT, "", "in", 2, None, True, None),
    ("outer[0]/wide[12]", FLAT, "", "wide", 2, 12, True, "outer[0]/wide"),
    ("subs[1]/one", SUB, "subs[1]", None, 0, None, False, "subs"),
    ("subs[1]/two words/z", SUB, "subs[1]", "z", 2, None, False, "subs"),
    ("unknown", FLAT, "", "unknown", 4, None, False, None),
]


@pytest.mark.parametrize(
    ("path", "recipe", "prefix", "step", "index", "iteration", "in_body", "batch"), FOUND, ids=[row[0] for row in FOUND]
)
def test_where_it_stands(
    path: str,
    recipe: Recipe,
    prefix: str,
    step: str | None,
    index: int,
    iteration: int | None,
    in_body: bool,
    batch: str | None,
) -> None:
    place = find(FLAT, path, called)
    assert place is not None
    assert place.recipe is recipe
    assert (place.prefix, place.step.id if place.step else None, place.index) == (prefix, step, index)
    assert (place.iteration, place.in_body, place.batch) == (iteration, in_body, batch)
    assert place.is_step == (step is not None and iteration is None and not in_body)


@pytest.mark.parametrize("path", ["gone", "~finally/tidy", "unknown/x", "subs[0]/one/gone", "a/b", "outer[0]/gone"])
def test_what_no_reader_of_the_recipe_can_tell(path: str) -> None:
    assert find(FLAT, path, called) is None


def test_steps_in_document_order() -> None:
    assert [*steps_of(SUB)] == ["one/x", "two words/y", "two words/z"]
