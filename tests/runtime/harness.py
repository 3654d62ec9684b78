"""Runs recipes through the real engine in memory: fake leaves, virtual time; and checks what must always hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import trio
from attrs import define, field

from trio_recipes.events import (
    AttemptStarted,
    Cancellation,
    CancelRequested,
    Event,
    Level,
    RunEnded,
    RunStarted,
    ScopeFinished,
    ScopeStarted,
    ScopeStatus,
    SessionStatus,
    Source,
    Stamped,
    Waiting,
    WorkEnded,
)
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.language.load import parse_recipe
from trio_recipes.language.model import BashStep, Recipe
from trio_recipes.progress.asks import NeedRecipe
from trio_recipes.progress.fold import Progress, fold
from trio_recipes.progress.frame import SessionFacts, root_frame
from trio_recipes.progress.path import contains, reaches
from trio_recipes.progress.replay import Replay
from trio_recipes.runtime.context import RunContext
from trio_recipes.runtime.drive import Driver
from trio_recipes.runtime.engine import Engine
from trio_recipes.runtime.ports import LeafCall, LeafRunner, Reply
from trio_recipes.runtime.scope import ScopeTree
from trio_recipes.values import Value

FACTS = SessionFacts("s-1", "2026-01-01T00:00:00Z", "/project")

Act = Callable[[LeafCall], Awaitable[Reply]]


def recipe(body: str, name: str = "r", head: str = "") -> Recipe:
    """A recipe with the given ``steps:`` or ``stages:``."""
    return parse_recipe(f"name: {name}\ndescription: d\nversion: 1.0.0\n{head}\n{body}")


# --- leaves ------------------------------------------------------------------------------------------------------


def said(call: LeafCall) -> Value:
    """What a bash step's fake leaf results in: its command, rendered."""
    assert isinstance(call.step, BashStep)
    return call.step.command.render(call.frame.variables)


def takes(seconds: float) -> Act:
    """A leaf that waits, then says its command."""

    async def act(call: LeafCall) -> Reply:
        await trio.sleep(seconds)
        return Reply(value=said(call))

    return act


def fails(times: int = 1000, seconds: float = 1.0) -> Act:
    """A leaf that fails its first ``times`` attempts."""

    async def act(call: LeafCall) -> Reply:
        await trio.sleep(seconds)
        if call.attempt <= times:
            return Reply(failure=Failure(FailureKind.FUNCTION, f"attempt {call.attempt} failed"))
        return Reply(value=said(call))

    return act


def swallows() -> Act:
    """A badly behaved leaf: when it is cancelled it returns as if it had finished."""

    async def act(_call: LeafCall) -> Reply:
        with suppress(trio.Cancelled):
            await trio.sleep_forever()
        return Reply(value="half done")

    return act


class Leaves:
    """Performs leaves by a script of paths or step ids, and remembers which began, returned and are running.

    ``begun`` holds, for each, how many events there were: what an order between leaves and events is checked by.
    """

    def __init__(self, log: MemoryLog, script: Mapping[str, Act], default: Act) -> None:
        self.log, self.script, self.default = log, script, default
        self.begun: list[tuple[int, str]] = []
        self.returned: list[str] = []
        self.running: list[str] = []

    async def __call__(self, call: LeafCall) -> Reply:
        act = self.script.get(call.path) or self.script.get(call.step.id) or self.default
        self.begun.append((len(self.log.events), call.path))
        self.running.append(call.path)
        try:
            reply = await act(call)
        finally:
            self.running.remove(call.path)
        self.returned.append(call.path)
        return reply


# --- the world ---------------------------------------------------------------------------------------------------


@define(eq=False)
class MemoryLog:
    """A log that is durable as soon as the loop has turned once."""

    events: list[Stamped] = field(factory=list)
    run: int = 0
    on_emit: Callable[[Event], None] = lambda _event: None
    commit: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint

    def emit(self, event: Event) -> int:
        self.events.append(Stamped(len(self.events) + 1, self.run, round(trio.current_time() * 1e6), event))
        self.on_emit(event)
        return len(self.events)

    async def durable(self, seq: int) -> None:
        assert 0 < seq <= len(self.events)
        await self.commit()


