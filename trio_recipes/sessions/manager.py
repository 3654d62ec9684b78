"""``SessionManager``: the synchronous door to sessions, for any process and thread.

A façade over the store with the method names of the engine our users come from: no SQL and no state of its own. Every
method blocks for about a millisecond (at most 5 s, while a file is busy); async code calls them in a thread.
``project_path`` filters: a session of another project is unknown.
"""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trio_recipes.errors import SessionError, SessionNotFoundError, StoreError
from trio_recipes.events import ApprovalStatus, CancellationStatus, Level, SessionStatus
from trio_recipes.progress.decisions import means
from trio_recipes.progress.tables import FINISHED, Effect
from trio_recipes.sessions.pending import by_name, local, pending_fields
from trio_recipes.sessions.requesting import lapse, request, settle
from trio_recipes.store import approvals, requests
from trio_recipes.store.base import open_store

if TYPE_CHECKING:
    from trio_recipes.language.model import Recipe
    from trio_recipes.progress.standing import Standing
    from trio_recipes.store.session_file import SessionFile

_DAY = 86_400 * 1_000_000

_MESSAGES = {
    (Effect.RAISE, Level.GRACEFUL): "Graceful cancellation requested (will complete current step)",
    (Effect.RAISE, Level.IMMEDIATE): "Immediate cancellation requested",
    (Effect.JOIN, Level.GRACEFUL): "Graceful cancellation was requested before",
    (Effect.JOIN, Level.IMMEDIATE): "Immediate cancellation was requested before",
    (Effect.FORCE, Level.IMMEDIATE): "Immediate cancellation requested again: clean-up is cut short",
}


