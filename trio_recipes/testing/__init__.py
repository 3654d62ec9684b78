"""Helpers for testing recipes and what is built on this package. Public; nothing else here imports them.

>>> from trio_recipes.testing import ScriptedAgent, failing
>>> agent = ScriptedAgent(agents={"critic": failing(2, then="looks good")}, default="ok")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_recipes.testing.crash import Crash, CrashLab, resume_until, run_until, runners
    from trio_recipes.testing.forks import Fork, Forks
    from trio_recipes.testing.moments import (
        KillPoint,
        Moment,
        Never,
        kill_after,
        kill_at,
        kill_at_byte,
        kill_in_commit,
        moment_from,
    )
    from trio_recipes.testing.remains import Survivor, assert_no_survivors, survivors
    from trio_recipes.testing.replaying import Replay, save_recording
    from trio_recipes.testing.scripted import ScriptedAgent, after, failing, in_turn, streamed

_MODULES = {
    "crash": ("Crash", "CrashLab", "resume_until", "run_until", "runners"),
    "forks": ("Fork", "Forks"),
    "moments": (
        *("KillPoint", "Moment", "Never", "kill_after", "kill_at", "kill_at_byte", "kill_in_commit"),
        "moment_from",
    ),
    "replaying": ("Replay", "save_recording"),
    "scripted": ("ScriptedAgent", "after", "failing", "in_turn", "streamed"),
    "remains": ("Survivor", "assert_no_survivors", "survivors"),
}
_HOME = {name: f"trio_recipes.testing.{module}" for module, names in _MODULES.items() for name in names}

__all__ = (  # noqa: RUF022  by module, as above
    "Crash",
    "CrashLab",
    "resume_until",
    "run_until",
    "runners",
    "Fork",
    "Forks",
    "KillPoint",
    "Moment",
    "Never",
    "kill_after",
    "kill_at",
    "kill_at_byte",
    "kill_in_commit",
    "moment_from",
    "Replay",
    "save_recording",
    "ScriptedAgent",
    "after",
    "failing",
    "in_turn",
    "streamed",
    "Survivor",
    "assert_no_survivors",
    "survivors",
)


def __getattr__(name: str) -> object:
    """Import a name when it is first used (PEP 562): who tests one thing shouldn't pay for all."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
