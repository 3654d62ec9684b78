"""``clean``: delete old sessions; only finished ones, unless told otherwise."""

from __future__ import annotations

import time
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from trio_recipes.errors import StoreError
from trio_recipes.frontends.cli.exits import OK
from trio_recipes.frontends.cli.outlet import STDOUT
from trio_recipes.frontends.cli.parsing import days
from trio_recipes.frontends.printable import counted
from trio_recipes.store.base import open_store

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trio_recipes.progress.standing import Standing

_DAY = 86_400 * 1_000_000
_CHOICES = ("completed", "denied", "failed", "cancelled", "interrupted", "paused", "created")


def add_options(parser: ArgumentParser) -> None:
    """The options of ``clean``."""
    parser.add_argument("--older-than", metavar="DAYS", type=days, default=7.0, help="ended so long ago (default: 7)")
    parser.add_argument(
        "--status",
        metavar="STATUS,…",
        type=_statuses,
        default=_CHOICES[:2],
        help=f"which (default: completed,denied; there are {', '.join(_CHOICES[2:])} too)",
    )


def _statuses(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not set(names) <= set(_CHOICES):
        raise ArgumentTypeError(f"there are {', '.join(_CHOICES)}")
    return names


def main(options: Namespace) -> int:
    """Delete them, and say which. One that a live process runs has none of these statuses."""
    store = open_store(options.store, create=False)
    limit = time.time_ns() // 1000 - options.older_than * _DAY
    deleted = 0
    for session_id, standing in store.standings():
        # Asked and deleted one by one: a session that was resumed meanwhile is looked at as it stands now.
        if isinstance(standing, StoreError) or not _is_old(standing, options.status, limit):
            continue
        if store.delete(session_id):
            deleted += 1
            STDOUT.line(f"deleted {session_id} ({standing.status})")
    STDOUT.line(f"{counted(deleted, 'session')} deleted")
    return OK


def _is_old(standing: Standing, statuses: tuple[str, ...], limit: float) -> bool:
    return standing.status in statuses and standing.last_at < limit
