"""``watch``: follow a session that runs in another process, from the store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from trio_recipes.frontends.cli.exits import code_of
from trio_recipes.frontends.cli.outlet import STDOUT
from trio_recipes.store.base import open_store

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trio_recipes.frontends.cli.telling import Teller
    from trio_recipes.progress.standing import Standing
    from trio_recipes.store.session_file import EventRow, SessionFile

POLL_SECONDS = 0.1
_BATCH = 1000
_GOES_ON = ("created", "queued", "running", "cancelling")


def add_options(parser: ArgumentParser) -> None:
    """The options of ``watch``."""
    parser.add_argument("session", metavar="SESSION", help="an id, its first letters, or @last")
    parser.add_argument("--json", action="store_true", help="events as JSON Lines")
    parser.add_argument("-q", "--quiet", action="store_true", help="leave out what steps print")


def main(options: Namespace) -> int:
    """Print what has happened and what happens, until the run ends. Ctrl+C ends the watching, not the run."""
    from trio_recipes.frontends.cli.telling import HumanTeller, JsonTeller  # noqa: PLC0415  not for --help

    store = open_store(options.store, create=False)
    file = store.file(store.resolve(options.session))
    teller = JsonTeller(file.session_id) if options.json else HumanTeller(options.quiet)
    standing = _follow(file, teller)
    if not options.json:
        where = (standing.ended or {}).get("current_step")
        STDOUT.line(f"{file.session_id} is {standing.status}{f' at {where}' if where else ''}")
    return code_of(standing.status)


def _follow(file: SessionFile, teller: Teller) -> Standing:
    from trio_recipes.store.codec import from_row  # noqa: PLC0415  cattrs

    after = 0
    while True:
        standing, rows = _look(file, after)
        for row in rows:
            STDOUT.write(teller.tell(from_row(row)))
            after = row[0]
        if STDOUT.closed or (not rows and standing.status not in _GOES_ON):
            return standing
        if len(rows) < _BATCH:
            time.sleep(POLL_SECONDS)


def _look(file: SessionFile, after: int) -> tuple[Standing, list[EventRow]]:
    """Where it stands and what is new, as of one moment."""
    with file.reading() as connection:
        return file.standing(connection), file.rows(connection, after, _BATCH)
