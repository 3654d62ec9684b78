"""The coordinator's cancellation token, handed on to every session under the coordinator.

Graceful there is graceful here, immediate is immediate, and noticed twice is one request. The token calls back where
its owner triggers that; besides, it is looked at while sessions run.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from trio_recipes.events import Level, Source

if TYPE_CHECKING:
    from trio_recipes.sessions.session import Session

POLL_SECONDS: Final = 0.02
"""How often the token is looked at while sessions run."""

REASON: Final = "the Amplifier session is being cancelled"


class TokenWatch:
    """Hands a token's cancellation on.

    Args:
        token: a ``CancellationToken``, or None if the host has none.
        running: the sessions that are under it, at any time.
        requester: who asks, for the record.
    """

    def __init__(self, token: Any, running: Callable[[], Iterable[Session]], requester: str) -> None:
        self._token, self._running, self._requester = token, running, requester
        self._told: dict[str, Level] = {}
        self._epoch = os.urandom(4).hex()
        self._task: asyncio.Task[None] | None = None
        if hasattr(token, "on_cancel"):
            token.on_cancel(self._called_back)

    async def _called_back(self) -> None:
        self.look()

    def look(self) -> None:
        """Hand on what the token says, now; each session is told of each level once."""
        level = _level(self._token)
        if level is Level.NONE and self._told:  # it has been reset: what comes next is a new request
            self._told, self._epoch = {}, os.urandom(4).hex()
        for session in self._running() if level else ():
            if self._told.get(session.id, Level.NONE) < level:
                self._told[session.id] = level
                self._tell(session, level)

    def _tell(self, session: Session, level: Level) -> None:
        session.cancel(
            REASON,
            immediate=level is Level.IMMEDIATE,
            source=Source.HOST,
            requester=self._requester,
            request_id=f"amplifier-{self._epoch}-{level.name.lower()}",
        )

    def attend(self) -> None:
        """Look now, and from now on for as long as sessions run."""
        if self._token is None:
            return
        self.look()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._poll(), name="recipes: cancellation token")

    async def _poll(self) -> None:
        while any(True for _ in self._running()):
            self.look()
            await asyncio.sleep(POLL_SECONDS)

    def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()


def _level(token: Any) -> Level:
    if token is None or not token.is_cancelled:
        return Level.NONE
    return Level.IMMEDIATE if token.is_immediate else Level.GRACEFUL
