"""``run``: check a recipe, make a session of it, and run it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from trio_recipes.errors import ConfigurationError
from trio_recipes.frontends.cli.detach import add_detach_options, start_detached
from trio_recipes.frontends.cli.outlet import STDERR
from trio_recipes.frontends.cli.parsing import count, dollars, duration, seconds
from trio_recipes.frontends.printable import printable

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable

    from trio_recipes.language.model import Limits, Recipe
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


def add_running_options(parser: ArgumentParser) -> None:
    """What ``run`` and ``resume`` share."""
    parser.add_argument("--agents", metavar="FILE", help="who answers: an agents file, 'echo', 'replay:SESSION'")
    parser.add_argument("--wait-approval", action="store_true", help="stay up at approval gates, rather than pause")
    parser.add_argument("--grace", metavar="SECONDS", type=seconds, help="of steps in hand after SIGTERM (10)")
    parser.add_argument("--stop-timeout", metavar="SECONDS", type=seconds, help="to wait for what resists a stop (30)")
    parser.add_argument("--deadline", metavar="TIME", type=duration, help="stop gracefully after 90s, 45m, 1h30m, …")
    parser.add_argument("--max-cost", metavar="USD", type=dollars, help="stop gracefully once agents have cost this")
    parser.add_argument("--max-tokens", metavar="N", type=count, help="… once they have read and written so many")
    parser.add_argument(
        "--durability",
        choices=("power", "process"),
        default="power",
        help="what finished steps survive: a power cut, or a crash",
    )
    parser.add_argument("--json", action="store_true", help="events as JSON Lines")
    add_detach_options(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="leave out what steps print")


def main(options: Namespace) -> int:
    """Run it to its end, here or in the background."""
    if options.detach:
        return start_detached(options)
    if options.project is not None and not Path(options.project).is_dir():
        raise ConfigurationError(f"--project {options.project}: there is no such folder")
    from trio_recipes.frontends.cli.execution import execute  # noqa: PLC0415  trio: not for --help
    from trio_recipes.frontends.cli.variables import given_variables  # noqa: PLC0415
    from trio_recipes.language.load import load_recipe  # noqa: PLC0415

    recipe = load_recipe(options.recipe)
    refuse_secrets(recipe, options.set)
    context = given_variables(options.context, options.set)
    return execute(partial(_start, recipe, context, options), options)


def refuse_secrets(recipe: Recipe, settings: Iterable[str]) -> None:
    """Refuse ``--set`` for secrets.

    Raises:
        ConfigurationError: saying how to pass them instead.
    """
    for name in {setting.partition("=")[0] for setting in settings} & set(recipe.secrets):
        raise ConfigurationError(
            f"--set {name}: it is a secret, and command lines are visible to other programs; "
            f"set the environment variable {name}, or put it into a file for --context"
        )


def given_limits(options: Namespace) -> Limits:
    """The limits over those of the recipe."""
    from trio_recipes.language.model import Limits  # noqa: PLC0415  not for --help

    return Limits(options.deadline, options.max_cost, options.max_tokens)


async def tell(problems: Iterable[object]) -> None:
    """What a run says of its recipe before it begins: on standard error, one line each."""
    for problem in problems:
        await STDERR.send(f"{printable(str(problem))}\n")


def idle_settings(recipe: Recipe, settings: Iterable[str]) -> list[str]:
    """What to say of variables that were set and that the recipe does not use: misspelt, perhaps."""
    from trio_recipes.language.references import unused  # noqa: PLC0415  not for --help
    from trio_recipes.language.wording import did_you_mean  # noqa: PLC0415

    names = unused(recipe, [setting.partition("=")[0] for setting in settings])
    return [f"--set {name}: the recipe does not use it{did_you_mean(name, recipe.context)}" for name in names]


async def _start(recipe: Recipe, context: dict[str, Value], options: Namespace, runtime: Runtime) -> Session:
    session = await runtime.start(recipe, context, limits=given_limits(options))
    recipe = session.engine.frame.recipe
    await tell((*recipe.warnings, *idle_settings(recipe, options.set)))
    return session
