"""``approvals``: the gates at which sessions wait. Defaults whose time is over are applied first."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from trio_recipes.errors import StoreError
from trio_recipes.frontends.cli.commands import listing
from trio_recipes.frontends.cli.deciding import how_to_decide, quoted, until
from trio_recipes.frontends.cli.exits import OK
from trio_recipes.frontends.cli.outlet import STDERR, STDOUT
from trio_recipes.frontends.printable import duration, printable
from trio_recipes.sessions.pending import by_name, pending_fields
from trio_recipes.sessions.requesting import lapse
from trio_recipes.store.approvals import DECIDABLE, pending
from trio_recipes.store.base import open_store
from trio_recipes.store.session_file import now

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from trio_recipes.progress.standing import Standing
    from trio_recipes.store.approvals import OpenGate
    from trio_recipes.store.session_file import SessionFile
    from trio_recipes.store.sqlite import SqliteStore


add_options = listing.add_options


def main(options: Namespace) -> int:
    """Print them, the newest session's first."""
    store = open_store(options.store, create=False)
    project = None if options.all else os.path.realpath(options.project)
    waiting = False
    for file, standing in _sessions(store, project):
        for name, gate in by_name(_still_open(file)).items():
            waiting = True
            STDOUT.line(_as_json(file, standing, gate, name) if options.json else _as_text(file, standing, gate))
    if not waiting and not options.json:
        STDOUT.line("nothing waits for approval" if project is None else f"nothing of {project} waits for approval")
    return OK


def _sessions(store: SqliteStore, project: str | None) -> Iterator[tuple[SessionFile, Standing]]:
    for session_id, standing in store.standings():
        if isinstance(standing, StoreError) or standing.status not in DECIDABLE:
            continue
        if project is None or standing.created.get("project_path") == project:
            yield store.file(session_id), standing


def _still_open(file: SessionFile) -> list[OpenGate]:
    gates = pending(file)
    if not any(gate.expiry() for gate in gates):
        return gates  # looking writes nothing, unless there is something to write
    for settled in lapse(file):
        path, default = printable(settled.gate.path), settled.gate.default
        STDERR.write(f"nobody decided on {path} of {file.session_id} in time, so its default holds: {default}\n")
    return pending(file)


def _as_json(file: SessionFile, standing: Standing, gate: OpenGate, name: str) -> str:
    import json  # noqa: PLC0415  for --json only

    expires_at = gate.expires_at
    more: dict[str, Any] = {
        "status": str(standing.status),
        "waits_seconds": _waits(gate),
        "expires_in_seconds": None if expires_at is None else max(0, expires_at - now()) / 1_000_000,
        "by_human": gate.human,
    }
    return json.dumps(pending_fields(file.session_id, standing.created.get("recipe_name"), gate, name) | more)


def _as_text(file: SessionFile, standing: Standing, gate: OpenGate) -> str:
    since = f"for {duration(_waits(gate))}{until(expires_at=gate.expires_at, default=gate.default)}"
    recipe = printable(standing.created.get("recipe_name", ""))
    head = f"{file.session_id}  {recipe}  {standing.status}, waits at {printable(gate.path)} {since}"
    return "\n".join((head, *quoted(gate.prompt), *how_to_decide(file.session_id, gate.path)))


def _waits(gate: OpenGate) -> float:
    return (now() - gate.asked_at) / 1_000_000
