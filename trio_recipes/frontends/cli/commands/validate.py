"""``validate``: every problem of every recipe; nothing of the project is imported or run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from trio_recipes.frontends.cli.exits import OK, REFUSED
from trio_recipes.frontends.cli.outlet import STDOUT
from trio_recipes.frontends.cli.schema import PrintSchema
from trio_recipes.frontends.printable import printable

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trio_recipes.errors import Problem


def add_options(parser: ArgumentParser) -> None:
    """The options of ``validate``."""
    parser.add_argument("recipes", metavar="RECIPE", nargs="+", help="a recipe's file")
    parser.add_argument("--json", action="store_true", help="a list of problems as JSON")
    parser.add_argument("--schema", action=PrintSchema, nargs=0, help="a JSON Schema of recipes, for editors")


def main(options: Namespace) -> int:
    """Print what is wrong; warnings do not fail."""
    from trio_recipes.sessions.recipes import validate_recipe  # noqa: PLC0415  not for --help

    found = {name: validate_recipe(Path(name)) for name in options.recipes}
    problems = [problem for each in found.values() for problem in each]
    if options.json:
        STDOUT.line(json.dumps([problem._asdict() for problem in problems]))
    else:
        for name, each in found.items():
            _print(name, each)
    return OK if all(problem.warning for problem in problems) else REFUSED


def _print(name: str, problems: list[Problem]) -> None:
    for problem in problems:
        STDOUT.line(printable(str(problem)))
    if all(problem.warning for problem in problems):
        STDOUT.line(f"{printable(name)}: ok")
