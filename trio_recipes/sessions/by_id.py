"""What a runtime does with any session of its store: one that runs here, elsewhere, or nowhere any more."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import trio
from attrs import evolve, field

from trio_recipes.classes import define
from trio_recipes.events import Cancellation, Level
from trio_recipes.sessions.requesting import request, settle
from trio_recipes.sessions.session import Session, read_events
from trio_recipes.store.codec import cancellation_to_json
from trio_recipes.store.session_file import now

if TYPE_CHECKING:
    from trio_recipes.errors import StoreError
    from trio_recipes.events import Stamped
    from trio_recipes.progress.standing import Standing
    from trio_recipes.sessions.result import SessionResult
    from trio_recipes.store.sqlite import SqliteStore


@define(eq=False)
class ById:
    """Looks sessions up, tells how they ended, asks them to stop, and decides on their gates.

    It knows those that run here, and those that somebody holds; of all others, their records tell.

    Args:
        store: where sessions live.
    """

    store: SqliteStore
    _running: dict[str, Session] = field(factory=dict, init=False)
    _held: WeakValueDictionary[str, Session] = field(factory=WeakValueDictionary, init=False)
    _token: trio.lowlevel.TrioToken = field(factory=trio.lowlevel.current_trio_token, init=False)

    @property
    def sessions(self) -> Mapping[str, Session]:
        """Those that run here now, by id. A snapshot."""
        return dict(self._running)

    def get(self, session_id: str) -> Session:
        """A session that runs here; or that has ended, as long as somebody holds it.

        Args:
            session_id: its whole id.

        Raises:
            KeyError: if this runtime does not run it (any more): :meth:`result` tells how it ended.
        """
        return self._running.get(session_id) or self._held[session_id]

    async def result(self, session_id: str) -> SessionResult:
        """How the last run of any session of the store ended; one that runs here is waited for.

        What is read from the records holds no secrets.

        Args:
            session_id: an id, a unique prefix of one, or ``@last``.

        Raises:
            SessionNotFoundError: if there is no such session.
            SessionBusyError: if another process runs it.
            SessionError: if it has never run.
        """
        name = await trio.to_thread.run_sync(self.store.resolve, session_id)
        running = self._running.get(name)
        if running is not None:
            return await running.wait()
        from trio_recipes.sessions.recorded import recorded_result  # noqa: PLC0415  not for a first run

        return await trio.to_thread.run_sync(recorded_result, self.store.file(name))

    async def events(self, session_id: str, after: int = 0) -> AsyncGenerator[Stamped]:
        """The events of any session of the store from ``seq`` ``after`` + 1, secrets masked.

        Follows one that runs here until it has ended; of any other, what there is now.

        Args:
            session_id: an id, a unique prefix of one, or ``@last``.
            after: the last ``seq`` that is known.

        Raises:
            SessionNotFoundError: if there is no such session.
        """
        name = await trio.to_thread.run_sync(self.store.resolve, session_id)
        running = self._running.get(name)
        if running is not None:
            async with aclosing(running.events(after)) as events:
                async for stamped in events:
                    yield stamped  # noqa: ASYNC119  whoever leaves us early closes us, and so it
            return
        while found := await read_events(self.store.file(name), after):
            for stamped in found:
                after = stamped.seq
                yield stamped

    async def cancel(
        self, session_id: str, reason: str = "", *, immediate: bool = False, at: str = "", grace: float | None = None
    ) -> bool:
        """Ask any session of the store to stop, run here or elsewhere; returns whether that was accepted, durably.

        Args:
            session_id: an id, or its first letters.
            reason: why, for those who look later; at most 512 characters are kept.
            immediate: stop what is in flight, too.
            at: the path of the part to stop; '' for all.
            grace: seconds after which a graceful stop becomes immediate.

        Raises:
            SessionNotFoundError: if there is no such session.
        """
        name = await trio.to_thread.run_sync(self.store.resolve, session_id)
        session = self._running.get(name)
        if session is not None and session.result is None:
            reply = session.cancel(reason, immediate=immediate, at=at, grace=grace)
            await reply.durable()
            return reply.accepted
        level = Level.IMMEDIATE if immediate else Level.GRACEFUL
        asked = Cancellation(
            level, requester=f"pid {os.getpid()}", reason=reason[:512], requested_at=now(), at=at, grace=grace
        )
        body = cancellation_to_json(evolve(asked, request_id=secrets.token_hex(8)))
        ack = await trio.to_thread.run_sync(partial(request, self.store.file(name), body, escalates=False))
        return ack.accepted

    def cancel_from_thread(self, session_id: str, reason: str = "", *, immediate: bool = False) -> None:
        """Ask a session of this runtime to stop, from any thread. One that has ended stays as it is.

        Args:
            session_id: its whole id.
            reason: why, for those who look later.
            immediate: stop what is in flight, too.

        Raises:
            KeyError: if the store has no such session.
        """
        session = self._running.get(session_id)
        if session is not None:
            self._token.run_sync_soon(partial(session.cancel, reason, immediate=immediate))
        elif not self.store.layout.session(session_id).exists():
            raise KeyError(session_id)

    async def list(self) -> Sequence[tuple[str, Standing | StoreError]]:
        """All sessions of the store, newest first, with where each stands (or why it can't be read)."""
        return await trio.to_thread.run_sync(lambda: [*self.store.standings()])

    async def approve(self, session_id: str, stage: str, message: str = "", *, by: str = "", via: str = "api") -> None:
        """Approve a gate of any session of the store; one that is paused goes on when it is resumed.

        Args:
            session_id: an id, or its first letters.
            stage: the stage, its path (``audit[3]/release``), or ``stage/sub-stage``.
            message: what the steps that follow find in ``{{_approval_message}}``.
            by: who decides, for the record.
            via: by which door; ``tool`` and ``mcp`` are refused where the recipe says ``by: human``.

        Raises:
            SessionNotFoundError: if there is no such session.
            SessionError: if no such gate waits, or it is too late.
        """
        await self._decide(session_id, stage, approved=True, by=by, via=via, message=message)

    async def deny(self, session_id: str, stage: str, reason: str = "", *, by: str = "", via: str = "api") -> None:
        """Deny a gate: that is final for its session. Raises as :meth:`approve` does.

        Args:
            session_id: an id, or its first letters.
            stage: as for :meth:`approve`.
            reason: why not.
            by: who decides, for the record.
            via: by which door.
        """
        await self._decide(session_id, stage, approved=False, by=by, via=via, message=reason)

    async def _decide(self, session_id: str, stage: str, **decision: Any) -> None:
        name = await trio.to_thread.run_sync(self.store.resolve, session_id)
        await trio.to_thread.run_sync(partial(settle, self.store.file(name), stage, **decision))
