"""The command line as its users meet it: a process of its own, its output line by line, real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from trio_recipes.errors import RecipesError
from trio_recipes.sessions.history import read_history
from trio_recipes.sessions.view import session_view
from trio_recipes.store.base import open_store

PROGRAM = [sys.executable, "-m", "trio_recipes"]
PATIENCE = 60.0
"""Seconds to wait for what should take milliseconds: the machine is shared."""


def write_recipe(folder: Path, steps: str, head: str = "", name: str = "probe") -> Path:
    """A recipe of the steps given, in a file called after it."""
    file = folder / f"{name}.yaml"
    file.write_text(
        f"name: {name}\ndescription: a probe\nversion: 1.0.0\n"
        f"{textwrap.dedent(head)}\nsteps:\n{textwrap.indent(textwrap.dedent(steps), '  ')}"
    )
    return file


def gated(name: str, gate: str = "gate") -> str:
    """A bash step that ends once the file ``gate`` is there."""
    return f"""
- id: {name}
  type: bash
  command: touch begun; until test -e {gate}; do sleep 0.02; done; echo passed
"""


QUICK = """
- id: quick
  type: bash
  command: echo quickly
"""

DEAF = """
- id: deaf
  type: bash
  command: |
    trap '' TERM
    (trap '' TERM; echo ready; while :; do sleep 100; done)
"""


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **changes}


def invoke(*arguments: str | Path, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=cwd,
        env=environment(**env),
        check=False,
        stdin=subprocess.DEVNULL,
    )


def shown(session: str = "@last") -> dict[str, Any]:
    """What ``show --json`` says, without a process of its own for it."""
    store = open_store(create=False)
    return session_view(read_history(store.file(store.resolve(session))))


def stands(status: str, session: str = "@last") -> bool:
    """Whether that is the session's status; False also while it is being created."""
    try:
        return bool(shown(session)["status"] == status)
    except (RecipesError, AssertionError):
        return False


def eventually(condition: Callable[[], Any]) -> Any:
    """Poll until a condition holds, and return what it returned."""
    give_up = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < give_up, f"waited in vain for {condition}"
        time.sleep(0.01)
    return found


def writing_to(fifo: Path) -> TextIO:
    """The writing end of a FIFO, once somebody reads it: plain ``open`` would wait for ever for one who has died."""

    def attempt() -> int | None:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads it yet
            return None

    return os.fdopen(eventually(attempt), "w")


class Run:
    """A ``run --json`` or ``resume --json`` under way."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []

    @property
    def session_id(self) -> str:
        return str(self.until("session_started")["session_id"])

    def until(self, event: str, **fields: Any) -> dict[str, Any]:
        """The first event of that name with these fields, waited for if it has not happened yet."""
        for found in self._all():
            if found["event"] == event and all(found.get(name) == value for name, value in fields.items()):
                return found
        raise AssertionError(f"the output ended without {event} {fields}: {self.events[-3:]}")

    def _all(self) -> Iterator[dict[str, Any]]:
        yield from list(self.events)
        assert self.process.stdout
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            yield self.events[-1]

    def said(self) -> str:
        """The next line on standard error."""
        assert self.process.stderr
        return self.process.stderr.readline()

    def press(self, number: signal.Signals) -> str:
        """Send a signal; returns what the run says to it, so that the next one is a second one."""
        self.process.send_signal(number)
        return self.said()

    def end(self) -> dict[str, Any]:
        """Wait for the end; returns the last event."""
        last = self.until("session_finished")
        self.process.wait(PATIENCE)
        return last

    @property
    def code(self) -> int:
        """The exit code, waited for."""
        return self.process.wait(PATIENCE)


@contextmanager
def spawned(command: Sequence[str | Path], **options: Any) -> Generator[subprocess.Popen[str]]:
    """Start a program in a process group of its own; whatever is left of it at the end is killed."""
    options = {"stdin": subprocess.DEVNULL, "text": True, "env": environment(), **options}
    with subprocess.Popen([*map(str, command)], start_new_session=True, **options) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def running(*arguments: str | Path, cwd: Path) -> Generator[Run]:
    """Start a command with ``--json``."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with spawned([*PROGRAM, *arguments, "--json"], cwd=cwd, **pipes) as process:
        yield Run(process)
