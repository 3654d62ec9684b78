"""The watchman: a tiny process that outlives its runner just long enough to kill what that has started.

    python -I -S watchman.py RUNNER_ID RUNNER_PID LOCK_FD < lifeline

It reads lines from its standard input, the lifeline, whose other end only the runner has:

    + GROUP START    a process group, and the start time of its leader
    - GROUP          that group is no more
    bye              the runner has stopped everything itself

When the lifeline ends without a ``bye``, or the runner's process does, it kills with SIGKILL what carries
the runner's mark in its environment and what is in the groups, until two scans in a row find nobody. Then
it exits, and only then is the runner's lock file unlocked, which it has inherited.

It is a script of its own, with the standard library only: it has to start fast, hold little memory,
and share no fate with the runner. So it reads ``/proc`` by itself, and imports nothing of the package,
nor ``typing``, which alone would take longer than all the rest.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Final

PATIENCE: Final = 10.0
"""Seconds after which what doesn't die is left to those who sweep later, for the lock's sake."""
_PAUSE: Final = 0.002
_BIRTH: Final = 0.02
"""Seconds for a command that was being started when the runner died: until its exec it carries no mark."""


class Found:
    """A process, and whether it carries the mark."""

    def __init__(self, pid: int, start: int, group: int, session: int, is_marked: bool) -> None:
        self.pid = pid
        self.start = start
        self.group = group
        self.session = session
        self.is_marked = is_marked


def main(runner_id: str, runner_pid: int) -> None:
    """Watch until the runner is gone."""
    lifeline = detach()
    groups = listen(lifeline, runner_pid)
    if groups is not None:
        kill_all(runner_id, groups)


def detach() -> int:
    """Let go of everything but the lifeline and the lock; return the lifeline."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    lifeline = os.dup(0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.close(nowhere)
    os.set_blocking(lifeline, False)
    return lifeline


def listen(lifeline: int, runner_pid: int) -> dict[int, int] | None:
    """Follow what the runner tells; return the groups that run when it dies, None after its goodbye."""
    groups: dict[int, int] = {}
    events = select.poll()
    events.register(lifeline, select.POLLIN)
    # A child that was forked without exec (multiprocessing) holds the lifeline open; the pidfd isn't fooled.
    runner = open_pidfd(runner_pid)
    if runner >= 0:
        events.register(runner, select.POLLIN)
    rest = b""
    while True:
        is_gone = os.getppid() != runner_pid or runner in dict(events.poll())
        data, has_ended = read_all(lifeline)
        *lines, rest = (rest + data).split(b"\n")
        if b"bye" in lines:
            return None
        note(groups, lines)
        if has_ended or is_gone:
            return groups


def open_pidfd(pid: int) -> int:
    """Return a pidfd, or -1."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


def read_all(lifeline: int) -> tuple[bytes, bool]:
    """Read what is there; tell whether that was the end."""
    pieces: list[bytes] = []
    try:
        while piece := os.read(lifeline, 65536):
            pieces.append(piece)
    except BlockingIOError:
        return b"".join(pieces), False
    return b"".join(pieces), True


def note(groups: dict[int, int], lines: list[bytes]) -> None:
    """Keep the list of groups."""
    for line in lines:
        match line.split():
            case [b"+", group, start]:
                groups[int(group)] = int(start)
            case [b"-", group]:
                groups.pop(int(group), None)
            case _:
                pass


def kill_all(runner_id: str, groups: Mapping[int, int]) -> None:
    """Kill until nobody is left, who can be killed."""
    mark = b"TRIO_RECIPES_RUN=" + os.fsencode(runner_id)
    if not os.path.exists("/proc/self/stat"):  # noqa: PTH110  (pathlib costs a third of the start-up time)
        return kill_groups(groups)
    refused: set[int] = set()
    was_empty, give_up = False, time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        prey = [proc for proc in find(mark, groups) if proc.pid not in refused]
        refused.update(proc.pid for proc in prey if not kill(proc))
        if was_empty and not prey:
            break
        was_empty = not prey
        time.sleep(_BIRTH if was_empty else _PAUSE)
    return None


def kill_groups(groups: Mapping[int, int]) -> None:
    """Kill whole groups: all that can be done where no ``/proc`` tells more."""
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def find(mark: bytes, groups: Mapping[int, int]) -> Iterator[Found]:
    """Yield the processes that carry the mark or are in one of the groups."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
    found = [proc for pid in sorted(pids, reverse=True) if (proc := look(pid, mark))]
    starts = {proc.pid: proc.start for proc in found}
    for proc in found:
        is_member = any(
            # Either the leader is still the one we know, or nobody has its pid: then the number of its
            # group can't have been given away, as long as the group has members.
            number in groups and starts.get(number, groups[number]) == groups[number] <= proc.start
            for number in (proc.group, proc.session)
        )
        if proc.pid > 1 and proc.pid != os.getpid() and (is_member or proc.is_marked):
            yield proc


def look(pid: int, mark: bytes) -> Found | None:
    """Read one process; None if it is gone or a zombie."""
    text = read(f"/proc/{pid}/stat")
    fields = text[text.rfind(b")") + 2 :].split()
    if not text or (fields[0] in (b"Z", b"X") and int(fields[17]) <= 1):
        return None
    is_marked = mark in read(f"/proc/{pid}/environ").split(b"\0")
    return Found(pid, int(fields[19]), int(fields[2]), int(fields[3]), is_marked)


def read(path: str) -> bytes:
    """Read a file of ``/proc``; empty if it is gone or not for us."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return file.readall() or b""
    except OSError:
        return b""


def kill(proc: Found) -> bool:
    """Kill this process and no other that has its pid by now; tell whether we may."""
    handle = open_pidfd(proc.pid)
    try:
        now = look(proc.pid, b"")
        if now is None or now.start != proc.start:
            return True
        if handle >= 0:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        else:
            os.kill(proc.pid, signal.SIGKILL)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    finally:
        if handle >= 0:
            os.close(handle)
    return True


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
