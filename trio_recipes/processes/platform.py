"""What the operating system tells about processes, and how we signal them and wait for them.

The one file with platform code (`procfs.py` reads ``/proc`` for it). Three implementations of `Platform`:

- `Linux` reads ``/proc`` and holds on to processes by pidfd, so a signal can't hit a recycled pid.
- `LinuxWithoutPidfd` (kernels before 5.3, seccomp sandboxes) compares start times and polls.
- `Portable` (macOS) sees process groups only: best effort.

"""

import ctypes
import errno
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Final, Protocol

import trio

from .procfs import Proc, children, pids, read_process

_POLL: Final = 0.005  # seconds; only the fall-backs poll
_SLOWEST_POLL: Final = 0.05
_LISTINGS: Final = 3  # a scan looks again for who has appeared while it read
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_GET_CHILD_SUBREAPER: Final = 37


class Platform(Protocol):
    """What the rest of the package asks of the operating system."""

    def start_time(self, pid: int) -> int:
        """Return when a process started, or 0 if there is none or nobody tells."""
        ...

    def scan(self, groups: Iterable[int], since: int, known: Mapping[int, Proc]) -> list[Proc]:
        """List processes. May take milliseconds: run it in a thread.

        Args:
            groups: The process groups that we want to know about, for platforms that list no processes.
            since: Marks are read only of processes that started at this time or later.
            known: What was read of some, by pid: those of them that are still there are not read again.
        """
        ...

    def descendants(self, pid: int) -> list[int]:
        """List a process and its descendants, each after its parent; quickly: before a signal makes orphans of them."""
        ...

    def read(self, pid: int, *, marked: bool = True) -> Proc | None:
        """Look at one process, and at its marks if asked to; None if it is gone, or nobody tells."""
        ...

    def exit_code(self, process: trio.Process) -> int | None:
        """Return the exit code of a child without reaping it, where that is possible."""
        ...

    def send(self, proc: Proc, number: int) -> bool:
        """Send a signal to this process and to no other; tell whether it was there.

        Raises:
            PermissionError: It belongs to somebody else.
        """
        ...

    async def exited(self, process: trio.Process) -> None:
        """Wait until a child has ended, without reaping it where that is possible."""
        ...

    async def gone(self, proc: Proc) -> None:
        """Wait until a process, ours or not, has ended."""
        ...


class Linux:
    """Everything: processes from ``/proc``, signals and waiting by pidfd."""

    def start_time(self, pid: int) -> int:
        """See `Platform`."""
        proc = read_process(pid)
        return proc.start if proc is not None else 0

    def scan(self, groups: Iterable[int], since: int, known: Mapping[int, Proc]) -> list[Proc]:
        """See `Platform`. About 15 µs a process that isn't known."""
        del groups
        found: list[Proc] = []
        listed: set[int] = set()
        for _ in range(_LISTINGS):
            fresh = set(pids()) - listed
            listed |= fresh
            # The youngest first: one that forks and ends, again and again, is read before it does so again.
            seen = (known.get(pid) or read_process(pid, since) for pid in sorted(fresh, reverse=True))
            found += (proc for proc in seen if proc is not None)
            if not fresh:
                break
        return found

    def descendants(self, pid: int) -> list[int]:
        """See `Platform`. Best effort: the kernel promises completeness for stopped processes only."""
        found: list[int] = []
        waiting = [pid]
        while waiting and len(found) < 100:  # this runs on the event loop; a scan sees the rest
            found.append(waiting.pop())
            waiting += children(found[-1])
        return found

    def read(self, pid: int, *, marked: bool = True) -> Proc | None:
        """See `Platform`."""
        return read_process(pid, since=0 if marked else None)

    def exit_code(self, process: trio.Process) -> int | None:
        """See `Platform`."""
        return _peek(process)

    def send(self, proc: Proc, number: int) -> bool:
        """See `Platform`."""
        _refuse_our_own(proc)
        descriptor = _pidfd(proc.pid)
        if descriptor is None:
            return _send_by_pid(proc, number)
        try:
            # Only now does the pid stay what it is: compare *after* having opened it.
            if descriptor < 0 or self.start_time(proc.pid) != proc.start:
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return True

    async def exited(self, process: trio.Process) -> None:
        """See `Platform`."""
        descriptor = _pidfd(process.pid)
        if descriptor is None:
            await _poll_until(lambda: _peek(process) is not None)
        else:
            await _readable(descriptor)

    async def gone(self, proc: Proc) -> None:
        """See `Platform`."""
        descriptor = _pidfd(proc.pid)
        if descriptor is None or self.start_time(proc.pid) != proc.start:
            if descriptor is not None and descriptor >= 0:
                os.close(descriptor)
            await _poll_until(lambda: not _is_running(proc))
        else:
            await _readable(descriptor)


