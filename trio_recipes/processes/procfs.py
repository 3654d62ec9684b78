"""Reading ``/proc``: what Linux tells about a process.

A process is identified by its pid *and* its start time: pids are used again, pairs are not.
"""

import os
from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

from . import marks

# A process that ends while we read about it, or that belongs to somebody else.
_UNREADABLE: Final = (FileNotFoundError, ProcessLookupError, PermissionError)
_ENOUGH: Final = 1 << 16  # bytes; files of /proc give all they have at once, but for huge environments


def pids() -> list[int]:
    """Return all pids."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


@frozen
class Proc:
    """One process, as it was when we looked.

    Attributes:
        pid: Its id.
        start: When it started, in clock ticks since the boot; 0 where nobody tells.
        ppid: Its parent.
        pgid: Its process group.
        sid: Its session (of the operating system).
        state: The kernel's letter: ``Z`` is a zombie, ``T`` stopped; ``?`` where nobody tells.
        threads: How many threads it has.
        marks: Which of our marks it carries.
    """

    pid: int
    start: int
    ppid: int
    pgid: int
    sid: int
    state: str = "?"
    threads: int = 1
    marks: Mapping[str, str] = field(factory=dict, eq=False, repr=False)

    @property
    def ident(self) -> tuple[int, int]:
        """The pair that no other process ever has."""
        return self.pid, self.start

    @property
    def is_running(self) -> bool:
        """Whether it is more than a zombie; one that only lost its main thread is shown as one, and runs."""
        return self.state not in "ZX" or self.threads > 1

    @property
    def is_stopped(self) -> bool:
        """Whether it needs SIGCONT before it can obey a stop signal."""
        return self.state in "T?"


def read_process(pid: int, since: int | None = None) -> Proc | None:
    """Read one process; None if it is gone.

    Args:
        pid: Its id.
        since: Its marks are read if it started at this time or later; never if this is None.
    """
    text = _read(f"/proc/{pid}/stat")
    if not text:
        return None
    # "pid (name) state ppid …": the name may hold anything, parentheses too, so cut after the last one.
    fields = text[text.rindex(b")") + 2 :].split()
    start = int(fields[19])
    wants_marks = since is not None and start >= since and fields[0] != b"Z"
    return Proc(
        pid=pid,
        start=start,
        ppid=int(fields[1]),
        pgid=int(fields[2]),
        sid=int(fields[3]),
        state=fields[0].decode(),
        threads=int(fields[17]),
        marks=marks.read_marks(_read(f"/proc/{pid}/environ")) if wants_marks else {},
    )


def children(pid: int) -> list[int]:
    """Return the pids of a process's children, those of all its threads; none if it is gone."""
    folder = f"/proc/{pid}/task"
    try:
        threads = os.listdir(folder)  # noqa: PTH208
    except _UNREADABLE:
        return []
    return [int(child) for thread in threads for child in _read(f"{folder}/{thread}/children").split()]


def _read(path: str) -> bytes:
    """Read a small file of ``/proc`` whole; empty if it is gone or not for us.

    Raises:
        OSError: We can't read anything, for want of file descriptors for instance: nothing is known then.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(descriptor, _ENOUGH)
            if len(data) < _ENOUGH:  # as a rule; a second read to see the end would cost a fifth of the scan
                return data
            pieces = [data]
            while piece := os.read(descriptor, _ENOUGH):
                pieces.append(piece)
            return b"".join(pieces)
        finally:
            os.close(descriptor)
    except _UNREADABLE:
        return b""
