"""How a run ended: the last line of ``--json``, and the summary for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from trio_recipes.events import Level, SessionStatus
from trio_recipes.frontends.cli.deciding import how_to_decide, quoted
from trio_recipes.frontends.printable import in_one_line, printable
from trio_recipes.progress.decisions import verdict
from trio_recipes.progress.tables import FINISHED
from trio_recipes.sessions.approvals import approval_view
from trio_recipes.store.codec import cancellation_to_json

if TYPE_CHECKING:
    from trio_recipes.events import Cancellation
    from trio_recipes.progress.record import GateRecord
    from trio_recipes.sessions.result import SessionResult

_SHOWN_LINES = 20


def as_json(result: SessionResult) -> dict[str, Any]:
    """The CLI's own last event."""
    return {
        "event": "session_finished",
        "session_id": result.session_id,
        "status": str(result.status),
        "final_output": result.shown_output,
        "current_step": result.current_step,
        "cancellation": result.cancellation and _cancellation(result.cancellation),
        "failure": result.failure and attrs.asdict(result.failure),
        "approvals": [approval_view(gate) for gate in result.gates],
        "still_running": [attrs.asdict(held) for held in result.still_running],
        "error": str(result.error) if result.error else None,
    }


def _cancellation(cancellation: Cancellation) -> dict[str, Any]:
    return {**cancellation_to_json(cancellation), "level": cancellation.level.name.lower()}


def as_text(result: SessionResult) -> str:
    """Status, output or cause, where it stopped, and how to go on."""
    lines = [*_what_came_of_it(result), *(f"still running: {in_one_line(str(held))}" for held in result.still_running)]
    if result.status not in FINISHED:
        lines.append(f"go on with: trio-recipes resume {result.session_id}")
    return "\n".join(lines) + "\n"


def _what_came_of_it(result: SessionResult) -> list[str]:
    if result.status is SessionStatus.COMPLETED:
        return [f"completed: {result.session_id}", *_output(result.shown_output)]
    where = f" at {printable(result.current_step)}" if result.current_step else ""
    if result.cancellation and result.status is SessionStatus.CANCELLED:
        return [f"cancelled{where} {_by_whom(result.cancellation)}"]
    if result.status is SessionStatus.PAUSED:
        return [line for gate in result.gates for line in _gate(result.session_id, gate)]
    why = result.failure.message if result.failure else str(result.error or "")
    hint = [f"hint: {printable(result.failure.hint)}"] if result.failure and result.failure.hint else []
    return [f"{result.status}{where}: {printable(why)}", *hint]


def _gate(session_id: str, gate: GateRecord) -> list[str]:
    path = gate.asked.path
    if gate.decided is not None:
        return [f"paused at {printable(path)}, which has been {verdict(approved=gate.decided.approved)} meanwhile"]
    head = f"paused at {printable(path)}, for a person to approve:"
    return [head, *quoted(gate.asked.prompt), *how_to_decide(session_id, path)]


def _by_whom(cancellation: Cancellation) -> str:
    how = "immediately" if cancellation.level is Level.IMMEDIATE else "gracefully"
    who = in_one_line(cancellation.requester or str(cancellation.source))
    reason = f": {in_one_line(cancellation.reason)}" if cancellation.reason not in ("", cancellation.requester) else ""
    return f"({how}, by {who}{reason})"


def _output(value: object) -> list[str]:
    if value is None:
        return []
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    lines = printable(text.strip("\n")).split("\n")
    more = len(lines) - _SHOWN_LINES
    return lines[:_SHOWN_LINES] + ([f"… {more} more lines; all of it: show --json"] if more > 0 else [])
