"""The writer that makes events durable, many at a time.

*Emit now, durable later*: :meth:`SessionLog.emit` numbers an event at once, without waiting; one writer thread per
runtime commits whatever has gathered, session by session, in one transaction each. While a commit runs, the next batch
gathers: that is the group commit, and it needs no timer. Events that nobody waits for ride in the next commit, at
most :data:`LAZY_SECONDS` later.

The thread also watches for requests: it looks when it is poked, and otherwise every :data:`POLL_SECONDS`, at a
counter of SQLite's that other connections' commits change (a few microseconds).
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from attrs import define, field, frozen

from trio_recipes.errors import StoreError, StoreWriteError
from trio_recipes.events import Stamped
from trio_recipes.store.codec import to_row
from trio_recipes.store.session_file import Claim, RequestRow, SessionFile, now

if TYPE_CHECKING:
    from trio_recipes.events import Event
    from trio_recipes.store.session_file import EventRow

T = TypeVar("T")

_logger = logging.getLogger(__name__)

LAZY_SECONDS = 0.05
POLL_SECONDS = 0.02


@frozen
class _Batch:
    """What one commit made durable."""

    upto: int
    events: list[Stamped]


class SessionLog:
    """One session's events on their way to the disk.

    Args:
        journal: whose thread writes.
        file: the session.
        claim: the right to write.
        run: the number of this run.
        last_seq: the highest ``seq`` there is.
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
        self.committed = last_seq
        self.failure: StoreError | None = None
        self.on_commit: list[Callable[[list[Stamped]], None]] = []
        self.on_failure: list[Callable[[StoreError], None]] = []
        self.on_requests: list[Callable[[list[RequestRow]], None]] = []
        self._journal, self._seq = journal, last_seq
        self._pending: deque[Stamped] = deque()
        self._waiters: deque[tuple[int, trio.Event]] = deque()
        self._queued = self._urgent = False
        self._ending = False  # set in the loop: the run's last event has its number
        self._broken: StoreError | None = None  # set in the writer's thread, where ``failure`` arrives too late
        self._last_request, self._data_version = 0, -1

    def emit(self, event: Event) -> int:
        """Append an event, synchronously; it will be durable within :data:`LAZY_SECONDS`.

        Nothing follows a run's last event: what comes later is dropped, and has the last one's number.
        """
        if self._ending:
            return self._seq
        self._seq += 1
        self._pending.append(Stamped(self._seq, self.run, now(), event))
        if not self._queued:
            self._queued = True
            self._journal.put_later(self)
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
            self._journal.put_now(self)

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
        await self._journal.call(lambda: self._commit_end(conclude, answer))

    def poke(self) -> None:
        """Have the writer look for requests now."""
        self._journal.put(lambda: self._look(force=True))

    # --- in the writer's thread ----------------------------------------------------------------------------------

    def commit(self) -> None:
        """Commit what has gathered; tell the loop."""
        self._queued = self._urgent = False
        batch = self._take()
        if not batch or self._broken:
            return
        try:
            self.file.append(self.connection, self.claim, [to_row(stamped) for stamped in batch])
        except Exception as error:
            self._break(error)
            return
        self._journal.in_loop(self._committed, _Batch(batch[-1].seq, batch))

    def _break(self, error: Exception) -> StoreError:
        """Write nothing more: what follows a lost event must not be there without it."""
        if not isinstance(error, StoreError):
            wrapped = StoreWriteError(f"session {self.file.session_id}: {type(error).__name__}: {error}")
            wrapped.__cause__ = error
            error = wrapped
        self._broken = error
        self._journal.in_loop(self._failed, error)
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
        self._journal.in_loop(self._committed, _Batch(self._seq, batch))

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
            self._journal.in_loop(self._requested, found)

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
    """The writer thread of one runtime, and its queue. Use it as an async context manager."""

    _queue: queue.SimpleQueue[Callable[[], Any] | None] = field(factory=queue.SimpleQueue)
    _lazy: deque[tuple[float, SessionLog]] = field(factory=deque)
    _watched: dict[int, SessionLog] = field(factory=dict)
    _thread: threading.Thread | None = None
    _token: trio.lowlevel.TrioToken | None = None
    _ended: trio.Event = field(factory=trio.Event)
    _next_poll: float = 0.0

    async def __aenter__(self) -> Journal:
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.Thread(target=self._work, name="trio_recipes journal", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._queue.put(None)
        with trio.move_on_after(10, shield=True):
            await self._ended.wait()
        self._thread = None

    def put(self, job: Callable[[], Any]) -> None:
        """Have a job done in the writer's thread."""
        self._queue.put(job)

    def put_now(self, log: SessionLog) -> None:
        """Have a log committed as soon as the writer is free."""
        self._queue.put(log.commit)

    def put_later(self, log: SessionLog) -> None:
        """Have a log committed within :data:`LAZY_SECONDS`."""
        self._queue.put(lambda: self._lazy.append((monotonic() + LAZY_SECONDS, log)))

    def watch(self, log: SessionLog) -> None:
        """Look for requests to this session from now on."""
        self._queue.put(lambda: self._watched.__setitem__(id(log), log))
        log.poke()

    def forget(self, log: SessionLog) -> None:
        """Stop looking, and close the session's connection."""

        def let_go() -> None:
            self._watched.pop(id(log), None)
            log.close()

        self._queue.put(let_go)

    async def call(self, job: Callable[[], T]) -> T:
        """Do a job in the writer's thread and wait for its result, whatever is cancelled meanwhile.

        Bounded by SQLite's busy time-out (5 s) and the disk: a job is one transaction.

        Raises:
            StoreError: if the journal is closed.
        """
        return await self.begin(job)()

    def begin(self, job: Callable[[], T]) -> Callable[[], Awaitable[T]]:
        """Have a job done in the writer's thread, and return what waits for its result. Raises as :meth:`call`."""
        if self._thread is None:
            raise StoreError("this runtime is closed: reach the session through SessionManager or a new runtime")
        done, box = trio.Event(), _Box()

        def work() -> None:
            box.run(job)
            self.in_loop(done.set)

        async def result() -> T:
            with trio.CancelScope(shield=True):  # a transaction that is under way can't be left
                await done.wait()
            found: T = box.unwrap()
            return found

        self._queue.put(work)
        return result

    def in_loop(self, function: Callable[..., Any], *args: Any) -> None:
        """Call ``function`` in the trio loop, from the writer's thread."""
        assert self._token is not None
        with suppress(trio.RunFinishedError):  # the loop has gone: there is nobody left to tell
            self._token.run_sync_soon(function, *args)

    # --- the thread ----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            job = self._next()
            if job is None:
                break
            job()
            self._flush_lazy()
            self._poll_if_due()
        for _, log in self._lazy:
            log.commit()
        for log in self._watched.values():
            log.close()
        self.in_loop(self._ended.set)

    def _next(self) -> Callable[[], Any] | None:
        try:
            return self._queue.get(timeout=self._patience())
        except queue.Empty:
            return _nothing

    def _patience(self) -> float | None:
        waits = [max(0.0, self._lazy[0][0] - monotonic())] if self._lazy else []
        if self._watched:
            waits.append(POLL_SECONDS)
        return min(waits, default=None)

    def _flush_lazy(self) -> None:
        while self._lazy and self._lazy[0][0] <= monotonic():
            self._lazy.popleft()[1].commit()

    def _poll_if_due(self) -> None:
        if self._watched and monotonic() >= self._next_poll:
            self._next_poll = monotonic() + POLL_SECONDS
            for log in list(self._watched.values()):
                log.poll()


def _nothing() -> None:
    """The job of a writer that woke up to look around."""


class _Box:
    """The result of a job, or what it raised."""

    def __init__(self) -> None:
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self, job: Callable[[], Any]) -> None:
        try:
            self.result = job()
        except BaseException as error:  # noqa: ASYNC103  in a thread: carried to the task that waits, raised there
            self.error = error

    def unwrap(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.result
