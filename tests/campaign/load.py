"""Many at once: sessions in one runtime and in runner processes of their own, on one store, stopped by anybody.

A *caller* picks a session, a door (the handle, the runtime, ``SessionManager``, the ``cancel`` command, a signal) and a
level, by chance. At the end, everybody has to have ended, and every request that was acknowledged has to have an answer
that agrees with how its session ended.
"""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio
from attrs import define, field

from trio_recipes.errors import RecipesError
from trio_recipes.sessions.manager import SessionManager
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.sessions.runtime import Runtime
from trio_recipes.statuses import SessionStatus
from trio_recipes.store.base import open_store
from trio_recipes.testing import Fork, Forks, survivors

PATIENCE: Final = 60.0
"""Seconds for everybody to end once nobody begins anything."""

_ENDED = frozenset({SessionStatus.COMPLETED, SessionStatus.CANCELLED})
_HEAD = "name: {name}\ndescription: one of many\nversion: 1.0.0\ncontext: {{items: [1, 2, 3]}}\nsteps:\n"
_HERE = """- id: rounds
  while_condition: "true"
  max_while_iterations: 200
  steps:
  - {id: one, type: function, function: nap}
  - {id: three, type: function, function: nap, foreach: "{{items}}", parallel: 2}
finally:
- {id: cleaned, type: function, function: nap}
"""
_RUNNER = """- id: rounds
  while_condition: "true"
  max_while_iterations: 40
  steps:
  - {id: quick, type: bash, command: "sleep 300 & sleep 0.01"}
  - {id: several, type: bash, command: "sleep 0.02", foreach: "{{items}}", parallel: 2}
"""


async def nap() -> int:
    """A step of a session that runs here."""
    await trio.sleep(random.uniform(0.1, 0.6))
    return 1


