"""``status``, ``list`` and ``validate``: nothing is run or changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from trio_recipes.errors import RecipesError
from trio_recipes.events import ScopeStatus, SessionStatus
from trio_recipes.frontends.summary import shortened, summary_of
from trio_recipes.frontends.tool.wording import resume_info
from trio_recipes.progress.tables import RESUMABLE
from trio_recipes.sessions.approvals import approval_view, waiting_gates
from trio_recipes.sessions.history import read_history
from trio_recipes.sessions.recipes import agent_steps, prepare
from trio_recipes.sessions.state import project_state
from trio_recipes.sessions.view import session_view

if TYPE_CHECKING:
    from trio_recipes.frontends.tool.call import Call
    from trio_recipes.frontends.tool.desk import Desk
    from trio_recipes.sessions.history import History
    from trio_recipes.store.session_file import SessionFile

_SHOWN_PATHS = 20
_OF_VIEW = ("session_id", "recipe", "status", "started_at", "finished_at", "current_step")
_IF_ANY = ("failure", "still_running")


async def status(desk: Desk, call: Call) -> Mapping[str, Any]:
    """Where a session stands."""
    file = await desk.find(call["session_id"])
    return await trio.to_thread.run_sync(partial(_status, file), abandon_on_cancel=True)


def _status(file: SessionFile) -> dict[str, Any]:
    history = read_history(file)
    view, standing = session_view(history), history.standing
    counted = Counter(node["status"] for node in view["nodes"])
    active = [node["path"] for node in view["nodes"] if node["status"] in (ScopeStatus.RUNNING, ScopeStatus.WAITING)]
    asked = view["cancellation"] if standing.request or standing.cancelled else None
    optional = {
        "running": active[-_SHOWN_PATHS:],
        "cancellation": asked,
        "pending_approvals": [approval_view(gate) for gate in waiting_gates(history)],
        **{name: view[name] for name in _IF_ANY},
        "summary": _summary(history, view) if standing.status is SessionStatus.COMPLETED else None,
        "resume_info": resume_info(file.session_id) if standing.status in RESUMABLE else None,
    }
    head = {name: view[name] for name in _OF_VIEW}
    return {**head, "steps": dict(counted), **{name: value for name, value in optional.items() if value}}


def _summary(history: History, view: Mapping[str, Any]) -> dict[str, Any]:
    return summary_of(history.frame.recipe, history.frame.variables, view["final_output"])


async def list_sessions(desk: Desk, call: Call) -> Mapping[str, Any]:
    """The project's sessions, newest first."""
    return await trio.to_thread.run_sync(partial(_list, desk, call["limit"]), abandon_on_cancel=True)


def _list(desk: Desk, limit: int) -> dict[str, Any]:
    found = [session_id for session_id, _ in desk.standings()]
    rows = [_row(desk.runtime.store.file(session_id)) for session_id in found[:limit]]
    more = {"more": f"{len(found) - limit} older ones; ask with a higher limit"} if len(found) > limit else {}
    return {"sessions": rows, "count": len(rows), **more}


def _row(file: SessionFile) -> dict[str, Any]:
    try:
        state = project_state(file)
    except RecipesError as error:  # one damaged session hides no other
        return {"session_id": file.session_id, "status": "damaged", "error": str(error)}
    names = ("session_id", "recipe_name", "started", "status", "current_step_index")
    return {**{name: state[name] for name in names}, "completed_steps": shortened(state["completed_steps"])}


async def validate(desk: Desk, call: Call) -> Mapping[str, Any]:
    """Check a recipe and those it names.

    Raises:
        InvalidRecipeError: with every problem of every file.
    """
    runtime, path = desk.runtime, await desk.recipe(call["recipe_path"])
    checking = partial(prepare, path, call["context"] or {}, runtime.project, runtime.sources)
    prepared = await trio.to_thread.run_sync(checking, abandon_on_cancel=True)
    recipe, remarks = prepared.recipe, desk.remarks(agent_steps(prepared.steps()))
    warnings = [*(str(problem) for problem in recipe.warnings), *remarks]
    return {"status": "valid", "recipe": recipe.name, "version": recipe.version, "warnings": warnings}
