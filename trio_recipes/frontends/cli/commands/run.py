"""``run``: check a recipe, make a session of it, and run it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from trio_recipes.frontends.cli.detach import start_detached
from trio_recipes.frontends.cli.parsing import check_project
from trio_recipes.frontends.cli.running import add_running_options, given_limits, idle_settings, refuse_secrets, tell

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trio_recipes.language.model import Recipe
    from trio_recipes.sessions.runtime import Runtime
    from trio_recipes.sessions.session import Session
    from trio_recipes.values import Value


def add_options(parser: ArgumentParser) -> None:
    """The options of ``run``."""
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe's file")
    parser.add_argument("--set", metavar="K=V", action="append", default=[], help="a variable; V is read as YAML")
    parser.add_argument("--context", metavar="FILE", help="variables, as a mapping in YAML or JSON")
    parser.add_argument("--project", metavar="DIR", help="where commands run (default: here)")
    add_running_options(parser)


def main(options: Namespace) -> int:
    """Run it to its end, here or in the background."""
    if options.detach:
        return start_detached(options)
    check_project(options.project)
    from trio_recipes.frontends.cli.execution import execute  # noqa: PLC0415  trio: not for --help
    from trio_recipes.frontends.cli.variables import given_variables  # noqa: PLC0415
    from trio_recipes.language.load import load_recipe  # noqa: PLC0415

    recipe = load_recipe(options.recipe)
    refuse_secrets(recipe, options.set)
    context = given_variables(options.context, options.set)
    return execute(partial(_start, recipe, context, options), options)


async def _start(recipe: Recipe, context: dict[str, Value], options: Namespace, runtime: Runtime) -> Session:
    session = await runtime.start(recipe, context, limits=given_limits(options))
    recipe = session.engine.frame.recipe
    await tell((*recipe.warnings, *idle_settings(recipe, options.set)))
    return session
