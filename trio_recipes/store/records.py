"""The rows of a session's tables as they are written and read: each with a check sum, and all of them counted.

A row that is not what was written is told when it is read (:mod:`trio_recipes.store.sums`). A row that is gone is told
by its number: events and requests have no gaps. The last ones have nobody after them, and the lifecycle is found by an
index that may have lost some, so :class:`Head` counts. It is written where it costs nothing: in transactions that
change the owner, the lifecycle or a request, not in those of steps.

The tables of older versions have no sums. They are read as they are, and a request can be made to a runner of such a
version; anybody else who writes brings them up to date first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from trio_recipes.progress.standing import Row
from trio_recipes.store import damage, database, sums
from trio_recipes.store.owner import is_owner

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from trio_recipes.store.sums import EventRow

_EVENT: Final = "seq, run, at, event, path, body, data"
_REQUESTS: Final = "FROM requests r LEFT JOIN answers a ON a.number = r.number WHERE r.number > ? ORDER BY r.number"
_HEAD: Final = "epoch, runner, body, events, lifecycle, requests, answers, crc"
_OLD_HEAD: Final = "epoch, runner, body"


class Head(NamedTuple):
    """What is known of a session as a whole: whose it is, and how much there must be.

    Args:
        epoch: of its ownership.
        runner: who owns it, or None.
        body: the runner's description, as JSON.
        events: how many there are at least; exactly so many while nobody owns the session.
        lifecycle: how many of them :data:`~trio_recipes.store.database.LIFE` finds.
        requests: how many there are.
        answers: how many of them have one.
    """

    epoch: int = 0
    runner: str | None = None
    body: str = "{}"
    events: int = 0
    lifecycle: int = 0
    requests: int = 0
    answers: int = 0

    @property
    def is_counted(self) -> bool:
        """Whether anybody has counted: not in older versions, nor once a session is being deleted."""
        return self.events > 0


class RequestRow(NamedTuple):
    """A request, as it was made.

    ``body`` is the JSON of a :class:`~trio_recipes.events.Cancellation`, or of a decision on a gate: an
    :class:`~trio_recipes.events.ApprovalDecided` with its ``path``.
    """

    number: int
    id: str
    body: dict[str, Any]
    answer: str | None = None

    @property
    def is_decision(self) -> bool:
        """Whether it decides on a gate rather than asking to stop."""
        return "approved" in self.body


# --- events ------------------------------------------------------------------------------------------------------


def events(connection: sqlite3.Connection, session_id: str, after: int = 0, limit: int = -1) -> Iterator[EventRow]:
    """Events with a ``seq`` above ``after``, checked one by one as they are taken.

    Raises:
        RecordError: at the first that is not what was written, or is not there; at the end, if the last are not there.
            While somebody owns the session, not all are counted: who reads all of them has their pages looked at.
    """
    last = after
    for row in _checked(connection, session_id, "seq > ? ORDER BY seq LIMIT ?", after, limit):
        last += 1
        if row[0] != last:
            raise damage.RecordError(_gone(last, row[0] - 1))
        yield row
    if last - after != limit:
        known = head(connection, session_id)
        _check_end(known, last)
        if known.runner is not None and limit < 0:  # not all are counted
            check_pages(connection)


def lifecycle(connection: sqlite3.Connection, session_id: str) -> list[Row]:
    """The few events from which a session's standing is derived, in order. Raises as :func:`events` does."""
    rows = list(_checked(connection, session_id, f"{database.LIFE} ORDER BY seq"))
    known = head(connection, session_id)
    found = {row[0] for row in rows if row[3] in database.COUNTED}  # an index may name a row twice, or a wrong one
    if known.is_counted and not len(rows) == len(found) == known.lifecycle:
        raise damage.RecordError(f"of {known.lifecycle} events of its lifecycle {len(found)} are there")
    rows.sort()
    return [Row(seq, at, event, damage.mapping(body), path) for seq, _, at, event, path, body, _ in rows]


def newest(connection: sqlite3.Connection, session_id: str, condition: str, *values: object) -> EventRow | None:
    """The last event for which a condition holds, or None. Raises as :func:`events` does."""
    return next(_checked(connection, session_id, f"{condition} ORDER BY seq DESC LIMIT 1", *values), None)


