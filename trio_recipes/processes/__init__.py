"""Process trees: commands that are started, listened to and stopped together with all they have started.

Read `trees.py` first (the door), then `tree.py` (one command), `ladder.py` and `stopping.py` (how a tree
is stopped), `family.py` (who belongs to it), `watchman.py` (who does it when the runner has died).
"""

from .command import (
    Background,
    Channel,
    Command,
    Exit,
    OnOutput,
    OnSignal,
    OnStopped,
    Signalled,
    Stopper,
    StopReport,
    Survivor,
)
from .marks import detached, without_marks
from .platform import become_subreaper
from .sweep import kill_marked
from .trees import ProcessTrees

__all__ = (
    "Background",
    "Channel",
    "Command",
    "Exit",
    "OnOutput",
    "OnSignal",
    "OnStopped",
    "ProcessTrees",
    "Signalled",
    "StopReport",
    "Stopper",
    "Survivor",
    "become_subreaper",
    "detached",
    "kill_marked",
    "without_marks",
)
