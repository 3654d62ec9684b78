"""What ``run`` and ``resume`` share: their options, and what they say of variables before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_recipes.errors import ConfigurationError
from trio_recipes.frontends.cli.detach import add_detach_options
from trio_recipes.frontends.cli.outlet import STDERR
from trio_recipes.frontends.cli.parsing import count, dollars, duration, seconds
from trio_recipes.frontends.printable import printable

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable

    from trio_recipes.language.model import Limits, Recipe


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
