"""Another process that cancels sessions by their ids: ``python -m benchmarks.requester STORE PROJECT``.

Warm: it has imported everything and answered once before it is measured. For each id on stdin it makes an immediate
request as any program would, by ``SessionManager``, and prints when the request's transaction had been committed:
CLOCK_MONOTONIC is the same clock in all processes.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

from trio_recipes.sessions.manager import SessionManager
from trio_recipes.store.session_file import SessionFile

_plain = SessionFile.transaction
_committed: list[int] = []


@contextmanager
def _clocked(self: SessionFile, connection: sqlite3.Connection) -> Generator[None]:
    with _plain(self, connection):
        yield
    _committed.append(time.monotonic_ns())


def main(store: str, project: str) -> None:
    SessionFile.transaction = _clocked  # type: ignore[method-assign]  # the commit has no other witness
    manager = SessionManager(store)
    print("ready", flush=True)
    for line in sys.stdin:
        accepted, message = manager.request_cancellation(line.strip(), project, immediate=True)
        print(_committed[-1] if accepted else f"refused: {message}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
