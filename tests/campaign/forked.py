"""The other process of a test: it makes requests by the real ``cancel`` command, and forks runners to be signalled."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from pathlib import Path
from typing import Any

from attrs import define, field

from tests.campaign.cells import Cell
from tests.campaign.lab import PATIENCE, Lab, eventually
from tests.campaign.shapes import Shape
from tests.campaign.slow_commit import SlowCommit

NOTICED = "finishing the steps in hand"
"""What a runner tells people when a signal has reached its session."""


@define(eq=False)
class Zygote:
    """The other process: runs ``cancel`` for us, and forks runners."""

    process: subprocess.Popen[str]
    _read: bytes = b""

    def ask(self, **what: Any) -> dict[str, Any]:
        """Have it do something and wait for its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{json.dumps(what)}\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """Its next answer."""
        assert self.process.stdout is not None
        while b"\n" not in self._read:
            ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
            assert ready, "the other process does not answer"
            self._read += os.read(self.process.stdout.fileno(), 65536)
        line, _, self._read = self._read.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def cancel(self, lab: Lab, session_id: str, cell: Cell, during: SlowCommit | None = None) -> None:
        """Run the ``cancel`` command; with a commit under way, let that go on once the command has begun."""
        options = [session_id, "--store", str(lab.store)]
        options += ["--immediate"] if cell.level == "immediate" else []
        options += ["--grace", str(cell.grace)] if cell.grace is not None else []
        self.ask(cancel=options)
        if during is not None:
            during.go.set()
        assert self.answer() == {"code": 0}


@define(eq=False)
class Forked:
    """A runner that the zygote has forked: the command line's own ``main``."""

    lab: Lab
    zygote: Zygote
    pid: int = 0
    sent: list[signal.Signals] = field(factory=list)

    def start(self, shape: Shape, cell: Cell) -> None:
        """Start it, to be paused at the cell's moment."""
        moments = {"before": "create", "between": "between", "commit": "commit"}
        pause = {"at": moments[cell.moment], "path": shape.path} if cell.moment in moments else {}
        arguments = ["run", str(shape.file), "--json", "--store", str(self.lab.store), "--durability", "process"]
        arguments += ["--grace", str(cell.grace)] if cell.grace is not None else []
        out, err = str(self.lab.root / "out"), str(self.lab.root / "err")
        self.pid = self.zygote.ask(run=arguments, out=out, err=err, folder=str(self.lab.root), pause=pause)["pid"]

    def send(self, cell: Cell, *, loop_runs: bool) -> None:
        """Ctrl+C; Ctrl+C twice, or with SIGTERM where two of the same kind would be one; SIGTERM with its grace."""
        if cell.level == "grace":
            self._signal(signal.SIGTERM)
        else:
            self._signal(signal.SIGINT)
        if loop_runs:
            eventually(lambda: NOTICED in self.complaints)
        if cell.level == "immediate":
            self._signal(signal.SIGINT if loop_runs else signal.SIGTERM)
        if loop_runs and cell.level == "immediate":
            eventually(lambda: "stopping now" in self.complaints)

    def _signal(self, number: signal.Signals) -> None:
        self.sent.append(number)
        os.kill(self.pid, number)
        pending = ("SigPnd:\t" + "0" * 16, "ShdPnd:\t" + "0" * 16)
        eventually(lambda: all(line in Path(f"/proc/{self.pid}/status").read_text() for line in pending))

    @property
    def complaints(self) -> str:
        """What it tells people."""
        return (self.lab.root / "err").read_text()

    def go_on(self) -> None:
        """End the pause."""
        (self.lab.root / "go").touch()

    def code(self) -> int:
        """Wait for its end."""
        return int(self.zygote.ask(wait=self.pid)["code"])
