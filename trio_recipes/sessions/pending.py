"""Gates that wait, as plain mappings: for ``approvals --json`` and ``SessionManager``, without trio and cattrs."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from trio_recipes.progress.decisions import label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_recipes.store.approvals import OpenGate


def by_name(gates: Sequence[OpenGate]) -> dict[str, OpenGate]:
    """Gates by what people call them: the stage, or ``stage/sub-stage``; the path where that means several."""
    counted = Counter(label(gate.path) for gate in gates)
    return {label(gate.path) if counted[label(gate.path)] == 1 else gate.path: gate for gate in gates}


def pending_fields(session_id: str, recipe: str | None, gate: OpenGate, name: str) -> dict[str, Any]:
    """One gate, under the field names of the engine our users come from."""
    return {
        "session_id": session_id,
        "recipe_name": recipe,
        "stage_name": name,
        "approval_prompt": gate.prompt,
        "approval_timeout": gate.timeout,
        "approval_requested_at": local(gate.asked_at),
        "approval_default": gate.default,
        "path": gate.path,
    }


def local(at: int) -> str:
    """A moment as that engine writes it: local time, without a zone."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(at / 1_000_000))
