"""``--detach``: the run goes on in a process of its own; we return once that owns the session."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from trio_recipes.events import Source
from trio_recipes.frontends.cli.exits import OK
from trio_recipes.frontends.cli.outlet import STDOUT
from trio_recipes.interpreter import python_module

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trio_recipes.sessions.session import Session

LOG_NAME = "detached.log"
_TO = "--detached-to"


def add_detach_options(parser: ArgumentParser) -> None:
    """``--detach``, and what tells the detached process whom to report to."""
    from argparse import SUPPRESS  # noqa: PLC0415  loaded already

    parser.add_argument("--detach", action="store_true", help="run in the background; returns once it has begun")
    parser.add_argument(_TO, type=int, help=SUPPRESS)


def start_detached(options: Namespace) -> int:
    """Start ourselves again, apart from this terminal, and wait until the session has an owner.

    Returns:
        0 then; otherwise the exit code of the process that could not begin, which has said why on stderr.
    """
    from trio_recipes.processes.marks import detached  # noqa: PLC0415  loads trio

    arguments = [argument for argument in options.arguments if argument != "--detach"]
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [*python_module("trio_recipes"), *arguments, _TO, str(writer)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=detached(os.environ),
        start_new_session=True,
        pass_fds=[writer],
    )
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as report:
        session_id = report.read()
    if not session_id:
        return process.wait()
    _say(session_id, process.pid, options)
    process.returncode = OK  # it runs on, on purpose: no warning about that
    return OK


def _say(session_id: str, pid: int, options: Namespace) -> None:
    if options.json:
        STDOUT.line(f'{{"event":"session_started","session_id":"{session_id}"}}')
        return
    STDOUT.line(f"session {session_id} runs in the background (process {pid})")
    STDOUT.line(f"watch it: trio-recipes watch {session_id}; stop it: trio-recipes cancel {session_id}")


def hand_over(session: Session, fd: int | None) -> None:
    """In the detached process: print to a log from now on, and tell our starter which session we own."""
    if fd is None:
        return
    folder = session.log.file.layout.session(session.id)
    log = os.open(folder / LOG_NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    try:
        os.write(fd, session.id.encode())
    except OSError:  # stopped while it waited: so nobody wants this run
        session.cancel("its starter was stopped before it had begun", source=Source.SIGNAL)
    os.close(fd)
