"""What went wrong, as the tool's error object: a message that says what to do, and the exception's class by name."""

from __future__ import annotations

from typing import Any

from trio_recipes.errors import (
    CancellationRequestedError,
    InvalidCallError,
    InvalidRecipeError,
    SessionError,
    StepFailedError,
)
from trio_recipes.frontends.tool.schema import OPERATIONS
from trio_recipes.frontends.tool.wording import resume_info


def as_error(error: Exception, operation: str) -> dict[str, Any]:
    """The error object. Errors of the call itself speak for themselves; others are put in the operation's words."""
    kind = type(error).__name__
    if isinstance(error, InvalidRecipeError):
        return {"message": "Recipe validation failed", "type": kind, **_problems(error)}
    if isinstance(error, (InvalidCallError, SessionError)) or operation not in OPERATIONS:
        return {"message": str(error), "type": kind}
    message = f"{OPERATIONS[operation].fails}: {str(error) or kind}"
    return {"message": message, "type": kind, **_how_to_go_on(error)}


def _problems(error: InvalidRecipeError) -> dict[str, list[str]]:
    return {
        "errors": [str(problem) for problem in error.problems if not problem.warning],
        "warnings": [str(problem) for problem in error.problems if problem.warning],
    }


def _how_to_go_on(error: Exception) -> dict[str, Any]:
    """Of a run that ended otherwise than completed: its session stays, and can mostly be resumed."""
    if isinstance(error, CancellationRequestedError):
        step = {"current_step": error.current_step} if error.current_step else {}
        return {"session_id": error.session_id, **step, "resume_info": resume_info(error.session_id)}
    if isinstance(error, StepFailedError):
        hint = {"hint": error.failure.hint} if error.failure.hint else {}
        more = {} if error.failure.kind == "denied" else {"resume_info": resume_info(error.session_id)}
        return {"session_id": error.session_id, "failed_step": error.failure.path, **hint, **more}
    return {}
