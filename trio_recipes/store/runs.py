"""Beginning a run: a new session, or one more run of a session that can be resumed, in one transaction each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import Factory

from trio_recipes.classes import frozen
from trio_recipes.errors import SessionBusyError, SessionFinishedError
from trio_recipes.events import (
    CancellationCleared,
    Event,
    RecipeFrozen,
    RunStarted,
    SessionCreated,
    SessionStatus,
    Stamped,
)
from trio_recipes.progress.fold import Progress, fold
from trio_recipes.progress.tables import APPLIED, FINISHED
from trio_recipes.store.codec import decision_from_json, from_row, to_row
from trio_recipes.store.owner import describe
from trio_recipes.store.records import RequestRow, check_pages
from trio_recipes.store.session_file import Claim, SessionFile, now

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from trio_recipes.progress.standing import Standing
    from trio_recipes.store.owner import RunnerLock

Revise: TypeAlias = "Callable[[Progress], Sequence[Event]]"
"""Given what is known of a session, says what a resume changes."""


@frozen(eq=False)
class Opening:
    """A session that has just become ours.

    Args:
        file: the session.
        connection: for the journal.
        claim: the right to write.
        run: the number of the run that begins.
        last_seq: the highest ``seq`` so far.
        progress: everything known of it.
        died: the runner whose session this was when it died, or None.
        early: requests from before the start, to be honoured before the first step.
    """

    file: SessionFile
    connection: sqlite3.Connection
    claim: Claim
    run: int
    last_seq: int
    progress: Progress
    died: str | None = None
    early: list[RequestRow] = Factory(list)


def create(
    file: SessionFile,
    created: SessionCreated,
    recipes: Sequence[RecipeFrozen],
    lock: RunnerLock | None,
    carried: Sequence[tuple[int, Event]] = (),
) -> Opening | None:
    """Make a session durable, and ours if ``lock`` is given.

    Args:
        file: the session.
        created: its first event.
        recipes: what is frozen in it.
        lock: our proof of life.
        carried: what it takes over from another session, with the times at which that happened.

    Raises:
        StoreWriteError: if it can't be written; there is no such session then.
    """
    events: list[Event] = [created, *recipes]
    connection = file.create()
    try:
        with file.transaction(connection):
            file.lay_out(connection)
            _append(connection, file, events, run=0)
            _append_dated(connection, file, carried, run=0)
            opening = None if lock is None else _begin(file, connection, lock, died=None)
    except BaseException:
        connection.close()
        file.remove()
        raise
    if opening is None:
        connection.close()
    return opening


def restore(file: SessionFile, events: Iterable[Stamped]) -> None:
    """Make a session of events from elsewhere: all of them or, if reading them fails, none.

    Raises:
        StoreWriteError: if it can't be written; there is no such session then.
    """
    connection = file.create()
    try:
        with file.transaction(connection):
            file.lay_out(connection)
            file.add(connection, map(to_row, events))
    except BaseException:
        connection.close()
        file.remove()
        raise
    connection.close()


def begin(
    file: SessionFile,
    lock: RunnerLock,
    check: Callable[[Progress], None],
    *,
    finishing: bool = False,
    revise: Revise | None = None,
) -> Opening:
    """Take a session that nobody runs, for one more run. A cancellation that took effect is cleared by it.

    Args:
        file: the session.
        lock: our proof of life.
        check: is given what is known of the session, and raises to refuse; nothing is changed then.
        finishing: the run is for a cancellation that waits, or a denial: requests stay, and nothing is cleared.
        revise: says what is different from now on, given what is known.

    Raises:
        SessionNotFoundError: if there is no such session.
        SessionBusyError: if a live runner has it.
        SessionFinishedError: if it completed or was denied; or if there is nothing to finish (any more).
    """
    connection = file.connect()
    try:
        with file.transaction(connection):
            check_pages(connection)  # a new record on a page that is another one's would be the end of that one
            died = file.owner(connection)[1]
            opening = _begin(file, connection, lock, died, finishing=finishing, revise=revise)
            check(opening.progress)
        return opening
    except BaseException:
        connection.close()
        raise


def _begin(
    file: SessionFile,
    connection: sqlite3.Connection,
    lock: RunnerLock,
    died: str | None,
    *,
    finishing: bool = False,
    revise: Revise | None = None,
) -> Opening:
    about = lock.describe()
    claim, standing = file.take(connection, lock.runner_id, about, _refuse_finished(file.session_id))
    run = standing.run + 1
    # What was asked of a run that has ended has had its effect, unless this one is there for it.
    if standing.status is not SessionStatus.CREATED and not finishing:
        decisions = [decision_from_json(row.body) for row in file.unanswered(connection) if row.is_decision]
        _append(connection, file, decisions, run - 1)
        file.answer_all(connection, lambda _row: APPLIED)
        if standing.cancelled:
            _append(connection, file, [CancellationCleared()], run - 1)
    if revise is not None:
        _append(connection, file, revise(fold(_stamped(file, connection))), run - 1)
    started = RunStarted(runner=lock.runner_id, host=about["host"], pid=about["pid"], took_over_from=died)
    _append(connection, file, [started], run)
    progress = fold(_stamped(file, connection))
    if finishing and standing.status is not SessionStatus.CANCELLING and not progress.denied_gates:
        raise SessionFinishedError(f"session {file.session_id} is {standing.status}: there is nothing to finish")
    return Opening(file, connection, claim, run, progress.last_seq, progress, died, file.unanswered(connection))


def _refuse_finished(session_id: str) -> Any:
    def check(standing: Standing) -> None:
        if standing.status in FINISHED:
            raise SessionFinishedError(
                f"session {session_id} is {standing.status}: that is final; `run` the recipe again for a new session"
            )

    return check


def preview(file: SessionFile, *, finished: bool = False) -> list[Stamped]:
    """What :func:`begin` would find, without owning or changing anything.

    Args:
        file: the session.
        finished: sessions that can't be resumed will do, too.

    Raises:
        SessionNotFoundError: if there is no such session.
        SessionBusyError: if a live runner has it.
        SessionFinishedError: if it completed or was denied.
    """
    with file.reading() as connection:
        standing = file.standing(connection)
        if standing.alive:
            raise SessionBusyError(file.session_id, describe(file.owner(connection)[2]))
        if not finished:
            _refuse_finished(file.session_id)(standing)
        stamped = list(_stamped(file, connection))
        decisions = [decision_from_json(row.body) for row in file.unanswered(connection) if row.is_decision]
    last = len(stamped)
    return [*stamped, *(Stamped(last + n, standing.run, now(), event) for n, event in enumerate(decisions, 1))]


def _stamped(file: SessionFile, connection: sqlite3.Connection) -> Iterator[Stamped]:
    return (from_row(row) for row in file.rows(connection))


def _append(connection: sqlite3.Connection, file: SessionFile, events: Sequence[Event], run: int) -> None:
    _append_dated(connection, file, [(now(), event) for event in events], run)


def _append_dated(
    connection: sqlite3.Connection, file: SessionFile, dated: Sequence[tuple[int, Event]], run: int
) -> None:
    seq = file.last_seq(connection)
    file.add(connection, [to_row(Stamped(seq + n, run, at, event)) for n, (at, event) in enumerate(dated, 1)])
