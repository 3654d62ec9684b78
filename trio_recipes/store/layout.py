"""Where things lie in a store: a folder of the user's own, one sub-folder a session.

::

    <root>/VERSION                      what this folder is, and which version wrote it
    <root>/sessions/<id>/session.db     the truth about one session: events, requests, answers, owner
    <root>/sessions/<id>/wake           a FIFO: one byte wakes the session's owner
    <root>/index.db                     a cache for ``list``; may be deleted at any time
    <root>/runners/<runner>.lock        flock'd for as long as a runner or its watchman lives

Damage to one session stays there, and runners do not wait for each other's locks.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trio_recipes.errors import SessionNotFoundError, StoreTooNewError, StoreUnusableError
from trio_recipes.store.ground import check_ground, unusable

if TYPE_CHECKING:
    from collections.abc import Iterator

STORE_VERSION = 1
_MAGIC = "trio_recipes store"
_ID = re.compile(r"[0-9a-z][0-9a-z_-]{3,63}\Z")
_ENV = "TRIO_RECIPES_STORE"


def new_session_id() -> str:
    """A fresh id, ``<16 hex>-<YYYYMMDD>-<HHMMSS>_recipe``, in local time as its users are used to."""
    return f"{os.urandom(8).hex()}-{time.strftime('%Y%m%d-%H%M%S')}_recipe"


def default_url() -> str:
    """The store used when none is named: ``$TRIO_RECIPES_STORE``, else a folder of the user's state directory."""
    named = os.environ.get(_ENV)
    if named:
        return named
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return f"sqlite:///{state}/trio_recipes"


def folder_of(url: str) -> Path:
    """The folder that a ``sqlite:///path`` URL, or a plain path, names.

    Raises:
        StoreUnusableError: for an address of another kind.
    """
    scheme, found, rest = url.partition("://")
    if not found:
        return Path(url).expanduser().resolve()
    if scheme != "sqlite":
        raise StoreUnusableError(f"store {url!r}: this version knows sqlite:///FOLDER only; name a folder")
    return Path(rest if rest.startswith("/") else f"/{rest}").expanduser().resolve()


class Layout(NamedTuple):
    """The paths of one store."""

    root: Path

    @property
    def sessions(self) -> Path:
        """Where the sessions' folders are."""
        return self.root / "sessions"

    @property
    def runners(self) -> Path:
        """Where the runners' lock files are."""
        return self.root / "runners"

    def session(self, session_id: str) -> Path:
        """One session's folder. The id is checked: ids from outside never become paths unseen.

        Raises:
            SessionNotFoundError: if it is no id at all.
        """
        if not _ID.match(session_id):
            raise SessionNotFoundError(f"{session_id!r} is no session id; `list` shows those there are")
        return self.sessions / session_id

    def database(self, session_id: str) -> Path:
        """One session's database file."""
        return self.session(session_id) / "session.db"

    def wake(self, session_id: str) -> Path:
        """The FIFO that wakes a session's owner."""
        return self.session(session_id) / "wake"

    def lock(self, runner_id: str) -> Path:
        """A runner's lock file."""
        return self.runners / f"{runner_id}.lock"

    def ids(self) -> Iterator[str]:
        """Ids of all sessions, oldest first (ids carry their time; ties in no order)."""
        try:
            names = [entry.name for entry in os.scandir(self.sessions) if _ID.match(entry.name)]
        except FileNotFoundError:
            return iter(())
        return iter(sorted(names, key=lambda name: (name.partition("-")[2], name)))

    def prepare(self) -> None:
        """Make the store if it is not there; check that it is ours and not from the future.

        Raises:
            StoreUnusableError: if the folder can't be used, or holds something else.
            StoreTooNewError: if a newer version wrote it.
        """
        try:
            check_ground(self.root)
            for folder in (self.root, self.sessions, self.runners):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_version(create=True)
        except OSError as error:
            raise unusable(self.root, error) from error

    def check(self) -> bool:
        """Whether there is a store here at all, without making one. Raises as :meth:`prepare` does."""
        if self.root.exists() and not self.root.is_dir():
            raise StoreUnusableError(f"store {self.root}: not a folder; a store is a folder, name one with --store")
        try:
            return self._check_version(create=False)
        except OSError as error:
            raise StoreUnusableError(f"store {self.root}: {error.strerror}; name another with --store") from error

    def _refuse_strangers(self) -> None:
        """A folder that holds other things is not made a store of."""
        ours = {"sessions", "runners", "index.db", "index.db-journal"}
        strangers = [
            name
            for name in (entry.name for entry in self.root.iterdir())
            if name not in ours and not name.startswith("VERSION")
        ]
        if strangers:
            raise StoreUnusableError(
                f"store {self.root}: the folder holds other things ({strangers[0]!r}, …); name an empty or a new one"
            )

    def _check_version(self, *, create: bool) -> bool:
        marker = self.root / "VERSION"
        try:
            text = marker.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            if create:
                self._refuse_strangers()
                with suppress(PermissionError):  # it is root's, who may see everything anyway
                    self.root.chmod(0o700)
                _write_new(marker, f"{_MAGIC} {STORE_VERSION}\n")
            return create
        name, _, version = text.strip().rpartition(" ")
        if name != _MAGIC or not version.isdigit():
            raise StoreUnusableError(f"store {self.root}: holds something else (VERSION says {text.strip()[:40]!r})")
        if int(version) > STORE_VERSION:
            raise StoreTooNewError(
                f"store {self.root} has version {version}, this program knows {STORE_VERSION}: "
                "upgrade trio_recipes, or name another store with --store"
            )
        return True


def _write_new(file: Path, text: str) -> None:
    """Create a file whole or not at all: a reader never sees half of it."""
    draft = file.with_name(f"{file.name}.{os.urandom(4).hex()}")
    with draft.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())  # or a power cut leaves an empty file under the final name
    draft.chmod(0o600)
    draft.replace(file)
