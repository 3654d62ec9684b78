"""Events from the store to standard output: the same for a run of ours and for one that is watched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_recipes.errors import StoreUnusableError
from trio_recipes.frontends.cli.outlet import STDOUT
from trio_recipes.frontends.cli.telling import HumanTeller, JsonTeller
from trio_recipes.progress.masked import shown
from trio_recipes.store import records
from trio_recipes.store.codec import from_row

if TYPE_CHECKING:
    from argparse import Namespace

    from trio_recipes.frontends.cli.telling import Teller
    from trio_recipes.store.session_file import SessionFile
    from trio_recipes.store.sums import EventRow

_BATCH = 200


def teller_for(options: Namespace, session_id: str) -> Teller:
    """Who words events: for programs or for people."""
    if options.json:
        return JsonTeller(session_id)
    pauses = not getattr(options, "wait_approval", True)  # then its end says how to decide; `watch` has no such option
    return HumanTeller(options.quiet, "" if pauses else session_id)


def print_new(file: SessionFile, teller: Teller, after: int) -> int:
    """Print the events that are durable and come after ``seq`` ``after``; returns the last one's. Blocks."""
    while True:
        rows = _read(file, after)
        STDOUT.write("".join(teller.tell(shown(from_row(row))) for row in rows))
        if not rows or STDOUT.closed:
            return after
        after = rows[-1][0]


def _read(file: SessionFile, after: int) -> list[EventRow]:
    """The next events; of a damaged session those that can be read, until there is none."""
    found: list[EventRow] = []
    try:
        with file.reading() as connection:
            for row in records.events(connection, file.session_id, after, _BATCH):
                found.append(row)
    except StoreUnusableError:
        if not found:
            raise
    return found
