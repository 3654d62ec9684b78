"""Where code of others is at a moment, as lines for people: without our own calls and trio's."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import outcome
import trio

if TYPE_CHECKING:
    from types import FrameType

MOST_CALLS: Final = 20
"""Innermost calls of a stack that are told."""

_FOLDERS = (trio.__file__, outcome.__file__, __file__)
_UNTOLD: Final = (*(str(Path(file).parent) + os.sep for file in _FOLDERS), threading.__file__)


def of_task(task: trio.lowlevel.Task) -> tuple[str, ...]:
    """The calls in which a task waits, outermost first."""
    return _told(task.iter_await_frames())


def of_thread(frame: FrameType | None) -> tuple[str, ...]:
    """The calls that lead to a thread's frame, outermost first."""
    return _told(reversed([*_callers(frame)]))


def _callers(frame: FrameType | None) -> Iterator[tuple[FrameType, int]]:
    while frame is not None:
        yield frame, frame.f_lineno
        frame = frame.f_back


def _told(frames: Iterable[tuple[FrameType, int]]) -> tuple[str, ...]:
    calls = [
        f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}"
        for frame, line in frames
        if not frame.f_code.co_filename.startswith(_UNTOLD)
    ]
    return tuple(calls[-MOST_CALLS:])
