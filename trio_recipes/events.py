"""What can happen in a session, as frozen classes: the one vocabulary of runtime, store and front ends.

Only the owner of a session writes events, in order, each once (design.md section 3, "One owner per fact"). Everything
that is known about a session is folded from them (:mod:`trio_recipes.progress.fold`). The list is closed: readers may
rely on there being no other kind, ignore fields they do not know, and refuse a higher ``v``.

Every class has a ``path``: the scope it is about, ``''`` for the session itself. When an event happened, its place in
the order and the run it belongs to are the envelope's (:class:`Stamped`), so that making an event costs little.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import Factory, frozen

from trio_recipes.failure import Failure
from trio_recipes.statuses import LIFECYCLE as LIFECYCLE
from trio_recipes.statuses import ApprovalStatus as ApprovalStatus
from trio_recipes.statuses import CancellationStatus as CancellationStatus
from trio_recipes.statuses import Level as Level
from trio_recipes.statuses import ScopeStatus as ScopeStatus
from trio_recipes.statuses import SessionStatus as SessionStatus
from trio_recipes.statuses import Source as Source

VERSION = 1
"""``v`` of every event: raised when the meaning of a field changes."""


@frozen
class Cancellation:
    """Who asked a scope to stop, how, and why.

    Args:
        level: graceful or immediate.
        source: by which door.
        requester: for people: ``pid 4711``, ``Ctrl+C``, a user's name; "" if unknown.
        reason: free text of at most 512 characters; "" if none was given.
        requested_at: microseconds since the epoch (UTC), on the requester's clock.
        request_id: the caller's id of the request: the same id is the same request.
        at: the path it was asked for; ``''`` is the whole session.
        grace: seconds after which a graceful request becomes immediate, or None.
    """

    level: Level
    source: Source = Source.API
    requester: str = ""
    reason: str = ""
    requested_at: int = 0
    request_id: str = ""
    at: str = ""
    grace: float | None = None


@frozen(kw_only=True)
class Event:
    """Something that happened at ``path``."""

    name: ClassVar[str] = "event"

    path: str = ""


@frozen(kw_only=True)
class SessionCreated(Event):
    """A session exists. ``context`` holds the caller's variables; the recipe's text is in ``recipe_frozen`` events.

    ``cleans_up``: some ``finally`` may be due when it is cancelled, so whoever cancels it can't just write that down.
    """

    name = "session_created"

    session_id: str
    recipe_name: str
    recipe_version: str
    recipe_file: str | None = None
    project_path: str
    context: Mapping[str, Any] = Factory(dict)
    parent_session_id: str | None = None
    recipe_digest: str = ""
    cleans_up: bool = False


@frozen(kw_only=True)
class RunStarted(Event):
    """A runner took the session: a new run begins at level none."""

    name = "run_started"

    runner: str
    host: str
    pid: int
    took_over_from: str | None = None


@frozen(kw_only=True)
class RecipeFrozen(Event):
    """A (sub-)recipe's text belongs to the session from now on; ``key`` is what names it there, ``data`` the text."""

    name = "recipe_frozen"

    key: str
    file: str | None
    digest: str
    data: bytes = b""


@frozen(kw_only=True)
class RecipeReplaced(Event):
    """A resume brought another recipe: what was frozen counts no more, what ``recipe_frozen`` brings next does."""

    name = "recipe_replaced"

    recipe_name: str
    recipe_version: str
    recipe_file: str | None
    recipe_digest: str
    cleans_up: bool


@frozen(kw_only=True)
class ContextChanged(Event):
    """A resume set variables of the caller: from now on they count instead of those that the session began with."""

    name = "context_changed"

    context: Mapping[str, Any]


@frozen(kw_only=True)
class RecordsVoided(Event):
    """What a resume runs again, because the recipe or a variable is not what it was (decisions.md, "Frozen recipes").

    Args:
        voided: scopes that are forgotten, with everything below them.
        reopened: composites that had finished and are entered again: some of what stands below them is kept.
        gates: gates that ask again, although their stage is kept.
    """

    name = "records_voided"

    voided: tuple[str, ...] = ()
    reopened: tuple[str, ...] = ()
    gates: tuple[str, ...] = ()


@frozen(kw_only=True)
class ScopeStarted(Event):
    """A scope began in this run. ``digest`` names the definition of its step."""

    name = "scope_started"

    kind: str
    digest: str = ""


@frozen(kw_only=True)
class AttemptStarted(Event):
    """Attempt n (from 2; the first starts with its scope) began: what stood below ``path`` is void."""

    name = "attempt_started"

    attempt: int


@frozen(kw_only=True)
class AttemptFailed(Event):
    """An attempt failed and another will follow after ``delay`` seconds."""

    name = "attempt_failed"

    failure: Failure
    delay: float


