"""Taking a session along: out of a store as one file, and into another store, to be looked at or resumed there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from attrs import evolve, field

from trio_recipes.classes import define, frozen
from trio_recipes.errors import ArchiveError, SessionError
from trio_recipes.events import RecordsVoided, RunStarted, SessionCreated, Stamped
from trio_recipes.progress import path as paths
from trio_recipes.progress.fold import Progress
from trio_recipes.progress.tables import FINISHED
from trio_recipes.store.archive import ArchiveReader, Ending, write_archive
from trio_recipes.store.runs import restore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trio_recipes.store.sqlite import SqliteStore


@frozen
class Imported:
    """A session that has come from elsewhere.

    Args:
        session_id: the id that it had there, too.
        ending: what the archive says of itself.
        again: scopes that had finished and run again when it is resumed: their result held a secret.
        aside: where the damaged session is now whose place it has taken, if it has.
    """

    session_id: str
    ending: Ending
    again: tuple[str, ...] = ()
    aside: Path | None = None


def export_session(store: SqliteStore, session: str, stream: TextIO) -> Ending:
    """Write a session as one self-contained text, without secrets; one that runs, as it stands at this moment.

    Args:
        store: where it is.
        session: its id, a unique prefix of one, or ``@last``.
        stream: open for writing.

    Returns:
        What was written: a damaged session is written as far as it can be read, and ``damage`` says so.

    Raises:
        SessionNotFoundError: if there is no such session.
        StoreUnusableError: if nothing of it can be read.
    """
    return write_archive(store.file(store.resolve(session)), stream)


def import_session(store: SqliteStore, stream: Iterable[str], *, project: str | Path | None = None) -> Imported:
    """Take a session into a store. Nothing of it runs until it is resumed; who resumes it runs what it holds.

    One of the same name that is damaged makes room for it, and is kept in a folder beside it.

    Args:
        store: where it is to be.
        stream: the lines that :func:`export_session` wrote.
        project: the project's folder here; by default the one that it had there.

    Raises:
        ArchiveError: if this is nothing that was exported, or was changed; nothing is made then.
        SessionError: if the store has this session already, and it is not damaged or somebody runs it.
    """
    reader = ArchiveReader(iter(stream))
    file = store.file(reader.session_id)
    aside = _make_room(store, reader.session_id)
    arrival = _Arrival(reader, None if project is None else str(Path(project).resolve()))
    try:
        restore(file, arrival.events())
    except BaseException:
        if aside is not None:
            aside.rename(store.layout.session(reader.session_id))
        raise
    assert reader.ending is not None
    return Imported(reader.session_id, reader.ending, arrival.again, aside)


def _make_room(store: SqliteStore, session_id: str) -> Path | None:
    """Where a damaged session of this name is from now on; None if there is none."""
    if not store.exists(session_id):
        return None
    if not store.is_damaged(session_id):
        raise SessionError(f"session {session_id} is in this store already; `clean` or another --store")
    return store.set_aside(session_id)


@define(eq=False)
class _Arrival:
    """The events of an archive on their way into a store.

    Args:
        reader: of the archive.
        project: the project's folder here, or None where it stays what it was.
    """

    reader: ArchiveReader
    project: str | None
    again: tuple[str, ...] = field(default=(), init=False)

    def events(self) -> Iterator[Stamped]:
        """As they are to be here, and at their end what runs ``again`` because its result held a secret."""
        progress = Progress()
        for stamped in self.reader.events():
            here = _moved(stamped, self.project)
            progress.apply(here)
            yield here
        if progress.created is None:
            raise ArchiveError("it holds no events, so there is no session in it")
        assert self.reader.ending is not None
        voided = _to_run_again(progress, self.reader.ending.masked)
        if voided is not None:
            self.again = voided.voided
            yield Stamped(progress.last_seq + 1, progress.run, progress.ended_at or progress.created_at, voided)


def _moved(stamped: Stamped, project: str | None) -> Stamped:
    """The event as it is to be here: another project, and no runner that could be taken for one of this machine."""
    event = stamped.event
    if isinstance(event, SessionCreated) and project is not None:
        return evolve(stamped, event=evolve(event, project_path=project))
    return evolve(stamped, event=evolve(event, took_over_from=None)) if isinstance(event, RunStarted) else stamped


def _to_run_again(progress: Progress, masked: Iterable[str]) -> RecordsVoided | None:
    """What holds a placeholder instead of a secret must not be reused; nor the end of what stands around it."""
    if progress.ended is not None and progress.ended.status in FINISHED:
        return None
    void = [path for path in masked if progress.finished(path)]
    around = dict.fromkeys(place for path in void for place in paths.around(path) if place)
    reopened = tuple(place for place in around if progress.finished(place))
    return RecordsVoided(voided=tuple(void), reopened=reopened) if void else None
