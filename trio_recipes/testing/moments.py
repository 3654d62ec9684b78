"""Moments at which a runner dies: chosen by an event, by time, by a transaction, or by a byte of the database's log.

Each has a text form (``str(moment)``, :func:`moment_from`), so that a crash found by chance can be had again.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

from trio_recipes.classes import frozen
from trio_recipes.store.session_file import SessionFile

if TYPE_CHECKING:
    import sqlite3

    from trio_recipes.events import Stamped

DEADLY: Final = frozenset({signal.SIGKILL, signal.SIGALRM, signal.SIGXFSZ})
"""The signals by which a runner dies at a moment. No handler sees any of them: each is as sudden as ``kill -9``."""


def die() -> None:
    """End this process now, as ``kill -9`` does: nothing is flushed, closed or said."""
    os.kill(os.getpid(), signal.SIGKILL)


class Moment:
    """When a runner dies; never, unless a subclass says otherwise. All methods are called in the runner."""

    def arm(self) -> None:
        """Prepare this process, before it does anything."""

    def observer(self) -> Callable[[str, Stamped], None] | None:
        """What is told of each event that has become durable."""
        return None


@frozen
class Never(Moment):
    """The run goes to its end."""

    def __str__(self) -> str:
        return "never"


@frozen
class KillPoint(Moment):
    """The ``number``-th event (from 1) of a kind such as ``scope_finished`` has just become durable."""

    kind: str
    number: int = 1

    def observer(self) -> Callable[[str, Stamped], None]:
        """What to hand to ``open_runtime(observe=…)`` so that this process is killed there."""
        left = self.number

        def look(_session_id: str, stamped: Stamped) -> None:
            nonlocal left
            left -= stamped.event.name == self.kind
            if not left:
                die()

        return look

    def __str__(self) -> str:
        return f"{self.kind}:{self.number}"


@frozen
class AfterSeconds(Moment):
    """So many seconds after the runner began, wherever it is: the kernel's timer, not Python's."""

    seconds: float

    def arm(self) -> None:
        """Start the timer; it is this process's alone, children don't inherit it."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, max(self.seconds, 0.000_1))

    def __str__(self) -> str:
        return f"seconds:{self.seconds:.4f}"


@frozen
class InCommit(Moment):
    """In the ``number``-th transaction (from 1) that writes to a session: its rows are there, COMMIT has not begun."""

    number: int = 1

    def arm(self) -> None:
        """Count the transactions of this process, from now on and for as long as it lives."""
        counting = _counting(SessionFile.transaction, self.number)
        SessionFile.transaction = counting  # type: ignore[method-assign,assignment]

    def __str__(self) -> str:
        return f"commit:{self.number}"


@frozen
class AtByte(Moment):
    """As a file would grow beyond ``size`` bytes: a write is cut in its middle, and the process dies in it.

    The files that grow are the databases and their logs, so this is the middle of a commit or of a checkpoint. The
    limit holds for the commands of steps too.
    """

    size: int

    def arm(self) -> None:
        """Let the kernel end this process when it writes beyond the limit. Python would have it ignored."""
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    def __str__(self) -> str:
        return f"byte:{self.size}"


def kill_at(kind: str, number: int = 1) -> KillPoint:
    """The point at which the ``number``-th event of ``kind`` has just become durable."""
    return KillPoint(kind, number)


def kill_after(seconds: float) -> AfterSeconds:
    """The moment ``seconds`` after the runner began, whatever it does then."""
    return AfterSeconds(seconds)


def kill_in_commit(number: int = 1) -> InCommit:
    """The ``number``-th transaction that writes to a session, with its rows written and nothing committed."""
    return InCommit(number)


def kill_at_byte(size: int) -> AtByte:
    """The write that would make a file longer than ``size`` bytes: some of it is written, the rest is not."""
    return AtByte(size)


def moment_from(text: str) -> Moment:
    """The moment that a text form names.

    Raises:
        ValueError: if it names none.
    """
    kind, _, number = text.rpartition(":")
    if text == str(Never()):
        return Never()
    if kind == "seconds":
        return AfterSeconds(float(number))
    if kind == "commit":
        return InCommit(int(number))
    return AtByte(int(number)) if kind == "byte" else KillPoint(kind, int(number))


# --- counting transactions ---------------------------------------------------------------------------------------

_Transaction: TypeAlias = "Callable[[SessionFile, sqlite3.Connection], AbstractContextManager[None]]"


def _counting(transaction: _Transaction, number: int) -> _Transaction:
    """``transaction``, but in the ``number``-th one the process dies when all has been written."""
    left = number

    @contextmanager
    def counted(file: SessionFile, connection: sqlite3.Connection) -> Generator[None]:
        nonlocal left
        with transaction(file, connection):
            yield
            left -= 1
            if not left:
                die()

    return counted
