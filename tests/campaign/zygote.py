"""A process with everything imported, which forks runners and runs commands: real processes without the start-up.

It reads one JSON object a line on its standard input and answers with one a line:

    {"cancel": [argument, …]}    runs the real ``cancel`` command: first {"asking": true}, then {"code": …}
    {"run": [argument, …], "out": …, "err": …, "folder": …, "pause": {…}}    forks a runner: {"pid": …}
    {"wait": pid}                {"code": …}, negative for a signal

A forked runner is the command line's own ``main``, in a session of its own. ``pause`` stops it at one moment, until
the file ``go`` is there: {"at": "create"} before its session is made, {"at": "commit", "path": …} inside the
transaction that records the end of that step, {"at": "between", "path": …} right after that transaction.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from trio_recipes.__main__ import main as command_line
from trio_recipes.frontends.cli import execution
from trio_recipes.frontends.cli.main import main
from trio_recipes.sessions import opening, runtime
from trio_recipes.store import journal, records

IMPORTED: Final = (execution, opening, runtime)
"""What ``run`` would import when it runs."""


def serve() -> None:
    """Answer until the standard input ends."""
    answers = os.dup(1)
    os.set_inheritable(answers, False)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)

    def say(**fields: Any) -> None:
        os.write(answers, f"{json.dumps(fields)}\n".encode())

    for line in sys.stdin:
        asked = json.loads(line)
        if "cancel" in asked:
            say(asking=True)
            say(code=main(["cancel", *asked["cancel"]]))
        elif "wait" in asked:
            say(code=os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1]))
        else:
            pid = os.fork()
            if not pid:
                os.close(answers)
                run(asked)
            say(pid=pid)


def run(asked: dict[str, Any]) -> None:
    """Be a runner; never returns."""
    code = 70
    try:
        os.setsid()
        os.chdir(asked["folder"])
        for fd, name in ((0, os.devnull), (1, asked["out"]), (2, asked["err"])):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), fd)
        sys.argv = ["trio-recipes", *asked["run"]]
        pause(Path(asked["folder"]), **asked["pause"])
        command_line()
    except SystemExit as leave:
        code = int(leave.code or 0)
    finally:
        os._exit(code)


def pause(folder: Path, at: str = "", path: str = "") -> None:
    """Arrange for the pause that the test asked for."""

    def stop() -> None:
        (folder / "paused").touch()
        while not (folder / "go").exists():
            time.sleep(0.001)

    if at == "create":
        runtime.__dict__["create"] = before(stop, runtime.__dict__["create"])
    elif at == "commit":
        records.add_events = after_record(stop, path, records.add_events)
    elif at == "between":
        commit = journal.SessionLog._committed  # pyright: ignore[reportPrivateUsage]

        def committed(self: journal.SessionLog, batch: Any) -> None:
            if any(records_end(stamped.event.name, stamped.event.path, path) for stamped in batch.events):
                stop()
            commit(self, batch)

        journal.SessionLog._committed = committed  # type: ignore[method-assign]


def before(stop: Callable[[], None], function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, with a pause before it."""

    def paused(*args: Any) -> Any:
        stop()
        return function(*args)

    return paused


def after_record(stop: Callable[[], None], path: str, add_events: Callable[..., None]) -> Callable[..., None]:
    """The store's insertion of rows, with a pause when the end of ``path`` has been inserted and not committed."""

    def added(connection: Any, session_id: str, rows: Any, *, count: bool) -> None:
        rows = list(rows)
        add_events(connection, session_id, rows, count=count)
        if any(records_end(row[3], row[4], path) for row in rows):
            stop()

    return added


def records_end(event: str, at: str, path: str) -> bool:
    """Whether an event is the end of the step at ``path``."""
    return (event, at) == ("scope_finished", path)


if __name__ == "__main__":
    serve()
