"""One session's database: its events, the requests made to it and their answers, and who owns it.

Every method is one transaction and blocks (about a millisecond; a busy file is waited for up to 5 s). Events are rows
that nobody rewrites; requests are rows that nobody rewrites, each with an answer. What a session *is* gets derived
from them (:mod:`trio_recipes.progress.standing`), so there is no state here that could disagree.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from trio_recipes.errors import (
    OwnershipLostError,
    SessionBusyError,
    SessionNotFoundError,
    StoreUnusableError,
    StoreWriteError,
)
from trio_recipes.progress.standing import Row, Standing, standing_of
from trio_recipes.store import damage, database
from trio_recipes.store.owner import describe, is_alive, is_owner

if TYPE_CHECKING:
    from pathlib import Path

    from trio_recipes.store.layout import Layout

_LIFE = f"SELECT seq, at, event, body, path FROM events WHERE {database.LIFE} ORDER BY seq"  # noqa: S608
_FORGET = f"DELETE FROM events WHERE {database.LIFE}"  # noqa: S608  a constant of ours
_NEEDED = frozenset({"recipe_name", "project_path"})
"""What whoever looks at a session asks of its first event."""

EventRow: TypeAlias = "tuple[int, int, int, str, str, str, bytes | None]"
"""seq, run, at (microseconds), event, path, body (JSON), data."""


def now() -> int:
    """Microseconds since the epoch (UTC)."""
    return time.time_ns() // 1000


class Claim(NamedTuple):
    """The right to write a session's events: good for as long as nobody took the session over."""

    runner: str
    epoch: int


class RequestRow(NamedTuple):
    """A request, as it was made.

    ``body`` is the JSON of a :class:`~trio_recipes.events.Cancellation`, or of a decision on a gate: an
    :class:`~trio_recipes.events.ApprovalDecided` with its ``path``.
    """

    number: int
    id: str
    body: dict[str, Any]

    @property
    def is_decision(self) -> bool:
        """Whether it decides on a gate rather than asking to stop."""
        return "approved" in self.body


