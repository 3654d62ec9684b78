"""What the tool offers, as tables: operations, their parameters, and the JSON Schema of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from trio_recipes.classes import frozen

DESCRIPTION: Final = """\
Run multi-step recipes (YAML workflows of agents, shell commands, functions and other recipes), stop them, and go on \
where they stopped.

`execute` runs a recipe and returns a summary of its result, or says that it waits for approval; with \
`background: true` it returns at once with the session's id. `status` tells where a session stands, `list` which \
sessions there are. `cancel` stops one: gracefully (steps in hand are finished) or, with `immediate: true`, at once. \
`resume` goes on with a session that was cancelled, interrupted, failed or paused; finished steps are not run again. \
`approvals` lists what waits for a decision. `validate` checks a recipe and runs nothing."""


@frozen
class Operation:
    """One thing that the tool does.

    Args:
        summary: for the model, in a line.
        required: parameters without which it does nothing.
        optional: parameters it takes besides.
        fails: how the message begins when it goes wrong in a way that needs explaining.
    """

    summary: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    fails: str


OPERATIONS: Final[Mapping[str, Operation]] = {
    "execute": Operation(
        "run a recipe", ("recipe_path",), ("context", "background", "deadline"), "Recipe execution failed"
    ),
    "resume": Operation(
        "go on with a session", ("session_id",), ("context", "background", "deadline"), "Failed to resume recipe"
    ),
    "status": Operation("where a session stands", ("session_id",), (), "Failed to read session"),
    "list": Operation("the project's sessions, newest first", (), ("limit",), "Failed to list sessions"),
    "validate": Operation("check a recipe", ("recipe_path",), ("context",), "Failed to validate recipe"),
    "approvals": Operation("gates that wait for a decision", (), (), "Failed to list approvals"),
    "approve": Operation(
        "let a session pass a gate", ("session_id", "stage_name"), ("message",), "Failed to approve stage"
    ),
    "deny": Operation(
        "refuse a gate: final for its session", ("session_id", "stage_name"), ("reason",), "Failed to deny stage"
    ),
    "cancel": Operation(
        "stop a session, or a part of it",
        ("session_id",),
        ("immediate", "at", "grace", "reason", "request_id"),
        "Failed to cancel session",
    ),
}

PARAMETERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "recipe_path": {
        "type": "string",
        "description": "The recipe's file, relative to the project's folder, or @bundle:path.",
    },
    "context": {"type": "object", "description": "Variables for the recipe, over its own."},
    "session_id": {"type": "string", "description": "The session's id, or its first characters."},
    "background": {"type": "boolean", "description": "Return at once with the session's id.", "default": False},
    "deadline": {
        "type": "number",
        "exclusiveMinimum": 0,
        "description": "Seconds that the run may take before it is stopped.",
    },
    "stage_name": {"type": "string", "description": "The stage whose gate waits, as `approvals` names it."},
    "message": {"type": "string", "description": "With approve: for the steps that follow.", "default": ""},
    "reason": {"type": "string", "description": "With deny or cancel: why."},
    "immediate": {
        "type": "boolean",
        "description": "Stop what is in flight, too. Asking twice without it means the same.",
        "default": False,
    },
    "at": {"type": "string", "description": "Stop only this part of the session, such as audit/scan[3]."},
    "grace": {
        "type": "number",
        "minimum": 0,
        "description": "Seconds after which a graceful cancellation becomes immediate.",
    },
    "request_id": {
        "type": "string",
        "description": "Your own id of a cancellation: sent again with the same one, it is the same request.",
    },
    "limit": {"type": "integer", "minimum": 1, "description": "How many sessions to list.", "default": 20},
}


def input_schema(operations: Iterable[str]) -> dict[str, Any]:
    """A JSON Schema of one object whose ``operation`` is among these."""
    offered = {name: OPERATIONS[name] for name in operations}
    taken = {name for each in offered.values() for name in (*each.required, *each.optional)}
    described = "; ".join(f"{name}: {each.summary}{_needs(each)}" for name, each in offered.items())
    return {
        "type": "object",
        "properties": {
            "operation": {"type": "string", "enum": list(offered), "description": f"What to do. {described}."},
            **{name: dict(schema) for name, schema in PARAMETERS.items() if name in taken},
        },
        "required": ["operation"],
    }


def _needs(operation: Operation) -> str:
    return f" ({', '.join(operation.required)})" if operation.required else ""
