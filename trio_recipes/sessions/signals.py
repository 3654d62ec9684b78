"""The Ctrl+C ladder: what the signals that reach a runner mean for its session.

First graceful, then immediate, then force; after that, waiting for clean-up is given up. SIGTERM and SIGHUP ask for a
graceful stop with a grace period, and for an immediate one when they come second. The ladder counts
signals as they are received, so one press is never noticed twice.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

import trio
from attrs import field

from trio_recipes.classes import define
from trio_recipes.events import Source

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio_recipes.sessions.session import Session

GRACE_SECONDS = 10.0
"""How long a step in hand may take after SIGTERM, unless the caller says otherwise."""

GIVE_UP_SECONDS = 2.0
"""How long a forced stop may take."""

DEAF_SECONDS = 0.5
"""How long the loop may take to notice a signal before it counts as one that hangs."""

_NAMES = {signal.SIGINT: "Ctrl+C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


def handled_signals() -> list[signal.Signals]:
    """The signals that stop a run; SIGHUP not under ``nohup``."""
    hangup = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hangup]


@define(eq=False)
class Ladder:
    """Turns signals into requests to one session, which may not exist yet.

    Args:
        grace: seconds a step in hand may take after SIGTERM or SIGHUP.
        tell: is given a line for people at each step.
        received: the signals so far.
        unheard: when signals arrived that the loop has not taken yet, on the monotonic clock.
        startup: is cancelled by a signal that comes before there is a session.
        given_up: set when even the forced stop has had its time.
    """

    grace: float = GRACE_SECONDS
    tell: Callable[[str], None] = lambda _text: None
    received: list[signal.Signals] = field(factory=list)
    unheard: list[float] = field(factory=list)
    startup: trio.CancelScope = field(factory=trio.CancelScope)
    given_up: trio.Event = field(factory=trio.Event)
    _session: Session | None = None

    async def listen(self, signals: AsyncIterator[int]) -> None:
        """Take signals as they come; until cancelled."""
        async with trio.open_nursery() as nursery:
            async for number in signals:
                self.take(signal.Signals(number))
                if len(self.received) == 3:
                    nursery.start_soon(self._give_up)

    def take(self, received: signal.Signals) -> None:
        """Act on one signal, synchronously."""
        self.received.append(received)
        self.unheard.clear()
        if len(self.received) > 3:
            self.given_up.set()
        if self._session is None:
            self.startup.cancel(reason=f"{_NAMES[received]} before the session began")
            self.tell("stopping before anything has begun")
        else:
            self._climb(self._session, len(self.received), received)

    def attach(self, session: Session) -> None:
        """From now on it is this session; what came before counts."""
        self._session = session
        for rung, received in enumerate(self.received, 1):
            self._climb(session, rung, received)

    def _climb(self, session: Session, rung: int, received: signal.Signals) -> None:
        name = _NAMES[received]
        grace = None if rung > 1 or received is signal.SIGINT else self.grace
        reply = session.cancel(immediate=rung > 1, grace=grace, source=Source.SIGNAL, requester=name)
        self.tell(self._explain(rung, name, grace) if reply.accepted else reply.message)

    def _explain(self, rung: int, name: str, grace: float | None) -> str:
        if rung > 2:
            return "cutting clean-up short"
        if rung == 2:
            return "stopping now; once more to cut clean-up short"
        if grace is None:
            return "finishing the steps in hand; Ctrl+C again to stop now"
        return f"{name}: finishing the steps in hand, for at most {grace:g} s"

    def arrived(self, at: float) -> bool:
        """Note that a signal has arrived; tell whether it is the third, and the loop hears none any more."""
        self.unheard.append(at)
        return len(self.received) + len(self.unheard) >= 3 and at - self.unheard[0] >= DEAF_SECONDS

    async def _give_up(self) -> None:
        await trio.sleep(GIVE_UP_SECONDS)
        self.given_up.set()


@contextmanager
def last_resort(ladder: Ladder, leave: Callable[[signal.Signals], NoReturn]) -> Generator[None]:
    """End the process at the third signal if the loop does not turn: code that never awaits keeps it from all others.

    Args:
        ladder: hears signals as long as the loop turns.
        leave: ends the process, given the signal that came last.
    """
    handlers = {number: signal.getsignal(number) for number in handled_signals()}

    def handle(number: int, frame: Any) -> None:
        if ladder.arrived(monotonic()):
            leave(signal.Signals(number))
        handler = handlers[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in handlers:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
