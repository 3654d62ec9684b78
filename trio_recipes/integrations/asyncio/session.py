"""A session as an asyncio application holds it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import TYPE_CHECKING

from attrs import evolve, field

from trio_recipes.classes import frozen
from trio_recipes.events import Source
from trio_recipes.integrations.asyncio.bridge import in_trio

if TYPE_CHECKING:
    from trio_recipes.events import SessionStatus, Stamped
    from trio_recipes.sessions.result import SessionResult
    from trio_recipes.sessions.session import CancelReply
    from trio_recipes.sessions.session import Session as TrioSession


@frozen
class Session:
    """One run of a session in this process. Made by the :class:`Runtime` of this package.

    Args:
        session: the session in trio.
    """

    _session: TrioSession = field(alias="session")

    def __repr__(self) -> str:
        """As the session in trio."""
        return repr(self._session)

    @property
    def id(self) -> str:
        """The session's id, for ``show``, ``cancel`` and ``resume``."""
        return self._session.id

    @property
    def status(self) -> SessionStatus:
        """Where it stands now."""
        return self._session.status

    @property
    def result(self) -> SessionResult | None:
        """How the run ended, or None while it runs."""
        return self._session.result

    def cancel(
        self,
        reason: str = "",
        *,
        immediate: bool = False,
        at: str = "",
        grace: float | None = None,
        source: Source = Source.API,
        requester: str = "",
        request_id: str = "",
    ) -> CancelReply:
        """Ask the session, or a part of it, to stop. Synchronous: it has been delivered when this returns.

        Args:
            reason: for people, at most 512 characters are kept.
            immediate: stop what is in flight too, now; otherwise let each step in flight finish.
            at: the path of the part; everything if empty.
            grace: seconds after which a graceful request becomes immediate.
            source: by which door the request came.
            requester: who asks.
            request_id: the same id is the same request.

        Raises:
            ValueError: for a path that is none.
        """
        reply = self._session.cancel(
            reason,
            immediate=immediate,
            at=at,
            grace=grace,
            source=source,
            requester=requester,
            request_id=request_id,
        )
        return evolve(reply, durable=partial(in_trio, reply.durable))

    async def wait(self) -> SessionResult:
        """Wait until the run has ended, whatever its outcome. Cancelling the wait cancels only the wait."""
        return await in_trio(self._session.wait)

    async def events(self, after: int = 0) -> AsyncGenerator[Stamped]:
        """Replay this session's events from ``seq`` ``after`` + 1, then follow until the run has ended.

        Reads what is durable from the store, so a slow consumer never slows the run. Secrets are masked.
        """
        events = self._session.events(after)
        try:
            while (event := await in_trio(anext, events, None)) is not None:
                yield event
        finally:
            await events.aclose()  # between two events it waits for nothing, so it closes under any loop
