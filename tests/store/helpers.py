"""Sessions in a store of their own, and events to write into them."""

from pathlib import Path
from typing import Any

from trio_recipes.events import Event, Output, RecipeFrozen, RunEnded, SessionCreated, SessionStatus, Stamped
from trio_recipes.store.codec import to_row
from trio_recipes.store.owner import RunnerLock
from trio_recipes.store.requests import Ack, submit
from trio_recipes.store.runs import Opening, begin, create
from trio_recipes.store.session_file import SessionFile, now
from trio_recipes.store.sqlite import SqliteStore
from trio_recipes.store.sums import EventRow

ID = "0123456789abcdef-20260101-120000_recipe"


def open_store(folder: Path, durability: str = "process") -> SqliteStore:
    """A store that does not wait for the disk, unless it is told to."""
    return SqliteStore.open(str(folder / "store"), durability=durability)


_OPENINGS: list[Opening] = []
"""What the test that runs has opened; conftest.py closes it."""


def close_all() -> None:
    """Close what the test left open."""
    while _OPENINGS:
        _OPENINGS.pop().connection.close()


def lock_in(store: SqliteStore) -> RunnerLock:
    """A runner that is alive until its lock is released."""
    lock = RunnerLock(store.layout)
    lock.acquire()
    return lock


def created(session_id: str = ID) -> SessionCreated:
    return SessionCreated(session_id=session_id, recipe_name="r", recipe_version="1.0.0", project_path="/p")


def a_session(store: SqliteStore, session_id: str = ID) -> SessionFile:
    """A session that nobody has run yet."""
    create(store.file(session_id), created(session_id), [RecipeFrozen(key="", file=None, digest="d", data=b"x")], None)
    return store.file(session_id)


def run_by(store: SqliteStore, lock: RunnerLock, session_id: str = ID) -> Opening:
    """A session that ``lock`` runs."""
    opening = create(store.file(session_id), created(session_id), [], lock)
    assert opening is not None
    _OPENINGS.append(opening)
    return opening


def resumed(file: SessionFile, lock: RunnerLock) -> Opening:
    _OPENINGS.append(opening := begin(file, lock, lambda _progress: None))
    return opening


def rows(after: int, *events: Event, run: int = 1) -> list[EventRow]:
    return [to_row(Stamped(seq, run, now(), event)) for seq, event in enumerate(events, after + 1)]


def output(text: str = "x") -> Output:
    return Output(path="a", channel="stdout", data=text.encode())


def end(opening: Opening, status: SessionStatus, answer: str = "applied") -> None:
    """End the run that an opening began."""
    with opening.file.reading() as connection:
        last = opening.file.last_seq(connection)
    ended = rows(last, RunEnded(status=status), run=opening.run)
    opening.file.end(opening.connection, opening.claim, lambda _requests: ended, lambda _row: answer)
    opening.connection.close()


def ask(file: SessionFile, name: str, level: int = 1, *, escalates: bool = True, **more: Any) -> Ack:
    """A request to stop."""
    return submit(file, {"level": level, "request_id": name, "requested_at": now()} | more, escalates=escalates)


def in_state(store: SqliteStore, status: SessionStatus) -> SessionFile:
    """A session in a state that nobody runs."""
    if status is SessionStatus.CREATED:
        return a_session(store)
    lock = lock_in(store)
    opening = run_by(store, lock)
    if status is SessionStatus.INTERRUPTED:
        opening.connection.close()
    else:
        end(opening, status)
    lock.release()
    return opening.file
