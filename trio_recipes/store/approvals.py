"""Decisions on gates, from any process: durable before they are acknowledged, one per gate.

Who decides first decides: later ones are refused with what they lost to. While somebody runs the session a decision is
a request to the owner; otherwise it is written by who decides. The default of a gate whose
time is over is decided here, too, by whoever looks first: so it can't cross with a person's decision.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trio_recipes.classes import frozen
from trio_recipes.errors import SessionBusyError, SessionError
from trio_recipes.progress import decisions
from trio_recipes.statuses import ApprovalStatus, SessionStatus
from trio_recipes.store.owner import describe
from trio_recipes.store.requests import wake
from trio_recipes.store.session_file import SessionFile, now

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from trio_recipes.progress.standing import Row, Standing

DECIDABLE = frozenset(
    {
        SessionStatus.CREATED,
        SessionStatus.PAUSED,
        SessionStatus.RUNNING,
        SessionStatus.INTERRUPTED,
        SessionStatus.CANCELLING,
    }
)
"""Where a gate that asks may be decided. An interrupted session's decision is kept for its resume."""

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
    """

    path: str
    seq: int
    asked_at: int
    stage: str
    prompt: str
    timeout: float
    default: str
    human: bool

    @property
    def request_id(self) -> str:
        """The id of the one decision that there can be on it."""
        return f"gate-{self.seq}"

    @property
    def expires_at(self) -> int | None:
        """When its default applies, in microseconds since the epoch; None if it waits for ever."""
        return self.asked_at + int(self.timeout * 1_000_000) if self.timeout else None

    def expiry(self) -> dict[str, Any] | None:
        """The decision that its default is, once its time is over (recipe-language.md section 10)."""
        if self.expires_at is None or now() < self.expires_at:
            return None
        message = decisions.expiry(self.timeout)
        return {"approved": self.default == "approve", "via": "timeout", "message": message}


@frozen
class Settled:
    """A gate that has just been decided.

    Args:
        gate: the gate.
        approved: yes or no.
        expired: by its default: whoever wanted to decide came too late.
        running: somebody runs the session, and has been told.
        unfinished: it was denied while nobody runs the session, and a ``finally`` may be due.
    """

    gate: OpenGate
    approved: bool
    expired: bool
    running: bool
    unfinished: bool


# --- looking -----------------------------------------------------------------------------------------------------


def pending(file: SessionFile) -> list[OpenGate]:
    """The gates at which a session waits; none once it has ended otherwise."""
    with file.reading() as connection:
        if file.standing(connection).status not in DECIDABLE:
            return []
        return open_gates(file, connection)


def open_gates(file: SessionFile, connection: sqlite3.Connection) -> list[OpenGate]:
    """Gates that nobody has decided on, in the order in which they were reached."""
    found: dict[str, OpenGate] = {}
    for row in file.lifecycle(connection):
        _follow(found, row)
    decided = {row.id for row in file.unanswered(connection) if row.is_decision}
    return [gate for gate in found.values() if gate.request_id not in decided]


def _follow(found: dict[str, OpenGate], row: Row) -> None:
    """As :mod:`trio_recipes.progress.fold` does it, without cattrs."""
    if row.event == "approval_requested":
        found.pop(row.path, None)
        found[row.path] = _gate(row)
    elif row.event in ("approval_decided", "approval_withdrawn"):
        found.pop(row.path, None)
    elif row.event == "run_ended" and row.body["status"] != SessionStatus.PAUSED:
        found.clear()  # resumed, it asks again


def _gate(row: Row) -> OpenGate:
    return OpenGate(
        path=row.path,
        seq=row.seq,
        asked_at=row.at,
        stage=row.body["stage"],
        prompt=row.body["prompt"],
        timeout=row.body.get("timeout", 0.0),
        default=row.body.get("default", "deny"),
        human=row.body.get("human", False),
    )


def statuses(file: SessionFile) -> dict[str, ApprovalStatus]:
    """Where each gate that was reached stands, by path."""
    found: dict[str, ApprovalStatus] = {}
    with file.reading() as connection:
        for row in file.lifecycle(connection):
            if row.event == "approval_requested":
                found[row.path] = ApprovalStatus.PENDING
            elif row.event == "approval_withdrawn":
                found.pop(row.path, None)
            elif row.event == "approval_decided":
                found[row.path] = status_of(row.body)
        found |= {row.body["path"]: status_of(row.body) for row in file.unanswered(connection) if row.is_decision}
        waiting = {gate.path for gate in open_gates(file, connection)}
    return {path: at for path, at in found.items() if at is not ApprovalStatus.PENDING or path in waiting}


def status_of(decision: Mapping[str, Any]) -> ApprovalStatus:
    """What a decision makes of a stage; a default that was to deny is a timeout."""
    if decision["approved"]:
        return ApprovalStatus.APPROVED
    return ApprovalStatus.TIMEOUT if decision.get("via") == "timeout" else ApprovalStatus.DENIED


# --- deciding ----------------------------------------------------------------------------------------------------


def decide(
    file: SessionFile, stage: str, *, approved: bool, by: str = "", via: str = "user", message: str = ""
) -> Settled:
    """Approve or deny a gate. A denial ends a session that nobody runs at once: it is final.

    Args:
        file: the session.
        stage: the stage's name or path, or ``stage/sub-stage``.
        approved: yes or no.
        by: who decides, for the record.
        via: by which door: user, tool, mcp, web, api.
        message: for what follows (``{{_approval_message}}``), or the reason of a denial.

    Returns:
        What was decided: by its default, if the gate's time was over.

    Raises:
        SessionNotFoundError: if there is no such session.
        SessionError: if no gate of that name waits, several do, it is too late, or this door may not decide.
    """
    body = {"approved": approved, "by": by, "via": via, "message": message}
    with _looking(file) as (connection, standing):
        gate = _find(file, connection, standing, stage)
        expiry = gate.expiry()
        if gate.human and via in _MACHINES and not expiry:
            raise SessionError(f"stage '{gate.stage}' asks for a person (by: human); approve it from a terminal")
        settled = _record(file, connection, standing, gate, expiry or body)
    wake(file)
    return settled


def expire(file: SessionFile) -> list[Settled]:
    """Apply the default of every gate whose time is over."""
    with _looking(file) as (connection, standing):
        gates = open_gates(file, connection) if standing.status in DECIDABLE else []
        due = [(gate, expiry) for gate in gates if (expiry := gate.expiry())]
        settled = [_record(file, connection, standing, gate, expiry) for gate, expiry in due]
    if settled:
        wake(file)
    return settled


@contextmanager
def _looking(file: SessionFile) -> Generator[tuple[sqlite3.Connection, Standing]]:
    connection = file.connect()
    try:
        with file.transaction(connection):
            yield connection, file.standing(connection)
    finally:
        connection.close()


def _record(
    file: SessionFile, connection: sqlite3.Connection, standing: Standing, gate: OpenGate, body: Mapping[str, Any]
) -> Settled:
    approved, cleans_up = bool(body["approved"]), bool(standing.created.get("cleans_up"))
    if standing.alive:
        file.ask(connection, gate.request_id, {"path": gate.path, **body})
    else:
        file.append_unowned(connection, "approval_decided", dict(body), standing.run, gate.path, keep_runner=True)
        if not approved and not cleans_up:
            file.append_unowned(connection, "run_ended", _denied(gate, body), standing.run)
    unfinished = not approved and cleans_up and not standing.alive
    return Settled(gate, approved, body.get("via") == "timeout", standing.alive, unfinished)


def _denied(gate: OpenGate, body: Mapping[str, Any]) -> dict[str, Any]:
    message = decisions.denial(gate.stage, body.get("by", ""), body.get("via", ""), body.get("message", ""))
    failure = {"kind": "denied", "message": message, "path": gate.path, "retryable": False}
    return {"status": "denied", "failure": failure, "current_step": gate.path}


# --- which gate is meant -----------------------------------------------------------------------------------------


def _find(file: SessionFile, connection: sqlite3.Connection, standing: Standing, stage: str) -> OpenGate:
    gates = open_gates(file, connection) if standing.status in DECIDABLE else []
    found = [gate for gate in gates if gate.path == stage] or [g for g in gates if decisions.means(stage, g.path)]
    if len(found) > 1:
        raise SessionError(f"'{stage}' could be {', '.join(sorted(gate.path for gate in found))}: give the path")
    if not found:
        raise SessionError(_lost_to(file, connection, stage) or _nothing_waits(file.session_id, standing, gates, stage))
    return found[0]


def _lost_to(file: SessionFile, connection: sqlite3.Connection, stage: str) -> str:
    """Who decided before, or ''."""
    made = [(row.path, row.body) for row in file.lifecycle(connection) if row.event == "approval_decided"]
    made += [(row.body["path"], row.body) for row in file.unanswered(connection) if row.is_decision]
    for path, body in reversed(made):
        if decisions.means(stage, path):
            by, via, message = (body.get(name, "") for name in ("by", "via", "message"))
            return f"too late: '{path}' was {decisions.said(by, via, message, approved=body['approved'])}"
    return ""


def _nothing_waits(session_id: str, standing: Standing, gates: Sequence[OpenGate], stage: str) -> str:
    if standing.status not in DECIDABLE:
        return f"No pending approval for session: {session_id} (too late: it is {standing.status})"
    if not gates:
        return f"No pending approval for session: {session_id}"
    waiting = ", ".join(gate.path for gate in gates)
    return f"Stage mismatch: pending approval is for '{waiting}', not '{stage}'"


# --- asking and forgetting, by other programs --------------------------------------------------------------------


def ask(file: SessionFile, stage: str, question: Mapping[str, Any]) -> None:
    """Ask about a stage of a session that nobody runs, before its run comes to it.

    Args:
        file: the session.
        stage: the stage's name or path.
        question: prompt, timeout and default.

    Raises:
        SessionError: if the session has ended, or the stage has been decided.
        SessionBusyError: while somebody runs it: only that asks.
    """
    with _looking(file) as (connection, standing):
        _refuse_busy(file, connection, standing)
        if standing.status not in DECIDABLE:
            raise SessionError(f"too late: session {file.session_id} is {standing.status}")
        if any(row.event == "approval_decided" and row.path == stage for row in file.lifecycle(connection)):
            raise SessionError(_lost_to(file, connection, stage))
        body = {"stage": stage.rpartition("/")[2], **question}
        file.append_unowned(connection, "approval_requested", body, standing.run, stage, keep_runner=True)


def withdraw(file: SessionFile) -> None:
    """Forget the questions of a session that nobody runs: it asks again when it comes to these gates.

    Raises:
        SessionBusyError: while somebody runs it.
    """
    with _looking(file) as (connection, standing):
        _refuse_busy(file, connection, standing)
        for gate in open_gates(file, connection):
            file.append_unowned(connection, "approval_withdrawn", {}, standing.run, gate.path, keep_runner=True)


def _refuse_busy(file: SessionFile, connection: sqlite3.Connection, standing: Standing) -> None:
    if standing.alive:
        raise SessionBusyError(file.session_id, describe(file.owner(connection)[2]))
