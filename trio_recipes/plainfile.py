"""Reading files of a project: somebody else's, so nobody waits for a FIFO or reads a device to its end."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 10_000_000
"""Size of a file that is read as a whole."""


def open_plain(file: str | os.PathLike[str]) -> BinaryIO:
    """Open a plain file to be read.

    Raises:
        OSError: if it can't be opened, or is no plain file.
    """
    stream = open(file, "rb", opener=_open_at_once)  # noqa: SIM115  the caller closes it
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, "it is no plain file", os.fspath(file))
    return stream


def read_plain(file: Path) -> str:
    """The text of a plain file.

    Raises:
        OSError: if it can't be read, is no plain file, or larger than :data:`MAX_BYTES`.
        UnicodeDecodeError: if it is not UTF-8.
    """
    with open_plain(file) as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {MAX_BYTES // 1_000_000} MB", str(file))
    return data.decode()


def why_unread(error: Exception) -> str:
    """What kept somebody from reading a file, without its number and the file's name, which whoever tells it names."""
    return getattr(error, "strerror", None) or str(error)


def _open_at_once(file: str, flags: int) -> int:
    """Open without waiting for anybody, as a FIFO has it."""
    return os.open(file, flags | os.O_NONBLOCK)
