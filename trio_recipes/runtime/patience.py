"""Timeouts that stand still while a person is asked: nobody's decision is a step that takes too long."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio
from attrs import field

from trio_recipes.classes import define
from trio_recipes.progress.path import in_cleanup

if TYPE_CHECKING:
    from trio_recipes.runtime.scope import Scope


@define(eq=False)
class _Stopped:
    """A timeout that stands still.

    Args:
        left: seconds that it will have once nobody is asked any more.
        gates: how many gates below it ask.
    """

    left: float
    gates: int = 0


@define(eq=False)
class Patience:
    """Stops the timeouts of the passes around a gate for as long as the gate asks.

    What runs beside the gate under the same timeout has more time, too; its steps have timeouts of their own. The
    limit of a ``finally`` never stands still: it holds although nothing else could end it.
    """

    _stopped: dict[trio.CancelScope, _Stopped] = field(factory=dict)

    @contextmanager
    def around(self, scope: Scope) -> Generator[None]:
        """Stop what would time out around ``scope``."""
        limits = [] if in_cleanup(scope.path) else list(_limits(scope))
        for limit in limits:
            self._stop(limit)
        try:
            yield
        finally:
            for limit in limits:
                self._go_on(limit)

    def _stop(self, limit: trio.CancelScope) -> None:
        known = self._stopped.setdefault(limit, _Stopped(limit.deadline - trio.current_time()))
        known.gates += 1
        limit.deadline = float("inf")

    def _go_on(self, limit: trio.CancelScope) -> None:
        known = self._stopped[limit]
        known.gates -= 1
        if not known.gates:
            del self._stopped[limit]
            limit.deadline = trio.current_time() + known.left


def _limits(scope: Scope | None) -> Iterator[trio.CancelScope]:
    while scope is not None:
        if scope.limit is not None:
            yield scope.limit
        scope = scope.parent
