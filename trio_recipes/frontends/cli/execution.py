"""Running one session for a terminal or a program: signals, printing, the end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, NoReturn, TypeAlias

import trio
from attrs import field

from trio_recipes.classes import define
from trio_recipes.errors import RecipesError
from trio_recipes.events import SessionStatus
from trio_recipes.frontends.cli.detach import hand_over
from trio_recipes.frontends.cli.ending import as_json, as_text
from trio_recipes.frontends.cli.exits import BY_SIGINT, BY_SIGTERM, code_of, leave
from trio_recipes.frontends.cli.following import print_new, teller_for
from trio_recipes.frontends.cli.outlet import STDERR, STDOUT
from trio_recipes.frontends.cli.telling import json_line
from trio_recipes.frontends.printable import counted, printable
from trio_recipes.processes.platform import become_subreaper
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.sessions.policy import OPEN
from trio_recipes.sessions.signals import Ladder, handled_signals, last_resort
from trio_recipes.steps.apart import STOP_TIMEOUT

if TYPE_CHECKING:
    from argparse import Namespace

    from trio_recipes.sessions.result import SessionResult
    from trio_recipes.sessions.runtime import Runtime
    from trio_recipes.sessions.session import Session

READER_SECONDS = 30.0
"""How long whoever reads our output may take once the run has ended; all of it is in the store."""
READER_SECONDS_AFTER_SIGNAL = 1.0
_PRINT_SECONDS = 0.02
_LAST_WORDS_SECONDS = 0.2
_CLOSING_SECONDS = 1.0

Begin: TypeAlias = Callable[["Runtime"], Awaitable["Session"]]


def execute(begin: Begin, options: Namespace) -> int:
    """Run the session that ``begin`` starts or resumes, to its end; returns the exit code.

    Raises:
        RecipesError: if it can't begin; nothing ran then.
    """
    become_subreaper()
    sys.path.append(os.path.realpath(options.project or "."))  # for functions; last, so that it hides nothing
    execution = _Execution(begin, options)
    return trio.run(execution.run)


@define(eq=False)
class _Execution:
    """One run on the command line. Errors are kept rather than raised: nurseries would wrap them."""

    begin: Begin
    options: Namespace
    ladder: Ladder = field(factory=Ladder)
    closing: trio.Nursery = field(init=False)
    _error: RecipesError | None = None
    _result: SessionResult | None = None

    async def run(self) -> int:
        with trio.open_signal_receiver(*handled_signals()) as signals, last_resort(self.ladder, _leave_deaf):
            async with trio.open_nursery() as nursery:
                self.closing = nursery
                self.ladder.tell = partial(_tell, nursery)
                if self.options.grace is not None:
                    self.ladder.grace = self.options.grace
                nursery.start_soon(self.ladder.listen, signals)
                nursery.start_soon(self._leave_at_last)
                await self._run_session()
                nursery.cancel_scope.cancel(reason="the session has ended")
        if self._error is not None:
            raise self._error
        return self._code()

    async def _run_session(self) -> None:
        options = self.options
        try:
            async with open_runtime(
                store=options.store,
                agents=options.agents,
                policy=OPEN,
                project=options.project,
                durability=options.durability,
                wait_approval=options.wait_approval,
                stop_timeout=STOP_TIMEOUT if options.stop_timeout is None else options.stop_timeout,
            ) as runtime:
                await self._follow(runtime)
                if runtime.apart.given_up:
                    self.closing.start_soon(self._leave_those_who_stay)
        except RecipesError as error:
            self._error = error

    async def _follow(self, runtime: Runtime) -> None:
        session = None
        with self.ladder.startup:  # a signal ends it; a session that there is all the same takes note of the signal
            session = await self.begin(runtime)
        if session is None:
            return
        self.ladder.attach(session)
        hand_over(session, self.options.detached_to)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._print, session)
            self._result = await session.wait()
            patience = READER_SECONDS_AFTER_SIGNAL if self.ladder.received else READER_SECONDS
            nursery.cancel_scope.deadline = trio.current_time() + patience

    # --- printing ------------------------------------------------------------------------------------------------

    async def _print(self, session: Session) -> None:
        """Print until the run has ended. Where events can't be read any more, its end is told all the same."""
        await _harmless(self._print_events, session)
        await _harmless(self._print_end, session)

    async def _print_end(self, session: Session) -> None:
        result = await session.wait()
        await STDOUT.send(json_line(as_json(result)) if self.options.json else as_text(result))

    async def _print_events(self, session: Session) -> None:
        """From the store, in a thread: a reader that blocks us never slows the run."""
        await STDOUT.send(self._first(session))
        teller = teller_for(self.options, session.id)
        seq = session.log.began_at - 1 if _has_history(session) else 0
        ended = False
        while not ended and not STDOUT.closed:
            ended = session.result is not None
            seq = await trio.to_thread.run_sync(print_new, session.log.file, teller, seq, abandon_on_cancel=True)
            await session.more(seq)
            with trio.move_on_after(_PRINT_SECONDS):  # for company
                await session.wait()

    def _first(self, session: Session) -> str:
        if self.options.json:
            return json_line({"event": "session_started", "session_id": session.id})
        reused = f", reusing {counted(_finished_steps(session), 'finished step')}" if _has_history(session) else ""
        return f"session {session.id}{reused}\n"

    # --- the end -------------------------------------------------------------------------------------------------

    def _code(self) -> int:
        if self._result is not None and (self._result.status is SessionStatus.COMPLETED or not self.ladder.received):
            return code_of(self._result.status)
        return BY_SIGINT if self.ladder.received[-1] is signal.SIGINT else BY_SIGTERM

    async def _leave_those_who_stay(self) -> None:
        """Functions that resist hold up the end of the runtime: all else has had its time to close, so we leave."""
        await trio.sleep(_CLOSING_SECONDS)
        leave(self._code())

    async def _leave_at_last(self) -> None:
        """When even a forced stop has not ended: leave. The watchman kills what runs; the session is interrupted."""
        await self.ladder.given_up.wait()
        with trio.move_on_after(_LAST_WORDS_SECONDS):
            await STDERR.send("clean-up does not end: leaving; what still runs is killed; resume goes on\n")
        leave(self._code())


async def _harmless(work: Callable[[Session], Awaitable[None]], session: Session) -> None:
    """Whatever goes wrong with printing does not harm the run."""
    try:
        await work(session)
    except Exception as error:
        what = f"{type(error).__name__}: {printable(str(error))}"
        await STDERR.send(f"trio-recipes: printing failed, the run goes on ({what})\n")


def _leave_deaf(number: signal.Signals) -> NoReturn:
    """The loop hangs, so nobody can be told by it; nothing more is recorded, and resume goes on."""
    os.write(2, b"a step keeps the event loop: leaving; what still runs is killed; resume goes on\n")
    leave(BY_SIGINT if number is signal.SIGINT else BY_SIGTERM)


def _has_history(session: Session) -> bool:
    """Whether earlier runs, or the session that this one was split off, have left something that is not told again."""
    return session.log.run > 1 or bool(session.engine.driver.run.progress.records)


def _finished_steps(session: Session) -> int:
    records = session.engine.driver.run.progress.records.values()
    return sum(1 for record in records if record.final and record.kind in ("bash", "agent", "function"))


def _tell(nursery: trio.Nursery, text: str) -> None:
    nursery.start_soon(STDERR.send, f"{text}\n")
