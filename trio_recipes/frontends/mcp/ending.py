"""How the server ends: on a signal, or because its client has gone. First its sessions are stopped, then all else."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

import trio
from attrs import field

from trio_recipes.classes import define
from trio_recipes.events import Source
from trio_recipes.frontends.cli.exits import BY_SIGINT, BY_SIGTERM, OK, leave
from trio_recipes.frontends.mcp.answers import Answers

if TYPE_CHECKING:
    from trio_recipes.sessions.runtime import Runtime
    from trio_recipes.sessions.session import Session


_GONE: Final = ("the MCP client has gone", Source.HOST)
_FAREWELL_SECONDS: Final = 1.0
"""For the last answers: to a client that has closed its end of one pipe, and to all after a signal."""


@define(eq=False)
class Ending:
    """Ends the server.

    Args:
        runtime: whose sessions end with it.
        close_streams: ends what is answered for as long as its client likes.
        answers: what is being answered.
        serving: is cancelled to stop serving.
    """

    runtime: Runtime
    close_streams: Callable[[], None]
    answers: Answers = field(factory=Answers)
    serving: trio.CancelScope = field(factory=trio.CancelScope)
    _asked: trio.Event = field(factory=trio.Event)
    _signals: list[signal.Signals] = field(factory=list)
    _why: tuple[str, Source] | None = None
    _told: set[str] = field(factory=set)

    @property
    def begun(self) -> bool:
        """Whether the server is ending."""
        return self._why is not None

    @property
    def code(self) -> int:
        """The exit code."""
        if not self._signals:
            return OK
        return BY_SIGINT if self._signals[0] is signal.SIGINT else BY_SIGTERM

    async def listen(self, signals: AsyncIterator[int]) -> None:
        """Take signals as they come: the first ends the server, the second drops clean-up, the third all patience."""
        async for number in signals:
            self._signals.append(signal.Signals(number))
            if len(self._signals) > 2:
                leave(self.code)  # the watchman kills what runs; the sessions are interrupted
            if self.begun:
                self.runtime.cancel_all(self._signals[-1].name, source=Source.SIGNAL)
                self.serving.cancel(reason=self._signals[-1].name)
            self._stop_sessions(self._signals[0].name, Source.SIGNAL)
            self._asked.set()

    async def stop_serving(self) -> None:
        """Once a signal has come: stop as soon as clients have been told what became of their calls."""
        await self._asked.wait()
        self.close_streams()
        with trio.move_on_after(_FAREWELL_SECONDS):
            await self.answers.given()
        self.serving.cancel(reason="a signal")

    async def farewell(self) -> None:
        """The client says no more, but may still listen: sessions stop now, and what is under way is answered."""
        self._stop_sessions(*_GONE)
        self.close_streams()
        with trio.move_on_after(_FAREWELL_SECONDS):
            await self.answers.all_given()

    def client_gone(self) -> None:
        """Nobody is left to work for."""
        self._stop_sessions(*_GONE)
        self.serving.cancel(reason=_GONE[0])

    def _stop_sessions(self, reason: str, source: Source) -> None:
        self._why = self._why or (reason, source)
        for session in list(self.runtime.sessions.values()):
            self.watch(session)

    def watch(self, session: Session) -> None:
        """Stop this session too, if the server is ending: once, since asking again would cut its clean-up short."""
        if self._why is None or session.id in self._told or session.result is not None:
            return
        self._told.add(session.id)
        reason, source = self._why
        session.cancel(reason, immediate=True, source=source)
