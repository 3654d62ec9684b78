"""Runner processes by the hundred: forked from one that has imported everything, so that each starts in milliseconds.

>>> with Forks("trio_recipes.__main__:main") as forks:
...     runner = forks.start(["run", "recipe.yaml"], folder=project)
...     code = forks.wait(runner)

Each is a process like any other: a session of its own, no task and no thread inherited, output in a file of its own.
The server (``python -m trio_recipes.testing.forks``) reads one JSON object a line, and answers with one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import IO, Any, Self, cast

from attrs import field

from trio_recipes.classes import define, frozen

CRASHED = 70
"""The exit code of a runner that raised."""


@frozen
class Fork:
    """A process that was started.

    Args:
        pid: its id; it is not reaped before :meth:`Forks.wait`, so that the id stays its own.
        out: the file with what it prints, to both streams.
    """

    pid: int
    out: Path

    @property
    def text(self) -> str:
        """What it has printed so far."""
        return self.out.read_text(encoding="utf-8", errors="replace")


@define(eq=False)
class Forks:
    """Starts processes that run one function with arguments of their own. Use it as a context manager.

    Args:
        target: the function, as ``package.module:function``; it finds its arguments in ``sys.argv``.
    """

    target: str
    _server: subprocess.Popen[str] = field(init=False)
    _outputs: TemporaryDirectory[str] = field(init=False)
    _running: dict[int, Fork] = field(factory=dict, init=False)
    _started: int = field(default=0, init=False)

    def __enter__(self) -> Self:
        self._outputs = TemporaryDirectory(prefix="trio-recipes-forks-")
        command = [sys.executable, "-m", "trio_recipes.testing.forks", self.target]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_exc: object) -> None:
        for fork in [*self._running.values()]:
            os.kill(fork.pid, 9)
            self.wait(fork)
        self._server.communicate()
        self._outputs.cleanup()

    def start(
        self,
        arguments: Sequence[str],
        *,
        folder: str | os.PathLike[str],
        env: Mapping[str, str] = MappingProxyType({}),
    ) -> Fork:
        """Start one more.

        Args:
            arguments: what it finds in ``sys.argv[1:]``.
            folder: where it works.
            env: variables over those of this process.

        Raises:
            RuntimeError: if the server has ended: ``target`` can't be imported, say.
        """
        self._started += 1
        out = Path(self._outputs.name) / f"{self._started}.out"
        out.touch(mode=0o600)
        asked = {"start": [*arguments], "folder": os.fspath(folder), "env": {**env}, "out": os.fspath(out)}
        fork = Fork(int(self._ask(asked)["pid"]), out)
        self._running[fork.pid] = fork
        return fork

    def wait(self, fork: Fork) -> int:
        """Wait for its end and reap it; returns the exit code, negative for a signal. Unbounded."""
        code = int(self._ask({"wait": fork.pid})["code"])
        self._running.pop(fork.pid, None)
        return code

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with suppress(BrokenPipeError):  # its end is told below
            print(json.dumps(request), file=self._server.stdin, flush=True)
        answer = self._server.stdout.readline()
        if not answer:
            raise RuntimeError(f"the server of {self.target} has ended with {self._server.wait()}")
        return cast(dict[str, Any], json.loads(answer))


# --- the server --------------------------------------------------------------------------------------------------


def serve(target: str, requests: IO[str], answers: IO[str]) -> None:
    """Answer requests until there are no more."""
    module, _, name = target.partition(":")
    function = getattr(import_module(module), name)
    for line in requests:
        asked = json.loads(line)
        if "wait" in asked:
            answer = {"code": os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1])}
        else:
            answer = {"pid": os.fork() or _be(function, asked)}
        print(json.dumps(answer), file=answers, flush=True)


def _be(function: Any, asked: dict[str, Any]) -> int:
    """Be a runner; never returns."""
    code = CRASHED
    try:
        os.setsid()
        os.chdir(asked["folder"])
        os.environ.update(asked["env"])
        _redirect(0, os.devnull)
        _redirect(1, asked["out"])
        os.dup2(1, 2)
        sys.argv = ["trio-recipes", *asked["start"]]
        code = function() or 0
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else 0
    except BaseException:  # noqa: ASYNC103  a process of its own: nobody above could hear of it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(fd: int, file: str) -> None:
    opened = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    os.dup2(opened, fd)
    os.close(opened)


def main() -> None:
    """Serve on the standard streams; what a runner prints goes elsewhere."""
    serve(sys.argv[1], sys.stdin, sys.stdout)


if __name__ == "__main__":
    main()