class LinuxWithoutPidfd(Linux):
    """``/proc`` without pidfd: start times keep us from recycled pids, but for a few microseconds."""

    def send(self, proc: Proc, number: int) -> bool:
        """See `Platform`."""
        _refuse_our_own(proc)
        return _send_by_pid(proc, number)

    async def exited(self, process: trio.Process) -> None:
        """See `Platform`."""
        await _poll_until(lambda: _peek(process) is not None)

    async def gone(self, proc: Proc) -> None:
        """See `Platform`."""
        await _poll_until(lambda: not _is_running(proc))


class Portable:
    """Process groups alone. A `Proc` stands for a whole group here, and what leaves its group is lost."""

    def start_time(self, pid: int) -> int:
        """See `Platform`."""
        del pid
        return 0

    def scan(self, groups: Iterable[int], since: int, known: Mapping[int, Proc]) -> list[Proc]:
        """See `Platform`."""
        del since, known
        return [Proc(group, 0, os.getpid(), group, group) for group in groups if group_exists(group)]

    def descendants(self, pid: int) -> list[int]:
        """See `Platform`."""
        del pid
        return []

    def read(self, pid: int, *, marked: bool = True) -> Proc | None:
        """See `Platform`."""
        del pid, marked
        return None

    def exit_code(self, process: trio.Process) -> int | None:
        """Reap a child: while it is a zombie, nobody can tell whether its group is empty but for it."""
        return process.poll()

    def send(self, proc: Proc, number: int) -> bool:
        """See `Platform`."""
        _refuse_our_own(proc)
        try:
            os.killpg(proc.pgid, number)
        except ProcessLookupError:
            return False
        return True

    async def exited(self, process: trio.Process) -> None:
        """See `Platform`."""
        await process.wait()

    async def gone(self, proc: Proc) -> None:
        """See `Platform`."""
        await _poll_until(lambda: not group_exists(proc.pgid))


def native() -> Platform:
    """Return what fits this machine."""
    if not Path("/proc/self/stat").exists():
        return Portable()
    return LinuxWithoutPidfd() if _pidfd(os.getpid(), probe=True) is None else Linux()


def group_of(pid: int) -> int | None:
    """Return a process's group, None if it is gone: a hundredth of what reading about it costs."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def group_exists(group: int) -> bool:
    """Tell whether a process group has members; zombies count."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def reap(pid: int) -> None:
    """Reap a child that nobody else waits for, if it has ended."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def reap_adopted(own: Collection[int]) -> None:
    """Reap orphans that a subreaper, or process 1, was given and that have ended.

    A child that is in neither our session nor one of its own was made by somebody else, who has died. All others may be
    waited for by whoever started them, a function for instance, and are left alone.

    Args:
        own: children that are waited for.
    """
    me = read_process(os.getpid())
    for pid in set(children(os.getpid())).difference(own):
        child = read_process(pid)
        if child is not None and not child.is_running and me is not None and child.sid not in (me.sid, child.pid):
            reap(pid)


def become_subreaper() -> bool:
    """Make orphans among our descendants our children; tell whether the kernel does that (Linux only).

    Then those are found as well that cleared their environment and left their session.
    """
    return _prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1))


def is_subreaper() -> bool:
    """Tell whether orphans among our descendants become our children."""
    answer = ctypes.c_int(0)
    return _prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(answer)) and bool(answer.value)


def _prctl(option: int, argument: object) -> bool:
    if sys.platform != "linux":
        return False
    return ctypes.CDLL(None, use_errno=True).prctl(option, argument, 0, 0, 0) == 0  # type: ignore[no-any-return]


def _refuse_our_own(proc: Proc) -> None:
    """Stop a bug of ours from becoming a catastrophe."""
    if proc.pid <= 1 or proc.pid == os.getpid() or proc.pgid == os.getpgrp():
        raise PermissionError(errno.EPERM, "refusing to signal the runner's own process group", proc.pid)


def _pidfd(pid: int, *, probe: bool = False) -> int | None:
    """Open a pidfd: -1 if there is no such process, None if pidfds can't be had (or descriptors ran out)."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return -1
    except OSError:
        return None
    if probe:
        os.close(descriptor)
    return descriptor


async def _readable(descriptor: int) -> None:
    """Wait for a pidfd, and close it."""
    if descriptor < 0:
        return await trio.lowlevel.checkpoint()
    try:
        return await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)


async def _poll_until(condition: Callable[[], bool]) -> None:
    """Look at something every few milliseconds, less often the longer it takes."""
    pause = _POLL
    await trio.lowlevel.checkpoint()
    while not condition():
        await trio.sleep(pause)
        pause = min(pause * 1.1, _SLOWEST_POLL)


def _peek(process: trio.Process) -> int | None:
    """Return a child's exit code, and leave it a zombie so that its pid and group stay reserved."""
    if not hasattr(os, "waitid"):
        return process.poll()
    try:
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return process.poll()  # reaped already
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def _send_by_pid(proc: Proc, number: int) -> bool:
    if not _is_running(proc):
        return False
    try:
        os.kill(proc.pid, number)
    except ProcessLookupError:
        return False
    return True


def _is_running(proc: Proc) -> bool:
    now = read_process(proc.pid)
    return now is not None and now.start == proc.start and now.is_running
