"""Where sessions, scopes and cancellations stand: enumerations only, so that ``cancel`` loads no event class."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Level(IntEnum):
    """How urgently a scope is asked to stop; it only rises within a run."""

    NONE = 0
    GRACEFUL = 1
    IMMEDIATE = 2


class Source(StrEnum):
    """By which door a cancellation came."""

    USER = "user"
    SIGNAL = "signal"
    TOOL = "tool"
    API = "api"
    WEB = "web"
    DEADLINE = "deadline"
    BUDGET = "budget"
    TIMEOUT = "timeout"
    SIBLING_FAILURE = "sibling_failure"
    HOST = "host"
    SHUTDOWN = "shutdown"


class ScopeStatus(StrEnum):
    """Where a scope stands."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class SessionStatus(StrEnum):
    """Where a session stands."""

    CREATED = "created"
    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    DENIED = "denied"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class CancellationStatus(StrEnum):
    """The public projection of a session's cancellation: compatible with the engine our users come from."""

    NONE = "none"
    REQUESTED = "requested"
    IMMEDIATE = "immediate"
    CANCELLED = "cancelled"


class ApprovalStatus(StrEnum):
    """Where a stage's approval stands: compatible with the engine our users come from."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    NOT_REQUIRED = "not_required"
    TIMEOUT = "timeout"


LIFECYCLE = frozenset(
    {
        "session_created",
        "recipe_replaced",
        "run_started",
        "work_ended",
        "cancel_requested",
        "approval_requested",
        "approval_decided",
        "approval_withdrawn",
        "cancellation_cleared",
        "run_ended",
    }
)
"""Kinds from which a session's standing is derived; a store keeps these quick to find."""