@define(eq=False)
class Recipes:
    """Sub-recipes by the name that steps call them by."""

    by_name: Mapping[str, Recipe]

    def known(self, ask: NeedRecipe) -> Recipe | None:
        return self.by_name.get(ask.name)

    async def obtain(self, ask: NeedRecipe) -> Recipe | Failure:
        await trio.lowlevel.checkpoint()
        return Failure(FailureKind.TEMPLATE, f"no recipe {ask.name}", retryable=False)


@define(eq=False)
class World:
    """One session in memory: any number of runs over one list of events.

    Args:
        recipe: the root.
        script: leaves by path or step id.
        recipes: sub-recipes by name.
        context: the caller's variables.
    """

    recipe: Recipe
    script: Mapping[str, Act] = field(factory=dict)
    recipes: Mapping[str, Recipe] = field(factory=dict)
    context: Mapping[str, Any] = field(factory=dict)
    log: MemoryLog = field(factory=MemoryLog)
    default: Act = field(factory=lambda: takes(1))

    engine: Engine = field(init=False)
    leaves: Leaves = field(init=False)

    def prepare(self) -> Engine:
        """The engine of the next run."""
        self.log.run += 1
        self.log.emit(RunStarted(runner="r", host="h", pid=1))
        self.leaves = Leaves(self.log, self.script, self.default)
        progress = self.progress
        known = Recipes(self.recipes)
        kinds: dict[str, LeafRunner] = dict.fromkeys(("bash", "agent", "function"), self.leaves)
        replay = Replay(progress, known.known)
        run = RunContext(FACTS.id, FACTS.project, ScopeTree(), self.log, progress, replay, known, kinds)
        self.engine = Engine(Driver(run), root_frame(self.recipe, self.context, FACTS))
        return self.engine

    async def run(self, *requests: tuple[float, Cancellation]) -> RunEnded:
        """One more run, with requests delivered at their moments (seconds of virtual time)."""
        engine = self.prepare()
        async with trio.open_nursery() as nursery:
            for after, cancellation in requests:
                if after <= 0:
                    engine.deliver(cancellation)
                else:
                    nursery.start_soon(self.deliver_after, after, cancellation)
            ended = await engine.run()
            nursery.cancel_scope.cancel()
        return self.end(ended)

    async def run_in_host(self, seconds: float, *requests: tuple[float, Cancellation]) -> RunEnded:
        """One more run, in a host whose scope is cancelled after ``seconds`` (0: before it begins)."""
        engine, ends = self.prepare(), list[RunEnded]()
        async with trio.open_nursery() as nursery:
            for after, cancellation in requests:
                nursery.start_soon(self.deliver_after, after, cancellation)
            with trio.move_on_after(seconds):
                ends.append(await engine.run())
        return self.end(ends[0])

    def end(self, ended: RunEnded) -> RunEnded:
        """Record the terminal event, as a session does, and check the run."""
        self.log.emit(ended)
        EventChecker(self).check()
        return ended

    async def deliver_after(self, after: float, cancellation: Cancellation) -> None:
        await trio.sleep(after)
        self.engine.deliver(cancellation)

    @property
    def progress(self) -> Progress:
        return fold(self.log.events)

    @property
    def variables(self) -> dict[str, Value]:
        return self.engine.frame.variables

    def of(self, kind: type[Event]) -> list[Any]:
        """Events of one kind in the last run."""
        return [s.event for s in self.log.events if isinstance(s.event, kind) and s.run == self.log.run]

    def finished(self, path: str) -> ScopeFinished:
        """How a scope ended in the last run."""
        (found,) = [event for event in self.of(ScopeFinished) if event.path == path]
        assert isinstance(found, ScopeFinished)
        return found

    def statuses(self) -> dict[str, str]:
        """How each scope stands, by path."""
        return {path: str(record.status) for path, record in self.progress.records.items()}


