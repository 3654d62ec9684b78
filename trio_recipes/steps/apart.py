"""Awaiting code of others (functions, backends) in a task apart, so that its step can end although the code does not.

A task that shields itself, or swallows each ``Cancelled``, can't be left by whoever awaits it: trio promises that. So
such code gets a task of its own, in a nursery around all sessions, and the step only waits for its outcome. A step
that is stopped stops its guest, waits for `stop_timeout`, and then goes on without it: the guest is reported, by name
and with its stack, and nobody listens to it any more. It still holds up the end of the nursery; the command line then
ends the process, an embedding application may do the same.

The wait is made of one rescheduling, not of events and scopes: ten thousand steps are stopped at once.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import outcome
import trio
from attrs import Factory, field

from trio_recipes.classes import define
from trio_recipes.runtime.ports import Work
from trio_recipes.steps import stack

if TYPE_CHECKING:
    from trio_recipes.runtime.ports import LeafCall

T = TypeVar("T")

STOP_TIMEOUT = 30.0
"""Seconds to wait for what resists a stop."""

AFTER_FORCE = 0.2
"""Seconds that a guest has to unwind once the stop is forced."""

_log = logging.getLogger("trio_recipes.steps")


@define(eq=False)
class Apart:
    """Runs coroutines of others, each in a task of its own.

    Args:
        nursery: where the tasks live, until :meth:`close`; without one, the caller awaits them itself, and waits as
            long as they like.
        stop_timeout: seconds to wait for one whose step was stopped.
    """

    nursery: trio.Nursery | None = None
    stop_timeout: float = STOP_TIMEOUT
    given_up: int = field(default=0, init=False)
    """How many run on although their steps have ended."""
    _stopping: dict[_Guest, float] = field(factory=dict, init=False)
    _nap: trio.CancelScope | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)

    async def run(self, work: Callable[[], Awaitable[T]], name: str, call: LeafCall, *, extra: float = 0.0) -> T:
        """Await ``work()``.

        Args:
            work: somebody else's code.
            name: for reports.
            call: the attempt; told if the code resists.
            extra: seconds that it may take longer to stop.
        """
        if self.nursery is None:
            return await work()
        await trio.lowlevel.checkpoint_if_cancelled()
        guest = _Guest(self, name, call, self.stop_timeout + extra)
        self.nursery.start_soon(guest.live, work, name=name)
        call.works[call.path] = guest.describe
        result: T = await guest.ending()
        return result

    def expect_end(self, guest: _Guest, deadline: float) -> None:
        """See to it that a guest that was told to stop is given up at some time, if not earlier."""
        assert self.nursery is not None
        self._stopping[guest] = min(deadline, self._stopping.get(guest, math.inf))
        if self._nap is None:
            self._nap = trio.CancelScope(deadline=deadline)
            self.nursery.start_soon(self._watch)
        elif deadline < self._nap.deadline:
            self._nap.deadline = deadline

    def ended(self, guest: _Guest) -> None:
        """Expect a guest no longer."""
        self._stopping.pop(guest, None)
        self._rest()

    def close(self) -> None:
        """No new guests will come: the nursery is left once those that are there have ended."""
        self._closed = True
        self._rest()

    def _rest(self) -> None:
        if self._closed and not self._stopping and self._nap is not None:
            self._nap.cancel(reason="all have ended")

    async def _watch(self) -> None:
        """Give up those whose time is over; one task for them all, from the first stop on."""
        while self._stopping or not self._closed:
            # Shielded: a host that is cancelled has its nursery cancelled, too, and counts on this all the more.
            self._nap = trio.CancelScope(deadline=min(self._stopping.values(), default=math.inf), shield=True)
            with self._nap:
                await trio.sleep_forever()
            now = trio.current_time()
            for guest in [guest for guest, deadline in self._stopping.items() if deadline <= now]:
                guest.give_up()


@define(eq=False)
class _Guest:
    """Code of others in its task, and the step that waits for it.

    Args:
        host: who runs it.
        name: for reports.
        call: of its step.
        patience: seconds to wait for it once its step was stopped.
    """

    host: Apart
    name: str
    call: LeafCall
    patience: float
    _scope: trio.CancelScope = Factory(trio.CancelScope)
    _task: trio.lowlevel.Task | None = None
    _waiter: trio.lowlevel.Task | None = None
    _raise_cancel: Callable[[], Any] | None = None
    _forget: Callable[[], None] | None = None
    _stopped_at: float = 0.0
    _is_given_up: bool = False

    async def live(self, work: Callable[[], Awaitable[Any]]) -> None:
        """Run, and hand the outcome to the step, whatever it is."""
        self._task = trio.lowlevel.current_task()
        with self._scope:
            self._end(await outcome.acapture(work))

    async def ending(self) -> Any:
        """Wait for the code's end, for the step; when that is stopped, no longer than the guest is expected."""
        self._waiter = trio.lowlevel.current_task()
        return await trio.lowlevel.wait_task_rescheduled(self._stop)

    def _stop(self, raise_cancel: Callable[[], Any]) -> trio.lowlevel.Abort:
        self._raise_cancel, self._stopped_at = raise_cancel, trio.current_time()
        self._scope.cancel(reason="its step was stopped")
        self.host.expect_end(self, self._stopped_at + self.patience)
        self._forget = self.call.forcible.register(self._hurry)
        return trio.lowlevel.Abort.FAILED  # the step ends with its guest, or without it, but not now

    def _hurry(self) -> None:
        self.host.expect_end(self, trio.current_time() + AFTER_FORCE)

    def _end(self, result: outcome.Outcome[Any]) -> None:
        if self._is_given_up:
            self.host.given_up -= 1
            _log.warning("%s has ended at last, long after step '%s'", self.name, self.call.path)
            return
        self.host.ended(self)
        self._release(result)  # its Cancelled will do for the step, which is cancelled as well: trio has but one kind

    def give_up(self) -> None:
        """Report it, and let its step go on without it."""
        assert self._raise_cancel is not None
        self.host.ended(self)
        self.host.given_up += 1
        self._is_given_up = True
        work = self.describe()
        where = f" at {work.stack[-1]}" if work.stack else ""
        waited = trio.current_time() - self._stopped_at
        self.call.resisted(f"{self.name} runs on{where}, {waited:.2g} s after it was told to stop", work=work)
        self._release(outcome.capture(self._raise_cancel))

    def _release(self, result: outcome.Outcome[Any]) -> None:
        if self._forget is not None:
            self._forget()
        assert self._waiter is not None
        del self.call.works[self.call.path]
        trio.lowlevel.reschedule(self._waiter, result)

    def describe(self) -> Work:
        """Where its code is at this moment."""
        return Work(task=self.name, stack=stack.of_task(self._task) if self._task is not None else ())
