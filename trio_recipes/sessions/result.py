"""How a session ended, for the code that started it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from trio_recipes.errors import (
    ApprovalGatePausedError,
    CancellationRequestedError,
    InternalError,
    StepFailedError,
    StoreError,
)
from trio_recipes.events import Level, SessionStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_recipes.events import Cancellation
    from trio_recipes.failure import Failure
    from trio_recipes.progress.fold import GateRecord
    from trio_recipes.values import Value


@frozen
class SessionResult:
    """The end of one run of a session.

    Args:
        session_id: the session.
        status: completed, failed, cancelled, paused or interrupted.
        context: the final variables: the recipe's, the caller's and those set while running.
        final_output: the variable of that name, else the last step's result (recipe-language.md section 11).
        failure: why it failed.
        cancellation: who asked it to stop, how and why.
        current_step: the path where it stopped.
        still_running: what resisted the stop, by name.
        gate: the gate it waits at, when paused.
        error: the store's error, if the run could not be recorded to its end.
    """

    session_id: str
    status: SessionStatus
    context: Mapping[str, Value]
    final_output: Value = None
    failure: Failure | None = None
    cancellation: Cancellation | None = None
    current_step: str | None = None
    still_running: tuple[str, ...] = ()
    gate: GateRecord | None = None
    error: StoreError | None = None

    def unwrap(self) -> Mapping[str, Value]:
        """The final context of a session that completed.

        Raises:
            CancellationRequestedError: if it was cancelled.
            StepFailedError: if it failed.
            ApprovalGatePausedError: if it waits for a person.
            StoreError: if the store failed while it ran.
        """
        if self.status is SessionStatus.COMPLETED:
            return self.context
        if self.error is not None:
            raise self.error
        if self.status is SessionStatus.CANCELLED:
            immediate = self.cancellation is not None and self.cancellation.level is Level.IMMEDIATE
            raise CancellationRequestedError(self.session_id, immediate, self.current_step)
        if self.status is SessionStatus.PAUSED:
            asked = self.gate.asked if self.gate else None
            raise ApprovalGatePausedError(self.session_id, asked.stage if asked else "", asked.prompt if asked else "")
        if self.failure is not None:
            raise StepFailedError(self.session_id, self.failure)
        raise InternalError(f"session {self.session_id} ended as {self.status} without a reason")