def graceful(at: str = "", **more: Any) -> Cancellation:
    return Cancellation(Level.GRACEFUL, Source.USER, at=at, **more)


def immediate(at: str = "", **more: Any) -> Cancellation:
    return Cancellation(Level.IMMEDIATE, Source.USER, at=at, **more)


# --- what must always hold ---------------------------------------------------------------------------------------


class EventChecker:
    """What must always hold, as far as the last run's events show it by themselves."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.events = [s for s in world.log.events if s.run == world.log.run]

    def check(self) -> None:
        self.numbered_without_gaps()
        self.ends_once_and_last()
        self.each_scope_ends_once_inside_its_parent()
        self.cancellations_say_who()
        self.nothing_starts_below_a_cancelled_scope()
        self.an_immediate_stop_keeps_no_result()
        assert self.world.leaves.running == []

    def numbered_without_gaps(self) -> None:
        assert [s.seq for s in self.world.log.events] == list(range(1, len(self.world.log.events) + 1))

    def ends_once_and_last(self) -> None:
        assert [type(s.event) for s in self.events if isinstance(s.event, (RunStarted, RunEnded))] == [
            RunStarted,
            RunEnded,
        ]
        assert isinstance(self.events[-1].event, RunEnded)
        assert len([event for event in self.world.of(WorkEnded) if event.path == ""]) <= 1

    def each_scope_ends_once_inside_its_parent(self) -> None:
        open_paths: set[str] = set()
        for stamped in self.events:
            event = stamped.event
            if isinstance(event, ScopeStarted):
                assert event.path not in open_paths
                assert not event.path or "" in open_paths
                open_paths.add(event.path)
            elif isinstance(event, ScopeFinished):
                open_paths.remove(event.path)
                below = [path for path in open_paths if contains(event.path, path)]
                assert not below, f"{event.path} ended before {below}"
            elif isinstance(event, Waiting) and event.what == "approval":  # the run pauses there
                open_paths.remove(event.path)
        assert not open_paths

    def cancellations_say_who(self) -> None:
        for event in self.world.of(ScopeFinished):
            if event.status is ScopeStatus.CANCELLED:
                assert event.cancellation is not None, event.path
                assert not event.handled
                assert event.value is None
        (ended,) = self.world.of(RunEnded)
        assert (ended.status is SessionStatus.CANCELLED) == (ended.cancellation is not None)

    def nothing_starts_below_a_cancelled_scope(self) -> None:
        starts = list(self.world.leaves.begun)
        starts += [(s.seq, s.event.path) for s in self.events if isinstance(s.event, AttemptStarted)]
        for asked in self._requests():
            late = [path for seq, path in starts if seq >= asked.seq and reaches(_at(asked), path)]
            assert not late, f"{late} began after {asked.event}"

    def an_immediate_stop_keeps_no_result(self) -> None:
        for asked in self._requests():
            at, level = _at(asked), asked.event.cancellation.level  # type: ignore[attr-defined]
            if level is not Level.IMMEDIATE:
                continue
            for stamped in self.events:
                event = stamped.event
                if isinstance(event, ScopeFinished) and stamped.seq > asked.seq and reaches(at, event.path):
                    assert event.value is None, event.path

    def _requests(self) -> Iterable[Stamped]:
        return [s for s in self.events if isinstance(s.event, CancelRequested)]


def _at(asked: Stamped) -> str:
    assert isinstance(asked.event, CancelRequested)
    return asked.event.cancellation.at


def runs_of(world: World) -> Counter[str]:
    """How often each leaf completed, over all runs."""
    finished = [s.event for s in world.log.events if isinstance(s.event, ScopeFinished)]
    leaves = {s.event.path for s in world.log.events if isinstance(s.event, ScopeStarted) and s.event.kind == "bash"}
    return Counter(e.path for e in finished if e.status is ScopeStatus.COMPLETED and e.path in leaves)
