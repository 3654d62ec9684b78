"""Running one session for a terminal or a program: signals, printing, the end."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from trio_recipes.errors import RecipesError
from trio_recipes.events import SessionStatus
from trio_recipes.frontends.cli.ending import as_json, as_text
from trio_recipes.frontends.cli.exits import BY_SIGINT, BY_SIGTERM, code_of
from trio_recipes.frontends.cli.outlet import STDERR, STDOUT
from trio_recipes.frontends.cli.telling import HumanTeller, JsonTeller, json_line
from trio_recipes.processes.platform import become_subreaper
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.sessions.signals import GRACE_SECONDS, Ladder, handled_signals

if TYPE_CHECKING:
    from argparse import Namespace

    from trio_recipes.frontends.cli.telling import Teller
    from trio_recipes.sessions.result import SessionResult
    from trio_recipes.sessions.runtime import Runtime
    from trio_recipes.sessions.session import Session

READER_SECONDS = 30.0
"""How long what is left to print may take once the run has ended; it is all in the store."""
READER_SECONDS_AFTER_SIGNAL = 2.0

Begin = Callable[["Runtime"], Awaitable["Session"]]


def execute(begin: Begin, options: Namespace) -> int:
    """Run the session that ``begin`` starts or resumes, to its end; returns the exit code.

    Raises:
        RecipesError: if it can't begin; nothing ran then.
    """
    become_subreaper()
    return trio.run(_Execution(begin, options).run)


@define(eq=False)
class _Execution:
    """One session on the command line."""

    begin: Begin
    options: Namespace
    ladder: Ladder = field(factory=Ladder)
    _error: RecipesError | None = None
    _result: SessionResult | None = None

    async def run(self) -> int:
        with trio.open_signal_receiver(*handled_signals()) as signals:
            async with trio.open_nursery() as nursery:
                grace = self.options.grace
                self.ladder = Ladder(GRACE_SECONDS if grace is None else grace, partial(_tell, nursery))
                nursery.start_soon(self.ladder.listen, signals)
                nursery.start_soon(self._last_resort)
                with self.ladder.startup:
                    await self._run_session()
                nursery.cancel_scope.cancel(reason="the session has ended")
        if self._error is not None:
            raise self._error
        return self._code()

    async def _run_session(self) -> None:
        """Errors are kept rather than raised: nurseries would wrap them."""
        options = self.options
        try:
            async with open_runtime(
                store=options.store,
                agents=options.agents,
                import_functions=True,
                project=options.project,
                durability=options.durability,
            ) as runtime:
                await self._follow(runtime)
        except RecipesError as error:
            self._error = self._error or error

    async def _follow(self, runtime: Runtime) -> None:
        try:
            session = await self.begin(runtime)
        except RecipesError as error:
            self._error = error
            return
        self.ladder.attach(session)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._print, session)
            self._result = await session.wait()
            patience = READER_SECONDS_AFTER_SIGNAL if self.ladder.received else READER_SECONDS
            nursery.cancel_scope.deadline = trio.current_time() + patience

    # --- printing ------------------------------------------------------------------------------------------------

    async def _print(self, session: Session) -> None:
        teller = self._teller(session.id)
        await STDOUT.send(self._first(session))
        async for stamped in session.events(after=self._printed_before(session)):
            await STDOUT.send(teller.tell(stamped))
            if STDOUT.closed:
                return
        result = await session.wait()
        await STDOUT.send(json_line(as_json(result)) if self.options.json else as_text(result))

    def _teller(self, session_id: str) -> Teller:
        return JsonTeller(session_id) if self.options.json else HumanTeller(self.options.quiet)

    def _printed_before(self, session: Session) -> int:
        """Events of earlier runs are history; a run begins with its ``run_started``."""
        return session.log.committed - 1 if session.log.run > 1 else 0

    def _first(self, session: Session) -> str:
        if self.options.json:
            return json_line({"event": "session_started", "session_id": session.id})
        records = session.engine.driver.run.progress.records.values()
        reused = sum(1 for record in records if record.final and record.kind in ("bash", "agent", "function"))
        again = f", reusing {reused} finished steps" if session.log.run > 1 else ""
        return f"session {session.id}{again}\n"

    # --- the end -------------------------------------------------------------------------------------------------

    def _code(self) -> int:
        status = self._result.status if self._result else SessionStatus.CANCELLED
        if self.ladder.received and status is not SessionStatus.COMPLETED:
            return BY_SIGINT if self.ladder.received[-1] is signal.SIGINT else BY_SIGTERM
        return code_of(status)

    async def _last_resort(self) -> None:
        """After a forced stop that does not end: leave. The watchman kills what runs; the session is interrupted."""
        await self.ladder.given_up.wait()
        os._exit(BY_SIGINT if self.ladder.received[-1] is signal.SIGINT else BY_SIGTERM)


def _tell(nursery: trio.Nursery, text: str) -> None:
    nursery.start_soon(STDERR.send, f"{text}\n")
