"""Exit codes (decisions.md, "Exit codes")."""

from __future__ import annotations

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
