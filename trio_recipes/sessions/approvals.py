"""What a session's records say of its gates: for ``show`` and for ``load_state``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio_recipes.progress.decisions import label
from trio_recipes.progress.gates import decision_of
from trio_recipes.progress.times import iso
from trio_recipes.sessions.pending import local
from trio_recipes.statuses import ApprovalStatus
from trio_recipes.store.approvals import DECIDABLE, status_of

if TYPE_CHECKING:
    from trio_recipes.progress.record import GateRecord
    from trio_recipes.sessions.history import History


def waiting_gates(history: History) -> list[GateRecord]:
    """The gates at which a session waits; none once it has ended otherwise."""
    return history.progress.open_gates if history.standing.status in DECIDABLE else []


def approval_view(gate: GateRecord) -> dict[str, Any]:
    """A gate as ``show --json`` prints it; ``decision`` is null while it waits."""
    asked, expires_at = gate.asked, gate.expires_at
    return {
        "path": asked.path,
        "stage": asked.stage,
        "prompt": asked.prompt,
        "requested_at": iso(gate.asked_at),
        "timeout": asked.timeout,
        "expires_at": iso(expires_at) if expires_at else None,
        "default": asked.default,
        "by_human": asked.human,
        "decision": decision_of(gate) if gate.decided else None,
    }


def approval_state(history: History) -> dict[str, Any]:
    """The approval fields of the engine our users come from; a gate of a sub-recipe is called ``stage/sub-stage``."""
    gates = list(history.progress.gates.values())
    waiting = waiting_gates(history)
    return {
        "stage_approvals": {label(gate.asked.path): str(_status(gate)) for gate in gates},
        "approval_history": [_decided(gate) for gate in gates if gate.decided],
        **(_pending(waiting[0]) if waiting else {}),
        "_approval_message": history.frame.variables.get("_approval_message", ""),
    }


def _status(gate: GateRecord) -> ApprovalStatus:
    decided = gate.decided
    return ApprovalStatus.PENDING if decided is None else status_of({"approved": decided.approved, "via": decided.via})


def _decided(gate: GateRecord) -> dict[str, Any]:
    assert gate.decided is not None
    return {
        "stage": label(gate.asked.path),
        "status": str(_status(gate)),
        "timestamp": local(gate.decided_at or gate.asked_at),
        "reason": gate.decided.message or None,
    }


def _pending(gate: GateRecord) -> dict[str, Any]:
    return {
        "pending_approval_stage": label(gate.asked.path),
        "pending_approval_prompt": gate.asked.prompt,
        "pending_approval_timeout": gate.asked.timeout,
        "pending_approval_default": gate.asked.default,
        "pending_approval_requested_at": local(gate.asked_at),
    }
