"""``import``: a session that was exported elsewhere, to be looked at or resumed here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trio_recipes.errors import ArchiveError, RecipesError
from trio_recipes.frontends.cli.exits import OK
from trio_recipes.frontends.cli.outlet import STDOUT
from trio_recipes.frontends.cli.parsing import check_project
from trio_recipes.frontends.printable import counted, printable
from trio_recipes.plainfile import why_unread

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator
    from typing import TextIO

    from trio_recipes.sessions.exchange import Imported

_FIRST = 1000
"""Characters that are read of the first line: far more than it has."""


def add_options(parser: ArgumentParser) -> None:
    """The options of ``import``."""
    parser.add_argument("file", metavar="FILE", help="what `export` wrote")
    parser.add_argument("--project", metavar="DIR", help="the project's folder here (default: the one it had there)")


def main(options: Namespace) -> int:
    """Take it in, and say what can be done with it."""
    from trio_recipes.sessions.exchange import import_session  # noqa: PLC0415  not for --help
    from trio_recipes.store.base import open_store  # noqa: PLC0415

    check_project(options.project)
    store = open_store(options.store)
    try:
        with Path(options.file).open(encoding="utf-8") as stream:
            imported = import_session(store, _lines(stream), project=options.project)
    except ArchiveError as error:
        raise ArchiveError(f"{options.file}: {error}; `trio-recipes export` writes such files") from None
    except RecipesError:
        raise
    except UnicodeDecodeError as error:
        raise ArchiveError(f"{options.file}: this is not UTF-8 text: {error}") from None
    except OSError as error:
        raise ArchiveError(f"{options.file}: can't be read: {why_unread(error)}") from error
    _tell(imported, store.standing(imported.session_id).created["project_path"])
    return OK


def _lines(stream: TextIO) -> Iterator[str]:
    """The lines of a file; the first one of an archive is short, and who reads a device to its end reads for ever."""
    first = stream.readline(_FIRST)
    if len(first) == _FIRST:
        raise ArchiveError("line 1: this is no session that trio-recipes exported")
    yield first
    yield from stream


def _tell(imported: Imported, project: str) -> None:
    STDOUT.line(f"session {imported.session_id}: {counted(imported.ending.events, 'event')}")
    if imported.aside:
        STDOUT.line(f"the damaged one is kept in {imported.aside}")
    if imported.ending.damage:
        STDOUT.line(f"not all of it was there: {printable(imported.ending.damage)}")
    if imported.again:
        STDOUT.line(f"held secrets, and will run again: {', '.join(map(printable, imported.again))}")
    if not Path(project).is_dir():
        STDOUT.line(f"its project {printable(project)} is not here: import it with --project DIR to resume it")
    STDOUT.line(f"look at it with: trio-recipes show {imported.session_id}")
