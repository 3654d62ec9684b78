"""``export``: one session as one file, without secrets."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from trio_recipes.errors import RecipesError, StoreWriteError
from trio_recipes.frontends.cli.exits import FAILED, OK
from trio_recipes.frontends.cli.outlet import STDOUT
from trio_recipes.frontends.printable import printable
from trio_recipes.store.base import open_store

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trio_recipes.store.archive import Ending
    from trio_recipes.store.sqlite import SqliteStore

TO_STDOUT = "-"


def add_options(parser: ArgumentParser) -> None:
    """The options of ``export``."""
    parser.add_argument("session", metavar="SESSION", help="an id, its first letters, or @last")
    parser.add_argument("file", metavar="FILE", help="where to; - for standard output")


def main(options: Namespace) -> int:
    """Write it; 1 if the session is damaged and not all of it could be read."""
    store = open_store(options.store, create=False)
    to_stdout = options.file == TO_STDOUT
    ending = _to_stdout(store, options.session) if to_stdout else _to_file(store, options.session, Path(options.file))
    tell = sys.stderr.write if to_stdout else STDOUT.write
    tell(f"{ending.events} events exported\n")
    if ending.masked:
        names = ", ".join(map(printable, ending.masked))
        tell(f"secrets are left out; where it is resumed, what held them runs again: {names}\n")
    if ending.damage:
        tell(f"what follows these could not be read: {printable(ending.damage)}\n")
    return FAILED if ending.damage else OK


def _to_stdout(store: SqliteStore, session: str) -> Ending:
    from trio_recipes.sessions.exchange import export_session  # noqa: PLC0415  not for --help

    return export_session(store, session, sys.stdout)


def _to_file(store: SqliteStore, session: str, file: Path) -> Ending:
    """Write a draft beside it first: a file of this name is whole, and for its user's eyes only."""
    from trio_recipes.sessions.exchange import export_session  # noqa: PLC0415  not for --help

    draft = file.with_name(f"{file.name}.{os.urandom(4).hex()}")
    try:
        draft.touch(mode=0o600, exist_ok=False)
        with draft.open("w", encoding="utf-8") as stream:
            ending = export_session(store, session, stream)
        draft.replace(file)
    except RecipesError:  # of the session, not of the file; one of them is an OSError, too
        raise
    except OSError as error:
        raise StoreWriteError(f"{file}: can't be written: {error.strerror}; name another file") from error
    finally:
        draft.unlink(missing_ok=True)
    return ending
