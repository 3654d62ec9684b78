"""A leaf's surroundings for tests: a log that keeps what it is told, and a frame with variables."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from tests.processes.helpers import marked_pids, unique_runner
from trio_recipes.events import Event, Output, Resisted, Signalled
from trio_recipes.language.model import Recipe, Step
from trio_recipes.processes import ProcessTrees
from trio_recipes.progress.frame import Frame, SessionFacts, root_frame
from trio_recipes.runtime.ports import Forcible, LeafCall


@define(eq=False)
class Told:
    """A log that only remembers."""

    events: list[Event] = field(factory=list)
    changed: trio.Event = field(factory=trio.Event)

    def emit(self, event: Event) -> int:
        self.events.append(event)
        self.changed.set()
        self.changed = trio.Event()
        return len(self.events)

    async def durable(self, seq: int) -> None:
        await trio.lowlevel.checkpoint()

    def chunks(self, channel: str, *, background: bool = False) -> list[bytes]:
        return [
            event.data
            for event in self.events
            if isinstance(event, Output) and (event.channel, event.background) == (channel, background)
        ]

    def output(self, channel: str, *, background: bool = False) -> bytes:
        return b"".join(self.chunks(channel, background=background))

    async def wait_output(self, channel: str, data: bytes, *, background: bool = False) -> None:
        with trio.fail_after(20):
            while data not in self.output(channel, background=background):
                await self.changed.wait()

    @property
    def signals(self) -> list[str]:
        return [event.signal for event in self.events if isinstance(event, Signalled)]

    @property
    def resisted(self) -> list[str]:
        return [event.what for event in self.events if isinstance(event, Resisted)]


def frame(**variables: Any) -> Frame:
    recipe = Recipe(name="r", description="d", version="1.0.0", orchestrator={"config": {"depth": 1}})
    made = root_frame(recipe, {}, SessionFacts("s1", "2026-01-01T00:00:00Z", "."))
    made.variables.update(variables)
    return made


def leaf(step: Step, log: Told, project: Path | str = ".", *, attempt: int = 1, **variables: Any) -> LeafCall:
    return LeafCall(
        step=step,
        path=step.id,
        frame=frame(**variables),
        attempt=attempt,
        session_id="s1",
        project=str(project),
        log=log,
        forcible=Forcible(),
    )


@asynccontextmanager
async def process_trees() -> AsyncGenerator[ProcessTrees]:
    """The process trees of a runner; nothing of them is left afterwards."""
    runner = unique_runner()
    async with ProcessTrees(runner) as trees:
        yield trees
    assert marked_pids(runner) == []
