"""Killing a runner at a chosen event: what a power cut or ``kill -9`` leaves, on demand and repeatable.

>>> crash = run_until("recipe.yaml", kill_at("scope_finished", 2), store=store, project=project)
>>> crash.session_id, crash.was_killed

The runner is a process of its own (``python -m trio_recipes.testing.crash``) that sends itself SIGKILL the moment its
n-th event of one kind has become durable: after that commit, before anything that waits for it goes on.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import trio
from attrs import frozen

from trio_recipes.sessions.opening import open_runtime
from trio_recipes.store.base import open_store
from trio_recipes.store.codec import from_row

if TYPE_CHECKING:
    from trio_recipes.events import Stamped
    from trio_recipes.store.session_file import SessionFile

TIMEOUT: Final = 60.0
"""Seconds after which a runner that should have died or ended has not."""


@frozen
class KillPoint:
    """The ``number``-th event (from 1) of a kind such as ``scope_finished``."""

    kind: str
    number: int = 1

    def observer(self) -> Callable[[str, Stamped], None]:
        """What to hand to ``open_runtime(observe=…)`` so that this process is killed there."""
        left = self.number

        def look(_session_id: str, stamped: Stamped) -> None:
            nonlocal left
            left -= stamped.event.name == self.kind
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

        return look

    def __str__(self) -> str:
        return f"{self.kind}:{self.number}"


def kill_at(kind: str, number: int = 1) -> KillPoint:
    """The point at which the ``number``-th event of ``kind`` has just become durable."""
    return KillPoint(kind, number)


@frozen
class Crash:
    """What became of a runner.

    Args:
        session_id: its session.
        pid: of the runner that is no more.
        was_killed: False if the run ended before its kill point.
    """

    session_id: str
    pid: int
    was_killed: bool


def run_until(
    recipe: str | os.PathLike[str],
    point: KillPoint,
    *,
    store: str | os.PathLike[str],
    project: str | os.PathLike[str],
    context: Mapping[str, str] | None = None,
) -> Crash:
    """Run a recipe in a new process that kills itself at ``point``. Blocks until that process is dead.

    Args:
        recipe: the recipe's file.
        point: where to die.
        store: the store's folder.
        project: the project's folder.
        context: variables over the recipe's own.

    Raises:
        RuntimeError: if the runner did not even start its session.
        subprocess.TimeoutExpired: if it neither dies nor ends within :data:`TIMEOUT` seconds.
    """
    settings = [f"--set={name}={value}" for name, value in (context or {}).items()]
    return _crash(["run", os.fspath(recipe), *settings], point, store, project)


def resume_until(
    session_id: str, point: KillPoint, *, store: str | os.PathLike[str], project: str | os.PathLike[str]
) -> Crash:
    """Resume a session in a new process that kills itself at ``point``; see :func:`run_until`."""
    return _crash(["resume", session_id], point, store, project)


def _crash(what: list[str], point: KillPoint, store: str | os.PathLike[str], project: str | os.PathLike[str]) -> Crash:
    command = [sys.executable, "-m", "trio_recipes.testing.crash", "--store", os.fspath(store)]
    command += ["--project", os.fspath(project), "--kill-at", str(point), *what]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as runner:
        try:
            told, _ = runner.communicate(timeout=TIMEOUT)
        except BaseException:
            runner.kill()
            raise
    if not told.strip():
        raise RuntimeError(f"the runner ended with {runner.returncode} before its session began")
    return Crash(told.strip(), runner.pid, runner.returncode == -signal.SIGKILL)


# --- the runner --------------------------------------------------------------------------------------------------


async def _run(asked: argparse.Namespace) -> None:
    kind, _, number = asked.kill_at.rpartition(":")
    observe = KillPoint(kind, int(number)).observer()
    store = open_store(asked.store, durability="process")
    async with open_runtime(store=store, project=asked.project, observe=observe) as runtime:
        if asked.what == "run":
            before, session = 0, await runtime.start(asked.target, dict(item.split("=", 1) for item in asked.set))
        else:
            before = _last_seq(store.file(asked.target))
            session = await runtime.resume(asked.target)
        os.write(1, f"{session.id}\n".encode())
        # What the start itself has made durable was not observed: nobody could have subscribed to it before.
        for stamped in _events(session.log.file, before):
            observe(session.id, stamped)
        await session.wait()


def _last_seq(file: SessionFile) -> int:
    with file.reading() as connection:
        return file.last_seq(connection)


def _events(file: SessionFile, after: int) -> list[Stamped]:
    with file.reading() as connection:
        return [from_row(row) for row in file.rows(connection, after)]


def main() -> None:
    """Run or resume one session, and die on the way."""
    parser = argparse.ArgumentParser(prog="python -m trio_recipes.testing.crash", description=__doc__)
    parser.add_argument("what", choices=("run", "resume"))
    parser.add_argument("target", metavar="RECIPE|SESSION")
    parser.add_argument("--store", required=True)
    parser.add_argument("--project", required=True)
    parser.add_argument("--kill-at", required=True, metavar="KIND:NUMBER")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    trio.run(_run, parser.parse_args())


if __name__ == "__main__":
    main()
