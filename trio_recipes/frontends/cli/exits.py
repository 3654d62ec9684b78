"""Exit codes, and leaving with one."""

from __future__ import annotations

import os
import signal
from typing import NoReturn

OK = 0
FAILED = 1
REFUSED = 2
PAUSED = 3
CANCELLED = 4
TOO_LATE = 5
BY_SIGINT = 130
BY_SIGTERM = 143

_BY_STATUS = {"completed": OK, "paused": PAUSED, "cancelled": CANCELLED}


def code_of(status: str) -> int:
    """The exit code that says how a session ended."""
    return _BY_STATUS.get(status, FAILED)


def leave(code: int) -> NoReturn:
    """End the process here and now; after Ctrl+C by that signal itself, so that a shell loop around us stops too."""
    if code == BY_SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code)
