"""A place for one experiment: a project, a store, recipes whose steps keep a ledger, and runners to be stopped.

Every step of the recipes here sources the ``step`` script: it writes a line when it begins and a line when it ends,
and between the two it waits for as long as the test *holds* it. So a test knows what has run, how often, and can ask
a session to stop at an exact moment without sleeping.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

import trio
import yaml
from attrs import define, field, frozen

from trio_recipes import Runtime, open_runtime
from trio_recipes.events import Event, ScopeFinished, ScopeStatus, Stamped
from trio_recipes.sessions.history import History, read_history
from trio_recipes.sessions.manager import SessionManager
from trio_recipes.sessions.session import public_context
from trio_recipes.store.base import open_store
from trio_recipes.store.codec import from_row
from trio_recipes.store.session_file import SessionFile
from trio_recipes.testing import assert_no_survivors

PATIENCE = 60.0
"""Seconds to wait for what should happen in milliseconds: the machine is shared."""

DEATH_SECONDS = 5.0
"""Within which nothing of a killed runner is left. A second is promised and a twentieth is usual, but the watchman
has to get hold of a processor, on a machine where everything else runs, too."""

STEP = """
lab=${BASH_SOURCE%/*}
echo "begin $1 $TRIO_RECIPES_STEP_KEY" >> "$lab/ledger"
if [ -p "$lab/hold/$1" ]; then read -r _ < "$lab/hold/$1"; fi
echo "end $1 $TRIO_RECIPES_STEP_KEY" >> "$lab/ledger"
echo "${2-value of $1}"
"""


def eventually(condition: Callable[[], Any], what: str = "") -> Any:
    """Poll until a condition holds, and return what it returned."""
    give_up = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < give_up, f"waited in vain for {what or condition}"
        time.sleep(0.005)
    return found


@contextmanager
def takes_less_than(seconds: float) -> Generator[None]:
    """Fail if the body takes longer. Bounds are generous: they tell 'at once' from 'when the step has ended'."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < seconds, f"took {took:.2f} s"


def bash(name: str, command: str, **fields: Any) -> dict[str, Any]:
    """A bash step that keeps no ledger."""
    return {"id": name, "type": "bash", "command": command, **fields}


@frozen
class Entry:
    """A line of the ledger: a step began or ended."""

    what: str
    name: str
    key: str


class Lab:
    """One test's project folder and store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = root / "store"
        (root / "hold").mkdir(parents=True)
        (root / "step").write_text(STEP)
        self._ledger = root / "ledger"
        self._ledger.touch()
        self._fds: list[int] = []
        self.runners: list[Runner] = []

    def close(self) -> None:
        """Let go of everything, whatever the test left."""
        for runner in self.runners:
            runner.close()
        for fd in self._fds:
            os.close(fd)

    # --- recipes -------------------------------------------------------------------------------------------------

    def write(self, name: str, **content: Any) -> Path:
        """Write a recipe into the project."""
        recipe = {"name": name, "description": "for a test", "version": "1.0.0", **content}
        file = self.root / f"{name}.yaml"
        file.write_text(yaml.safe_dump(recipe, sort_keys=False))
        return file

    def step(self, name: str, value: str | None = None, **fields: Any) -> dict[str, Any]:
        """A bash step that keeps the ledger; its id and output are ``name`` unless it says otherwise."""
        command = f". {self.root}/step {name}" + ("" if value is None else f" {value}")
        plain = name if name.isidentifier() else "work"
        return {"id": plain, "type": "bash", "command": command, "output": plain, **fields}

    # --- the ledger ----------------------------------------------------------------------------------------------

    def ledger(self) -> list[Entry]:
        """What the steps have written so far, in order."""
        return [Entry(*line.split(" ", 2)) for line in self._ledger.read_text().splitlines()]

    def begun(self, *names: str) -> bool:
        """Whether all of these steps have begun."""
        return set(names) <= {entry.name for entry in self.ledger()}

    def executions(self) -> dict[str, int]:
        """How often each step began, by name."""
        names = [entry.name for entry in self.ledger() if entry.what == "begin"]
        return {name: names.count(name) for name in dict.fromkeys(names)}

    def hold(self, *names: str) -> None:
        """From now on, these steps wait when they have begun."""
        for name in names:
            os.mkfifo(self.root / "hold" / name)

    def release(self, *names: str) -> None:
        """Let these steps go on, and hold them no more; all of them if none is named."""
        for fifo in [self.root / "hold" / name for name in names] or list((self.root / "hold").iterdir()):
            fd = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)  # kept open: what nobody has read yet must not be lost
            self._fds.append(fd)
            os.write(fd, b"\n" * 64)
            fifo.unlink()

    # --- what the store says -------------------------------------------------------------------------------------

    @property
    def manager(self) -> SessionManager:
        """The synchronous door to the sessions."""
        return SessionManager(self.store)

    def file(self, session_id: str) -> SessionFile:
        """The session's database."""
        return open_store(str(self.store)).file(session_id)

    def freeze(self, runner: Runner) -> None:
        """SIGSTOP, between two commits: one in the middle of a commit would keep everybody else from writing."""
        file = self.file(runner.session_id)
        connection = file.connect()
        try:
            connection.execute("BEGIN IMMEDIATE")
            runner.signal(signal.SIGSTOP)
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    def stamped(self, session_id: str) -> list[Stamped]:
        """A session's durable events."""
        file = self.file(session_id)
        with file.reading() as connection:
            return [from_row(row) for row in file.rows(connection)]

    def events(self, session_id: str) -> list[Event]:
        """A session's durable events, without their envelopes."""
        return [stamped.event for stamped in self.stamped(session_id)]

    def history(self, session_id: str) -> History:
        """All that is known of a session."""
        return read_history(self.file(session_id))

    def status(self, session_id: str) -> str:
        """A session's status."""
        return str(open_store(str(self.store)).standing(session_id).status)

    def context(self, session_id: str) -> dict[str, Any]:
        """A session's variables, as far as it came."""
        return public_context(self.history(session_id).frame.variables)

    def answers(self, session_id: str) -> list[tuple[int, str | None]]:
        """The number of each request, with its answer."""
        query = "SELECT number, answer FROM requests LEFT JOIN answers USING (number) ORDER BY number"
        with self.file(session_id).reading() as connection:
            return connection.execute(query).fetchall()

    def finished(self, session_id: str) -> set[str]:
        """Keys of what is recorded as completed."""
        done = [event for event in self.events(session_id) if isinstance(event, ScopeFinished)]
        return {f"{session_id}/{event.path}" for event in done if event.status is ScopeStatus.COMPLETED}

    @asynccontextmanager
    async def runtime(self, patience: float = PATIENCE, **options: Any) -> AsyncGenerator[Runtime]:
        """A runtime of this process; it does not sync the disk, and is given up after ``patience`` seconds."""
        with trio.fail_after(patience):
            async with open_runtime(
                store=str(self.store), project=self.root, durability="process", **options
            ) as runtime:
                yield runtime

    # --- runners -------------------------------------------------------------------------------------------------

    def run(self, recipe: Path, *options: str) -> Runner:
        """``trio-recipes run --json`` in a process of its own, once its session has begun."""
        return self.spawn("run", str(recipe), "--json", *options).started()

    def resume(self, session_id: str, *options: str) -> Runner:
        """``trio-recipes resume --json`` in a process of its own."""
        return self.spawn("resume", session_id, "--json", *options)

    def spawn(self, *arguments: str) -> Runner:
        """The command line in a process of its own."""
        return self.python("-m", "trio_recipes", *arguments, "--store", str(self.store))

    def python(self, *arguments: str, env: Mapping[str, str] | None = None) -> Runner:
        """Any Python program in a process of its own, in the project's folder."""
        return self.add(Runner.of([sys.executable, *arguments], self.root, len(self.runners), env or {}))

    def add(self, runner: Runner) -> Runner:
        self.runners.append(runner)
        return runner

    def command(self, *arguments: str) -> Runner:
        """The command line, to its end."""
        runner = self.spawn(*arguments)
        runner.wait()
        return runner

    def cancel(self, session_id: str, *options: str) -> Runner:
        """``trio-recipes cancel``, which has to succeed."""
        done = self.command("cancel", session_id, *options)
        assert done.code == 0, done.stderr
        return done

    def show(self, session_id: str) -> dict[str, Any]:
        """``trio-recipes show --json``."""
        done = self.command("show", session_id, "--json")
        assert done.code == 0, done.stderr
        shown: dict[str, Any] = json.loads(done.stdout)
        return shown


@define(eq=False)
class Runner:
    """A process that runs a session, or some other command."""

    process: subprocess.Popen[bytes]
    _out: Path
    _err: Path
    _id: str = field(default="", init=False)

    @classmethod
    def of(cls, command: Sequence[str], folder: Path, number: int, env: Mapping[str, str]) -> Self:
        out, err = folder / f"runner-{number}.out", folder / f"runner-{number}.err"
        path = f"{Path(__file__).parents[2]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": path, **env},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,  # a terminal's Ctrl+C is sent by the tests, and to the runner alone
            )
        return cls(process, out, err)

    def close(self) -> None:
        """Make an end of it, if the test did not."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    @property
    def stdout(self) -> str:
        """All it has printed."""
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        """All it has complained about."""
        return self._err.read_text()

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs; negative for a signal."""
        return self.process.poll()

    def lines(self) -> list[dict[str, Any]]:
        """The whole JSON lines printed so far."""
        return [json.loads(line) for line in self.stdout.split("\n")[:-1]]

    def started(self) -> Runner:
        """Wait until it has a session."""
        eventually(lambda: self.lines() or self.code is not None, "the session's start")
        assert self.lines(), f"exit code {self.code}: {self.stderr}"
        return self

    @property
    def session_id(self) -> str:
        """The session that it runs."""
        self._id = self._id or str(self.lines()[0]["session_id"])
        return self._id

    def saw(self, event: str, **fields: Any) -> bool:
        """Whether it has printed such an event."""
        wanted = {"event": event, **fields}
        return any(wanted.items() <= line.items() for line in self.lines())

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def interrupt(self) -> None:
        """Press Ctrl+C, and wait until that was noticed: signals that come together count as one."""
        before = self._requests()
        self.signal(signal.SIGINT)
        eventually(lambda: self._requests() > before or self.code is not None, "Ctrl+C to be noticed")

    def _requests(self) -> int:
        return sum(line["event"] == "cancel_requested" for line in self.lines())

    def kill(self) -> None:
        """``kill -9``."""
        self.process.kill()
        self.process.wait()

    def wait(self) -> int:
        """Wait for its end and return the exit code."""
        return self.process.wait(PATIENCE)

    def ended(self) -> dict[str, Any]:
        """Wait for its end, see that nothing was left running, and return its last line."""
        self.wait()
        lines = self.lines()
        assert lines, f"exit code {self.code}: {self.stderr}"
        assert lines[-1]["event"] == "session_finished", self.stderr
        assert_no_survivors(self.session_id)
        return lines[-1]
