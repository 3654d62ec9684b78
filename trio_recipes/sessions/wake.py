"""Being woken: a FIFO in the session's folder. What counts is the table of requests; a byte only says "look".

One byte has a meaning: who wants to know what a run is doing at this moment (``show --stuck``) writes `DESCRIBE`.

Not a socket: AF_UNIX paths end at 107 bytes. The owner opens both ends, so that it never sees an end of file.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DESCRIBE: Final = b"?"


async def listen(fifo: Path, look: Callable[[], None], describe: Callable[[], None]) -> None:
    """Call ``look`` whenever somebody writes to ``fifo``; until cancelled. Without a FIFO, polling has to do.

    Args:
        fifo: where to listen.
        look: looks for requests.
        describe: writes down what the run is doing.
    """
    fd = _opened(fifo)
    if fd is None:
        return
    try:
        while True:
            await trio.lowlevel.wait_readable(fd)
            if DESCRIBE in os.read(fd, 4096):
                describe()
            look()
    finally:
        os.close(fd)


def _opened(fifo: Path) -> int | None:
    """The FIFO, or None: copies and archives of a store have left it out, or made an ordinary file of it."""
    try:
        fd = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None
