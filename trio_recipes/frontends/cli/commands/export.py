"""``export``: one session as one file, without secrets."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from trio_recipes.errors import RecipesError, StoreWriteError
from trio_recipes.frontends.cli.exits import FAILED, OK
from trio_recipes.frontends.cli.outlet import STDOUT
from trio_recipes.frontends.printable import counted, printable
from trio_recipes.store.base import open_store

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Generator
    from typing import TextIO

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
    tell(f"{counted(ending.events, 'event')} exported\n")
    if ending.masked:
        names = ", ".join(map(printable, ending.masked))
        tell(f"secrets are left out; where it is resumed, what held them runs again: {names}\n")
    if ending.damage:
        tell(f"what follows these could not be read: {printable(ending.damage)}\n")
    return FAILED if ending.damage else OK


def _to_stdout(store: SqliteStore, session: str) -> Ending:
    from trio_recipes.sessions.exchange import export_session  # noqa: PLC0415  not for --help

    with _writing("standard output", "make room"), os.fdopen(os.dup(1), "w", encoding="utf-8") as stream:
        return export_session(store, session, stream)


def _to_file(store: SqliteStore, session: str, file: Path) -> Ending:
    from trio_recipes.sessions.exchange import export_session  # noqa: PLC0415  not for --help

    with _writing(file, "name another file"), _opened(file) as stream:
        return export_session(store, session, stream)


@contextmanager
def _writing(where: str | Path, what_to_do: str) -> Generator[None]:
    try:
        yield
    except (RecipesError, BrokenPipeError):  # of the session, not of the file; or there is no reader
        raise
    except OSError as error:
        raise StoreWriteError(f"{where}: can't be written: {error.strerror}; {what_to_do}") from error


@contextmanager
def _opened(file: Path) -> Generator[TextIO]:
    """Write a draft beside it first: a file of this name is whole, and for its user's eyes only.

    Devices and FIFOs are written to as they are: a draft would take their place.
    """
    if file.exists() and not file.is_file():
        with file.open("w", encoding="utf-8") as stream:
            yield stream
        return
    target = file.resolve()
    draft = target.with_name(f"{target.name}.{os.urandom(4).hex()}")
    try:
        draft.touch(mode=0o600, exist_ok=False)
        with draft.open("w", encoding="utf-8") as stream:
            yield stream
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