class SessionManager:
    """Creates, cancels, approves, looks up and clears sessions.

    In its methods, ``session_id`` is a whole id, and ``project_path`` the project's folder: sessions of other projects
    are unknown. ``stage_name`` is a stage, its path (``audit[3]/release``), or ``stage/sub-stage``. Times are seconds.

    Args:
        base_dir: the store's folder; the user's own store if None.
        auto_cleanup_days: age at which :meth:`cleanup_old_sessions` deletes a session that completed.

    Raises:
        StoreUnusableError: if ``base_dir`` is no store and can't become one.
    """

    def __init__(self, base_dir: str | os.PathLike[str] | None = None, auto_cleanup_days: int = 7) -> None:
        self._store = open_store(None if base_dir is None else os.fspath(base_dir))
        self._days = auto_cleanup_days

    # --- making and finding --------------------------------------------------------------------------------------

    def create_session(
        self,
        recipe: Recipe,
        project_path: str | os.PathLike[str],
        recipe_path: str | os.PathLike[str] | None = None,
        parent_session_id: str | None = None,
    ) -> str:
        """Make a session that has not begun; ``Runtime.resume`` begins it.

        Args:
            recipe: as loaded.
            project_path: the project's folder.
            recipe_path: the recipe's file, where ``recipe`` does not know it.
            parent_session_id: links sessions that were started separately.

        Returns:
            The new session's id.

        Raises:
            InvalidRecipeError: if the recipe, or one it names, can't run as it is.
        """
        from trio_recipes.sessions.creation import create_unstarted  # noqa: PLC0415  cattrs and yaml: not for cancel

        return create_unstarted(self._store, recipe, _resolved(project_path), recipe_path, parent_session_id)

    def session_exists(self, session_id: str, project_path: str | os.PathLike[str]) -> bool:
        """Whether the project has such a session."""
        return self._find(session_id, project_path) is not None

    def list_sessions(self, project_path: str | os.PathLike[str]) -> list[dict[str, Any]]:
        """The project's sessions, newest first; damaged ones are left out."""
        project, found = _resolved(project_path), []
        for session_id, standing in self._store.standings():
            if not isinstance(standing, StoreError) and standing.created.get("project_path") == project:
                found.append(_summary(session_id, standing))
        return found

    def load_state(self, session_id: str, project_path: str | os.PathLike[str]) -> dict[str, Any]:
        """What is known of a session, under the field names of the engine our users come from.

        Raises:
            SessionNotFoundError: if the project has no such session.
        """
        file = self._known(session_id, project_path)
        from trio_recipes.sessions.state import project_state  # noqa: PLC0415  reads all records

        return project_state(file)

    def cleanup_old_sessions(self, project_path: str | os.PathLike[str]) -> int:
        """Delete the project's completed and denied sessions older than ``auto_cleanup_days``; returns how many.

        Never those that wait, failed, were cancelled or interrupted, or run.
        """
        project, limit = _resolved(project_path), time.time_ns() // 1000 - self._days * _DAY
        old = [
            session_id
            for session_id, standing in self._store.standings()
            if not isinstance(standing, StoreError)
            and standing.created.get("project_path") == project
            and standing.status in FINISHED
            and standing.last_at < limit
        ]
        return sum(self._store.delete(session_id) for session_id in old)

    # --- cancelling ----------------------------------------------------------------------------------------------

    def request_cancellation(
        self, session_id: str, project_path: str | os.PathLike[str], immediate: bool = False
    ) -> tuple[bool, str]:
        """Ask a session to stop; a second graceful request means "now".

        Args:
            session_id: the session.
            project_path: its project.
            immediate: stop what is in flight, too.

        Returns:
            Whether it was accepted (durably, then), and a message.
        """
        if self._find(session_id, project_path) is None:
            return False, f"Session not found: {session_id}"
        level = Level.IMMEDIATE if immediate else Level.GRACEFUL
        body = {
            "level": int(level),
            "source": "api",
            "requester": f"pid {os.getpid()}",
            "requested_at": time.time_ns() // 1000,
            "request_id": secrets.token_hex(8),
        }
        ack = request(self._file(session_id), body, escalates=True)
        if ack.effect is Effect.ALREADY:
            return False, "Session already cancelled"
        if not ack.accepted:
            return False, f"Too late: session already {ack.status}"
        if ack.effect is Effect.RAISE and ack.level > level:
            return True, "Escalated to immediate cancellation"
        return True, _MESSAGES[ack.effect, ack.level]

    def clear_cancellation(self, session_id: str, project_path: str | os.PathLike[str]) -> None:
        """Forget a session's cancellation: its level is none again, and it may be run.

        Raises:
            SessionBusyError: while a live process runs it.
        """
        if self._find(session_id, project_path) is not None:
            requests.clear_cancellation(self._file(session_id))

    def mark_cancelled(
        self, session_id: str, project_path: str | os.PathLike[str], cancelled_at_step: str | None = None
    ) -> None:
        """Record that a session nobody runs ended by cancellation. A completed one stays completed.

        Args:
            session_id: the session.
            project_path: its project.
            cancelled_at_step: where it was, for the record.

        Raises:
            SessionBusyError: while a live process runs it: only that says how it ends.
        """
        if self._find(session_id, project_path) is not None:
            requests.mark_cancelled(self._file(session_id), cancelled_at_step)

    def get_cancellation_status(self, session_id: str, project_path: str | os.PathLike[str]) -> CancellationStatus:
        """Where a session's cancellation stands; ``NONE`` for an unknown session."""
        standing = self._find(session_id, project_path)
        return CancellationStatus.NONE if standing is None else standing.cancellation

    def is_cancellation_requested(self, session_id: str, project_path: str | os.PathLike[str]) -> bool:
        """Whether a session was asked to stop and has not ended yet."""
        asked = (CancellationStatus.REQUESTED, CancellationStatus.IMMEDIATE)
        return self._asked(session_id, project_path) in asked

    def is_immediate_cancellation(self, session_id: str, project_path: str | os.PathLike[str]) -> bool:
        """Whether a session was asked to stop at once and has not ended yet."""
        return self._asked(session_id, project_path) is CancellationStatus.IMMEDIATE

    def _asked(self, session_id: str, project_path: str | os.PathLike[str]) -> CancellationStatus:
        """What a session still has to do: nothing if it ended otherwise, before the request could take effect."""
        standing = self._find(session_id, project_path)
        if standing is None or standing.status in (*FINISHED, SessionStatus.FAILED):
            return CancellationStatus.NONE
        return standing.cancellation

    # --- approving -----------------------------------------------------------------------------------------------

    def set_pending_approval(
        self,
        session_id: str,
        project_path: str | os.PathLike[str],
        stage_name: str,
        prompt: str,
        timeout: float = 0,
        default: str = "deny",
    ) -> None:
        """Ask about a stage of a session that nobody runs, before its run comes to the gate.

        A run asks by itself, with the recipe's own prompt. What is asked (and perhaps decided) here holds when the
        run comes to this gate; a stage that has none is never waited for.

        Args:
            session_id: the session.
            project_path: its project.
            stage_name: the stage.
            prompt: what to ask.
            timeout: after which ``default`` holds; 0 waits for ever.
            default: ``approve`` or ``deny``.

        Raises:
            SessionNotFoundError: if the project has no such session.
            SessionBusyError: while a live process runs it: only that asks.
            SessionError: if the session has ended, or the stage has been decided.
        """
        question = {"prompt": prompt, "timeout": float(timeout), "default": default}
        approvals.ask(self._known(session_id, project_path), stage_name, question)

    def get_pending_approval(self, session_id: str, project_path: str | os.PathLike[str]) -> dict[str, Any] | None:
        """The first gate at which a session waits, or None: :meth:`list_pending_approvals` has all of them."""
        found = self._pending(self._known(session_id, project_path))
        return found[0] if found else None

    def list_pending_approvals(self, project_path: str | os.PathLike[str]) -> list[dict[str, Any]]:
        """Every gate of the project at which a session waits; the newest session's first."""
        files = [self._file(summary["session_id"]) for summary in self.list_sessions(project_path)]
        return [gate for file in files for gate in self._pending(file)]

    def set_stage_approval_status(
        self,
        session_id: str,
        project_path: str | os.PathLike[str],
        stage_name: str,
        status: ApprovalStatus,
        reason: str | None = None,
        *,
        by: str = "",
        via: str = "api",
    ) -> None:
        """Approve or deny a gate: once, and for good.

        Args:
            session_id: the session.
            project_path: its project.
            stage_name: the stage, its path (``audit[3]/release``), or ``stage/sub-stage``.
            status: ``APPROVED`` or ``DENIED``.
            reason: the message that what follows sees, or why not.
            by: who decides, for the record.
            via: by which door; ``tool`` and ``mcp`` are refused where the recipe says ``by: human``.

        Raises:
            ValueError: for a status that nobody can set: the others follow from what happens.
            SessionNotFoundError: if the project has no such session.
            SessionError: if no such gate waits, several do, or it is too late; it says what it lost to.
        """
        if status not in (ApprovalStatus.APPROVED, ApprovalStatus.DENIED):
            raise ValueError(f"a stage can be approved or denied, not set to {status}")
        file, approved = self._known(session_id, project_path), status == ApprovalStatus.APPROVED
        settle(file, stage_name, approved=approved, by=by, via=via, message=reason or "")

    def get_stage_approval_status(
        self, session_id: str, project_path: str | os.PathLike[str], stage_name: str
    ) -> ApprovalStatus:
        """Where a stage's approval stands; ``NOT_REQUIRED`` if nobody was asked (yet)."""
        known = approvals.statuses(self._known(session_id, project_path))
        found = [status for path, status in known.items() if means(stage_name, path)]
        return known.get(stage_name) or (found[-1] if found else ApprovalStatus.NOT_REQUIRED)

    def clear_pending_approval(self, session_id: str, project_path: str | os.PathLike[str]) -> None:
        """Forget what a session that nobody runs has asked. Decisions stay; no gate is passed without one.

        The run asks again when it comes to the gate.

        Raises:
            SessionNotFoundError: if the project has no such session.
            SessionBusyError: while a live process runs it.
        """
        approvals.withdraw(self._known(session_id, project_path))

    def check_approval_timeout(self, session_id: str, project_path: str | os.PathLike[str]) -> ApprovalStatus | None:
        """Apply the defaults of gates whose time is over.

        Returns:
            ``APPROVED`` or ``TIMEOUT`` (denied) if one was applied, else None.
        """
        settled = lapse(self._known(session_id, project_path))
        if not settled:
            return None
        return ApprovalStatus.APPROVED if all(one.approved for one in settled) else ApprovalStatus.TIMEOUT

    def _pending(self, file: SessionFile) -> list[dict[str, Any]]:
        gates = approvals.pending(file)
        recipe = self._store.standing(file.session_id).created.get("recipe_name") if gates else None
        return [pending_fields(file.session_id, recipe, gate, name) for name, gate in by_name(gates).items()]

    # -------------------------------------------------------------------------------------------------------------

    def _known(self, session_id: str, project_path: str | os.PathLike[str]) -> SessionFile:
        if self._find(session_id, project_path) is None:
            raise SessionNotFoundError(f"Session not found: {session_id}")
        return self._file(session_id)

    def _file(self, session_id: str) -> SessionFile:
        return self._store.file(session_id)

    def _find(self, session_id: str, project_path: str | os.PathLike[str]) -> Standing | None:
        try:
            standing = self._store.standing(session_id)
        except SessionError:
            return None
        return standing if standing.created.get("project_path") == _resolved(project_path) else None


def _resolved(project_path: str | os.PathLike[str]) -> str:
    return str(Path(project_path).resolve())


def _summary(session_id: str, standing: Standing) -> dict[str, Any]:
    created = standing.created
    return {
        "session_id": session_id,
        "recipe_name": created.get("recipe_name"),
        "recipe_version": created.get("recipe_version"),
        "started": local(standing.created_at),
        "status": str(SessionStatus(standing.status)),
        "project_path": created.get("project_path"),
        "parent_session_id": created.get("parent_session_id"),
    }
