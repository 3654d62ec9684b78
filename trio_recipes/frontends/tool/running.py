"""``execute`` and ``resume``: run a session to its end, or start it and return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import trio

from trio_recipes.events import SessionStatus, Source
from trio_recipes.frontends.summary import summary_of
from trio_recipes.frontends.tool.wording import resume_info
from trio_recipes.language.model import Limits
from trio_recipes.progress.decisions import label
from trio_recipes.sessions.session import Session

if TYPE_CHECKING:
    from trio_recipes.frontends.tool.call import Call
    from trio_recipes.frontends.tool.desk import Desk
    from trio_recipes.sessions.result import SessionResult

OnSession: TypeAlias = Callable[[Session], None]

_STOP_SECONDS: Final = 120.0
"""For a session to end whose call was cancelled: it stops by itself in a fraction of this, whatever resists."""


async def execute(desk: Desk, call: Call) -> Mapping[str, Any]:
    """Run a recipe."""
    recipe = await desk.recipe(call["recipe_path"])
    session = await desk.runtime.start(recipe, call["context"], limits=Limits(deadline=call["deadline"]))
    return await _follow(session, desk, call)


async def resume(desk: Desk, call: Call) -> Mapping[str, Any]:
    """Go on with a session."""
    file = await desk.find(call["session_id"])
    session = await desk.runtime.resume(
        file.session_id, context=call["context"], limits=Limits(deadline=call["deadline"])
    )
    return await _follow(session, desk, call)


async def _follow(session: Session, desk: Desk, call: Call) -> Mapping[str, Any]:
    """Wait for the session; it does not outlive the call, unless it runs in the background."""
    if call["background"]:
        _announce(session, call)
        return _started(session)
    try:
        _announce(session, call)
        result = await session.wait()
    except BaseException as error:
        reason = f"the call that ran it ended: {type(error).__name__}"
        session.cancel(reason, immediate=True, source=Source.TOOL, requester=desk.requester)
        with trio.move_on_after(_STOP_SECONDS, shield=True):
            await session.wait()
        raise
    return _output(session, result)


def _announce(session: Session, call: Call) -> None:
    if call.on_session is not None:
        call.on_session(session)


# --- what the agent reads ----------------------------------------------------------------------------------------


def _started(session: Session) -> dict[str, Any]:
    return {
        "status": "running",
        "recipe": session.engine.frame.recipe.name,
        "session_id": session.id,
        "message": "It runs in the background. Use 'status' to see how far it is, 'cancel' to stop it.",
    }


def _output(session: Session, result: SessionResult) -> dict[str, Any]:
    """What the run came to.

    Raises:
        RecipesError: what ``SessionResult.unwrap`` raises, but for a pause.
    """
    recipe = session.engine.frame.recipe
    head = {"recipe": recipe.name, "session_id": session.id}
    if result.status is SessionStatus.PAUSED:
        return {"status": "paused_for_approval", **head, **_gate(result)}
    result.unwrap()
    variables = {name: result.mask.value(value) for name, value in session.engine.frame.variables.items()}
    return {"status": "completed", **head, "summary": summary_of(recipe, variables, result.shown_output)}


def _gate(result: SessionResult) -> dict[str, Any]:
    asked = result.gate.asked if result.gate else None
    stage = label(asked.path) if asked else ""
    return {
        "stage_name": stage,
        "approval_prompt": asked.prompt if asked else "",
        "approval_by": "human" if asked and asked.human else "anyone",
        "message": f"It waits for a decision on stage '{stage}': 'approve' or 'deny'. {resume_info(result.session_id)}",
    }
