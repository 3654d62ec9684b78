"""A runtime as an asyncio application holds it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from trio_recipes.classes import frozen
from trio_recipes.events import Source
from trio_recipes.integrations.asyncio.bridge import in_trio
from trio_recipes.integrations.asyncio.calls import Call
from trio_recipes.integrations.asyncio.guest import outlast
from trio_recipes.integrations.asyncio.likeness import method_like
from trio_recipes.integrations.asyncio.session import Session
from trio_recipes.sessions.runtime import Runtime as TrioRuntime

if TYPE_CHECKING:
    from trio_recipes.errors import StoreError
    from trio_recipes.events import Stamped
    from trio_recipes.progress.plan import Plan
    from trio_recipes.progress.standing import Standing
    from trio_recipes.sessions.result import SessionResult
    from trio_recipes.sessions.session import Session as TrioSession

_END_SECONDS = 150.0
"""For the end of a session that was cancelled: its own limits are shorter together."""


@frozen(eq=False)
class Runtime:
    """Runs sessions in an asyncio application. Made by :func:`~trio_recipes.integrations.asyncio.open_runtime`.

    Its methods take the arguments of those of :class:`trio_recipes.Runtime`, do the same, and raise the same errors.
    Cancelling a task that waits in one of them leaves no work behind that nobody holds: a session that :meth:`run`
    runs, or that a cancelled :meth:`start` or :meth:`resume` had just begun, is cancelled immediately; it can be
    resumed.

    Args:
        trio: the runtime in trio, for use with ``in_trio``.
    """

    trio: TrioRuntime

    @method_like(TrioRuntime.start)
    async def run(self, *args: Any, **options: Any) -> Mapping[str, Any]:
        """Run a recipe to its end. Arguments as for :meth:`start`.

        Cancelling the task (by itself, by ``asyncio.timeout``, by its ``TaskGroup``) cancels the session immediately;
        ``CancelledError`` goes on its way when nothing of the session runs any more.

        Returns:
            The final context.

        Raises:
            RecipesError: what :meth:`start` and ``SessionResult.unwrap`` raise.
        """
        result = await in_trio(_to_its_end, partial(self.trio.start, *args, **options))
        return result.unwrap()

    @method_like(TrioRuntime.start)
    async def start(self, *args: Any, **options: Any) -> Session:
        """Check a recipe, make a session durable, and begin to run it."""
        return await _held(partial(self.trio.start, *args, **options))

    @method_like(TrioRuntime.resume)
    async def resume(self, *args: Any, **options: Any) -> Session:
        """Run a session again, from where it stopped: only what had not finished runs."""
        return await _held(partial(self.trio.resume, *args, **options))

    @method_like(TrioRuntime.resume_from)
    async def resume_from(self, *args: Any, **options: Any) -> Session:
        """Run a path and everything after it again, in a new session that is linked to the old one."""
        return await _held(partial(self.trio.resume_from, *args, **options))

    @method_like(TrioRuntime.plan)
    async def plan(self, *args: Any, **options: Any) -> Plan:
        """What :meth:`resume` (with ``path``: :meth:`resume_from`) would do, scope by scope; nothing is changed."""
        return await in_trio(partial(self.trio.plan, *args, **options))

    @method_like(TrioRuntime.finish)
    async def finish(self, *args: Any, **options: Any) -> Session:
        """Run only the clean-up of a session that was cancelled or denied while nobody ran it."""
        return await _held(partial(self.trio.finish, *args, **options))

    def get(self, session_id: str) -> Session:
        """A session that runs here; or that has ended, as long as somebody holds it.

        Raises:
            KeyError: if this runtime does not run it (any more): :meth:`result` tells how it ended.
        """
        return Session(self.trio.get(session_id))

    @method_like(TrioRuntime.result)
    async def result(self, *args: Any, **options: Any) -> SessionResult:
        """How the last run of any session of the store ended; one that runs here is waited for."""
        return await in_trio(partial(self.trio.result, *args, **options))

    async def events(self, session_id: str, after: int = 0) -> AsyncGenerator[Stamped]:
        """The events of any session of the store from ``seq`` ``after`` + 1, secrets masked.

        Follows one that runs here until it has ended; of any other, what there is now.
        """
        events = self.trio.events(session_id, after)
        try:
            while (event := await in_trio(anext, events, None)) is not None:
                yield event
        finally:
            await events.aclose()  # between two events it waits for nothing, so it closes under any loop

    @property
    def sessions(self) -> Mapping[str, Session]:
        """Those that run here now, by id. A snapshot."""
        return {name: Session(session) for name, session in self.trio.sessions.items()}

    async def list(self) -> Sequence[tuple[str, Standing | StoreError]]:
        """All sessions of the store, newest first, with where each stands (or why it can't be read)."""
        return await in_trio(self.trio.list)

    @method_like(TrioRuntime.cancel)
    async def cancel(self, *args: Any, **options: Any) -> bool:
        """Ask any session of the store to stop, run here or elsewhere; returns whether that was accepted, durably."""
        return await in_trio(partial(self.trio.cancel, *args, **options))

    @method_like(TrioRuntime.approve)
    async def approve(self, *args: Any, **options: Any) -> None:
        """Approve a gate of any session of the store; one that is paused goes on when it is resumed."""
        await in_trio(partial(self.trio.approve, *args, **options))

    @method_like(TrioRuntime.deny)
    async def deny(self, *args: Any, **options: Any) -> None:
        """Deny a gate: that is final for its session."""
        await in_trio(partial(self.trio.deny, *args, **options))

    def cancel_from_thread(self, session_id: str, reason: str = "", *, immediate: bool = False) -> None:
        """Ask a session of this runtime to stop, from any thread."""
        self.trio.cancel_from_thread(session_id, reason, immediate=immediate)

    def cancel_all(self, reason: str, *, source: Source = Source.HOST) -> None:
        """Stop every session of this runtime at once."""
        self.trio.cancel_all(reason, source=source)

    @method_like(TrioRuntime.drain)
    async def drain(self, *args: Any, **options: Any) -> Sequence[SessionResult]:
        """Stop every session gracefully, immediately after a grace period, and wait until all have ended."""
        return await in_trio(partial(self.trio.drain, *args, **options))


async def _held(begin: Callable[[], Awaitable[TrioSession]]) -> Session:
    """Begin a session; one that was begun for a task that is cancelled meanwhile is nobody's: it is stopped first."""
    call = Call(begin)
    try:
        return Session(await call.result())
    except asyncio.CancelledError:
        session = call.value
        if session is not None and session.result is None:
            session.cancel("the task that started it was cancelled", immediate=True, source=Source.HOST)
            await outlast(Call(session.wait).future)  # noqa: ASYNC102  asyncio: it outlasts cancellation
        raise


async def _to_its_end(begin: Callable[[], Awaitable[TrioSession]]) -> SessionResult:
    """In trio: begin a session and wait for it; cancelled, it is stopped, and waited for all the same."""
    session = await begin()
    try:
        return await session.wait()
    except trio.Cancelled as cancelled:
        session.cancel(cancelled.reason or "", immediate=True, source=Source.HOST)
        with trio.move_on_after(_END_SECONDS, shield=True):
            await session.wait()
        raise
