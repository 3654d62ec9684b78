"""Ways to run a process as init systems and containers do, and whether this machine allows them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from trio_recipes.processes.procfs import read_process

NAMESPACES = ("unshare", "--pid", "--uts", "--fork", "--mount-proc")
"""A new process 1 and a host name of its own, as in a container."""

_PLACES = ("/sys/fs/cgroup", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/freezer")


@cache
def why_no_namespaces() -> str:
    """Why there can be no pid namespace here; "" if there can."""
    tried = subprocess.run([*NAMESPACES, "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() if tried.returncode else ""


def init_of(pid: int) -> int:
    """The process 1 of the namespace that ``unshare`` with this pid has made, as we number it; 0 if it is gone."""
    return next((int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()), 0)


def zombie_children(pid: int) -> list[int]:
    """Children of a process that have ended, and that it has not waited for."""
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    found = [proc for child in children if (proc := read_process(child)) is not None]
    return [proc.pid for proc in found if proc.state == "Z"]


class Group:
    """A cgroup."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def take(self, pid: int) -> None:
        """Put a process into it; what that starts from now on is in it too, and can't leave."""
        (self.folder / "cgroup.procs").write_text(str(pid))

    def pids(self) -> list[int]:
        """Everybody in it."""
        return [int(line) for line in (self.folder / "cgroup.procs").read_text().split()]

    def signal(self, number: int, *, backwards: bool = False) -> list[int]:
        """Signal everybody, as ``KillMode=control-group`` does; returns whom."""
        pids = sorted(self.pids(), reverse=backwards)
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        return pids


@contextmanager
def control_group() -> Generator[Group | None]:
    """A cgroup of one's own, gone afterwards; None if none can be made here."""
    folder = next(filter(None, map(_made, _PLACES)), None)
    if folder is None:
        yield None
        return
    group = Group(folder)
    try:
        yield group
    finally:
        while group.signal(signal.SIGKILL):
            time.sleep(0.01)
        folder.rmdir()


def _made(place: str) -> Path | None:
    folder = Path(place) / f"trio_recipes-{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir()
    except OSError:
        return None
    if (folder / "cgroup.procs").exists():
        return folder
    folder.rmdir()
    return None
