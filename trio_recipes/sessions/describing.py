"""What a run is doing at this moment, written down by its runner for ``show --stuck``; and how to ask for it.

Who asks writes one byte into the session's FIFO and waits for the file to be newer than that. The answer comes from
the event loop: that none comes is an answer, too. Nothing here changes the run or its records.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from trio_recipes.sessions.wake import DESCRIBE

if TYPE_CHECKING:
    from pathlib import Path

    from trio_recipes.runtime.scope import Scope, ScopeTree
    from trio_recipes.store.layout import Layout

_FILE: Final = "doing.json"
_PAUSE: Final = 0.005


def write_down(tree: ScopeTree, layout: Layout, session_id: str) -> None:
    """Write down each open scope: its level, whether it naps, and where its code is."""
    naps = set(tree.naps.values())
    scopes = {path: _scope(scope, naps, tree) for path, scope in list(tree.open.items()) if path}
    text = json.dumps({"at": time.time(), "pid": os.getpid(), "scopes": scopes})
    file = _file(layout, session_id)
    draft = file.with_suffix(".new")
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as stream:
            stream.write(text)
        draft.replace(file)
    except OSError:  # a full disk: who asks is told that no answer came
        return


def _scope(scope: Scope, naps: set[str], tree: ScopeTree) -> dict[str, Any]:
    describe = tree.works.get(scope.path)
    work = describe() if describe is not None else None
    return {
        "level": tree.level_at(scope.path).name.lower(),
        "naps": scope.path in naps,
        "thread": work.thread if work else None,
        "task": work.task if work else None,
        "stack": list(work.stack) if work else [],
    }


def ask(layout: Layout, session_id: str, seconds: float) -> dict[str, Any] | None:
    """Ask the runner of a session what it is doing. Blocks.

    Args:
        layout: of the store.
        session_id: a session that a live runner has.
        seconds: to wait for the answer.

    Returns:
        What it wrote down; None if it does not answer.
    """
    file = _file(layout, session_id)
    asked = _written(file)
    if not _poke(layout.wake(session_id)):
        return None
    give_up = time.monotonic() + seconds
    while _written(file) == asked:
        if time.monotonic() > give_up:
            return None
        time.sleep(_PAUSE)
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("scopes"), dict) else None


def forget(layout: Layout, session_id: str) -> None:
    """Remove what was written down: the run has ended."""
    with suppress(OSError):  # as a rule there is none
        _file(layout, session_id).unlink()


def _file(layout: Layout, session_id: str) -> Path:
    return layout.session(session_id) / _FILE


def _written(file: Path) -> tuple[int, int] | None:
    """Which version of the file there is: each one is a file of its own."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _poke(fifo: Path) -> bool:
    try:
        fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, DESCRIBE)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
