"""The marks: environment variables by which the processes of a run are known, whatever else they do.

A process can leave its process group, its session and its parent; the environment it was started with
stays readable in ``/proc/PID/environ`` as long as it runs, also after the death of the runner. So every
command gets these variables, its descendants inherit them, and a sweep finds them all.
Only a process that clears its environment gets rid of them.
"""

import os
from collections.abc import Mapping
from typing import Final

RUN: Final = "TRIO_RECIPES_RUN"
"""The runner (one process that runs sessions): what a sweep after its death looks for."""
SESSION: Final = "TRIO_RECIPES_SESSION"
"""The session: what is stopped when the session ends."""
STEP_KEY: Final = "TRIO_RECIPES_STEP_KEY"
"""The step's idempotency key, for the command's own use: the same in each attempt and after a resume."""
ATTEMPT: Final = "TRIO_RECIPES_ATTEMPT"
"""Which attempt of the step this is, counted from 1."""
TREE: Final = "TRIO_RECIPES_TREE"
"""One run of one command. An agent step may run several at once, and stopping one spares the others."""

WATCHMAN: Final = "TRIO_RECIPES_WATCHMAN"
"""Carried by watchmen alone. A sweep spares them: they outlive a runner on purpose, and not for long."""
DETACHED: Final = "TRIO_RECIPES_DETACHED"
"""Carried by runners that were started to outlive their starter (``run --detach``). A sweep spares them."""

OF_COMMANDS: Final = (RUN, SESSION, STEP_KEY, ATTEMPT, TREE)
SPARED: Final = (WATCHMAN, DETACHED)

_NAMES: Final = {os.fsencode(name): name for name in (*OF_COMMANDS, *SPARED)}
_NO_MARKS: Final[Mapping[str, str]] = {}


def with_marks(env: Mapping[str, str], marks: Mapping[str, str]) -> dict[str, str]:
    """Return an environment that carries these marks and no others, of an outer runner for instance."""
    return {**marks, **without_marks(env)}


def without_marks(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without any of our marks."""
    return {name: value for name, value in env.items() if name not in _NAMES.values()}


def detached(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for a runner that shall outlive the one that starts it."""
    return {DETACHED: "1", **without_marks(env)}


def read_marks(environ: bytes) -> Mapping[str, str]:
    """Return the marks in a block of ``NAME=value`` strings that end with zero bytes."""
    if b"TRIO_RECIPES_" not in environ:
        return _NO_MARKS
    pairs = (item.partition(b"=") for item in environ.split(b"\0"))
    return {_NAMES[name]: os.fsdecode(value) for name, _, value in pairs if name in _NAMES}
