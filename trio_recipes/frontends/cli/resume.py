"""``resume``: go on with a session where it stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_recipes.frontends.cli.detach import start_detached
from trio_recipes.frontends.cli.run import add_running_options

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_options(parser: ArgumentParser) -> None:
    """The options of ``resume``."""
    parser.add_argument("session", metavar="SESSION", help="an id, its first letters, or @last")
    add_running_options(parser)


def main(options: Namespace) -> int:
    """Run what had not finished, here or in the background."""
    if options.detach:
        return start_detached(options)
    from trio_recipes.frontends.cli.execution import execute  # noqa: PLC0415  trio: not for --help
    from trio_recipes.store.base import open_store  # noqa: PLC0415

    store = open_store(options.store, create=False)
    options.project = store.standing(store.resolve(options.session)).created["project_path"]
    return execute(lambda runtime: runtime.resume(options.session), options)
