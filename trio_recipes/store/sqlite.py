"""The embedded store: a folder of SQLite databases, one a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from trio_recipes.errors import SessionError, SessionNotFoundError, StoreError
from trio_recipes.store.layout import Layout, folder_of
from trio_recipes.store.session_file import SessionFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_recipes.progress.standing import Standing

LAST = "@last"


@frozen
class SqliteStore:
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
        ids = list(self.layout.ids())
        if not ids:
            raise SessionNotFoundError(f"there is no session in {self.layout.root} yet; `run` a recipe first")
        newest = [name for name in ids if name.partition("-")[2] == ids[-1].partition("-")[2]]
        return newest[0] if len(newest) == 1 else max(newest, key=self._created_at)

    def _created_at(self, session_id: str) -> int:
        try:
            return self.standing(session_id).created_at
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
        for session_id in reversed(list(self.layout.ids())):
            try:
                yield session_id, self.standing(session_id)
            except SessionNotFoundError:
                continue  # being created, or just deleted
            except StoreError as error:
                yield session_id, error

    def delete(self, session_id: str) -> None:
        """Remove a session and everything in it. The caller has made sure that nobody runs it."""
        self.file(session_id).remove()
