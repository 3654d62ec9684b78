"""What has to be known of a peer: how it runs the same work, and how it stops it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.peers.work import Ticks, Waiting


class CannotError(Exception):
    """The peer can't do this; the text says what was seen."""


class Engine(ABC):
    """One peer in this process. Every run has an id and is a coroutine that ends with the run.

    Args:
        folder: for its database.
        flavour: which of its ways to use, if it has several.
    """

    def __init__(self, folder: Path, flavour: str) -> None:
        self.folder = folder
        self.flavour = flavour
        self.ticks = Ticks()
        self.waiting = Waiting()
        self.names: dict[str, str] = {}
        """What the peer itself calls a run, where that is not our id."""

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """Have its database open."""
        yield

    @abstractmethod
    async def about(self) -> dict[str, str]:
        """Its ``version``, and how it does things: ``durability``, ``cancelling``, ``requesting``, ``resuming``."""

    @abstractmethod
    async def run_steps(self, run: str, count: int) -> None:
        """Run ``count`` ticks, one after the other, each of them durable before the next."""

    @abstractmethod
    async def run_parallel(self, run: str, count: int) -> None:
        """Run ``count`` ticks at once, each of them durable."""

    @abstractmethod
    async def run_waiting(self, run: str, count: int) -> None:
        """Run ``count`` steps at once that wait until they are cancelled."""

    @abstractmethod
    async def run_shell(self, run: str, command: str) -> None:
        """Run one step that runs a shell command."""

    @abstractmethod
    async def run_long(self, run: str, count: int) -> None:
        """Run ``count`` ticks, one after the other, and then a step that waits until it is cancelled."""

    @abstractmethod
    async def resume_long(self, run: str, count: int) -> None:
        """Go on with a run of :meth:`run_long` that was cancelled in its last step."""

    async def cancel(self, run: str, task: asyncio.Task[None]) -> None:
        """Stop a run of this process at once; by its task, where the peer leaves that to asyncio."""
        task.cancel()

    async def request(self, run: str) -> None:
        """Have another process stop a run."""
        raise CannotError("it has no means to cancel a run of another process")
