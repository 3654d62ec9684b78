"""Steps that wait until they are cancelled, and knowing that all of them do."""

from __future__ import annotations

import time

import trio
import trio.testing
from attrs import define

from trio_recipes.events import SessionStatus
from trio_recipes.runtime.scope import Scope
from trio_recipes.sessions.session import Session

LULL = 0.07
"""Longer than the journal's lazy commit (50 ms): nothing is committed for so long only if nothing is left to commit."""


@define(eq=False)
class Waiting:
    """A function for ``function`` steps. Counts those who wait in it."""

    count: int = 0

    async def __call__(self) -> None:
        self.count += 1
        try:
            await trio.sleep_forever()
        finally:
            self.count -= 1


async def settled(session: Session, waiting: Waiting, count: int) -> None:
    """Return once ``count`` steps wait and everything about them is durable: as if it had been so for a while."""
    while waiting.count < count:
        if session.result is not None:
            raise RuntimeError(f"the session ended before {count} steps waited: {session.result}")
        await trio.sleep(0.005)
    committed = -1
    while committed != session.log.committed:
        committed = session.log.committed
        await trio.sleep(LULL)
    await trio.testing.wait_all_tasks_blocked(0.001)


class ClockedScopes(dict[str, Scope]):
    """A session's open scopes, with a look at the clock when the last one ends: polling would disturb what it sees."""

    ended_at = 0.0

    def __delitem__(self, path: str) -> None:
        super().__delitem__(path)
        if not self:
            self.ended_at = time.perf_counter()


def clocked(session: Session) -> ClockedScopes:
    """Have the end of a session's last scope clocked."""
    tree = session.engine.driver.run.tree
    scopes = ClockedScopes(tree.open)
    tree.open = scopes
    return scopes


async def cancel_clocked(session: Session) -> dict[str, float]:
    """Cancel immediately; seconds until the last scope has ended, and until ``cancelled`` is durable."""
    scopes = clocked(session)
    began = time.perf_counter()
    session.cancel(immediate=True)
    result = await session.wait()
    durable = time.perf_counter() - began
    if result.status is not SessionStatus.CANCELLED:
        raise RuntimeError(f"the session was to be cancelled: {result}")
    return {"ended": scopes.ended_at - began, "durable": durable}
