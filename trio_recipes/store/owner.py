"""Who runs a session. Liveness is an OS lock, not a pid: pids are recycled, locks are not.

A runner holds an exclusive ``flock`` on a file of its own; its watchman inherits the descriptor, so that the lock is
free only when the runner *and* its process trees are gone. Asking takes a shared lock for an instant, so
that two who ask do not see each other as the owner.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from typing import TYPE_CHECKING, Any

from trio_recipes.store.ground import no_locks, unusable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_recipes.store.layout import Layout


_ID = re.compile(r"[^/\x00]{1,64}\Z")


def new_runner_id() -> str:
    """A fresh id for a runner."""
    return os.urandom(8).hex()


class RunnerLock:
    """This process's proof of life, held until :meth:`release`.

    Args:
        layout: of the store.
        agents: names who answers agent steps, for whoever has to finish a session of this runner; None if nothing does.
    """

    def __init__(self, layout: Layout, agents: str | None = None) -> None:
        self.layout, self.agents, self.runner_id, self.fd = layout, agents, new_runner_id(), -1

    def acquire(self) -> None:
        """Take the lock. The descriptor is close-on-exec; only the watchman is handed it.

        Raises:
            StoreUnusableError: if the store's folder can't be written, or its file system has no locks.
        """
        try:
            self.fd = os.open(self.layout.lock(self.runner_id), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unusable(self.layout.root, error) from error
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            raise no_locks(self.layout.root, error) from error

    def release(self) -> None:
        """Give the lock up; to be called when nothing of this runner is left."""
        if self.fd >= 0:
            self.layout.lock(self.runner_id).unlink(missing_ok=True)
            os.close(self.fd)
            self.fd = -1

    def describe(self) -> dict[str, Any]:
        """Who we are, for messages and for those who come after us."""
        about = {"pid": os.getpid(), "host": os.uname().nodename, "since": int(time.time())}
        return about if self.agents is None else {**about, "agents": self.agents}


def is_owner(epoch: object, runner: object, body: object) -> bool:
    """Whether this is what an owner's row can hold; a runner's id becomes a file's name."""
    named = runner is None or (isinstance(runner, str) and _ID.match(runner) is not None)
    return named and isinstance(epoch, int) and isinstance(body, str)


def is_alive(layout: Layout, runner_id: str) -> bool:
    """Whether a runner, or the watchman that still ends its processes, lives."""
    try:
        fd = os.open(layout.lock(runner_id), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # it can't be looked at (another user's, no descriptors left): nobody is declared dead unseen
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def describe(owner: Mapping[str, Any]) -> str:
    """Who has a session, for people."""
    since = time.strftime("%H:%M:%S", time.localtime(owner.get("since", 0)))
    return f"process {owner.get('pid')} on {owner.get('host')} (since {since})"
