"""``list``: the sessions of this project, or all there are."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from trio_recipes.errors import StoreError
from trio_recipes.frontends.cli.outlet import STDOUT
from trio_recipes.frontends.printable import in_one_line
from trio_recipes.store.base import open_store

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from trio_recipes.progress.standing import Standing


def add_options(parser: ArgumentParser) -> None:
    """The options of ``list``, and of ``approvals``."""
    parser.add_argument("--all", action="store_true", help="of every project")
    parser.add_argument("--project", metavar="DIR", default=".", help="of this project (default: here)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def main(options: Namespace) -> int:
    """Print one line a session, newest first."""
    store = open_store(options.store, create=False)
    project = None if options.all else os.path.realpath(options.project)
    rows = _rows(store.standings(), project)
    if options.json:
        import json  # noqa: PLC0415  for --json only

        for row in rows:
            STDOUT.line(json.dumps({name: value for name, value in row.items() if name != "started"}))
    else:
        _print_table(list(rows), project)
    return 0


def _rows(standings: Iterator[tuple[str, Standing | StoreError]], project: str | None) -> Iterator[dict[str, Any]]:
    """Damaged sessions are listed as such; nobody knows whose they are."""
    for session_id, standing in standings:
        if isinstance(standing, StoreError):
            yield {"session_id": session_id, "status": "damaged", "error": str(standing)}
        elif project is None or standing.created.get("project_path") == project:
            yield _row(session_id, standing)


def _row(session_id: str, standing: Standing) -> dict[str, Any]:
    ended = standing.ended or {}
    return {
        "session_id": session_id,
        "recipe": standing.created["recipe_name"],
        "status": str(standing.status),
        "started_at": _iso(standing.created_at),
        "started": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(standing.created_at / 1_000_000)),
        "current_step": ended.get("current_step"),
        "project_path": standing.created["project_path"],
    }


def _print_table(rows: list[dict[str, Any]], project: str | None) -> None:
    if not rows:
        STDOUT.line("no sessions" if project is None else f"no sessions of {project}; --all shows others")
        return
    cells = [("SESSION", "RECIPE", "STATUS", "STARTED", "STOPPED AT"), *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        STDOUT.line("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    if "error" in row:
        return (row["session_id"], "", "damaged", "", in_one_line(row["error"]))
    where = in_one_line(row["current_step"] or "", 60)
    return (row["session_id"], in_one_line(row["recipe"], 40), row["status"], row["started"], where)


def _iso(at: int) -> str:
    """As ``store.codec.iso`` does, which would load cattrs."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at // 1_000_000))}.{at % 1_000_000:06d}Z"
