"""The embedded store: a folder of SQLite databases, one a session."""

from __future__ import annotations

import time
from contextlib import suppress
from itertools import count, groupby
from typing import TYPE_CHECKING, NamedTuple

from trio_recipes.errors import (
    SessionBusyError,
    SessionDamagedError,
    SessionError,
    SessionNotFoundError,
    StoreError,
    StoreWriteError,
)
from trio_recipes.store.layout import Layout, folder_of
from trio_recipes.store.owner import describe, is_alive
from trio_recipes.store.session_file import SessionFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trio_recipes.progress.standing import Standing
    from trio_recipes.store.index import Index

LAST = "@last"
_CREATION_SECONDS = 60.0
"""By then whoever creates a session has committed its first event, or died."""


class SqliteStore(NamedTuple):
    """A store in a folder. Its methods block for about a millisecond; async code calls them in a thread.

    Args:
        layout: where things lie.
        durability: ``power`` or ``process`` (see :class:`~trio_recipes.store.session_file.SessionFile`).
    """

    layout: Layout
    durability: str = "power"

    @classmethod
    def open(cls, url: str, *, durability: str = "power", create: bool = True) -> SqliteStore:
        """Open the store at ``url``.

        Args:
            url: ``sqlite:///FOLDER`` or a folder's path.
            durability: see the class.
            create: make it if it is not there; otherwise an absent store is an empty one.

        Raises:
            StoreUnusableError: if the address is no store and can't become one.
            StoreTooNewError: if a newer version wrote it.
        """
        layout = Layout(folder_of(url))
        if create:
            layout.prepare()
        else:
            layout.check()
        return cls(layout, durability)

    def file(self, session_id: str) -> SessionFile:
        """One session's database, whether it exists or not."""
        return SessionFile(self.layout, session_id, self.durability)

    def exists(self, session_id: str) -> bool:
        """Whether there is such a session."""
        try:
            return self.layout.database(session_id).exists()
        except SessionNotFoundError:
            return False

    def resolve(self, text: str) -> str:
        """The id that ``text`` means: an id, a unique prefix of one, or ``@last``.

        Raises:
            SessionNotFoundError: if it means none.
            SessionError: if it means several; they are named.
        """
        if self.exists(text):
            return text
        if text == LAST:
            return self._last()
        found = [name for name in self.layout.ids() if text and name.startswith(text)]
        if len(found) > 1:
            raise SessionError(f"{text!r} could be {', '.join(found[:5])}: give more letters")
        if not found:
            raise SessionNotFoundError(f"no session {text!r} in {self.layout.root}; `list --all` shows those there are")
        return found[0]

    def _last(self) -> str:
        """The newest session: ids carry seconds, so those of the same second are told apart by their records."""
        for _, names in groupby(reversed(list(self.layout.ids())), key=lambda name: name.partition("-")[2]):
            made = {name: at for name in names if (at := self._created_at(name)) is not None}
            if made:
                return max(made, key=made.__getitem__)
        raise SessionNotFoundError(f"there is no session in {self.layout.root} yet; `run` a recipe first")

    def _created_at(self, session_id: str) -> int | None:
        """When it was made; 0 if it is damaged, None if it is only just being made."""
        try:
            return self.standing(session_id).created_at
        except SessionNotFoundError:
            return None
        except StoreError:
            return 0

    def standing(self, session_id: str) -> Standing:
        """Where a session stands.

        Raises:
            SessionNotFoundError: if there is no such session.
            StoreUnusableError: if its file is damaged.
        """
        file = self.file(session_id)
        with file.reading() as connection:
            return file.standing(connection)

    def standings(self) -> Iterator[tuple[str, Standing | StoreError]]:
        """All sessions, newest first; a damaged one comes with its error and stops nobody else."""
        from trio_recipes.store.index import Index  # noqa: PLC0415  not for `cancel`

        index, ids = Index(self.layout), list(self.layout.ids())
        index.forget_all_but(set(ids))
        try:
            for session_id in reversed(ids):
                yield from self._looked_up(session_id, index)
        finally:
            index.save()

    def _looked_up(self, session_id: str, index: Index) -> Iterator[tuple[str, Standing | StoreError]]:
        known = index.standing(session_id)
        if known is not None:
            yield session_id, known
            return
        stamp = index.stamp(session_id)
        try:
            standing = self.standing(session_id)
            index.learn(session_id, standing, stamp)
            yield session_id, standing
        except SessionNotFoundError:  # being created, or just deleted; or nobody ever finished creating it
            if (age := self._age(session_id)) is not None and age > _CREATION_SECONDS:
                yield session_id, self.file(session_id).damaged("it is empty: its beginning was lost")
        except StoreError as error:
            yield session_id, error

    def _age(self, session_id: str) -> float | None:
        """Seconds since a session's folder was made or emptied; None if it is gone."""
        try:
            return time.time() - self.layout.session(session_id).stat().st_mtime
        except FileNotFoundError:
            return None

    def is_damaged(self, session_id: str) -> bool:
        """Whether anything in a session's file is not what was written; all of it is read.

        Raises:
            SessionNotFoundError: if there is no such session.
            StoreUnusableError: if it can't be read now.
        """
        file = self.file(session_id)
        try:
            with file.reading() as connection:
                file.standing(connection)
                file.rows(connection)
        except SessionDamagedError:
            return True
        return False

    def set_aside(self, session_id: str) -> Path:
        """Take a session out of the store, and keep its folder under a name that is no session's; returns that.

        Raises:
            SessionBusyError: if somebody runs it, as far as can be read.
        """
        file = self.file(session_id)
        with suppress(StoreError), file.reading() as connection:
            _, runner, about = file.owner(connection)
            if runner is not None and is_alive(self.layout, runner):
                raise SessionBusyError(session_id, describe(about))
        folder = self.layout.session(session_id)
        names = (folder.with_name(f"{session_id}.damaged{number or ''}") for number in count())
        return folder.rename(next(name for name in names if not name.exists()))

    def delete(self, session_id: str) -> bool:
        """Remove a session and everything in it, unless somebody runs it; returns whether it is gone.

        Raises:
            StoreWriteError: if it can't be removed, from a store that can only be read, say.
        """
        if not self.file(session_id).bury():
            return False
        folder = self.layout.session(session_id)
        if folder.exists():
            raise StoreWriteError(f"session {session_id} can't be deleted: is {folder} read-only, or another user's?")
        return True
