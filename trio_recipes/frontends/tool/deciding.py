"""``approvals``, ``approve`` and ``deny``: gates at which sessions wait."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from trio_recipes.frontends.tool.wording import resume_info
from trio_recipes.sessions.pending import by_name, pending_fields
from trio_recipes.sessions.requesting import lapse, settle
from trio_recipes.store.approvals import DECIDABLE, pending

if TYPE_CHECKING:
    from trio_recipes.frontends.tool.call import Call
    from trio_recipes.frontends.tool.desk import Desk
    from trio_recipes.store.approvals import OpenGate, Settled
    from trio_recipes.store.session_file import SessionFile

_DENIED_BY_DEFAULT = "Denied by user"


async def approvals(desk: Desk, _call: Call) -> Mapping[str, Any]:
    """The project's gates that wait; defaults whose time is over are applied first."""
    found = await trio.to_thread.run_sync(partial(_waiting, desk))
    return {"pending_approvals": found, "count": len(found)}


def _waiting(desk: Desk) -> list[dict[str, Any]]:
    return [
        pending_fields(session_id, standing.created.get("recipe_name"), gate, name) | {"by_human": gate.human}
        for session_id, standing in desk.standings()
        if standing.status in DECIDABLE
        for name, gate in by_name(_still_open(desk.runtime.store.file(session_id))).items()
    ]


def _still_open(file: SessionFile) -> list[OpenGate]:
    gates = pending(file)
    if not any(gate.expiry() for gate in gates):
        return gates
    lapse(file)
    return pending(file)


async def approve(desk: Desk, call: Call) -> Mapping[str, Any]:
    """Let a session pass a gate; one that has paused there goes on when it is resumed.

    Raises:
        SessionError: if no such gate waits, it is too late, or a person is asked.
    """
    session_id, settled = await _decide(desk, call, approved=True, message=call["message"])
    goes_on = "It goes on by itself." if settled.running else resume_info(session_id)
    return {
        "status": "approved",
        "session_id": session_id,
        "stage_name": call["stage_name"],
        "approval_message": call["message"],
        "message": f"Stage '{call['stage_name']}' approved. {goes_on}",
    }


async def deny(desk: Desk, call: Call) -> Mapping[str, Any]:
    """Refuse a gate: that is final for its session. Raises as :func:`approve` does."""
    reason = call["reason"] or _DENIED_BY_DEFAULT
    session_id, _ = await _decide(desk, call, approved=False, message=reason)
    return {
        "status": "denied",
        "session_id": session_id,
        "stage_name": call["stage_name"],
        "reason": reason,
        "message": f"Stage '{call['stage_name']}' denied. That is final: session {session_id} can't be resumed.",
    }


async def _decide(desk: Desk, call: Call, *, approved: bool, message: str) -> tuple[str, Settled]:
    file = await desk.find(call["session_id"])
    decision = {"approved": approved, "by": desk.requester, "via": desk.via, "message": message}
    return file.session_id, await trio.to_thread.run_sync(partial(settle, file, call["stage_name"], **decision))
