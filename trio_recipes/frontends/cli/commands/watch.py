"""``watch``: follow a session that runs in another process, from the store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from trio_recipes.frontends.cli.exits import code_of
from trio_recipes.frontends.cli.outlet import STDOUT
from trio_recipes.frontends.printable import printable
from trio_recipes.store.base import open_store

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trio_recipes.frontends.cli.telling import Teller
    from trio_recipes.progress.standing import Standing
    from trio_recipes.store.session_file import SessionFile

POLL_SECONDS = 0.1
_GOES_ON = ("created", "queued", "running", "cancelling")


def add_options(parser: ArgumentParser) -> None:
    """The options of ``watch``."""
    parser.add_argument("session", metavar="SESSION", help="an id, its first letters, or @last")
    parser.add_argument("--json", action="store_true", help="events as JSON Lines")
    parser.add_argument("-q", "--quiet", action="store_true", help="leave out what steps print")


def main(options: Namespace) -> int:
    """Print what has happened and what happens, until the run ends. Ctrl+C ends the watching, not the run.

    Returns:
        The exit code that the run has, or had.
    """
    from trio_recipes.frontends.cli.following import teller_for  # noqa: PLC0415  cattrs: not for --help

    store = open_store(options.store, create=False)
    file = store.file(store.resolve(options.session))
    standing = _follow(file, teller_for(options, file.session_id))
    if not options.json:
        where = (standing.ended or {}).get("current_step")
        STDOUT.line(f"{file.session_id} is {standing.status}{f' at {printable(where)}' if where else ''}")
    return code_of(standing.status)


def _follow(file: SessionFile, teller: Teller) -> Standing:
    from trio_recipes.frontends.cli.following import print_new  # noqa: PLC0415  cattrs: not for --help

    after = 0
    while True:
        with file.reading() as connection:
            standing = file.standing(connection)
        after = print_new(file, teller, after)
        if STDOUT.closed or standing.status not in _GOES_ON:
            return standing
        time.sleep(POLL_SECONDS)
