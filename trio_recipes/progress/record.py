"""What is durably known of one scope, and of one gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field

from trio_recipes.classes import define
from trio_recipes.events import AgentAccount, ApprovalDecided, ApprovalRequested, ScopeStatus
from trio_recipes.progress.outcome import GOES_ON

if TYPE_CHECKING:
    from trio_recipes.events import Cancellation
    from trio_recipes.failure import Failure
    from trio_recipes.values import Value


@define
class Record:
    """What is durably known about one scope. Times are microseconds since the epoch (UTC).

    ``attempts`` counts those begun, the one in hand included; ``failed_attempts`` those that a resume does not repeat.
    ``answered`` tells what an agent's last answer took (so far). ``reruns``: each resume runs it again, done or not.
    ``item`` and ``calls`` tell what it was made for (:mod:`trio_recipes.progress.subject`); '' if nothing changes that.
    """

    path: str
    kind: str = ""
    digest: str = ""
    status: ScopeStatus = ScopeStatus.PENDING
    handled: bool = False
    failure: Failure | None = None
    cancellation: Cancellation | None = None
    exit_code: int | None = None
    channel: str | None = None
    value: Value = None
    attempts: int = 0
    failed_attempts: int = 0
    started_at: int | None = None
    finished_at: int | None = None
    waits_for: str = ""
    reruns: bool = False
    item: str = ""
    calls: str = ""
    answered: AgentAccount | None = None
    chunks: dict[str, list[bytes]] = field(factory=dict)

    @property
    def final(self) -> bool:
        """Whether a resume reuses it: it completed, was skipped, or its failure was handled."""
        return self.handled or self.status in GOES_ON

    def output(self, channel: str) -> bytes:
        """Everything the last attempt wrote to ``channel``, whole."""
        return b"".join(self.chunks.get(channel, ()))


@define
class GateRecord:
    """A gate that was reached: who is asked what, and what was decided. Times in microseconds since the epoch."""

    asked: ApprovalRequested
    seq: int
    asked_at: int
    decided: ApprovalDecided | None = None
    decided_at: int | None = None

    @property
    def expires_at(self) -> int | None:
        """When the default applies, or None if it waits for ever."""
        return self.asked_at + int(self.asked.timeout * 1_000_000) if self.asked.timeout > 0 else None

    def takes(self, request_id: str) -> bool:
        """Whether a request decides on it: not one that answers what was asked before a retry, nor a second one."""
        return self.decided is None and request_id == f"gate-{self.seq}"
