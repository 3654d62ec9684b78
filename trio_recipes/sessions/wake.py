"""Being woken: a FIFO in the session's folder. One byte, without meaning; what counts is the table of requests.

Not a socket: AF_UNIX paths end at 107 bytes. The owner opens both ends, so that it never sees an end of file.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


async def listen(fifo: Path, look: Callable[[], None]) -> None:
    """Call ``look`` whenever somebody writes to ``fifo``; until cancelled. Without a FIFO, polling has to do."""
    try:
        fd = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        while True:
            await trio.lowlevel.wait_readable(fd)
            os.read(fd, 4096)
            look()
    finally:
        os.close(fd)
