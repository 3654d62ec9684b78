"""``deny``: refuse to let a session pass a gate: it ends, for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_recipes.frontends.cli.commands.approve import add_gate
from trio_recipes.frontends.cli.deciding import user
from trio_recipes.frontends.cli.exits import OK
from trio_recipes.frontends.cli.outlet import STDOUT
from trio_recipes.frontends.printable import printable
from trio_recipes.sessions.requesting import settle
from trio_recipes.store.base import open_store

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trio_recipes.store.approvals import Settled


def add_options(parser: ArgumentParser) -> None:
    """The options of ``deny``."""
    add_gate(parser)
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, for those who look later")


def main(options: Namespace) -> int:
    """Make the decision durable, and say what follows."""
    store = open_store(options.store, create=False)
    file = store.file(store.resolve(options.session))
    settled = settle(file, options.stage, approved=False, by=user(), via="user", message=options.reason)
    STDOUT.line(f"denied: {printable(settled.gate.path)} of {file.session_id}; {_follows(settled)}")
    return OK


def _follows(settled: Settled) -> str:
    if settled.running:
        return "its runner has been told, and ends it"
    return "its finally steps run now, in the background" if settled.unfinished else "it has ended"
