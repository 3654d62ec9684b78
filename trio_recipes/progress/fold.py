"""Events -> what is known of a session: which scopes are done, with which result, and how each run ended.

A session that runs and one that is resumed, shown or listed use this one fold, so they can't disagree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, field

from trio_recipes.classes import define
from trio_recipes.events import (
    AgentAccount,
    AgentAnswered,
    AgentAnswering,
    AgentBrokeOff,
    ApprovalDecided,
    ApprovalRequested,
    ApprovalWithdrawn,
    AttemptFailed,
    AttemptStarted,
    CancelRequested,
    ContextChanged,
    Event,
    Output,
    RecipeFrozen,
    RecipeReplaced,
    RecordsVoided,
    RunEnded,
    RunStarted,
    ScopeFinished,
    ScopeStarted,
    ScopeStatus,
    SessionCreated,
    SessionStatus,
    Stamped,
    Waiting,
    WorkEnded,
)
from trio_recipes.progress import path as paths
from trio_recipes.progress.record import GateRecord, Record
from trio_recipes.progress.spending import Spending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@define
class Progress:
    """What is known of one session.

    Args:
        records: by path, in the order in which the scopes first began.
        recipes: frozen recipe texts by key.
        bodies: how the body before each ``finally`` that has begun had ended, by the path of the ``finally``.
        gates: by the path of their stage, in the order in which they were reached.
        run: the number of the last run; 0 before the first.
        ended: how the last run ended, or None while it runs (or was interrupted).
        cancellations: requests the owner delivered in the last run.
        ran: microseconds that the session has been running, over all runs before the last.
        spent: what the answers of agents took, over all runs.
        reran: whether a step that had finished has run again (``on_resume: rerun``): what was finished behind it was
            made with other values, so a walk over the records may come to what there is not.
    """

    created: SessionCreated | None = None
    created_at: int = 0
    records: dict[str, Record] = field(factory=dict)
    recipes: dict[str, RecipeFrozen] = field(factory=dict)
    bodies: dict[str, ScopeStatus] = field(factory=dict)
    gates: dict[str, GateRecord] = field(factory=dict)
    run: int = 0
    ended: RunEnded | None = None
    ended_at: int | None = None
    cancellations: list[CancelRequested] = field(factory=list)
    ran: int = 0
    spent: Spending = field(factory=Spending)
    reran: bool = False
    last_seq: int = 0
    _began_at: int = 0
    _last_at: int = 0

    def apply(self, stamped: Stamped) -> None:
        """Take one more event into account; events come in the order of their ``seq``."""
        handler = _HANDLERS.get(type(stamped.event))
        self.last_seq = stamped.seq
        if handler:
            handler(self, stamped.event, stamped.at)
        if self.ended is None:
            self._last_at = stamped.at

    def begin_run(self, at: int) -> None:
        """One more run begins; how long the one before ran is known now, even if it was killed."""
        if self.run:
            self.ran += max(0, (self.ended_at or self._last_at) - self._began_at)
        self.run, self._began_at = self.run + 1, at

    def finished(self, path: str) -> Record | None:
        """The record of a scope that need not run again, or None."""
        record = self.records.get(path)
        return record if record is not None and record.final else None

    def void_below(self, path: str) -> None:
        """Forget what stands below a composite whose attempt failed: the next attempt starts afresh."""
        for known in (self.records, self.gates, self.bodies):
            for below in [p for p in known if p != path and paths.contains(path, p)]:
                del known[below]

    def void(self, tops: Iterable[str]) -> None:
        """Forget these scopes and what stands below them."""
        gone = frozenset(tops)
        for known in (self.records, self.gates, self.bodies):
            for path in [p for p in known if p in gone or not gone.isdisjoint(paths.around(p))]:
                del known[path]

    def begun(self) -> set[str]:
        """Every scope of which a step has begun."""
        leaves = [path for path, record in self.records.items() if record.kind in LEAVES and record.attempts]
        return {scope for leaf in leaves for scope in (leaf, *paths.around(leaf))}

    @property
    def work_is_done(self) -> bool:
        """Whether the session's own body has completed: a resume only cleans up behind it, and records the end."""
        root = self.records.get(paths.ROOT)
        completed = self.bodies.get(paths.cleanup(paths.ROOT)), root and root.status
        return ScopeStatus.COMPLETED in completed

    def cleanup_over(self, place: str, outcome: ScopeStatus) -> Record | None:
        """The record of the ``finally`` at ``place`` if it is over, for a body that ended with ``outcome``."""
        record = self.records.get(place)
        return record if record and record.status in _OVER and self.bodies.get(place) is outcome else None

    def body_ended(self, place: str, outcome: ScopeStatus) -> None:
        """The body before the ``finally`` at ``place`` ended: what was made for another outcome counts no more."""
        if self.bodies.get(place) is not outcome:
            self._void_cleanup(place)
        self.bodies[place] = outcome

    def body_goes_on(self, leaf: str) -> None:
        """A leaf begins: the bodies that it belongs to have not ended after all."""
        for place in paths.cleanups_behind(leaf):
            if self.bodies.pop(place, None) is not None:
                self._void_cleanup(place)

    def _void_cleanup(self, place: str) -> None:
        if self.records.pop(place, None) is not None:  # looking at every record is for when there is something
            self.void_below(place)

    def withdraw(self, gates: Iterable[GateRecord]) -> None:
        """Forget questions that nobody has answered: reached again, the gates ask again."""
        for gate in gates:
            del self.gates[gate.asked.path]

    @property
    def open_gates(self) -> list[GateRecord]:
        """Gates that wait for a person."""
        return [gate for gate in self.gates.values() if gate.decided is None]

    @property
    def denied_gates(self) -> list[GateRecord]:
        """Gates at which a person (or the default) said no."""
        return [gate for gate in self.gates.values() if gate.decided is not None and not gate.decided.approved]

    def record(self, path: str) -> Record:
        """The record at ``path``, made if there is none yet."""
        found = self.records.get(path)
        if found is None:
            found = self.records[path] = Record(path)
        return found


