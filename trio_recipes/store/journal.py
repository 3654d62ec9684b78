"""The writer that makes events durable, many at a time.

*Emit now, durable later*: :meth:`SessionLog.emit` numbers an event at once, without waiting; a writer thread commits
whatever has gathered, session by session, in one transaction each. While a commit runs, the next batch gathers: that is
the group commit, and it needs no timer. Events that nobody waits for ride in the next commit, at most
:data:`~trio_recipes.store.writer.LAZY_SECONDS` later.

The threads also watch for requests: they look when they are poked, and otherwise every
:data:`~trio_recipes.store.writer.POLL_SECONDS`, at a counter of SQLite's that other connections' commits change (a few
microseconds).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import trio
from attrs import field

from trio_recipes.classes import define, frozen
from trio_recipes.errors import StoreError, StoreWriteError
from trio_recipes.events import Stamped
from trio_recipes.store.codec import to_row
from trio_recipes.store.runway import Runway
from trio_recipes.store.session_file import Claim, SessionFile, now
from trio_recipes.store.writer import Writer

if TYPE_CHECKING:
    import sqlite3

    from trio_recipes.events import Event
    from trio_recipes.store.records import RequestRow
    from trio_recipes.store.sums import EventRow

T = TypeVar("T")

_logger = logging.getLogger(__name__)

STOP_SECONDS = 10.0
WRITERS = 8
"""Threads that write at once, at most: more make no disk faster, and take turns at the interpreter."""


@frozen
class _Batch:
    """What one commit made durable."""

    upto: int
    events: list[Stamped]


class SessionLog:
    """One session's events on their way to the disk.

    Args:
        journal: one of its threads writes.
        file: the session.
        claim: the right to write.
        run: the number of this run.
        last_seq: the highest ``seq`` there is: that of the event that began the run, kept as ``began_at``.
        connection: owned by the journal's thread from now on.
    """

    def __init__(
        self,
        journal: Journal,
        file: SessionFile,
        claim: Claim,
        run: int,
        last_seq: int,
        connection: sqlite3.Connection,
    ) -> None:
        self.file, self.claim, self.run, self.connection = file, claim, run, connection
        self.began_at = self.committed = last_seq
        self.failure: StoreError | None = None
        self.on_commit: list[Callable[[list[Stamped]], None]] = []
        self.on_failure: list[Callable[[StoreError], None]] = []
        self.on_requests: list[Callable[[list[RequestRow]], None]] = []
        self.writer, self._seq = journal.assign(), last_seq
        self._pending: deque[Stamped] = deque()
        self._waiters: deque[tuple[int, trio.Event]] = deque()
        self._queued = self._urgent = False
        self._ending = False  # set in the loop: the run's last event has its number
        self._broken: StoreError | None = None  # set in the writer's thread, where ``failure`` arrives too late
        self._last_request, self._data_version = 0, -1
        self._runway = Runway(file.layout.database(file.session_id), connection, file.durability)

    def emit(self, event: Event) -> int:
        """Append an event, synchronously; it will be durable within :data:`~trio_recipes.store.writer.LAZY_SECONDS`.

        Nothing follows a run's last event: what comes later is dropped, and has the last one's number.
        """
        if self._ending:
            return self._seq
        self._seq += 1
        self._pending.append(Stamped(self._seq, self.run, now(), event))
        if not self._queued:
            self._queued = True
            self.writer.put_later(self)
        return self._seq

    async def durable(self, seq: int) -> None:
        """Wait until the event ``seq`` has been committed.

        Raises:
            StoreError: if a commit failed; nothing after the last good one is claimed.
        """
        if self.failure:
            raise self.failure
        if self.committed >= seq:
            return
        self._hurry()
        done = trio.Event()
        self._waiters.append((seq, done))
        await done.wait()
        if self.failure and self.committed < seq:
            raise self.failure

    def _hurry(self) -> None:
        if not self._urgent:
            self._urgent = True
            self.writer.put_now(self)

    async def end(
        self, conclude: Callable[[list[RequestRow]], Sequence[Event]], answer: Callable[[RequestRow], str | None]
    ) -> None:
        """Commit everything and the run's last events, answer all requests, and give the session up.

        Args:
            conclude: given the requests that are open, says the last events, ``run_ended`` at their end; it is called
                within the transaction, in the writer's thread.
            answer: what each open request is told.
        """
        self._ending = True
        await self.writer.call(lambda: self._commit_end(conclude, answer))

    def poke(self) -> None:
        """Have the writer look for requests now."""
        self.writer.put(lambda: self._look(force=True))

    def let_go(self) -> None:
        """Nobody listens any more: who did is not kept alive by this log."""
        for listeners in (self.on_commit, self.on_failure, self.on_requests):
            listeners.clear()

    # --- in the writer's thread ----------------------------------------------------------------------------------

    def commit(self) -> None:
        """Commit what has gathered; tell the loop."""
        self._queued = self._urgent = False
        batch = self._take()
        if not batch or self._broken:
            return
        try:
            self._runway.extend()
            self.file.append(self.connection, self.claim, [to_row(stamped) for stamped in batch])
        except Exception as error:
            self._break(error)
            return
        self.writer.in_loop(self._committed, _Batch(batch[-1].seq, batch))

    def _break(self, error: Exception) -> StoreError:
        """Write nothing more: what follows a lost event must not be there without it."""
        if not isinstance(error, StoreError):
            wrapped = StoreWriteError(f"session {self.file.session_id}: {type(error).__name__}: {error}")
            wrapped.__cause__ = error
            error = wrapped
        self._broken = error
        self.writer.in_loop(self._failed, error)
        return error

    def _take(self) -> list[Stamped]:
        batch: list[Stamped] = []
        while self._pending:
            batch.append(self._pending.popleft())
        return batch

    def _commit_end(
        self, conclude: Callable[[list[RequestRow]], Sequence[Event]], answer: Callable[[RequestRow], str | None]
    ) -> None:
        if self._broken:
            raise self._broken
        batch = self._take()

        def rows(requests: list[RequestRow]) -> list[EventRow]:
            for event in conclude(requests):
                self._seq += 1
                batch.append(Stamped(self._seq, self.run, now(), event))
            return [to_row(stamped) for stamped in batch]

        try:
            self.file.end(self.connection, self.claim, rows, answer)
        except Exception as error:
            raise self._break(error) from error.__cause__  # others may wait for events of this batch
        self.writer.in_loop(self._committed, _Batch(self._seq, batch))

    def close(self) -> None:
        """Close the connection; a lazy commit that is still due finds nothing to do."""
        self.commit()
        self._broken = self._broken or StoreWriteError(f"session {self.file.session_id}: its log was closed")
        self.connection.close()

    def _look(self, *, force: bool = False) -> None:
        if self._broken:
            return
        try:
            found = self._unseen_requests(force=force)
        except Exception as error:
            self._break(error)
            return
        if found:
            self._last_request = found[-1].number
            self.writer.in_loop(self._requested, found)

    def _unseen_requests(self, *, force: bool) -> list[RequestRow]:
        version = self.connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._data_version and not force:
            return []
        self._data_version = version
        return self.file.unanswered(self.connection, self._last_request)

    def poll(self) -> None:
        """Look for requests if another connection has committed anything."""
        self._look()

    # --- in the loop ---------------------------------------------------------------------------------------------

    def _committed(self, batch: _Batch) -> None:
        self.committed = batch.upto
        self._release()
        _tell(self.on_commit, batch.events)

    def _failed(self, error: StoreError) -> None:
        self.failure = error
        self._release()
        _tell(self.on_failure, error)

    def _requested(self, found: list[RequestRow]) -> None:
        _tell(self.on_requests, found)

    def _release(self) -> None:
        while self._waiters and (self.failure or self._waiters[0][0] <= self.committed):
            self._waiters.popleft()[1].set()


def _tell(listeners: list[Callable[[T], None]], news: T) -> None:
    """Tell each listener; an exception of one (an application's observer, say) must not end the trio loop."""
    for listener in listeners:
        try:
            listener(news)
        except Exception:
            _logger.exception("an observer of a session's events raised")


@define(eq=False)
class Journal:
    """The writers of one runtime. Use it as an async context manager.

    What one session emits is written by one thread, in order. Sessions are spread over a few: a disk makes the commits
    of several files durable together, and each commit's way there is mostly waiting.
    """

    _writers: list[Writer] = field(factory=list)

    async def __aenter__(self) -> Journal:
        self._add()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        writers, self._writers = self._writers, []
        for writer in writers:
            writer.finish()
        with trio.move_on_after(STOP_SECONDS, shield=True):
            for writer in writers:
                await writer.finished()

    def assign(self) -> Writer:
        """The writer of one more session: one of its own, as long as there are few."""
        writer = self._idlest(lambda writer: writer.logs)
        writer.logs += 1
        return writer

    def _idlest(self, load: Callable[[Writer], int]) -> Writer:
        if not self._writers:
            raise StoreError("this runtime is closed: reach the session through SessionManager or a new runtime")
        idlest = min(self._writers, key=load)
        return self._add() if load(idlest) and len(self._writers) < WRITERS else idlest

    def _add(self) -> Writer:
        writer = Writer(trio.lowlevel.current_trio_token())
        writer.start()
        self._writers.append(writer)
        return writer

    def watch(self, log: SessionLog) -> None:
        """Look for requests to this session from now on."""
        log.writer.watch(log)

    def forget(self, log: SessionLog) -> None:
        """Stop looking, and close the session's connection."""
        log.writer.forget(log)

    async def call(self, job: Callable[[], T]) -> T:
        """Do a job in the idlest writer's thread and wait for its result. Raises as ``Writer.call`` does."""
        return await self.begin(job)()

    def begin(self, job: Callable[[], T]) -> Callable[[], Awaitable[T]]:
        """Have a job done in a writer's thread, and return what waits for its result. Raises as :meth:`call`."""
        return self._idlest(lambda writer: writer.queued).begin(job)
