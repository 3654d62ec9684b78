"""Events of a session: its runs, its recipes, who asked it to stop, whom it asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Factory

from trio_recipes.classes import frozen
from trio_recipes.events.base import Cancellation, Event, Holdout
from trio_recipes.failure import Failure
from trio_recipes.statuses import SessionStatus


@frozen(kw_only=True)
class SessionCreated(Event):
    """A session exists; the text of its recipe is in ``recipe_frozen`` events.

    Args:
        session_id: its id.
        recipe_name: as the recipe has it.
        recipe_version: as the recipe has it.
        recipe_file: where the recipe stands, or None if it came from no file.
        project_path: the project's folder.
        context: the caller's variables.
        parent_session_id: of the session that this one was split off, or started for.
        recipe_digest: names the recipe's text.
        cleans_up: some ``finally`` may be due when it is cancelled, so whoever cancels it can't just write that down.
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
    """A runner took the session: a new run begins at level none.

    Args:
        runner: the runner's own id.
        host: where it runs.
        pid: its process, to be told to people and never trusted.
        took_over_from: the runner that had the session and died, or None.
    """

    name = "run_started"

    runner: str
    host: str
    pid: int
    took_over_from: str | None = None


@frozen(kw_only=True)
class RecipeFrozen(Event):
    """A (sub-)recipe's text belongs to the session from now on.

    Args:
        key: what names it there.
        file: where it stood, or None.
        digest: names the text.
        data: the text.
    """

    name = "recipe_frozen"

    key: str
    file: str | None
    digest: str
    data: bytes = b""


@frozen(kw_only=True)
class RecipeReplaced(Event):
    """A resume brought another recipe: what was frozen counts no more, what ``recipe_frozen`` brings next does.

    Args:
        recipe_name: as for :class:`SessionCreated`, like the others.
        recipe_version: of the new one.
        recipe_file: of the new one.
        recipe_digest: of the new one.
        cleans_up: whether the new one has a ``finally``.
    """

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
    """What a resume runs again, because the recipe or a variable is not what it was.

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
class CancelRequested(Event):
    """The owner learned of a request to stop and delivered it: durable before it is acknowledged.

    Args:
        cancellation: who asked, how and why.
        escalates: it came by a door where a second graceful request means "now".
        forced: immediate was asked for again: clean-up is cut short.
    """

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
class CancellationCleared(Event):
    """The session may be run again: its level is none from here."""

    name = "cancellation_cleared"


@frozen(kw_only=True)
class ApprovalRequested(Event):
    """A gate was reached: a person is asked. ``path`` is the stage's.

    Args:
        stage: its name.
        prompt: what is asked.
        timeout: seconds after which ``default`` holds; 0 waits for ever.
        default: ``approve`` or ``deny``.
        human: tools and MCP clients may not decide (``by: human``).
    """

    name = "approval_requested"

    stage: str
    prompt: str
    timeout: float = 0.0
    default: str = "deny"
    human: bool = False


@frozen(kw_only=True)
class ApprovalDecided(Event):
    """A gate was decided, once.

    Args:
        approved: or else denied.
        by: whom, as far as that was told.
        via: which door: user, tool, mcp, web, api or timeout.
        message: with which words.
    """

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
class RunEnded(Event):
    """The one terminal event of a run.

    Args:
        status: completed, failed, cancelled, paused or interrupted.
        failure: why, when failed.
        cancellation: who asked, when cancelled.
        current_step: the path where it stopped.
        still_running: what resisted the stop; normally ().
    """

    name = "run_ended"

    status: SessionStatus
    failure: Failure | None = None
    cancellation: Cancellation | None = None
    current_step: str | None = None
    still_running: tuple[Holdout, ...] = ()