@frozen(kw_only=True)
class Output(Event):
    """Bytes that a step produced, as they came. ``background``: after the step's value was fixed.

    ``secrets``: where the values of secrets stand in ``data``, begin and end of each.
    """

    name = "output"

    channel: str
    background: bool = False
    secrets: tuple[tuple[int, int], ...] = ()
    data: bytes = b""


@frozen(kw_only=True)
class Waiting(Event):
    """A scope waits for something that is not work: ``what`` is backoff, slot, rate_limit or approval."""

    name = "waiting"

    what: str
    seconds: float | None = None


@frozen(kw_only=True)
class Warned(Event):
    """Something is legal but surprising, such as a ``break_when`` that can't be evaluated."""

    name = "warned"

    message: str


@frozen(kw_only=True)
class Signalled(Event):
    """A process of a step was sent a signal to stop it."""

    name = "signalled"

    pid: int
    signal: str


@frozen(kw_only=True)
class Resisted(Event):
    """Something of a scope still runs although it was told to stop: a process or thread, by name."""

    name = "resisted"

    what: str


@frozen(kw_only=True)
class ScopeFinished(Event):
    """A scope ended.

    Args:
        status: completed, failed, skipped or cancelled.
        handled: a failure that ``on_error`` dealt with: final, resume does not run it again.
        failure: why it failed.
        cancellation: who stopped it.
        exit_code: of a bash or command step.
        channel: the output channel whose bytes are its result, or None when ``value`` is.
        value: the result of a leaf that is not text. Composites store none (decisions.md).
        shown: ``value`` without secrets, if there are any in it.
        seconds: duration on the monotonic clock.
    """

    name = "scope_finished"

    status: ScopeStatus
    handled: bool = False
    failure: Failure | None = None
    cancellation: Cancellation | None = None
    exit_code: int | None = None
    channel: str | None = None
    value: Any = None
    shown: Any = None
    seconds: float = 0.0


@frozen(kw_only=True)
class WorkEnded(Event):
    """A body is over; what follows is the ``finally`` at ``path``, or (at the root) the end of the run."""

    name = "work_ended"

    outcome: ScopeStatus


@frozen(kw_only=True)
class CancelRequested(Event):
    """The owner learned of a request to stop and delivered it: durable before it is acknowledged."""

    name = "cancel_requested"

    cancellation: Cancellation
    escalates: bool = False
    forced: bool = False


@frozen(kw_only=True)
class RequestAnswered(Event):
    """What became of a request: applied, too_late, already_cancelled or no_such_scope."""

    name = "request_answered"

    request_id: str
    answer: str


@frozen(kw_only=True)
class ApprovalRequested(Event):
    """A gate was reached: a person is asked. ``path`` is the stage's; ``timeout`` in seconds, 0 waits for ever."""

    name = "approval_requested"

    stage: str
    prompt: str
    timeout: float = 0.0
    default: str = "deny"
    human: bool = False


@frozen(kw_only=True)
class ApprovalDecided(Event):
    """A gate was decided, once: by whom, by which door (user, tool, mcp, web, api, timeout), with which words."""

    name = "approval_decided"

    approved: bool
    by: str = ""
    via: str = ""
    message: str = ""


@frozen(kw_only=True)
class ApprovalWithdrawn(Event):
    """A gate asks no longer: what stands around it has ended, or is tried again. Reached again, it asks again."""

    name = "approval_withdrawn"


@frozen(kw_only=True)
class CancellationCleared(Event):
    """The session may be run again: its level is none from here (decisions.md: a new epoch)."""

    name = "cancellation_cleared"


@frozen(kw_only=True)
class RunEnded(Event):
    """The one terminal event of a run.

    Args:
        status: completed, failed, cancelled, paused or interrupted.
        failure: why, when failed.
        cancellation: who asked, when cancelled.
        current_step: the path where it stopped.
        still_running: what resisted the stop, by name; normally ().
    """

    name = "run_ended"

    status: SessionStatus
    failure: Failure | None = None
    cancellation: Cancellation | None = None
    current_step: str | None = None
    still_running: tuple[str, ...] = ()


KINDS: dict[str, type[Event]] = {
    kind.name: kind
    for kind in (
        SessionCreated,
        RunStarted,
        RecipeFrozen,
        RecipeReplaced,
        ContextChanged,
        RecordsVoided,
        ScopeStarted,
        AttemptStarted,
        AttemptFailed,
        Output,
        Waiting,
        Warned,
        Signalled,
        Resisted,
        ScopeFinished,
        WorkEnded,
        CancelRequested,
        RequestAnswered,
        ApprovalRequested,
        ApprovalDecided,
        ApprovalWithdrawn,
        CancellationCleared,
        RunEnded,
    )
}
"""The closed list, by name."""


@frozen
class Stamped:
    """An event in its place.

    Args:
        seq: number within the session, from 1, without gaps.
        run: the run it belongs to; 0 before the first.
        at: microseconds since the epoch (UTC).
        event: what happened.
    """

    seq: int
    run: int
    at: int
    event: Event