def fold(events: Iterable[Stamped]) -> Progress:
    """Everything ``events`` say, from the first on."""
    progress = Progress()
    for stamped in events:
        progress.apply(stamped)
    return progress


# --- one handler a kind of event; kinds that change nothing here have none ---------------------------------------


def _created(progress: Progress, event: SessionCreated, at: int) -> None:
    progress.created, progress.created_at = event, at


def _run_started(progress: Progress, _event: RunStarted, at: int) -> None:
    progress.begin_run(at)
    progress.ended, progress.ended_at = None, None
    progress.cancellations.clear()
    _interrupt(progress)


def _interrupt(progress: Progress) -> None:
    """Scopes that were under way when their run's events stop are interrupted; what they made and cost stays."""
    progress.spent = progress.spent.settled()
    for record in progress.records.values():
        if record.status in (ScopeStatus.RUNNING, ScopeStatus.WAITING):
            record.status, record.waits_for = ScopeStatus.INTERRUPTED, ""


def _frozen(progress: Progress, event: RecipeFrozen, _at: int) -> None:
    progress.recipes[event.key] = event


def _replaced(progress: Progress, event: RecipeReplaced, _at: int) -> None:
    assert progress.created is not None
    progress.recipes.clear()
    progress.created = evolve(
        progress.created,
        recipe_name=event.recipe_name,
        recipe_version=event.recipe_version,
        recipe_file=event.recipe_file,
        recipe_digest=event.recipe_digest,
        cleans_up=event.cleans_up,
    )


def _context_changed(progress: Progress, event: ContextChanged, _at: int) -> None:
    assert progress.created is not None
    progress.created = evolve(progress.created, context={**progress.created.context, **event.context})


def _voided(progress: Progress, event: RecordsVoided, _at: int) -> None:
    progress.void(event.voided)
    for path in event.reopened:
        record = progress.records[path]
        record.status, record.handled, record.failure, record.failed_attempts = ScopeStatus.INTERRUPTED, False, None, 0
    for path in event.gates:
        progress.gates.pop(path, None)


_OVER = frozenset({ScopeStatus.COMPLETED, ScopeStatus.FAILED})
LEAVES = frozenset({"agent", "bash", "function"})


def _body_ended(progress: Progress, event: WorkEnded, _at: int) -> None:
    if event.path:
        progress.body_ended(event.path, event.outcome)


def _started(progress: Progress, event: ScopeStarted, at: int) -> None:
    if progress.bodies and event.kind in LEAVES:
        progress.body_goes_on(event.path)
    if event.kind in LEAVES:
        progress.gates.pop(event.path, None)  # whether to run it again was asked about what is over now
    record = progress.record(event.path)
    progress.reran = progress.reran or record.final
    is_another = _is_another(record, event)
    if event.kind not in LEAVES and (is_another or (event.reruns and record.final)):
        progress.void_below(event.path)  # it is of the time before
    if record.status is ScopeStatus.FAILED or is_another:
        record.failed_attempts = 0  # a failed step runs again with fresh attempts
    record.item, record.calls = event.item, event.calls
    record.kind, record.digest, record.started_at, record.finished_at = event.kind, event.digest, at, None
    record.failure = record.cancellation = record.exit_code = record.channel = record.answered = None
    record.status, record.handled, record.value, record.reruns = ScopeStatus.RUNNING, False, None, event.reruns
    record.attempts = record.failed_attempts + 1
    record.chunks.clear()


