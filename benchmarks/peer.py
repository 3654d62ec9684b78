"""A peer: another project that does the same work, in a process of its own with an interpreter of its own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define, field, frozen

from benchmarks.case import CannotMeasureError
from benchmarks.helper_process import HelperProcess

ASK_SECONDS = 60.0
"""An answer that takes longer is none."""


@frozen
class PeerKind:
    """What can be measured, wherever it is installed.

    Args:
        name: of its measurements.
        environment: which of the environments has it: ``peer-…``.
        flavour: which of its ways it is told to use.
        durable: whether each step is on the disk before the next one begins.
        pause: seconds that it goes on working in the background after it has answered.
    """

    name: str
    environment: str
    flavour: str
    durable: bool = True
    pause: float = 0.0

    def python(self, environments: Path) -> Path:
        """Its interpreter; need not exist."""
        return environments / f"peer-{self.environment}" / "bin" / "python"

    def program(self) -> list[str]:
        """What its interpreter runs."""
        return ["-m", f"benchmarks.peers.on_{self.environment}"]


LANGGRAPH_ASYNC = PeerKind("langgraph-async", "langgraph", "async", durable=False)
KINDS = (
    PeerKind("langgraph", "langgraph", "sync"),
    PeerKind("burr", "burr", "sqlite"),
    PeerKind("dbos", "dbos", "sqlite"),
    LANGGRAPH_ASYNC,
)
RESTLESS = (PeerKind("prefect", "prefect", "files", durable=False, pause=1.0),)
"""Those whose servers are busy with a run long after it: measured last, so that they disturb nobody else."""


@define(eq=False)
class Peer:
    """A peer and its process, which is started when it is first asked, and again after it could not do something.

    Args:
        kind: what it is.
        environments: the folder with environments of peers.
        folder: of the benchmark; all homes and databases of peers lie below it.
        root: of the project.
        about: what it says of itself; known once it runs.
    """

    kind: PeerKind
    environments: Path
    folder: Path
    root: Path
    about: Mapping[str, str] = field(factory=dict)
    _starts: int = 0
    _process: HelperProcess | None = None

    @property
    def title(self) -> str:
        """Its name and version."""
        return self.about.get("version", self.kind.name)

    @property
    def durability(self) -> str:
        """The settings that make its steps durable."""
        return self.about.get("durability", "")

    @property
    def cancelling(self) -> str:
        """How a run of it is cancelled."""
        return self.about.get("cancelling", "")

    @property
    def requesting(self) -> str:
        """How another process cancels a run of it."""
        return self.about.get("requesting", "")

    @property
    def resuming(self) -> str:
        """How a run of it goes on."""
        return self.about.get("resuming", "")

    async def ask(self, case: str, **parameters: Any) -> dict[str, Any]:
        """Have it do something; its answer.

        Raises:
            CannotMeasureError: if it says that it can't, does not answer, or ends. Its process is gone then.
        """
        process = await self.ready()
        async with self._answering():
            await process.say(json.dumps({"case": case, **parameters}))
            return _checked(json.loads(await process.line()))

    async def ready(self) -> HelperProcess:
        """Its process, started with a new database if there is none.

        Raises:
            CannotMeasureError: if it does not start.
        """
        async with self._answering():
            return self._process or await self._start()

    @asynccontextmanager
    async def _answering(self) -> AsyncGenerator[None]:
        """Wait for it no longer than it may take. What fails ends its process: its state is not known any more."""
        answered = False
        try:
            with trio.move_on_after(ASK_SECONDS):  # noqa: ASYNC100  it is the body that waits
                yield
                answered = True
        finally:
            if not answered:
                with trio.move_on_after(10, shield=True):
                    await self.stop()
        if not answered:
            raise CannotMeasureError(f"no answer after {ASK_SECONDS:g} s")

    async def _start(self) -> HelperProcess:
        self._starts += 1
        home = self.folder / f"{self.kind.name}-{self._starts}"
        self._process = await self._started(home, "worker")
        self.about = json.loads(await self._process.line())
        return self._process

    async def request(self, run: str) -> float:
        """Have a second process cancel a run of the first; when that was durable.

        Raises:
            CannotMeasureError: as :meth:`ask`.
        """
        requester = await self._started(self.folder / f"{self.kind.name}-{self._starts}", "requester")
        try:
            async with self._answering():
                await requester.line()
                await requester.say(json.dumps({"case": "request", "run": run}))
                return float(_checked(json.loads(await requester.line()))["durable_at"])
        finally:
            with trio.move_on_after(10, shield=True):
                await requester.stop()

    async def smallest(self) -> float:
        """Seconds of a whole process that runs the smallest run, over a database that is there already.

        Raises:
            CannotMeasureError: if it does not start, fails, or takes too long.
        """
        home = self.folder / f"{self.kind.name}-smallest"
        began = time.perf_counter()
        helper = await self._started(home, "smallest")
        try:
            with trio.move_on_after(ASK_SECONDS):
                if await helper.process.wait() == 0:
                    return time.perf_counter() - began
            raise CannotMeasureError(f"exit code {helper.process.returncode}: {_tail(home / 'log')}")
        finally:
            with trio.move_on_after(10, shield=True):
                await helper.stop()

    async def stop(self) -> None:
        """End its process."""
        process, self._process = self._process, None
        if process is not None:
            await process.stop()

    async def _started(self, home: Path, role: str) -> HelperProcess:
        python = self.kind.python(self.environments)
        if not python.exists():  # noqa: ASYNC240  one file
            raise CannotMeasureError(f"there is no {python}: run `nox -s peers`")
        home.mkdir(exist_ok=True)  # noqa: ASYNC240  one folder
        with (home / "log").open("ab") as log:  # noqa: ASYNC230  one file
            return await HelperProcess.start(self._command(home, role), self.root, self._environment(home), log)

    def _command(self, home: Path, role: str) -> list[str]:
        python = str(self.kind.python(self.environments))
        return [python, *self.kind.program(), str(home), self.kind.flavour, role]

    def _environment(self, home: Path) -> dict[str, str]:
        """Variables of its process: a home of its own, so that nobody's configuration counts."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        return {**kept, "HOME": str(home), "DO_NOT_TRACK": "1"}


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if "cannot" in answer:
        raise CannotMeasureError(answer["cannot"])
    return answer


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-300:]
