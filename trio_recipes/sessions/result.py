"""How a session ended, for the code that started it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field

from trio_recipes.classes import frozen
from trio_recipes.errors import (
    ApprovalGatePausedError,
    CancellationRequestedError,
    InternalError,
    StepFailedError,
    StoreError,
)
from trio_recipes.events import Level, SessionStatus
from trio_recipes.masking import Mask
from trio_recipes.progress.decisions import label

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_recipes.events import Cancellation, Holdout
    from trio_recipes.failure import Failure
    from trio_recipes.progress.fold import Progress
    from trio_recipes.progress.record import GateRecord
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
        still_running: what resisted the stop.
        gates: those it waits at, when paused; if they have all been decided meanwhile, the one where it paused.
        error: the store's error, if the run could not be recorded to its end.
        mask: hides the run's secrets, which ``context`` and ``final_output`` may hold: for showing them to people.
    """

    session_id: str
    status: SessionStatus
    context: Mapping[str, Value] = field(repr=False)
    final_output: Value = field(default=None, repr=False)
    failure: Failure | None = None
    cancellation: Cancellation | None = None
    current_step: str | None = None
    still_running: tuple[Holdout, ...] = ()
    gates: tuple[GateRecord, ...] = ()
    error: StoreError | None = None
    mask: Mask = field(default=Mask(), repr=False)

    @property
    def shown_output(self) -> Value:
        """The final output without secrets."""
        return self.mask.value(self.final_output)

    @property
    def gate(self) -> GateRecord | None:
        """The gate at which it paused, or None if it did not."""
        if self.status is not SessionStatus.PAUSED:
            return None
        found = [gate for gate in self.gates if gate.asked.path == self.current_step] or self.gates
        return found[0] if found else None

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
            stage, prompt = (label(asked.path), asked.prompt) if asked else ("", "")
            raise ApprovalGatePausedError(self.session_id, stage, prompt)
        if self.failure is not None:
            raise StepFailedError(self.session_id, self.failure)
        raise InternalError(f"session {self.session_id} ended as {self.status} without a reason")


def gates_at_end(progress: Progress, current_step: str | None) -> tuple[GateRecord, ...]:
    """Those that a session waits at when its run ends; if all were decided meanwhile, the one where it paused."""
    return tuple(progress.open_gates) or tuple(filter(None, [progress.gates.get(current_step or "")]))
