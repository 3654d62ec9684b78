"""Every exception a user of this package can meet: whose fault it is and what to do next.

Strategy
--------
*Your recipe*, *your call*, *your machine* and *our bug* are four branches below one root, so that a caller can
tell them apart by class and never by text:

* :class:`InvalidRecipeError` and its helpers: the recipe (or what is configured for it) is wrong; nothing ran.
* :class:`SessionError` leaves: the request names a session that can't take it; nothing changed.
* :class:`StoreError` leaves: the disk or the database refused; nothing after the last good commit is claimed.
* :class:`StepFailedError`, :class:`CancellationRequestedError`, :class:`ApprovalGatePausedError`: how a run ended,
  raised only by ``SessionResult.unwrap()`` and ``run_recipe``.
* :class:`InternalError`: a promise of this package was broken. Please report it.

Failures of steps are values (:class:`trio_recipes.failure.Failure`), not exceptions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_recipes.failure import Failure


class RecipesError(Exception):
    """The root of everything this package raises on purpose."""


# --- your recipe -------------------------------------------------------------------------------------------------


class Problem(NamedTuple):
    """One thing that is wrong (or, as a warning, surprising) in a recipe file.

    Args:
        message: what is wrong and what to do, naming the value found.
        file: the recipe's file, or None for text that came from no file.
        line: 1-based line, or None where no single line is to blame.
        column: 1-based column, or None.
        field: the cattrs path of the field, such as ``steps[3].timeout``; empty for the document itself.
        warning: True if the recipe may run all the same.
    """

    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    field: str = ""
    warning: bool = False

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        head = f"{place}: " if place else ""
        where = f"{self.field}: " if self.field else ""
        return f"{head}{'warning: ' if self.warning else ''}{where}{self.message}"


class RecipeError(RecipesError):
    """A recipe can't be used as it is. Raised before anything runs; the recipe's author is asked to change it."""


class InvalidRecipeError(RecipeError):
    """A recipe, or a file it names, breaks the rules of the language; all problems are reported together.

    Args:
        problems: at least one :class:`Problem`; warnings may stand among them.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class TemplateError(RecipeError):
    """A ``{{reference}}`` can't be resolved. Inside a step this becomes a failure of kind ``template``."""


class ExpressionError(RecipeError):
    """A condition can't be parsed or evaluated.

    Args:
        message: what is wrong.
        column: 1-based column in the expression, or None when it parsed and could not be evaluated.
    """

    def __init__(self, message: str, column: int | None = None) -> None:
        self.column = column
        super().__init__(message)


class ValueRefusedError(RecipeError, TypeError):
    """A value can't be a variable: variables hold JSON values only."""


class ConfigurationError(RecipesError):
    """The recipe is fine, but something it needs is not configured: an agent's backend, a function, a bundle."""


# --- your call ---------------------------------------------------------------------------------------------------


class SessionError(RecipesError):
    """A request names a session that can't take it. Nothing was changed."""


class SessionNotFoundError(SessionError, FileNotFoundError):
    """No session has this id (or unique prefix) in this store and project. ``list --all`` shows those there are."""


class SessionBusyError(SessionError):
    """A live process runs this session. Cancel it there first, or wait for it to end.

    Args:
        session_id: the session.
        owner: who has it, for people: ``pid 4711 on host, since …``.
    """

    def __init__(self, session_id: str, owner: str) -> None:
        self.session_id, self.owner = session_id, owner
        super().__init__(
            f"session {session_id} is being run by {owner}; cancel it (cancel {session_id}) or wait until it has ended"
        )


class SessionFinishedError(SessionError):
    """A session that completed or was denied can't be resumed: its outcome is final."""


class InvalidCallError(RecipesError, ValueError):
    """A tool or a server was called with parameters it can't take. Nothing happened; the caller is asked to mend it."""


class UnknownScopeError(SessionError, LookupError):
    """A path names no scope that this session's recipe could ever have."""


# --- your machine ------------------------------------------------------------------------------------------------


class StoreError(RecipesError):
    """The store can't do what it must. Nothing after the last acknowledged commit is claimed."""


class StoreUnusableError(StoreError):
    """The store's address is no store: not a folder of ours, not a database, unreadable or not writable."""


class SessionDamagedError(StoreUnusableError):
    """A session's file says what no session can say, or not what was written. Other sessions are not affected.

    ``export`` saves what can still be read; ``import`` puts that in the damaged session's place.
    """


class StoreTooNewError(StoreError):
    """The store was written by a newer version of this package: upgrade, or name another store with ``--store``."""


class ArchiveError(StoreError):
    """A file to be imported is no session that was exported, or was changed since. Nothing was made of it."""


class StoreWriteError(StoreError):
    """A commit failed (a full disk, an I/O error). The run was stopped as interrupted; resume it once there is room."""


class OwnershipLostError(StoreError):
    """Another runner took this session over while this one could not prove that it was alive; this one stopped."""


# --- how a run ended ---------------------------------------------------------------------------------------------


class StepFailedError(RecipesError):
    """The session ended as failed; resume it after mending the cause.

    Args:
        session_id: the session that failed.
        failure: what failed, where, and what may help.
    """

    def __init__(self, session_id: str, failure: Failure) -> None:
        self.session_id, self.failure = session_id, failure
        super().__init__(f"session {session_id} failed at {failure.path or 'its root'}: {failure.message}")


class CancellationRequestedError(RecipesError):
    """The session ended because somebody asked for it; it can be resumed.

    Args:
        session_id: the session that was cancelled.
        is_immediate: True if what was in flight was stopped, False if it was allowed to finish.
        current_step: the path where it stopped, or None if it had not begun.
    """

    def __init__(self, session_id: str, is_immediate: bool = False, current_step: str | None = None) -> None:
        self.session_id, self.is_immediate, self.current_step = session_id, is_immediate, current_step
        level = "immediate" if is_immediate else "graceful"
        where = f" at step '{current_step}'" if current_step else " before its first step"
        super().__init__(f"{level} cancellation of session {session_id} took effect{where}")


class ApprovalGatePausedError(RecipesError):
    """The session waits for a person: approve or deny the stage, then resume.

    Args:
        session_id: the session that waits.
        stage_name: the stage whose gate was reached.
        approval_prompt: the question to the person, rendered.
    """

    def __init__(self, session_id: str, stage_name: str, approval_prompt: str) -> None:
        self.session_id, self.stage_name, self.approval_prompt = session_id, stage_name, approval_prompt
        super().__init__(
            f"session {session_id} is paused at stage '{stage_name}': {approval_prompt}\n"
            f"approve {session_id} '{stage_name}' (or deny), then resume {session_id}"
        )


class BackendError(RecipesError):
    """Raised by an agent backend: it could not answer.

    Args:
        message: what went wrong and what may help; no output of the agent in it.
        rate_limited: the answer was 429 or its like: pacing slows down.
        retryable: False if asking again can't help (a wrong key, an unknown model).
        retry_after: seconds the endpoint asked to wait, or None.
        exit_code: of an agent that is a program.
    """

    def __init__(
        self,
        message: str,
        *,
        rate_limited: bool = False,
        retryable: bool = True,
        retry_after: float | None = None,
        exit_code: int | None = None,
    ) -> None:
        self.rate_limited, self.retryable, self.retry_after = rate_limited, retryable, retry_after
        self.exit_code = exit_code
        super().__init__(message)


# --- our bug -----------------------------------------------------------------------------------------------------


class InternalError(RecipesError):
    """A promise of trio_recipes was broken by trio_recipes. Please report it with this text."""