def _checked(connection: sqlite3.Connection, session_id: str, condition: str, *values: object) -> Iterator[EventRow]:
    has_sums, start = database.has_sums(connection), sums.seed(session_id, "events")
    query = f"SELECT {_EVENT}, {'crc' if has_sums else 'NULL'} FROM events WHERE {condition}"  # noqa: S608
    for found in connection.execute(query, values):
        row: EventRow = found[:7]
        if has_sums and not _is_intact(start, row, found[7]):
            raise damage.RecordError(f"event {row[0]} is not what was written")
        yield row


def _is_intact(start: int, row: EventRow, crc: object) -> bool:
    try:
        return sums.of_event(start, row) == crc
    except (TypeError, ValueError):  # not even its types are an event's
        return False


def _gone(first: int, last: int) -> str:
    return f"event {first} is missing" if first == last else f"events {first} to {last} are missing"


def _check_end(known: Head, last: int) -> None:
    """What is missing at the end leaves no gap."""
    if known.is_counted and last < known.events:
        raise damage.RecordError(_gone(last + 1, known.events))
    if known.is_counted and known.runner is None and last > known.events:
        raise damage.RecordError(f"there are {last} events where {known.events} were written")


def check_end(connection: sqlite3.Connection, session_id: str) -> None:
    """Make sure that the last events are there, without reading them. Raises as :func:`events` does."""
    _check_end(head(connection, session_id), last_seq(connection))


def check_pages(connection: sqlite3.Connection) -> None:
    """Have SQLite look whether the pages hold together, all of them: a tenth of what reading them takes.

    Raises:
        RecordError: if they do not.
    """
    found = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found is None or found[0] != "ok":
        raise damage.RecordError(f"its pages do not fit: {found and found[0]}")


def last_seq(connection: sqlite3.Connection) -> int:
    """The highest ``seq``, 0 for none."""
    found: int = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
    return found


def add_events(connection: sqlite3.Connection, session_id: str, rows: Iterable[EventRow], *, count: bool) -> None:
    """Write events, and the answers to requests that are among them, within a transaction.

    Args:
        connection: for writing.
        session_id: whose they are.
        rows: the next ones in order.
        count: note how many there are now, even if none of these has to be counted.
    """
    start = sums.seed(session_id, "events")
    last, lives = 0, 0
    answered: list[EventRow] = []

    def summed() -> Iterator[tuple[object, ...]]:
        nonlocal last, lives
        for row in rows:
            last = row[0]
            if row[3] in database.COUNTED:
                lives += 1
            elif row[3] == "request_answered":
                answered.append(row)
            yield (*row, sums.of_event(start, row))

    connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", summed())
    if count or lives or answered:
        _count(connection, session_id, last, lives, answered)


def _count(
    connection: sqlite3.Connection, session_id: str, last: int, lives: int, answered: Sequence[EventRow]
) -> None:
    answers = _add_answers(connection, session_id, answered) if answered else 0
    known = head(connection, session_id)
    new = known._replace(
        events=last or known.events, lifecycle=known.lifecycle + lives, answers=known.answers + answers
    )
    write_head(connection, session_id, new)


# --- requests and their answers ----------------------------------------------------------------------------------


def requests(connection: sqlite3.Connection, session_id: str, after: int = 0) -> list[RequestRow]:
    """Requests with a number above ``after``, in order.

    Raises:
        RecordError: if one of them, or its answer, is not what was written or is not there.
    """
    found = list(_checked_requests(connection, session_id, after))
    known, last = head(connection, session_id), found[-1].number if found else after
    answers = sum(row.answer is not None for row in found)
    if known.is_counted and last != known.requests:
        raise damage.RecordError(f"of {known.requests} requests {last} are there")
    if known.is_counted and after == 0 and answers != known.answers:
        raise damage.RecordError(f"of {known.answers} answers to requests {answers} are there")
    return found


