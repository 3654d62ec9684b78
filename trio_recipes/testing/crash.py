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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio
from attrs import frozen

from trio_recipes.sessions.opening import open_runtime

if TYPE_CHECKING:
    from trio_recipes.events import Stamped


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
    timeout: float = 60.0,
) -> Crash:
    """Run a recipe in a new process that kills itself at ``point``. Blocks until that process is dead.

    Args:
        recipe: the recipe's file.
        point: where to die.
        store: the store's folder.
        project: the project's folder.
        context: variables over the recipe's own.
        timeout: seconds after which something else went wrong.

    Raises:
        RuntimeError: if the runner did not even start its session.
        subprocess.TimeoutExpired: if it neither dies nor ends.
    """
    command = [sys.executable, "-m", "trio_recipes.testing.crash", "--store", os.fspath(store)]
    command += ["--project", os.fspath(project), "--kill-at", str(point)]
    command += [f"--set={name}={value}" for name, value in (context or {}).items()]
    with subprocess.Popen([*command, os.fspath(recipe)], stdout=subprocess.PIPE, text=True) as runner:
        try:
            told, _ = runner.communicate(timeout=timeout)
        except BaseException:
            runner.kill()
            raise
    if not told.strip():
        raise RuntimeError(f"the runner ended with {runner.returncode} before its session began")
    return Crash(told.split()[0], runner.pid, runner.returncode == -signal.SIGKILL)


# --- the runner --------------------------------------------------------------------------------------------------


async def _run(recipe: Path, point: KillPoint, context: Mapping[str, str], options: Mapping[str, Any]) -> None:
    kill = point.observer()
    told: set[str] = set()

    def observe(session_id: str, stamped: Stamped) -> None:
        if session_id not in told:
            told.add(session_id)
            os.write(1, f"{session_id}\n".encode())
        kill(session_id, stamped)

    async with open_runtime(observe=observe, **options) as runtime:
        session = await runtime.start(recipe, context)
        observe(session.id, await _first(session))
        await session.wait()


def main() -> None:
    """Run one recipe, and die on the way."""
    parser = argparse.ArgumentParser(prog="python -m trio_recipes.testing.crash", description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--store", required=True)
    parser.add_argument("--project", required=True)
    parser.add_argument("--kill-at", required=True, metavar="KIND:NUMBER")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    asked = parser.parse_args()
    kind, _, number = asked.kill_at.rpartition(":")
    context = dict(item.split("=", 1) for item in asked.set)
    options = {"store": asked.store, "project": asked.project, "durability": "process"}
    trio.run(partial(_run, asked.recipe, KillPoint(kind, int(number)), context, options))


if __name__ == "__main__":
    main()
