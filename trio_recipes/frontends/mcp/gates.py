"""Approval gates as questions to the person behind the client (elicitation)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from mcp.types import ElicitRequestFormParams, ElicitResult

from trio_recipes.classes import frozen
from trio_recipes.frontends.printable import printable

if TYPE_CHECKING:
    from mcp.types import ClientCapabilities

    from trio_recipes.sessions.result import SessionResult

KEY: Final = "decision"
"""What the question is called where the protocol wants a name for it."""

_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "decision": {
            "type": "string",
            "title": "Decision",
            "description": "Denying is final for the session.",
            "enum": ["approve", "deny"],
        },
        "message": {"type": "string", "title": "Message", "description": "For the steps that follow, or why not."},
    },
    "required": ["decision"],
}

_TEXT_OF: Final = {"approve": "message", "deny": "reason"}
"""What the tool calls the message that comes with a decision."""


def can_ask(client: ClientCapabilities | None) -> bool:
    """Whether a client can show a form to a person."""
    asks = client.elicitation if client else None
    return asks is not None and (asks.form is not None or asks.url is None)


@frozen
class Question:
    """One gate that waits.

    Args:
        session_id: the session that waits.
        path: the gate's.
        prompt: what the recipe asks; not needed once it has been asked.
    """

    session_id: str
    path: str
    prompt: str = ""

    @classmethod
    def of(cls, result: SessionResult | None) -> Question | None:
        """The gate that a run paused at, unless it is for a person at another door (``by: human``)."""
        gate = result.gate if result else None
        if result is None or gate is None or gate.decided or gate.asked.human:
            return None
        return cls(result.session_id, gate.asked.path, gate.asked.prompt)

    @classmethod
    def from_state(cls, state: str) -> Question:
        """The question whose :meth:`state` a client hands back."""
        session_id, path = json.loads(state)
        return cls(session_id, path)

    def state(self) -> str:
        """What the client hands back with the answer, sealed by the server."""
        return json.dumps([self.session_id, self.path])

    def form(self) -> ElicitRequestFormParams:
        """What the client shows."""
        return ElicitRequestFormParams(message=f"{self.path}: {printable(self.prompt)}", requested_schema=_FORM)

    def decision(self, answer: object) -> dict[str, Any] | None:
        """The call of the tool that carries an answer out, or None.

        A form that was declined or closed decides nothing: a denial is final, so it has to be said.
        """
        content = answer.content or {} if isinstance(answer, ElicitResult) and answer.action == "accept" else {}
        operation, text = content.get("decision"), str(content.get("message") or "")
        if operation not in _TEXT_OF:
            return None
        gate = {"session_id": self.session_id, "stage_name": self.path}
        return {"operation": operation, **gate, _TEXT_OF[operation]: text}
