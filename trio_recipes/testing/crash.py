"""Killing a runner at a chosen moment: what a power cut or ``kill -9`` leaves, on demand and repeatable.

>>> crash = run_until("recipe.yaml", kill_at("scope_finished", 2), store=store, project=project)
>>> crash.session_id, crash.was_killed

The runner is a process of its own (``python -m trio_recipes.testing.crash``) that dies at a *moment*
(:mod:`trio_recipes.testing.moments`): when its n-th event of one kind has become durable, after some time, within a
transaction, or in the middle of a write. With :data:`runners` it is forked, which makes campaigns of hundreds cheap.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio
from attrs import field

from trio_recipes.classes import frozen
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.sessions.policy import Policy
from trio_recipes.store.base import open_store
from trio_recipes.store.codec import from_row
from trio_recipes.testing.forks import Forks
from trio_recipes.testing.moments import DEADLY, KillPoint, Moment, kill_at, moment_from

if TYPE_CHECKING:
    from trio_recipes.events import Stamped
    from trio_recipes.store.session_file import SessionFile

__all__ = ["Crash", "CrashLab", "KillPoint", "kill_at", "resume_until", "run_until", "runners"]

TIMEOUT: Final = 60.0
"""Seconds after which a runner that should have died or ended has not."""


@frozen
class Crash:
    """What became of a runner.

    Args:
        session_id: its session; empty if it died before it could tell.
        pid: of the runner that is no more.
        was_killed: False if the run ended before its moment came.
        output: what it printed besides, for messages.
    """

    session_id: str
    pid: int
    was_killed: bool
    output: str = field(default="", repr=False)


def runners() -> Forks:
    """What runners are forked from, for ``CrashLab(forks=…)``. Use it as a context manager."""
    return Forks("trio_recipes.testing.crash:main")


@frozen
class CrashLab:
    """Where runners work.

    Args:
        store: the store's folder.
        project: the project's folder, where functions are imported from, too.
        agents: an agents file, or None for what the project says.
        env: variables over those of this process, such as secrets.
        forks: from :func:`runners`; a new interpreter for each runner if None.
    """

    store: Path = field(converter=Path)
    project: Path = field(converter=Path)
    agents: Path | None = None
    env: Mapping[str, str] = field(factory=dict)
    forks: Forks | None = None

    def run(self, recipe: str | os.PathLike[str], moment: Moment, context: Mapping[str, str] | None = None) -> Crash:
        """Run a recipe in a process that dies at ``moment``. Blocks until that process is dead or has ended.

        Raises:
            RuntimeError: if the runner did not even start its session, for another reason than ``moment``.
            subprocess.TimeoutExpired: if it neither dies nor ends within :data:`TIMEOUT` seconds (not if forked).
        """
        settings = [f"--set={name}={value}" for name, value in (context or {}).items()]
        return self._crash(["run", os.fspath(recipe), *settings], moment)

    def resume(self, session_id: str, moment: Moment) -> Crash:
        """Resume a session in a process that dies at ``moment``; see :meth:`run`."""
        return self._crash(["resume", session_id], moment)

    def _crash(self, what: list[str], moment: Moment) -> Crash:
        arguments = ["--store", str(self.store), "--project", str(self.project), "--kill-at", str(moment), *what]
        if self.agents is not None:
            arguments = ["--agents", str(self.agents), *arguments]
        pid, code, told = self._forked(arguments, self.forks) if self.forks else self._spawned(arguments)
        first, _, rest = told.partition("\n")
        killed = -code in DEADLY
        if not killed and not first.startswith(_SESSION):
            raise RuntimeError(f"the runner ended with {code} before its session began: {told}")
        session_id = first.removeprefix(_SESSION) if first.startswith(_SESSION) else ""
        return Crash(session_id, pid, killed, rest if session_id else told)

    def _forked(self, arguments: list[str], forks: Forks) -> tuple[int, int, str]:
        fork = forks.start(arguments, folder=self.project, env=self.env)
        return fork.pid, forks.wait(fork), fork.text

    def _spawned(self, arguments: list[str]) -> tuple[int, int, str]:
        command = [sys.executable, "-m", "trio_recipes.testing.crash", *arguments]
        env = {**os.environ, **self.env}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) as runner:
            try:
                told, _ = runner.communicate(timeout=TIMEOUT)
            except BaseException:
                runner.kill()
                raise
        return runner.pid, runner.returncode, told


def run_until(
    recipe: str | os.PathLike[str],
    point: Moment,
    *,
    store: str | os.PathLike[str],
    project: str | os.PathLike[str],
    context: Mapping[str, str] | None = None,
) -> Crash:
    """Run a recipe in a new process that dies at ``point``. Blocks until that process is dead, or has ended.

    Args:
        recipe: the recipe's file.
        point: when to die.
        store: the store's folder.
        project: the project's folder.
        context: variables over the recipe's own.

    Raises:
        RuntimeError: if the runner did not even start its session, for another reason than ``point``.
        subprocess.TimeoutExpired: if it neither dies nor ends within :data:`TIMEOUT` seconds.
    """
    return CrashLab(store, project).run(recipe, point, context)


def resume_until(
    session_id: str, point: Moment, *, store: str | os.PathLike[str], project: str | os.PathLike[str]
) -> Crash:
    """Resume a session in a new process that dies at ``point``; see :func:`run_until`."""
    return CrashLab(store, project).resume(session_id, point)


# --- the runner --------------------------------------------------------------------------------------------------

_SESSION: Final = "session "


async def _run(asked: argparse.Namespace, moment: Moment) -> None:
    observe = moment.observer()
    store = open_store(asked.store, durability="process")
    async with open_runtime(
        store=store, project=asked.project, agents=asked.agents, policy=Policy(functions="any"), observe=observe
    ) as runtime:
        if asked.what == "run":
            before, session = 0, await runtime.start(asked.target, dict(item.split("=", 1) for item in asked.set))
        else:
            before = _last_seq(store.file(asked.target))
            session = await runtime.resume(asked.target)
        os.write(1, f"{_SESSION}{session.id}\n".encode())
        # What the start itself has made durable was not observed: nobody could have subscribed to it before.
        if observe is not None:
            for stamped in _events(session.log.file, before):
                observe(session.id, stamped)
        result = await session.wait()
        if result.error:
            os.write(1, f"{type(result.error).__name__}: {result.error}\n".encode())


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
    parser.add_argument("--agents")
    parser.add_argument("--kill-at", required=True, metavar="MOMENT", type=moment_from, help="such as scope_finished:2")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    asked = parser.parse_args()
    sys.path.append(asked.project)
    asked.kill_at.arm()
    trio.run(_run, asked, asked.kill_at)


if __name__ == "__main__":
    main()
