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
from contextlib import contextmanager, suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from trio_recipes.errors import (
    OwnershipLostError,
    SessionBusyError,
    SessionDamagedError,
    SessionNotFoundError,
    StoreUnusableError,
    StoreWriteError,
)
from trio_recipes.progress.standing import standing_of
from trio_recipes.store import damage, database, records
from trio_recipes.store.owner import describe, is_alive
from trio_recipes.store.records import Head

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
    from pathlib import Path

    from trio_recipes.progress.standing import Row, Standing
    from trio_recipes.store.layout import Layout
    from trio_recipes.store.records import RequestRow
    from trio_recipes.store.sums import EventRow

P = ParamSpec("P")
T = TypeVar("T")

_FORGET = f"DELETE FROM events WHERE {database.LIFE}"  # noqa: S608  a constant of ours
_NEEDED = frozenset({"recipe_name", "project_path"})
"""What whoever looks at a session asks of its first event."""


def now() -> int:
    """Microseconds since the epoch (UTC)."""
    return time.time_ns() // 1000


class Claim(NamedTuple):
    """The right to write a session's events: good for as long as nobody took the session over."""

    runner: str
    epoch: int


def _in_one_look(
    read: Callable[Concatenate[SessionFile, sqlite3.Connection, P], T],
) -> Callable[Concatenate[SessionFile, sqlite3.Connection, P], T]:
    """All that is read belongs together; where it says what no session can say, that session is damaged."""

    @wraps(read)
    def told(self: SessionFile, connection: sqlite3.Connection, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with database.snapshot(connection):
                return read(self, connection, *args, **kwargs)
        except damage.NONSENSE as error:
            raise self.damaged(error) from error

    return told


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
        records.write_head(connection, self.session_id, Head())

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
                    if database.has_sums(connection):
                        records.write_head(connection, self.session_id, Head())
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
                database.upgrade(connection, self.session_id)
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

    def damaged(self, error: Exception | str) -> SessionDamagedError:
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
        except damage.RecordError as error:
            raise self.damaged(error) from error

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """A connection for one consistent look; also at what can't be written. Raises as :meth:`connect` does."""
        connection = database.connect_to_look(self._existing(), self.durability)
        try:
            connection.execute("BEGIN")
            yield connection
        except damage.UNREADABLE as error:
            raise damage.unreadable(self.layout.database(self.session_id), error) from error
        except damage.RecordError as error:
            raise self.damaged(error) from error
        finally:
            connection.close()

    # --- reading -------------------------------------------------------------------------------------------------

    @_in_one_look
    def standing(self, connection: sqlite3.Connection) -> Standing:
        """Where the session stands, as of this connection's transaction.

        Raises:
            SessionNotFoundError: if its first event has not been committed: its creator is at work, or died.
            StoreUnusableError: if its file is damaged.
        """
        rows = self.lifecycle(connection)
        if not rows:
            raise SessionNotFoundError(f"session {self.session_id} is only just being created")
        records.check_end(connection, self.session_id)
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

    @_in_one_look
    def lifecycle(self, connection: sqlite3.Connection) -> list[Row]:
        """The few events from which a session's standing is derived, in order."""
        return records.lifecycle(connection, self.session_id)

    @_in_one_look
    def owner(self, connection: sqlite3.Connection) -> tuple[int, str | None, dict[str, Any]]:
        """Epoch, runner (None if nobody) and the runner's description."""
        head = records.head(connection, self.session_id)
        return head.epoch, head.runner, damage.mapping(head.body)

    @_in_one_look
    def unanswered(self, connection: sqlite3.Connection, after: int = 0) -> list[RequestRow]:
        """Requests that no owner has answered, in order.

        Raises:
            StoreUnusableError: if they can't be read.
        """
        return [row for row in records.requests(connection, self.session_id, after) if row.answer is None]

    @_in_one_look
    def request(self, connection: sqlite3.Connection, which: int | str) -> RequestRow | None:
        """The request of a number or an id, or None."""
        found = records.requests(connection, self.session_id)
        return next((row for row in found if which in (row.number, row.id)), None)

    @_in_one_look
    def rows(self, connection: sqlite3.Connection, after: int = 0, limit: int = -1) -> list[EventRow]:
        """Events with a ``seq`` above ``after``.

        Raises:
            StoreUnusableError: if one of them is missing, or is not what was written.
        """
        return list(records.events(connection, self.session_id, after, limit))

    def last_seq(self, connection: sqlite3.Connection) -> int:
        """The highest ``seq``, 0 for none."""
        return records.last_seq(connection)

    def last_move(self, connection: sqlite3.Connection) -> int:
        """The highest ``seq`` of an event that is more than output of a step, 0 for none."""
        found = records.newest(connection, self.session_id, "event <> 'output'")
        return found[0] if found else 0

    @_in_one_look
    def is_over(self, connection: sqlite3.Connection, path: str) -> bool | None:
        """Whether the scope at ``path`` has ended; None if it has not begun."""
        condition = "path = ? AND event IN ('scope_started', 'scope_finished')"
        found = records.newest(connection, self.session_id, condition, path)
        return None if found is None else found[3] == "scope_finished"

    # --- writing -------------------------------------------------------------------------------------------------

    def append(self, connection: sqlite3.Connection, claim: Claim, rows: Sequence[EventRow]) -> None:
        """Commit events, if the claim still holds.

        Raises:
            OwnershipLostError: if another runner has taken the session.
            StoreWriteError: if the commit fails.
        """
        with self.transaction(connection):
            self._check_claim(connection, claim)
            records.add_events(connection, self.session_id, rows, count=False)

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
            self.add(connection, conclude(self.unanswered(connection)))
            self.answer_all(connection, answer)
            head = records.head(connection, self.session_id)
            records.write_head(connection, self.session_id, head._replace(runner=None))

    def add(self, connection: sqlite3.Connection, rows: Iterable[EventRow]) -> None:
        """Write events, within a transaction of somebody who may."""
        records.add_events(connection, self.session_id, rows, count=True)

    def ask(self, connection: sqlite3.Connection, request_id: str, body: Mapping[str, Any]) -> int:
        """Write a request, within a transaction; returns its number."""
        return records.add_request(connection, self.session_id, request_id, now(), json.dumps(body))

    def answer_all(self, connection: sqlite3.Connection, answer: Callable[[RequestRow], str | None]) -> None:
        """Answer every open request, within a transaction."""
        records.answer_all(connection, self.session_id, now(), answer)

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
        _, holder, body = self.owner(connection)
        if holder is not None and is_alive(self.layout, holder):
            raise SessionBusyError(self.session_id, describe(body))
        standing = self.standing(connection)
        check(standing)
        epoch = self._own(connection, runner, json.dumps(about))
        return Claim(runner, epoch), standing

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
        _, runner, about = self.owner(connection)
        self._own(connection, runner if keep_runner else None, json.dumps(about))
        self.add(connection, [(self.last_seq(connection) + 1, run, now(), event, path, json.dumps(body), None)])

    def _own(self, connection: sqlite3.Connection, runner: str | None, about: str) -> int:
        """Put down a new owner; its epoch. What an older version wrote becomes one of ours: nobody runs it."""
        database.upgrade_within(connection, self.session_id)
        head = records.head(connection, self.session_id)
        records.write_head(connection, self.session_id, head._replace(epoch=head.epoch + 1, runner=runner, body=about))
        return head.epoch + 1

    def _check_claim(self, connection: sqlite3.Connection, claim: Claim) -> None:
        if not records.is_owned_by(connection, claim.runner, claim.epoch):
            owner = describe(self.owner(connection)[2])
            raise OwnershipLostError(f"session {self.session_id} was taken over by {owner}; this run stopped")
