"""The trio run that is the guest of an asyncio loop: one per thread, shared, ended when its last user leaves.

trio's own code runs between two callbacks of the host's loop, in the host's thread; only the wait for I/O has a
thread of its own. A loop can go away without a word (``run_until_complete`` interrupted, then ``close``): the run is
stranded then, and whoever needs a run in this thread next drives it to its end first.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import trio

from trio_recipes.errors import ConfigurationError
from trio_recipes.integrations.asyncio.interrupts import Interrupts

if TYPE_CHECKING:
    from outcome import Outcome

_here = threading.local()
"""``_here.guest``: the run of this thread."""


def guest_here() -> Guest | None:
    """The run of this thread."""
    guest: Guest | None = getattr(_here, "guest", None)
    return guest


_host: trio.lowlevel.RunVar[asyncio.AbstractEventLoop | None] = trio.lowlevel.RunVar("trio_recipes.host", None)


def host_loop() -> asyncio.AbstractEventLoop | None:
    """In trio: the asyncio loop whose guest this trio run is, if any."""
    return _host.get()


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "no asyncio loop runs here; inside trio, use trio_recipes.open_runtime, to start with, asyncio.run"
        ) from None


def _ignore(_error: asyncio.CancelledError) -> None:
    pass


async def outlast(future: asyncio.Future[Any], on_cancel: Callable[[asyncio.CancelledError], object] = _ignore) -> None:
    """Wait for a future to be done, whatever happens to this task.

    Args:
        future: is left as it is.
        on_cancel: called with the error, each time this task is cancelled.

    Raises:
        asyncio.CancelledError: once the future is done, if this task was cancelled meanwhile.
    """
    first: asyncio.CancelledError | None = None
    try:
        with ExitStack() as once:
            while not future.done():
                try:
                    await asyncio.wait([future])
                except asyncio.CancelledError as error:  # noqa: ASYNC103  it is raised below
                    if first is None:
                        first = error
                        once.enter_context(_heard())
                    on_cancel(error)
        if first is not None:
            raise first
    finally:
        del first  # it refers to this frame


def _heard() -> AbstractContextManager[object]:
    """Where anyio is in use, have its scopes cancel this task no more: they do in every turn, until it has ended."""
    anyio: Any = sys.modules.get("anyio")
    shield: AbstractContextManager[object] = anyio.CancelScope(shield=True) if anyio else nullcontext()
    return shield


class Guest:
    """One trio run under one asyncio loop.

    Args:
        loop: the host.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.ended: asyncio.Future[None] = loop.create_future()
        self.error: BaseException | None = None
        self.calls: set[asyncio.Future[Any]] = set()
        self._users: dict[object, asyncio.Task[Any] | None] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._leaving = False
        self._scope = trio.CancelScope()
        self._leave = trio.Event()
        self._turn: Callable[[], object] | None = None
        self._interrupts = Interrupts(loop)

    # --- users ---------------------------------------------------------------------------------------------------

    @classmethod
    async def join(cls, user: object) -> Guest:
        """Use the run of this thread; it begins with its first user.

        Args:
            user: anything; to be given to :meth:`part` at the end.

        Raises:
            ConfigurationError: there is no asyncio loop here, or this thread runs trio already, or as the guest of
                another loop.
        """
        loop = _running_loop()
        while (guest := guest_here()) is not None:
            if guest.loop is loop and not guest._leaving:
                break
            await guest._out_of_the_way(loop)
        else:
            guest = cls(loop)
            guest._start()
        guest._users[user] = asyncio.current_task()
        return guest

    async def part(self, user: object) -> None:
        """Stop using the run; the last one waits for its end."""
        del self._users[user]
        if not self._users:
            self._leaving = True
            self._leave.set()
            await outlast(self.ended)

    def cancel(self, reason: str) -> None:
        """Stop everything in the run, and end it."""
        self._leaving = True
        self._scope.cancel(reason=reason)

    async def _keep(self) -> None:
        """Wait for the end of the run; cancelled, like all tasks by ``asyncio.run``, see to it that it comes.

        Those who entered a runtime are cancelled, too, and leave it. What was left open by a task that is gone (the
        cell of a notebook) is stopped here.
        """
        try:
            await asyncio.wait([self.ended])
        except asyncio.CancelledError:
            for owner in [task for task in self._users.values() if task is not None]:
                await outlast(owner)  # noqa: ASYNC102  asyncio: it outlasts cancellation
            self.cancel("the event loop ends")
            await outlast(self.ended)  # noqa: ASYNC102  asyncio: it outlasts cancellation
            raise

    async def _out_of_the_way(self, loop: asyncio.AbstractEventLoop) -> None:
        """Return when this run has ended; what runs in one whose own loop is closed is cancelled, under ``loop``."""
        if self.loop is not loop:
            if not self.loop.is_closed():
                raise ConfigurationError(
                    "another event loop of this thread has a runtime open; leave that first, or use another thread"
                )
            self._move(loop)
            self.cancel("the event loop was closed under it")
        await asyncio.wait([self.ended])

    # --- the run -------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if trio.lowlevel.in_trio_run():
            raise ConfigurationError(
                "this thread runs trio already, and a thread can hold one trio run. Inside trio, use "
                "trio_recipes.open_runtime; beside the guest run of somebody else, give this loop its own thread"
            )
        self._interrupts.stand_before()
        trio.lowlevel.start_guest_run(
            self._main,
            run_sync_soon_threadsafe=self._soon_from_thread,
            run_sync_soon_not_threadsafe=self._soon,
            done_callback=self._done,
            host_uses_signal_set_wakeup_fd=True,
        )
        _host.set(self.loop)
        _here.guest = self
        self._keeper = self.loop.create_task(self._keep(), name="trio's keeper")

    async def _main(self) -> None:
        with self._scope:
            await self._leave.wait()

    def _done(self, outcome: Outcome[None]) -> None:
        _here.guest = None
        self._interrupts.stand_aside()
        self.error = getattr(outcome, "error", None)
        for call in [call for call in self.calls if not call.done()]:  # trio itself broke down
            call.cancel()
        self.ended.set_result(None)

    def _soon(self, turn: Callable[[], object]) -> None:
        """Have the loop let trio take its next turn; there is at most one at a time."""
        self._turn = turn
        with suppress(RuntimeError):  # the loop is closed: the run is stranded, and the turn is kept
            self.loop.call_soon(self._take_turn)

    def _soon_from_thread(self, turn: Callable[[], object]) -> None:
        self._turn = turn
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._take_turn)

    def _take_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            with self._interrupts.held_back():
                turn()

    def _move(self, loop: asyncio.AbstractEventLoop) -> None:
        """Go on under another loop."""
        self.loop = self._interrupts.loop = loop
        self.ended = loop.create_future()
        _host.set(loop)
        loop.call_soon(self._take_turn)