class SessionFile(NamedTuple):
    """One session's database file.

    Args:
        layout: of the store.
        session_id: the session.
        durability: ``power`` syncs each commit to the disk; ``process`` survives any crash of the program, not of
            the machine.
    """

    layout: Layout
    session_id: str
    durability: str = "power"

    # --- connections ---------------------------------------------------------------------------------------------

    def create(self) -> sqlite3.Connection:
        """Make the session's folder and an empty database in it, readable by its user only.

        Until :meth:`lay_out`, in the transaction that also holds the first events, nobody finds a session here.

        Raises:
            StoreWriteError: if that can't be done: a full disk, no descriptors left.
        """
        folder = self.layout.session(self.session_id)
        try:
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise self._not_created(error) from error
        try:
            os.mkfifo(self.layout.wake(self.session_id), 0o600)
            return database.create(self.layout.database(self.session_id), self.durability)
        except (sqlite3.Error, OSError) as error:
            self.remove()
            raise self._not_created(error) from error

    def _not_created(self, error: Exception) -> StoreWriteError:
        return StoreWriteError(
            f"session {self.session_id} can't be created: {error}; see to the disk of {self.layout.root}"
        )

    def lay_out(self, connection: sqlite3.Connection) -> None:
        """Make the tables, within a transaction."""
        database.lay_out(connection)

    def remove(self) -> None:
        """Delete the session with everything in it; the caller has made sure that nobody runs it."""
        import shutil  # noqa: PLC0415  compression libraries: not for cancel

        shutil.rmtree(self.layout.session(self.session_id), ignore_errors=True)

    def bury(self) -> bool:
        """Delete the session unless somebody runs it; False if so.

        Who wants to resume it waits for this transaction, and finds no session after it. On a disk where nothing can be
        written (a full one, say), nobody can take it over either.
        """
        with suppress(StoreWriteError, StoreUnusableError):
            connection = self.connect()
            try:
                with self.transaction(connection):
                    runner = self.owner(connection)[1]
                    if runner is not None and is_alive(self.layout, runner):
                        return False
                    connection.execute(_FORGET)
            finally:
                connection.close()
        self.remove()
        return True

    def connect(self) -> sqlite3.Connection:
        """A connection for reading and writing.

        Raises:
            SessionNotFoundError: if there is no such session.
            StoreUnusableError: if its file is not one of ours, or damaged.
            StoreTooNewError: if a newer version wrote it.
        """
        connection = database.connect(self._existing(), self.durability)
        if database.version_of(connection) < database.SCHEMA_VERSION:
            self._upgrade(connection)
        return connection

    def _upgrade(self, connection: sqlite3.Connection) -> None:
        """An older session becomes one of this version, unless a runner of that version is at work on it."""
        try:
            runner = self.owner(connection)[1]
            if runner is None or not is_alive(self.layout, runner):
                database.upgrade(connection)
        except damage.UNREADABLE as error:
            connection.close()
            raise damage.unwritable(self.layout.database(self.session_id), error) from error
        except BaseException:
            connection.close()
            raise

    def _existing(self) -> Path:
        file = self.layout.database(self.session_id)
        if not file.is_file():
            raise SessionNotFoundError(f"no session {self.session_id} in {self.layout.root}; `list --all` shows them")
        return file

    def damaged(self, error: Exception | str) -> StoreUnusableError:
        """What to raise if the session says what no session can say."""
        return damage.damaged(self.layout.database(self.session_id), error)

    @contextmanager
    def transaction(self, connection: sqlite3.Connection) -> Generator[None]:
        """One write transaction: all of it or nothing.

        Raises:
            StoreWriteError: if it can't be committed.
            StoreUnusableError: if the file is damaged.
        """
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if connection.in_transaction:  # a full disk has rolled back by itself
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        except damage.UNREADABLE as error:
            if connection.in_transaction:
                connection.rollback()
            raise damage.unwritable(self.layout.database(self.session_id), error) from error

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """A connection for one consistent look; also at what can't be written. Raises as :meth:`connect` does."""
        connection = database.connect_to_look(self._existing(), self.durability)
        try:
            connection.execute("BEGIN")
            yield connection
        except damage.UNREADABLE as error:
            raise damage.unreadable(self.layout.database(self.session_id), error) from error
        finally:
            connection.close()

    # --- reading -------------------------------------------------------------------------------------------------

    def standing(self, connection: sqlite3.Connection) -> Standing:
        """Where the session stands, as of this connection's transaction.

        Raises:
            SessionNotFoundError: if its first event has not been committed: its creator is at work, or died.
            StoreUnusableError: if its file is damaged.
        """
        try:
            return self._standing(connection)
        except damage.NONSENSE as error:
            raise self.damaged(error) from error

    def _standing(self, connection: sqlite3.Connection) -> Standing:
        rows = self.lifecycle(connection)
        if not rows:
            raise SessionNotFoundError(f"session {self.session_id} is only just being created")
        delivered = {row.body["cancellation"].get("request_id") for row in rows if row.event == "cancel_requested"}
        pending = [r.body for r in self.unanswered(connection) if r.id not in delivered and not r.is_decision]
        runner = self.owner(connection)[1]
        alive = runner is not None and is_alive(self.layout, runner)
        standing = standing_of(rows, pending, owned=runner is not None, alive=alive)
        if lost := _NEEDED - standing.created.keys():
            raise KeyError(*lost)
        if not all(damage.is_time(row.at) for row in rows):
            raise ValueError("a time that can't be")
        return standing

    def lifecycle(self, connection: sqlite3.Connection) -> list[Row]:
        """The few events from which a session's standing is derived, in order."""
        found = connection.execute(_LIFE)
        return [Row(seq, at, event, damage.mapping(body), path) for seq, at, event, body, path in found]

    def owner(self, connection: sqlite3.Connection) -> tuple[int, str | None, dict[str, Any]]:
        """Epoch, runner (None if nobody) and the runner's description."""
        found = connection.execute("SELECT epoch, runner, body FROM owner").fetchone()
        if found is None or not is_owner(*found):
            raise self.damaged("its owner is not known")
        epoch, runner, body = found
        try:
            return epoch, runner, damage.mapping(body)
        except damage.NONSENSE as error:
            raise self.damaged(error) from error

    def unanswered(self, connection: sqlite3.Connection, after: int = 0) -> list[RequestRow]:
        """Requests that no owner has answered, in order.

        Raises:
            StoreUnusableError: if they can't be read.
        """
        rows = connection.execute(
            "SELECT number, id, body FROM requests WHERE number > ? AND number NOT IN (SELECT number FROM answers)"
            " ORDER BY number",
            (after,),
        )
        try:
            return [RequestRow(number, name, damage.mapping(body)) for number, name, body in rows]
        except damage.NONSENSE as error:
            raise self.damaged(error) from error

    def rows(self, connection: sqlite3.Connection, after: int = 0, limit: int = -1) -> list[EventRow]:
        """Events with a ``seq`` above ``after``.

        Raises:
            StoreUnusableError: if one is missing: they are numbered without gaps.
        """
        found: list[EventRow] = connection.execute(
            "SELECT seq, run, at, event, path, body, data FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        ).fetchall()
        if found and found[-1][0] != after + len(found):
            raise self.damaged("some of its events are missing")
        return found

    def last_seq(self, connection: sqlite3.Connection) -> int:
        """The highest ``seq``, 0 for none."""
        found: int = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
        return found

    def last_move(self, connection: sqlite3.Connection) -> int:
        """The highest ``seq`` of an event that is more than output of a step, 0 for none."""
        query = "SELECT seq FROM events WHERE event <> 'output' ORDER BY seq DESC LIMIT 1"
        found = connection.execute(query).fetchone()
        return found[0] if found else 0

    def is_over(self, connection: sqlite3.Connection, path: str) -> bool | None:
        """Whether the scope at ``path`` has ended; None if it has not begun."""
        query = (
            "SELECT event = 'scope_finished' FROM events"
            " WHERE path = ? AND event IN ('scope_started', 'scope_finished') ORDER BY seq DESC LIMIT 1"
        )
        found = connection.execute(query, (path,)).fetchone()
        return None if found is None else bool(found[0])

    # --- writing -------------------------------------------------------------------------------------------------

    def append(self, connection: sqlite3.Connection, claim: Claim, rows: Sequence[EventRow]) -> None:
        """Commit events, if the claim still holds.

        Raises:
            OwnershipLostError: if another runner has taken the session.
            StoreWriteError: if the commit fails.
        """
        with self.transaction(connection):
            self._check_claim(connection, claim)
            _insert(connection, rows)

    def end(
        self,
        connection: sqlite3.Connection,
        claim: Claim,
        conclude: Callable[[list[RequestRow]], Sequence[EventRow]],
        answer: Callable[[RequestRow], str | None],
    ) -> None:
        """Commit a run's last events, answer every request that is open, and give the session up: one transaction.

        Args:
            connection: for writing.
            claim: must still hold.
            conclude: is given the requests that are open, and says the last events: a request that was acknowledged
                an instant ago still counts for how a run ends.
            answer: what a request is told; None leaves it to those who finish the session.
        """
        with self.transaction(connection):
            self._check_claim(connection, claim)
            _insert(connection, conclude(self.unanswered(connection)))
            self.answer_all(connection, answer)
            connection.execute("UPDATE owner SET runner = NULL")

    def answer_all(self, connection: sqlite3.Connection, answer: Callable[[RequestRow], str | None]) -> None:
        """Answer every open request, within a transaction."""
        answers = [(row.number, now(), answer(row)) for row in self.unanswered(connection)]
        connection.executemany("INSERT INTO answers VALUES (?, ?, ?)", [row for row in answers if row[2] is not None])

    def take(
        self, connection: sqlite3.Connection, runner: str, about: dict[str, Any], check: Callable[[Standing], None]
    ) -> tuple[Claim, Standing]:
        """Become the session's owner, within a transaction, unless somebody alive is.

        Args:
            connection: inside a transaction.
            runner: our id.
            about: our description, for messages.
            check: is given where the session stands, and raises to refuse.

        Raises:
            SessionBusyError: naming the live owner.
        """
        epoch, holder, body = self.owner(connection)
        if holder is not None and is_alive(self.layout, holder):
            raise SessionBusyError(self.session_id, describe(body))
        standing = self.standing(connection)
        check(standing)
        connection.execute("UPDATE owner SET epoch = epoch + 1, runner = ?, body = ?", (runner, json.dumps(about)))
        return Claim(runner, epoch + 1), standing

    def append_unowned(
        self,
        connection: sqlite3.Connection,
        event: str,
        body: dict[str, Any],
        run: int,
        path: str = "",
        *,
        keep_runner: bool = False,
    ) -> None:
        """Append one administrative event, within a transaction in which nobody alive owns the session.

        ``keep_runner``: a runner that died stays known, so that the next one makes sure that nothing of it is left.
        """
        seq = self.last_seq(connection) + 1
        _insert(connection, [(seq, run, now(), event, path, json.dumps(body), None)])
        runner = "runner" if keep_runner else "NULL"
        connection.execute(f"UPDATE owner SET epoch = epoch + 1, runner = {runner}")  # noqa: S608  constants of ours

    def _check_claim(self, connection: sqlite3.Connection, claim: Claim) -> None:
        epoch, runner, body = self.owner(connection)
        if (runner, epoch) != (claim.runner, claim.epoch):
            raise OwnershipLostError(f"session {self.session_id} was taken over by {describe(body)}; this run stopped")


def _insert(connection: sqlite3.Connection, rows: Sequence[EventRow]) -> None:
    connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    answers = [(at, json.loads(body)) for _, _, at, event, _, body, _ in rows if event == "request_answered"]
    connection.executemany(
        "INSERT OR IGNORE INTO answers SELECT number, ?, ? FROM requests WHERE id = ?",
        [(at, body["answer"], body["request_id"]) for at, body in answers],
    )
