"""The command line, on a disk that fails from some transaction on: the kernel refuses to sync, or to write, with EIO.

``python -m tests.campaign.failing_disk CALLS NUMBER ARGUMENTS…``: from the ``NUMBER``-th transaction on (from 1) that
writes to a session, when its rows are written and it is about to be committed, the system calls ``CALLS`` (``sync`` or
``write``) fail in this process and in all that it starts. A seccomp filter does it, so nothing between SQLite and the
kernel is replaced.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

CANNOT = 77
"""The exit code where the kernel has no such filters, or lets nobody install one."""

CALLS = {
    "x86_64": {"seccomp": 317, "sync": (74, 75), "write": (18,)},  # fsync and fdatasync; pwrite64
    "aarch64": {"seccomp": 277, "sync": (82, 83), "write": (68,)},
}
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCH = 0, 4
"""Where a filter finds the call's number, and the architecture it is meant for."""

_NO_NEW_PRIVILEGES, _FILTER, _ALL_THREADS = 38, 1, 1


def program(machine: str, refused: tuple[int, ...]) -> bytes:
    """A filter that refuses some calls with EIO and allows all others."""
    count = len(refused)
    code = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 0, count + 1, _ARCHITECTURE[machine]),  # another architecture's calls have other numbers
        (_LOAD, 0, 0, _NUMBER),
        *((_EQUAL, count - index, 0, number) for index, number in enumerate(refused)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | errno.EIO),
    ]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def refuse(calls: str) -> bool:
    """From now on these system calls fail with EIO, in every thread; False if that can't be had here."""
    machine = platform.machine()
    if machine not in CALLS or sys.platform != "linux":
        return False
    numbers: dict[str, Any] = CALLS[machine]
    libc = ctypes.CDLL(None, use_errno=True)
    code = program(machine, numbers[calls])
    filtered = _Program(len(code) // 8, code)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    installed: int = libc.syscall(numbers["seccomp"], _FILTER, _ALL_THREADS, ctypes.byref(filtered))
    return installed == 0


def fail_from(calls: str, number: int) -> None:
    """Refuse ``calls`` from the ``number``-th transaction of this process on."""
    from trio_recipes.store.session_file import SessionFile  # noqa: PLC0415  as late as the command line does it

    transaction, left = SessionFile.transaction, number

    @contextmanager
    def counted(file: SessionFile, connection: Any) -> Generator[None]:
        nonlocal left
        with transaction(file, connection):
            yield
            left -= 1
            if left == 0 and not refuse(calls):
                os._exit(CANNOT)

    SessionFile.transaction = counted  # type: ignore[method-assign,assignment]


def main() -> None:
    """Be the command line, on that disk."""
    calls, number, *sys.argv[1:] = sys.argv[1:]
    fail_from(calls, int(number))
    from trio_recipes.__main__ import main as run  # noqa: PLC0415

    run()


if __name__ == "__main__":
    main()
