"""One session as ``show --json`` prints it: an object derived from the records alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from trio_recipes.events import CancellationStatus, Level, ScopeStatus, SessionStatus
from trio_recipes.progress.times import iso
from trio_recipes.sessions.approvals import approval_view
from trio_recipes.sessions.session import public_context
from trio_recipes.store.codec import cancellation_from_json

if TYPE_CHECKING:
    from trio_recipes.events import AgentAccount, Cancellation
    from trio_recipes.progress.record import Record
    from trio_recipes.progress.spending import Spending
    from trio_recipes.sessions.history import History

LIVE = frozenset({SessionStatus.RUNNING, SessionStatus.CANCELLING, SessionStatus.QUEUED})


def session_view(history: History) -> dict[str, Any]:
    """Everything known of a session, as JSON."""
    standing, progress = history.standing, history.progress
    created, ended = progress.created, progress.ended
    assert created is not None
    context = public_context(history.frame.variables)
    return {
        "session_id": created.session_id,
        "recipe": created.recipe_name,
        "recipe_file": created.recipe_file,
        "project_path": created.project_path,
        "status": str(standing.status),
        "started_at": iso(progress.created_at),
        "finished_at": iso(progress.ended_at) if progress.ended_at else None,
        "runs": progress.run,
        "current_step": ended.current_step if ended else None,
        "cancellation": cancellation_view(history),
        "approvals": [approval_view(gate) for gate in progress.gates.values()],
        "failure": _plain(ended.failure) if ended and ended.failure else None,
        "usage": _usage(spent_by(history)),
        "still_running": [_plain(held) for held in ended.still_running] if ended else [],
        "nodes": [node_view(record, history) for record in progress.records.values() if record.path],
        "context": context,
        "final_output": context.get("final_output", history.outcome.value),
    }


def cancellation_view(history: History) -> dict[str, Any]:
    """Who asked the session to stop, how, why and when, and where it took effect."""
    standing, ended = history.standing, history.progress.ended
    asked = request_of(history)
    took_effect = standing.cancelled and ended is not None
    return {
        "status": str(standing.cancellation),
        "was_immediate": asked is not None and asked.level is Level.IMMEDIATE,
        "reason": asked.reason if asked else None,
        "source": str(asked.source) if asked else None,
        "requested_by": (asked.requester or str(asked.source)) if asked else None,
        "requested_at": iso(asked.requested_at) if asked and asked.requested_at else None,
        "cancelled_at": iso(history.progress.ended_at) if took_effect and history.progress.ended_at else None,
        "cancelled_at_step": ended.current_step if took_effect and ended else None,
    }


def request_of(history: History) -> Cancellation | None:
    """The request that the session stopped, or is stopping, for."""
    standing, ended = history.standing, history.progress.ended
    if standing.cancellation is CancellationStatus.NONE:
        return None
    if ended is not None and ended.cancellation is not None:
        return ended.cancellation
    return cancellation_from_json(standing.request) if standing.request else None


def node_view(record: Record, history: History) -> dict[str, Any]:
    """One scope."""
    view: dict[str, Any] = {
        "path": record.path,
        "kind": record.kind,
        "status": str(status_of(record, history)),
        "attempts": record.attempts,
        "started_at": iso(record.started_at) if record.started_at else None,
        "finished_at": iso(record.finished_at) if record.finished_at else None,
    }
    optional = {
        "exit_code": record.exit_code,
        "handled": record.handled or None,
        "waits_for": record.waits_for or None,
        "failure": _plain(record.failure) if record.failure else None,
    }
    if record.answered:
        optional[record.answered.name.removeprefix("agent_")] = _account(record.answered)
    return view | {name: value for name, value in optional.items() if value is not None}


def status_of(record: Record, history: History) -> ScopeStatus:
    """Where a scope stands; nothing of a session that nobody runs is running."""
    if record.status not in (ScopeStatus.RUNNING, ScopeStatus.WAITING) or history.standing.status in LIVE:
        return record.status
    paused = record.status is ScopeStatus.WAITING and history.standing.status is SessionStatus.PAUSED
    return ScopeStatus.WAITING if paused else ScopeStatus.INTERRUPTED


def spent_by(history: History) -> Spending:
    """What the answers of agents took; those that nobody hears the end of, since their runner is gone, included."""
    spent = history.progress.spent
    return spent if history.standing.status in LIVE else spent.settled()


def _usage(spent: Spending) -> dict[str, Any] | None:
    """What the answers of agents took; None if none did."""
    totals = {name: value for name, value in _plain(spent).items() if name != "in_hand"}
    return {**totals, "tokens": spent.tokens} if spent.answers or spent.broken_off else None


def _account(account: AgentAccount) -> dict[str, Any]:
    told = {name: value for name, value in _plain(account).items() if name != "path" and value is not None}
    return {name: value for name, value in told.items() if name != "estimated" or value}


def _plain(value: Any) -> dict[str, Any]:
    return attrs.asdict(value)
