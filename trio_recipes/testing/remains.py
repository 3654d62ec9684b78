"""Looking for processes that outlived their session: what every test of a stop should end with."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from trio_recipes.classes import frozen

_MARK: Final = "TRIO_RECIPES_SESSION"
_PAUSE: Final = 0.005


@frozen
class Survivor:
    """A process that a session left behind.

    Args:
        pid: its id.
        command: its command line, for messages.
    """

    pid: int
    command: str


def survivors(session_id: str) -> list[Survivor]:
    """The live processes that carry a session's mark in their environment. Zombies run nothing and don't count.

    Only Linux tells the environment of other processes; elsewhere nobody is found.
    """
    mark = f"{_MARK}={session_id}".encode()
    return [
        Survivor(pid, _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip())
        for pid in _pids()
        if mark in _read(pid, "environ").split(b"\0")
    ]


def assert_no_survivors(session_id: str, *, within: float = 0.0) -> None:
    """Fail if a process of a session is alive.

    Args:
        session_id: the session.
        within: seconds that the processes still have, for those whose runner was killed. A session that *ended* gets
            none: it ends only when nothing of it runs any more.

    Raises:
        AssertionError: naming each process.
    """
    give_up = time.monotonic() + within
    while (found := survivors(session_id)) and time.monotonic() < give_up:
        time.sleep(_PAUSE)
    if found:
        listed = "\n".join(f"  {process.pid}: {process.command}" for process in found)
        raise AssertionError(f"processes of session {session_id} are alive:\n{listed}")


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
    except FileNotFoundError:
        return []


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has just ended, or is somebody else's
        return b""
