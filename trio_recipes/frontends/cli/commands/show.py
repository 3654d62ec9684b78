"""``show``: one session, from its records; nothing is run, imported or connected to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from trio_recipes.errors import UnknownScopeError
from trio_recipes.frontends.cli.outlet import STDOUT
from trio_recipes.frontends.printable import printable
from trio_recipes.store.base import open_store

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trio_recipes.progress.record import Record
    from trio_recipes.sessions.history import History
    from trio_recipes.store.session_file import SessionFile


def add_options(parser: ArgumentParser) -> None:
    """The options of ``show``."""
    parser.add_argument("session", metavar="SESSION", help="an id, its first letters, or @last")
    parser.add_argument("--json", action="store_true", help="everything, as one JSON object")
    parser.add_argument("--output", metavar="PATH", help="what this scope printed, whole, finished or not")
    parser.add_argument("--stuck", action="store_true", help="what each running scope waits for")
    parser.add_argument("--raw", action="store_true", help="with --output: the bytes as they are")


def main(options: Namespace) -> int:
    """Print it."""
    from trio_recipes.sessions.history import read_history  # noqa: PLC0415  not for --help

    store = open_store(options.store, create=False)
    file = store.file(store.resolve(options.session))
    history = read_history(file)
    if options.stuck:
        _print_stuck(file, history, as_json=options.json)
    elif options.output is not None:
        _print_output(history, options.output, raw=options.raw)
    elif options.json:
        from trio_recipes.frontends.cli.telling import json_line  # noqa: PLC0415
        from trio_recipes.sessions.view import session_view  # noqa: PLC0415

        STDOUT.write(json_line(session_view(history)))
    else:
        from trio_recipes.frontends.cli.tree import session_text  # noqa: PLC0415

        STDOUT.write(session_text(history))
    return 0


def _print_stuck(file: SessionFile, history: History, *, as_json: bool) -> None:
    from trio_recipes.frontends.cli.telling import json_line  # noqa: PLC0415
    from trio_recipes.frontends.cli.waits import stuck_text  # noqa: PLC0415
    from trio_recipes.sessions import stuck  # noqa: PLC0415  looks at processes, and so loads trio

    found = stuck.look_closely(file, history)
    STDOUT.write(json_line(stuck.as_json(found)) if as_json else stuck_text(found))


def _print_output(history: History, path: str, *, raw: bool) -> None:
    record = history.progress.records.get(path)
    if record is None:
        raise UnknownScopeError(f"nothing is known of {path!r}; `show` lists the scopes that have begun")
    data = _output_of(record)
    if raw:
        STDOUT.write_bytes(data)
    elif data:
        text = printable(data.decode("utf-8", "replace"))
        STDOUT.write(text if text.endswith("\n") else f"{text}\n")


def _output_of(record: Record) -> bytes:
    """The result's own channel; of what has none (yet), everything that came; of a value, its JSON."""
    if record.channel is not None:
        return record.output(record.channel)
    if record.value is not None:
        return json.dumps(record.value, ensure_ascii=False).encode()
    return b"".join(record.output(channel) for channel in record.chunks)
