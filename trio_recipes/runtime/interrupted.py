"""What a resume does with a leaf that had started and not finished: ``on_interrupt`` (recipe-language.md section 12).

It may have had effects: a deployment, an e-mail. Whether its run was killed or somebody stopped it makes no difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_recipes.events import ScopeStatus
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.language.model import Approval
from trio_recipes.progress.asks import Gate, Pass
from trio_recipes.progress.outcome import SKIPPED, Outcome, failed, settle

if TYPE_CHECKING:
    from trio_recipes.progress.record import Record
    from trio_recipes.runtime.context import RunContext
    from trio_recipes.runtime.scope import Scope

TAIL = 2000
"""Characters of partial output shown to the person who is asked."""

_UNFINISHED = frozenset({ScopeStatus.INTERRUPTED, ScopeStatus.CANCELLED})


def had_started(run: RunContext, ask: Pass) -> Record | None:
    """The record of a leaf that an earlier run had begun and not finished, if its recipe cares."""
    record = run.progress.records.get(ask.path)
    cares = ask.inner is None and ask.step.on_interrupt != "rerun"
    unfinished = cares and record is not None and record.started_at is not None and record.status in _UNFINISHED
    return record if unfinished else None


async def decide(run: RunContext, ask: Pass, record: Record, scope: Scope) -> Outcome | None:
    """What becomes of it: an outcome; or None, it runs again.

    ``ask`` is a gate at the step's path: approved means run it again, denied is final for the session.
    """
    how = ask.step.on_interrupt
    if how == "skip":
        return SKIPPED
    if how == "fail":
        text = f"step '{ask.step.id}' had started and not finished; it may have had effects (on_interrupt: fail)"
        return settle(ask.step, failed(Failure(FailureKind.CANCELLED, text, ask.path, retryable=False)))
    gate = Gate(ask.path, ask.step.id, _question(ask, record), Approval(required=True))
    answer = await run.gates.admit(gate, scope)
    return None if answer.goes_on else answer


def _question(ask: Pass, record: Record) -> str:
    printed = b"".join(data for chunks in record.chunks.values() for data in chunks)
    partial = ask.frame.facts.vault.mask.text(printed.decode("utf-8", "replace"))[-TAIL:]
    shown = f" Its output so far:\n{partial}" if partial else ""
    return f"Step '{ask.step.id}' had started and not finished; it may have had effects. Run it again?{shown}"
