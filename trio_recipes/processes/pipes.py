"""The pipes between us and a command: its output pumped to a callback, its input fed.

Pipes of our own, not trio's streams: at the moment a command's value is fixed, what is already in the
pipe has to be taken out at once (`Outlet.drain`), which a stream can't do.
"""

import array
import fcntl
import os
import termios
from collections.abc import Callable
from typing import Final

import trio

PIECE: Final = 65536
"""Bytes read at once, at most."""


class Outlet:
    """One output channel of a command.

    Args:
        deliver: Takes each piece of output. It must not raise.
    """

    def __init__(self, deliver: Callable[[bytes], None]) -> None:
        self._deliver = deliver
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self.ended = trio.Event()

    def handed_over(self) -> None:
        """Close our copy of the write end: the command has its own now, or never will."""
        os.close(self.write_end)

    async def pump(self) -> None:
        """Deliver what arrives, until the last holder of the pipe has closed it."""
        while not self.ended.is_set():
            if self._take(PIECE):
                await trio.lowlevel.checkpoint()
            elif not self.ended.is_set():
                await trio.lowlevel.wait_readable(self._read_end)

    def drain(self) -> None:
        """Deliver what is in the pipe at this moment: bounded even if somebody goes on writing."""
        waiting = array.array("i", [0])
        fcntl.ioctl(self._read_end, termios.FIONREAD, waiting)
        remaining = waiting[0]
        while remaining > 0 and (taken := self._take(min(remaining, PIECE))):
            remaining -= taken

    def close(self) -> None:
        """Listen no longer: who still writes gets SIGPIPE. Nobody may be pumping."""
        self.ended.set()
        os.close(self._read_end)

    def _take(self, size: int) -> int:
        """Read and deliver; return how much that was, 0 if there was nothing or it is the end."""
        try:
            data = os.read(self._read_end, size)
        except BlockingIOError:
            return 0
        if data:
            self._deliver(data)
        else:
            self.ended.set()
        return len(data)


class Inlet:
    """The standard input of a command."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self.read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)

    def handed_over(self) -> None:
        """Close our copy of the read end: the command has its own now, or never will."""
        os.close(self.read_end)

    async def feed(self) -> None:
        """Write all of it as the command reads, then close; a command that reads no further is fine."""
        try:
            while self._data:
                await trio.lowlevel.wait_writable(self._write_end)
                self._data = self._data[os.write(self._write_end, self._data[:PIECE]) :]
        except BrokenPipeError:
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Close our end; harmless if that has been done."""
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1
