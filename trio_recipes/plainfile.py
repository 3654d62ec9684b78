"""Reading files of a project: somebody else's, so nobody waits for a FIFO or reads a device to its end."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 10_000_000
"""Size of a file that is read as a whole."""


def read_plain(file: Path) -> str:
    """The text of a plain file.

    Raises:
        OSError: if it can't be read, is no plain file, or larger than :data:`MAX_BYTES`.
        UnicodeDecodeError: if it is not UTF-8.
    """
    with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:  # noqa: PTH123  a descriptor
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", str(file))
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {MAX_BYTES // 1_000_000} MB", str(file))
    return data.decode()
