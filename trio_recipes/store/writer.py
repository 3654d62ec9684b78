"""A thread that writes to sessions' databases, so that the trio loop never waits for a disk."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol, TypeVar

import trio
from attrs import field

from trio_recipes.classes import define
from trio_recipes.errors import StoreError

T = TypeVar("T")

LAZY_SECONDS = 0.03
"""How long an event that nobody waits for may wait for company; with the writer's nap, 50 ms."""
POLL_SECONDS = 0.02
"""How long a writer with sessions to watch naps at most."""


class Log(Protocol):
    """One session's events on their way to the disk; these are called in the writer's thread."""

    def commit(self) -> None:
        """Make durable what has gathered."""
        ...

    def poll(self) -> None:
        """Look for requests if anybody may have made one."""
        ...

    def poke(self) -> None:
        """Have the writer look for requests now; from any thread."""
        ...

    def close(self) -> None:
        """Commit what is left, and close the connection."""
        ...


@define(eq=False)
class Writer:
    """A thread that writes, and its queue: what is put there is done in that order.

    Args:
        token: of the trio loop that is told of results.
        logs: how many sessions' events it writes.
    """

    _token: trio.lowlevel.TrioToken = field(alias="token")
    logs: int = 0
    _queue: queue.SimpleQueue[Callable[[], Any] | None] = field(factory=queue.SimpleQueue)
    _lazy: deque[tuple[float, Log]] = field(factory=deque)
    _watched: dict[int, Log] = field(factory=dict)
    _closed: bool = False
    _ended: trio.Event = field(factory=trio.Event)
    _next_poll: float = 0.0

    def start(self) -> None:
        """Begin to work."""
        threading.Thread(target=self._work, name="trio_recipes journal", daemon=True).start()

    @property
    def queued(self) -> int:
        """How many jobs wait, roughly."""
        return self._queue.qsize()

    def finish(self) -> None:
        """End once everything is done that has been put so far."""
        self._closed = True
        self._queue.put(None)

    async def finished(self) -> None:
        """Wait until it has ended."""
        await self._ended.wait()

    def put(self, job: Callable[[], Any]) -> None:
        """Have a job done in the writer's thread."""
        self._queue.put(job)

    def put_now(self, log: Log) -> None:
        """Have a log committed as soon as the writer is free."""
        self._queue.put(log.commit)

    def put_later(self, log: Log) -> None:
        """Have a log committed within :data:`LAZY_SECONDS` and a nap.

        A writer that watches naps so briefly that it need not be woken. Waking it costs the loop more than the event
        does: the thread wants the interpreter for itself as soon as the loop looks for news.
        """
        self._lazy.append((monotonic() + LAZY_SECONDS, log))
        if not self._watched:
            self._queue.put(_nothing)

    def watch(self, log: Log) -> None:
        """Look for requests to this session from now on."""
        self._queue.put(lambda: self._watched.__setitem__(id(log), log))
        log.poke()

    def forget(self, log: Log) -> None:
        """Stop looking, and close the session's connection."""
        self.logs -= 1

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
        if self._closed:
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
