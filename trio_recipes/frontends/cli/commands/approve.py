"""``approve``: let a session pass a gate. Like ``cancel``, without trio, cattrs and yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_recipes.frontends.cli.deciding import user
from trio_recipes.frontends.cli.exits import OK
from trio_recipes.frontends.cli.outlet import STDOUT
from trio_recipes.frontends.printable import printable
from trio_recipes.sessions.requesting import settle
from trio_recipes.store.base import open_store

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_options(parser: ArgumentParser) -> None:
    """The options of ``approve``."""
    add_gate(parser)
    parser.add_argument("--message", metavar="TEXT", default="", help="for what follows, as {{_approval_message}}")


def add_gate(parser: ArgumentParser) -> None:
    """What ``approve`` and ``deny`` share."""
    parser.add_argument("session", metavar="SESSION", help="an id, its first letters, or @last")
    parser.add_argument("stage", metavar="STAGE", help="a stage, its path (audit[3]/release), or stage/sub-stage")


def main(options: Namespace) -> int:
    """Make the decision durable, and say what follows."""
    store = open_store(options.store, create=False)
    file = store.file(store.resolve(options.session))
    settled = settle(file, options.stage, approved=True, by=user(), via="user", message=options.message)
    STDOUT.line(f"approved: {printable(settled.gate.path)} of {file.session_id}")
    if settled.running:
        STDOUT.line("its runner has been told; should it pause all the same:")
    STDOUT.line(f"go on with: trio-recipes resume {file.session_id}")
    return OK