@define(eq=False)
class Crowd:
    """A store with many sessions that run, and many that want them to stop.

    Args:
        folder: the project and the store.
        commands: processes of the command line (``trio_recipes.__main__:main``).
        here: how many sessions run in this process at any time.
        runners: how many run in processes of their own.
        callers: how many ask.
        chance: who is asked, when, and how.
    """

    folder: Path
    commands: Forks
    here: int
    runners: int
    callers: int
    chance: random.Random
    asked: Counter[str] = field(factory=Counter, init=False)
    accepted: int = field(default=0, init=False)
    refused: int = field(default=0, init=False)
    errors: list[str] = field(factory=list, init=False)
    sessions: set[str] = field(factory=set, init=False)
    _heard: set[str] = field(factory=set, init=False)
    _processes: dict[str, Fork] = field(factory=dict, init=False)
    _over: bool = field(default=False, init=False)

    @property
    def store(self) -> Path:
        """The store's folder."""
        return self.folder / "store"

    async def run(self, seconds: float) -> None:
        """Begin, ask and end for so long, then until everybody has ended.

        Raises:
            trio.TooSlowError: if somebody does not end.
        """
        recipes = [self._recipe("here", _HERE), self._recipe("runner", _RUNNER)]
        async with open_runtime(store=str(self.store), functions={"nap": nap}, project=self.folder) as runtime:
            with trio.fail_after(seconds + PATIENCE):
                async with trio.open_nursery() as nursery:
                    for _ in range(self.here):
                        nursery.start_soon(self._keep_one_here, runtime, recipes[0])
                    for _ in range(self.runners):
                        nursery.start_soon(self._keep_a_runner, recipes[1])
                    for _ in range(self.callers):
                        nursery.start_soon(self._keep_asking, runtime)
                    await trio.sleep(seconds)
                    self._over = True

    def _recipe(self, name: str, steps: str) -> Path:
        file = self.folder / f"{name}.yaml"
        file.write_text(_HEAD.format(name=name) + steps)
        return file

    # --- those who run -------------------------------------------------------------------------------------------

    async def _keep_one_here(self, runtime: Runtime, recipe: Path) -> None:
        await trio.sleep(self.chance.uniform(0, 0.5))
        while not self._over:
            session = await runtime.start(recipe)
            self.sessions.add(session.id)
            result = await session.wait()
            if result.error is not None or result.status not in _ENDED:
                self.errors.append(f"{session.id} is {result.status}: {result.error or result.failure}")

    async def _keep_a_runner(self, recipe: Path) -> None:
        await trio.sleep(self.chance.uniform(0, 0.5))
        while not self._over:
            fork = self.commands.start(["run", str(recipe), "--json", "--store", str(self.store)], folder=self.folder)
            watch = os.pidfd_open(fork.pid)
            try:
                await self._note_session(fork, watch)
                await trio.lowlevel.wait_readable(watch)
            finally:
                os.close(watch)
            code = self.commands.wait(fork)
            if code not in (0, 4, -signal.SIGINT, -signal.SIGTERM, 130, 143):
                self.errors.append(f"a runner ended with {code}: {fork.text[-500:]}")
            self._look_for_locks(fork.text)

    async def _note_session(self, fork: Fork, watch: int) -> None:
        while "\n" not in fork.text:
            with trio.move_on_after(0.02):
                await trio.lowlevel.wait_readable(watch)
                return
        session_id = str(json.loads(fork.text.partition("\n")[0])["session_id"])
        self.sessions.add(session_id)
        self._processes[session_id] = fork

    # --- those who ask -------------------------------------------------------------------------------------------

    async def _keep_asking(self, runtime: Runtime) -> None:
        manager = await trio.to_thread.run_sync(SessionManager, self.store)
        while not self._over or self._running(runtime):
            await trio.sleep(self.chance.uniform(0, 0.05))
            running = self._running(runtime)
            if running:
                await self._ask(runtime, manager, self.chance.choice(running))

    def _running(self, runtime: Runtime) -> list[str]:
        gone = [name for name, fork in self._processes.items() if not _lives(fork.pid)]
        for name in gone:
            del self._processes[name]
        return sorted(runtime.sessions) + sorted(self._processes)

    async def _ask(self, runtime: Runtime, manager: SessionManager, name: str) -> None:
        immediate = self.chance.random() < 0.5
        doors = ["runtime", "manager", "command", *(["handle"] if name in runtime.sessions else ["signal"])]
        door = self.chance.choice(doors)
        self.asked[door] += 1
        try:
            heard = await getattr(self, f"_by_{door}")(runtime, manager, name, immediate)
        except RecipesError as error:
            self.errors.append(f"{door}: {type(error).__name__}: {error}")
            return
        if heard is not None:
            self.accepted += heard
            self.refused += not heard
            self._heard |= {name} if heard else set()

    async def _by_handle(self, runtime: Runtime, _manager: object, name: str, immediate: bool) -> bool:
        reply = runtime.get(name).cancel("by handle", immediate=immediate)
        await reply.durable()
        return reply.accepted

    async def _by_runtime(self, runtime: Runtime, _manager: object, name: str, immediate: bool) -> bool:
        return await runtime.cancel(name, "by runtime", immediate=immediate)

    async def _by_manager(self, _runtime: object, manager: SessionManager, name: str, immediate: bool) -> bool:
        ask = partial(manager.request_cancellation, name, self.folder, immediate)
        return (await trio.to_thread.run_sync(ask))[0]

    async def _by_command(self, _runtime: object, _manager: object, name: str, immediate: bool) -> bool:
        options = ["--immediate"] if immediate else []
        fork = self.commands.start(["cancel", name, *options, "--store", str(self.store)], folder=self.folder)
        watch = os.pidfd_open(fork.pid)
        try:
            await trio.lowlevel.wait_readable(watch)
        finally:
            os.close(watch)
        code = self.commands.wait(fork)
        self._look_for_locks(fork.text)
        if code not in (0, 5):
            self.errors.append(f"cancel ended with {code}: {fork.text}")
        return code == 0 and "already" not in fork.text

    async def _by_signal(self, _runtime: object, _manager: object, name: str, immediate: bool) -> None:
        fork = self._processes.get(name)
        if fork is not None and _lives(fork.pid):  # it is not reaped before we say so: the pid is still its own
            os.kill(fork.pid, signal.SIGTERM if immediate else signal.SIGINT)
        await trio.lowlevel.checkpoint()

    def _look_for_locks(self, text: str) -> None:
        if "locked" in text:
            self.errors.append(f"a lock was told of: {text[-500:]}")

    # --- what became of them -------------------------------------------------------------------------------------

    def judge(self) -> dict[str, int]:
        """The figures; what is wrong is added to ``errors``."""
        store, found = open_store(str(self.store)), Counter[str]()
        for name in sorted(self.sessions):
            standing = store.standing(name)
            found[str(standing.status)] += 1
            if standing.status not in _ENDED or standing.alive:
                self.errors.append(f"stuck: {name} is {standing.status}")
            if name in self._heard and standing.status is SessionStatus.COMPLETED and not _too_late(store, name):
                self.errors.append(f"lost: {name} completed although a request was accepted")
            found["processes left"] += len(survivors(name))
            for number, answer in _answers(store, name):
                found["requests by other processes and threads"] += 1
                found["requests without an answer"] += answer is None
                if answer is None:
                    self.errors.append(f"unanswered: request {number} of {name}")
        made = {f"requests by {door}": count for door, count in sorted(self.asked.items())}
        return {"sessions": len(self.sessions), **found, **made, "accepted": self.accepted, "refused": self.refused}


def _answers(store: Any, name: str) -> list[tuple[int, str | None]]:
    query = "SELECT number, answer FROM requests LEFT JOIN answers USING (number)"
    with store.file(name).reading() as connection:
        found: list[tuple[int, str | None]] = connection.execute(query).fetchall()
    return found


def _too_late(store: Any, name: str) -> bool:
    """Whether somebody was told that nothing was left to stop: a request may be accepted an instant before the end."""
    return any(answer == "too_late" for _, answer in _answers(store, name))


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
