"""A session as the ``state.json`` of the engine our users come from would have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio_recipes.events import Level, ScopeStatus
from trio_recipes.sessions.approvals import approval_state
from trio_recipes.sessions.history import History, read_history
from trio_recipes.sessions.pending import local

if TYPE_CHECKING:
    from trio_recipes.store.session_file import SessionFile


def project_state(file: SessionFile) -> dict[str, Any]:
    """The fields that users of that engine read; every one derived from the records."""
    history = read_history(file)
    created = history.progress.created
    assert created is not None
    done = _completed_steps(history)
    return {
        "session_id": created.session_id,
        "recipe_name": created.recipe_name,
        "recipe_version": created.recipe_version,
        "recipe_path": created.recipe_file,
        "started": local(history.progress.created_at),
        "status": str(history.standing.status),
        "current_step_index": len(done),
        "completed_steps": done,
        "context": dict(history.frame.variables),
        "project_path": created.project_path,
        "parent_session_id": created.parent_session_id,
        **_cancellation(history),
        **approval_state(history),
    }


def _completed_steps(history: History) -> list[str]:
    """Top-level steps of a flat recipe, or steps of its stages, in document order, that need not run again."""
    recipe, records = history.frame.recipe, history.progress.records
    places = [(step.id, step.id) for step in recipe.steps]
    places += [(f"{stage.name}/{step.id}", step.id) for stage in recipe.stages for step in stage.steps]
    finished = (ScopeStatus.COMPLETED, ScopeStatus.FAILED)
    return [
        name for path, name in places if path in records and records[path].final and records[path].status in finished
    ]


def _cancellation(history: History) -> dict[str, Any]:
    standing, ended = history.standing, history.progress.ended
    request = (ended.cancellation if ended else None) or (
        history.progress.cancellations[-1].cancellation if history.progress.cancellations else None
    )
    fields: dict[str, Any] = {"cancellation_status": str(standing.cancellation)}
    if request is not None:
        fields["cancellation_requested_at"] = local(request.requested_at)
    if standing.cancelled and ended is not None and history.progress.ended_at is not None:
        fields["cancelled_at"] = local(history.progress.ended_at)
        fields["cancelled_at_step"] = ended.current_step
        fields["cancellation_was_immediate"] = request is not None and request.level is Level.IMMEDIATE
    return fields
