"""Short ways to write recipes and to read what is said about them."""

from __future__ import annotations

from textwrap import dedent, indent

from trio_recipes.errors import InvalidRecipeError
from trio_recipes.language.load import parse_recipe
from trio_recipes.language.model import Recipe, Step
from trio_recipes.language.names import check_recipe

HEAD = "name: example\ndescription: An example\nversion: 1.0.0\n"
STEPS = "steps: [{id: only, agent: a, prompt: p}]\n"
VALID = HEAD + STEPS


def load(steps: str, top: str = "") -> Recipe:
    """A recipe of these steps."""
    return parse_recipe(document(steps, top))


def document(steps: str, top: str = "") -> str:
    """The text of a recipe with these steps and further keys."""
    return HEAD + dedent(top).strip() + ("\n" if top else "") + "steps:\n" + indent(dedent(steps).strip(), "  ") + "\n"


def one(step: str) -> Step:
    """The only step of a recipe."""
    return load(f"- {{id: only, {step}}}").steps[0]


def errors(text: str) -> list[str]:
    """What is wrong with a document, as ``field: message``; empty if it loads."""
    try:
        parse_recipe(text)
    except InvalidRecipeError as error:
        return [f"{problem.field}: {problem.message}" for problem in error.problems if not problem.warning]
    return []


def warnings(text: str) -> list[str]:
    """What is surprising in a valid document."""
    return [f"{problem.field}: {problem.message}" for problem in parse_recipe(text).warnings]


def undefined(recipe: Recipe, *given: str) -> list[str]:
    """The fields that refer to something unknown."""
    return [problem.field for problem in check_recipe(recipe, given=given) if not problem.warning]
