"""Standard output and error, as descriptors: whoever reads them, or stops reading, never harms the run."""

from __future__ import annotations

import errno
import os
import select
from functools import partial


class Outlet:
    """Writes text to a descriptor, whole, past Python's buffers: a blocked write can't hang the interpreter's end.

    Args:
        fd: where to.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.closed = False
        """The reader has gone: what is written from now on is dropped."""
        self.lost: OSError | None = None
        """Why something is missing although there is a reader: a full disk, say."""

    def write(self, text: str) -> None:
        """Write; blocks for as long as the reader makes us wait."""
        self.write_bytes(text.encode("utf-8", "backslashreplace"))

    def write_bytes(self, text: bytes) -> None:
        """Write bytes as they are."""
        data = memoryview(text)
        while data and not self.closed:
            try:
                data = data[os.write(self.fd, data) :]
            except BlockingIOError:
                select.select([], [self.fd], [])
            except OSError as error:
                self.closed = True
                self.lost = None if error.errno == errno.EPIPE else error

    def line(self, text: str) -> None:
        """Write one line."""
        self.write(f"{text}\n")

    async def send(self, text: str) -> None:
        """Write, without keeping the loop; cancelled, it leaves a blocked write behind."""
        import trio  # noqa: PLC0415  the other commands do without it

        if text and not self.closed:
            await trio.to_thread.run_sync(partial(self.write, text), abandon_on_cancel=True)


STDOUT, STDERR = Outlet(1), Outlet(2)
