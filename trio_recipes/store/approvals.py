"""Decisions on gates, from any process: durable before they are acknowledged, one per gate.

Who decides first decides: later ones are refused with what they lost to. While somebody runs the session a decision is
a request to the owner; otherwise it is written by who decides (decisions.md, "Owner").
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from trio_recipes.errors import SessionError
from trio_recipes.statuses import SessionStatus
from trio_recipes.store.owner import is_alive
from trio_recipes.store.requests import wake
from trio_recipes.store.session_file import SessionFile, now

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from trio_recipes.progress.standing import Standing

_DECIDABLE = (SessionStatus.PAUSED, SessionStatus.RUNNING, SessionStatus.INTERRUPTED, SessionStatus.CANCELLING)
_MACHINES = frozenset({"tool", "mcp"})


@frozen
class OpenGate:
    """A gate that waits for a person.

    Args:
        path: its stage's scope.
        seq: of the event that asked.
        asked_at: microseconds since the epoch.
        stage: the stage's name.
        prompt: the question.
        timeout: seconds after which ``default`` applies; 0 waits for ever.
        default: approve or deny.
        human: whether tools may not decide.
        unfinished: it was denied while nobody runs the session, and a ``finally`` may be due.
    """

    path: str
    seq: int
    asked_at: int
    stage: str
    prompt: str
    timeout: float
    default: str
    human: bool
    unfinished: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """What people may call it: its path, its stage, and the compound name of the engine they come from."""
        parts = self.path.split("/")
        return self.path, self.stage, f"{parts[0]}/{self.stage}"

    def expiry(self) -> dict[str, Any] | None:
        """The decision that its default is, once its time is over (recipe-language.md section 10)."""
        if not self.timeout or now() < self.asked_at + self.timeout * 1_000_000:
            return None
        message = f"nobody decided within {self.timeout:g} s"
        return {"approved": self.default == "approve", "via": "timeout", "message": message}


def open_gates(file: SessionFile, connection: sqlite3.Connection) -> list[OpenGate]:
    """Gates that nobody has decided on, in the order in which they were reached."""
    found: dict[str, OpenGate] = {}
    for row in file.lifecycle(connection):
        if row.event == "approval_decided":
            found.pop(row.path, None)
        elif row.event == "approval_requested":
            found[row.path] = _gate(row.path, row.seq, row.at, row.body)
    decided = {row.body["path"] for row in file.unanswered(connection) if row.is_decision}
    return [gate for gate in found.values() if gate.path not in decided]


def _gate(path: str, seq: int, at: int, body: Mapping[str, Any]) -> OpenGate:
    return OpenGate(
        path=path,
        seq=seq,
        asked_at=at,
        stage=body["stage"],
        prompt=body["prompt"],
        timeout=body.get("timeout", 0.0),
        default=body.get("default", "deny"),
        human=body.get("human", False),
    )


def pending(file: SessionFile) -> list[OpenGate]:
    """The gates at which a session waits; () once it has ended otherwise."""
    with file.reading() as connection:
        if file.standing(connection).status not in _DECIDABLE:
            return []
        return open_gates(file, connection)


def decide(
    file: SessionFile, stage: str, *, approved: bool, by: str = "", via: str = "user", message: str = ""
) -> OpenGate:
    """Approve or deny a gate. A denial ends a session that nobody runs at once: it is final.

    Args:
        file: the session.
        stage: the stage's name or path.
        approved: yes or no.
        by: who decides, for the record.
        via: by which door: user, tool, mcp, web, api.
        message: for what follows (``{{_approval_message}}``), or the reason of a denial.

    Returns:
        The gate that was decided.

    Raises:
        SessionNotFoundError: if there is no such session.
        SessionError: if no gate of that name waits, several do, the session has ended, or this door may not decide.
    """
    body = {"approved": approved, "by": by, "via": via, "message": message}
    connection = file.connect()
    try:
        with file.transaction(connection):
            standing = file.standing(connection)
            gate = _find(file, connection, standing, stage)
            if gate.human and via in _MACHINES:
                raise SessionError(f"stage '{gate.stage}' asks for a person (by: human); approve it from a terminal")
            decision = gate.expiry() or body
            _record(file, connection, standing, gate, decision)
            denied_unowned = not decision["approved"] and not standing.alive
    finally:
        connection.close()
    wake(file)
    if gate.expiry():
        raise SessionError(
            f"too late: nobody decided on '{gate.stage}' in time, so its default applied: {gate.default}"
        )
    return evolve(gate, unfinished=denied_unowned and bool(standing.created.get("cleans_up")))


def expire(file: SessionFile) -> list[OpenGate]:
    """Apply the default of every gate whose time is over, and return these gates."""
    connection = file.connect()
    try:
        with file.transaction(connection):
            standing = file.standing(connection)
            gates = open_gates(file, connection) if standing.status is SessionStatus.PAUSED else []
            over = [gate for gate in gates if gate.expiry()]
            for gate in over:
                _record(file, connection, standing, gate, gate.expiry() or {})
    finally:
        connection.close()
    return over


def _find(file: SessionFile, connection: sqlite3.Connection, standing: Standing, stage: str) -> OpenGate:
    if standing.status not in _DECIDABLE:
        raise SessionError(f"too late: session {file.session_id} is {standing.status}")
    gates = open_gates(file, connection)
    found = [gate for gate in gates if stage in gate.names]
    exact = [gate for gate in found if gate.path == stage]
    found = exact or found
    if len(found) > 1:
        raise SessionError(f"'{stage}' could be {', '.join(gate.path for gate in found)}: give the path")
    if found:
        return found[0]
    if not gates:
        raise SessionError(f"No pending approval for session: {file.session_id}")
    waiting = ", ".join(gate.path for gate in gates)
    raise SessionError(f"Stage mismatch: pending approval is for '{waiting}', not '{stage}'")


def _record(
    file: SessionFile, connection: sqlite3.Connection, standing: Standing, gate: OpenGate, body: dict[str, Any]
) -> None:
    runner = file.owner(connection)[1]
    if runner is not None and is_alive(file.layout, runner):
        row = (f"gate-{gate.seq}", now(), json.dumps({"path": gate.path, **body}))
        connection.execute("INSERT INTO requests (id, at, body) VALUES (?, ?, ?)", row)
        return
    file.append_unowned(connection, "approval_decided", body, standing.run, gate.path)
    if not body["approved"] and not standing.created.get("cleans_up"):
        by = body.get("by") or body.get("via") or "somebody"
        reason = f": {body['message']}" if body.get("message") else ""
        failure = {
            "kind": "denied",
            "message": f"stage '{gate.stage}' was denied by {by}{reason}",
            "path": gate.path,
            "retryable": False,
        }
        ended = {"status": "denied", "failure": failure, "current_step": gate.path}
        file.append_unowned(connection, "run_ended", ended, standing.run)