def _checked_requests(connection: sqlite3.Connection, session_id: str, after: int) -> Iterator[RequestRow]:
    has_sums = database.has_sums(connection)
    crcs = "r.crc, a.crc" if has_sums else "NULL, NULL"
    query = f"SELECT r.number, r.id, r.at, r.body, a.number, a.at, a.answer, {crcs} {_REQUESTS}"
    asked, answered = sums.seed(session_id, "requests"), sums.seed(session_id, "answers")
    for number, request_id, at, body, *answer, crc, answers_crc in connection.execute(query, (after,)):
        if has_sums and (number != after + 1 or sums.of(asked, number, request_id, at, body) != crc):
            raise damage.RecordError(f"request {after + 1} is not what was written")
        if has_sums and answer[0] is not None and sums.of(answered, *answer) != answers_crc:
            raise damage.RecordError(f"the answer to request {number} is not what was written")
        after = number
        yield RequestRow(number, request_id, damage.mapping(body), answer[2])


def add_request(connection: sqlite3.Connection, session_id: str, request_id: str, at: int, body: str) -> int:
    """Write a request, within a transaction; returns its number."""
    if not database.has_sums(connection):  # a runner of an older version is at work
        old = "INSERT INTO requests (id, at, body) VALUES (?, ?, ?)"
        return connection.execute(old, (request_id, at, body)).lastrowid or 0
    known = head(connection, session_id)
    row = (known.requests + 1, request_id, at, body)
    crc = sums.of(sums.seed(session_id, "requests"), *row)
    connection.execute("INSERT INTO requests VALUES (?, ?, ?, ?, ?)", (*row, crc))
    write_head(connection, session_id, known._replace(requests=row[0]))
    return row[0]


def answer_all(
    connection: sqlite3.Connection, session_id: str, at: int, answer: Callable[[RequestRow], str | None]
) -> None:
    """Answer every open request for which ``answer`` knows one, within a transaction."""
    open_ones = [row for row in requests(connection, session_id) if row.answer is None]
    answers = [(row.number, at, told) for row in open_ones if (told := answer(row)) is not None]
    if answers:
        known = head(connection, session_id)
        _write_answers(connection, session_id, answers)
        write_head(connection, session_id, known._replace(answers=known.answers + len(answers)))


def _add_answers(connection: sqlite3.Connection, session_id: str, events: Iterable[EventRow]) -> int:
    """Write the answers that events tell of, the first to each request; returns how many."""
    waiting = {row.id: row.number for row in requests(connection, session_id) if row.answer is None}
    answers: list[tuple[int, int, str]] = []
    for event in events:
        told = damage.mapping(event[5])
        number = waiting.pop(told["request_id"], None)
        if number is not None:
            answers.append((number, event[2], told["answer"]))
    _write_answers(connection, session_id, answers)
    return len(answers)


def _write_answers(connection: sqlite3.Connection, session_id: str, answers: Iterable[tuple[int, int, str]]) -> None:
    start = sums.seed(session_id, "answers")
    rows = [(*answer, sums.of(start, *answer)) for answer in answers]
    connection.executemany("INSERT INTO answers VALUES (?, ?, ?, ?)", rows)


# --- the head ----------------------------------------------------------------------------------------------------


def head(connection: sqlite3.Connection, session_id: str) -> Head:
    """What is known of the session as a whole; an older version's has no counts.

    Raises:
        RecordError: if it is not what was written.
    """
    has_sums = database.has_sums(connection)
    found = connection.execute(f"SELECT {_HEAD if has_sums else _OLD_HEAD} FROM owner").fetchone()  # noqa: S608
    known = Head(*(found or ())[: len(Head._fields)])
    if found is None or not is_owner(*known[:3]):
        raise damage.RecordError("its owner is not known")
    if has_sums and _head_sum(session_id, known) != found[-1]:
        raise damage.RecordError("the record of its owner is not what was written")
    return known


def write_head(connection: sqlite3.Connection, session_id: str, new: Head) -> None:
    """Put down what is known of the session as a whole, within a transaction."""
    row = (*new, _head_sum(session_id, new))
    connection.execute("INSERT OR REPLACE INTO owner VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)", row)


def is_owned_by(connection: sqlite3.Connection, runner: str, epoch: int) -> bool:
    """Whether a runner has the session, in this epoch: asked with each commit, so nothing else is looked at."""
    found: tuple[str | None, int] = connection.execute("SELECT runner, epoch FROM owner").fetchone()
    return found == (runner, epoch)


def _head_sum(session_id: str, known: Head) -> int:
    return sums.of(sums.seed(session_id, "owner"), *known)
