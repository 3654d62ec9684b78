"""Garbage collection beside thousands of tasks.

Python's collector looks at new objects after every 700 of them, and at all objects each time their number has grown by
a quarter. The tasks of a large parallel loop are thousands of objects each, all in use: looking for garbage among them
takes as long as running them. So from such a loop to the end of its run the collector looks less often, the less the
larger it is. It never stops: what is garbage is found after :data:`SELDOM` more objects, or at the latest after
:data:`MOST`, which is some tens of megabytes.
"""

from __future__ import annotations

import gc
from typing import ClassVar, Final

LARGE: Final = 50
"""Children of a loop, from which on this pays: when a hundred are cancelled, a look at their objects takes a fifth of
the time."""

SELDOM: Final = 50_000
"""New objects after which the collector looks meanwhile: at least so many."""

EACH: Final = 50
"""New objects for each child after which it looks: when a child is cancelled, it makes about so many."""

MOST: Final = 500_000
"""New objects after which it looks, however large the loop is."""


class Collector:
    """What one run asks of this process's collector; the last run to end puts things back."""

    _users: ClassVar[set[Collector]] = set()
    _before: ClassVar[int] = 0
    _chosen: ClassVar[int] = 0

    def expect(self, children: int) -> None:
        """A parallel loop begins: if it is a large one, have garbage collected less often from now on."""
        if children < LARGE:
            return
        threshold, *others = gc.get_threshold()
        if not self._users:
            Collector._before = Collector._chosen = threshold
        self._users.add(self)
        seldom = min(max(SELDOM, EACH * children), MOST)
        if threshold == self._chosen and 0 < threshold < seldom:  # 0: the application collects by itself
            Collector._chosen = seldom
            gc.set_threshold(seldom, *others)

    def release(self) -> None:
        """The run has ended."""
        threshold, *others = gc.get_threshold()
        was_used = self in self._users
        self._users.discard(self)
        if was_used and not self._users and threshold == self._chosen:  # nobody else has changed it since
            gc.set_threshold(self._before, *others)
