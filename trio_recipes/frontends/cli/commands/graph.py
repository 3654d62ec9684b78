"""``graph``: a recipe and those it calls as a diagram; nothing is run, and variables need not be known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_recipes.frontends.cli.exits import OK
from trio_recipes.frontends.cli.outlet import STDOUT
from trio_recipes.frontends.diagrams.dot import dot
from trio_recipes.frontends.diagrams.mermaid import mermaid
from trio_recipes.frontends.diagrams.svg import svg

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trio_recipes.frontends.diagrams.outline import Find
    from trio_recipes.language.model import Recipe, RecipeStep

FORMATS = {"mermaid": mermaid, "dot": dot, "svg": svg}


def add_options(parser: ArgumentParser) -> None:
    """The options of ``graph``."""
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe's file")
    parser.add_argument(
        "--format", choices=FORMATS, default="mermaid", help="for Mermaid (default), for Graphviz, or drawn by Graphviz"
    )


def main(options: Namespace) -> int:
    """Print the diagram.

    Raises:
        InvalidRecipeError: the recipe, or one that it calls, is not valid.
        ConfigurationError: SVG was asked for, and Graphviz isn't there or can't draw this.
    """
    from trio_recipes.frontends.diagrams.outline import outline  # noqa: PLC0415  not for --help
    from trio_recipes.language.load import load_recipe  # noqa: PLC0415

    recipe = load_recipe(options.recipe)
    STDOUT.write(FORMATS[options.format](outline(recipe, _finder())))
    return OK


def _finder() -> Find:
    """Loads each sub-recipe once. Those of bundles stay unknown, as templated ones do: only a project knows them."""
    from trio_recipes.language.load import load_recipe  # noqa: PLC0415
    from trio_recipes.sessions.sources import file_behind, locate  # noqa: PLC0415

    loaded: dict[str, Recipe] = {}

    def find(caller: Recipe, step: RecipeStep) -> Recipe | None:
        if step.recipe.references or step.recipe.source.startswith("@"):
            return None
        file = file_behind(locate(step.recipe.source, caller.file, "."))
        if file not in loaded:
            loaded[file] = load_recipe(file)
        return loaded[file]

    return find