def _is_another(record: Record, event: ScopeStarted) -> bool:
    """Whether a scope begins for something else than what is recorded was made for."""
    return bool((record.item and record.item != event.item) or (record.calls and record.calls != event.calls))


def _attempt_failed(progress: Progress, event: AttemptFailed, _at: int) -> None:
    progress.record(event.path).failed_attempts += 1
    progress.void_below(event.path)


def _attempt_started(progress: Progress, event: AttemptStarted, _at: int) -> None:
    record = progress.record(event.path)
    record.status, record.waits_for, record.attempts = ScopeStatus.RUNNING, "", event.attempt
    record.chunks.clear()


def _output(progress: Progress, event: Output, _at: int) -> None:
    if not event.background:
        progress.record(event.path).chunks.setdefault(event.channel, []).append(event.data)


def _answered(progress: Progress, event: AgentAccount, _at: int) -> None:
    progress.record(event.path).answered = event
    progress.spent.take(event)


def _waiting(progress: Progress, event: Waiting, _at: int) -> None:
    record = progress.record(event.path)
    record.status, record.waits_for = ScopeStatus.WAITING, event.what


def _finished(progress: Progress, event: ScopeFinished, at: int) -> None:
    record = progress.record(event.path)
    record.status, record.handled, record.failure = event.status, event.handled, event.failure
    record.cancellation, record.exit_code = event.cancellation, event.exit_code
    record.channel, record.value, record.finished_at, record.waits_for = event.channel, event.value, at, ""
    if event.status is ScopeStatus.FAILED:
        record.failed_attempts += 1
    elif event.status is ScopeStatus.SKIPPED:
        record.attempts = 0


def _asked(progress: Progress, event: ApprovalRequested, at: int) -> None:
    progress.gates[event.path] = GateRecord(event, progress.last_seq, at)


def _decided(progress: Progress, event: ApprovalDecided, at: int) -> None:
    gate = progress.gates.get(event.path)
    if gate is not None and gate.decided is None:
        gate.decided, gate.decided_at = event, at


def _withdrawn(progress: Progress, event: ApprovalWithdrawn, _at: int) -> None:
    progress.withdraw([gate for gate in progress.open_gates if gate.asked.path == event.path])


def _cancel_requested(progress: Progress, event: CancelRequested, _at: int) -> None:
    progress.cancellations.append(event)


def _run_ended(progress: Progress, event: RunEnded, at: int) -> None:
    progress.ended, progress.ended_at = event, at
    if event.status is not SessionStatus.PAUSED:
        _interrupt(progress)
        progress.withdraw(progress.open_gates)


_HANDLERS: dict[type[Event], Callable[[Progress, Event, int], None]] = {
    SessionCreated: _created,  # type: ignore[dict-item]
    RunStarted: _run_started,  # type: ignore[dict-item]
    RecipeFrozen: _frozen,  # type: ignore[dict-item]
    RecipeReplaced: _replaced,  # type: ignore[dict-item]
    ContextChanged: _context_changed,  # type: ignore[dict-item]
    RecordsVoided: _voided,  # type: ignore[dict-item]
    ScopeStarted: _started,  # type: ignore[dict-item]
    AttemptFailed: _attempt_failed,  # type: ignore[dict-item]
    AttemptStarted: _attempt_started,  # type: ignore[dict-item]
    Output: _output,  # type: ignore[dict-item]
    AgentAnswering: _answered,  # type: ignore[dict-item]
    AgentAnswered: _answered,  # type: ignore[dict-item]
    AgentBrokeOff: _answered,  # type: ignore[dict-item]
    Waiting: _waiting,  # type: ignore[dict-item]
    ApprovalRequested: _asked,  # type: ignore[dict-item]
    ApprovalDecided: _decided,  # type: ignore[dict-item]
    ApprovalWithdrawn: _withdrawn,  # type: ignore[dict-item]
    ScopeFinished: _finished,  # type: ignore[dict-item]
    CancelRequested: _cancel_requested,  # type: ignore[dict-item]
    WorkEnded: _body_ended,  # type: ignore[dict-item]
    RunEnded: _run_ended,  # type: ignore[dict-item]
}
