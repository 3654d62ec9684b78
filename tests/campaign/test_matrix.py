"""Every way to ask, at every moment, of every shape of recipe: the request holds, and a resume loses nothing.

{graceful, immediate, grace period} × {plain steps, sequential loop, parallel loop, while, sub-recipe, three levels} ×
{before the start, during the first step, between steps, during a commit, in the last step} × {API, another process,
signal}: 270 cells. Requests from another process are made by the real ``cancel`` command; signals are sent to a real
runner. To be affordable, both come from one process that has imported everything (``zygote.py``).
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field, frozen

from tests.campaign.lab import PATIENCE, Lab, eventually
from tests.campaign.shapes import SHAPES, Shape, every_step_once, last_end, only_steps_started_before
from tests.campaign.zygote import records_end
from trio_recipes import CancellationStatus, Runtime, Session, SessionFinishedError, load_recipe, open_runtime
from trio_recipes.events import Level, Source, Stamped
from trio_recipes.store import session_file
from trio_recipes.testing import assert_no_survivors

LEVELS = ("graceful", "immediate", "grace")
MOMENTS = ("before", "first", "between", "commit", "last")

SHORT, LONG = 0.1, 30.0
"""Grace periods: for steps that are held beyond it, and where they are not."""
NOTICED = "finishing the steps in hand"
"""What a runner tells people when a signal has reached its session."""


@frozen
class Cell:
    """One combination.

    Args:
        shape: of the recipe.
        moment: of the request.
        level: of the request.
    """

    shape: str
    moment: str
    level: str

    @property
    def holds(self) -> bool:
        """Whether steps are in flight, held, at the moment of the request."""
        return self.moment in ("first", "last")

    @property
    def grace(self) -> float | None:
        """The grace period to ask for; where steps are held, it passes."""
        if self.level != "grace":
            return None
        return SHORT if self.holds else LONG

    @property
    def ends(self) -> Level:
        """The level at which the session ends."""
        stops_now = self.level == "immediate" or (self.level == "grace" and self.holds)
        return Level.IMMEDIATE if stops_now else Level.GRACEFUL

    @property
    def too_late(self) -> bool:
        """Whether nothing was left to start, and what was in hand could finish."""
        return self.moment == "last" and self.level == "graceful"

    def held(self, shape: Shape) -> tuple[str, ...]:
        """The steps to hold until the request has been noticed."""
        return {"before": (), "first": shape.first, "last": shape.last}.get(self.moment, shape.next)

    def __str__(self) -> str:
        return f"{self.shape}-{self.moment}-{self.level}"


CELLS = [Cell(shape, moment, level) for shape in SHAPES for moment in MOMENTS for level in LEVELS]
cells = pytest.mark.parametrize("cell", CELLS, ids=str)


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The context that an uninterrupted run of each shape gives."""

    async def run(lab: Lab, shape: Shape) -> dict[str, Any]:
        async with runtime_in(lab) as runtime:
            session = await runtime.start(shape.file)
            return dict((await session.wait()).unwrap())

    labs = {name: Lab(tmp_path_factory.mktemp(name)) for name in SHAPES}
    return {name: trio.run(run, labs[name], make(labs[name])) for name, make in SHAPES.items()}


@asynccontextmanager
async def runtime_in(lab: Lab, **options: Any) -> AsyncGenerator[Runtime]:
    """A runtime of this process; syncing the disk is not the point here."""
    with trio.fail_after(PATIENCE):
        async with open_runtime(store=str(lab.store), project=lab.root, durability="process", **options) as runtime:
            yield runtime


# --- what must hold in every cell --------------------------------------------------------------------------------


async def check(
    lab: Lab, shape: Shape, cell: Cell, session_id: str, sources: set[Source], expected: dict[str, Any]
) -> None:
    """The run has ended: nothing began after the request, the records are right, and a resume does the rest."""
    only_steps_started_before(lab, session_id)
    _check_records(lab, cell, session_id, sources)
    _check_ledger(lab, shape, cell, session_id)
    before, finished = lab.ledger(), lab.finished(session_id)
    lab.release()
    async with runtime_in(lab) as runtime:
        if cell.too_late:
            with pytest.raises(SessionFinishedError):
                await runtime.resume(session_id)
            assert lab.context(session_id) == expected
            return
        session = await runtime.resume(session_id)
        result = await session.wait()
    assert result.unwrap() == expected
    every_step_once(lab, shape, before, finished)
    assert lab.manager.get_cancellation_status(session_id, lab.root) is CancellationStatus.NONE
    assert_no_survivors(session_id)


def _levels(cell: Cell, sources: set[Source]) -> set[Level]:
    """Between steps the first of two signals may end the run before the loop has come to the second."""
    first_may_do = sources == {Source.SIGNAL} and cell.moment == "between"
    return {cell.ends, Level.GRACEFUL} if first_may_do else {cell.ends}


def _check_records(lab: Lab, cell: Cell, session_id: str, sources: set[Source]) -> None:
    ended = last_end(lab, session_id)
    status = lab.manager.get_cancellation_status(session_id, lab.root)
    if cell.too_late:
        assert str(ended.status) == "completed"
        assert status is not CancellationStatus.CANCELLED
    else:
        assert str(ended.status) == "cancelled"
        assert status is CancellationStatus.CANCELLED
        assert ended.cancellation is not None
        assert ended.cancellation.level in _levels(cell, sources)
        expired = cell.level == "grace" and cell.holds
        assert ended.cancellation.source in ({Source.DEADLINE} if expired else sources)
    assert {answer for _, answer in lab.answers(session_id)} <= {"too_late" if cell.too_late else "applied"}


def _check_ledger(lab: Lab, shape: Shape, cell: Cell, session_id: str) -> None:
    begun = {entry.name for entry in lab.ledger()}
    held = {"before": set[str](), "first": {*shape.first}, "last": set(shape.names)}
    assert begun == held.get(cell.moment, begun)
    unfinished = {entry.key for entry in lab.ledger()} - lab.finished(session_id)
    if cell.ends is Level.GRACEFUL:
        assert not unfinished, "a graceful stop let go of a step in hand"
    elif cell.holds:
        assert len(unfinished) == len(shape.first if cell.moment == "first" else shape.last)


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition, as long as the runtime around allows."""
    while not condition():  # noqa: ASYNC110  what is waited for happens in files and other processes
        await trio.sleep(0.003)


# --- a commit that takes its time --------------------------------------------------------------------------------


@define(eq=False)
class SlowCommit:
    """Keeps the transaction that records the end of ``path`` open until told to go on."""

    path: str
    reached: threading.Event = field(factory=threading.Event)
    go: threading.Event = field(factory=threading.Event)

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put it in the way of the store."""
        insert = session_file._insert  # pyright: ignore[reportPrivateUsage]

        def inserted(connection: Any, rows: Any) -> None:
            insert(connection, rows)
            if any(records_end(row[3], row[4], self.path) for row in rows) and not self.reached.is_set():
                self.reached.set()
                assert self.go.wait(PATIENCE)

        monkeypatch.setattr(session_file, "_insert", inserted)


# --- in this process ---------------------------------------------------------------------------------------------

Ask = Callable[[Session], None]
"""Makes the request, and returns once it has been acknowledged."""
AskDuring = Callable[[Session, SlowCommit], Awaitable[None]]
"""Makes the request while a commit is under way, then lets that go on."""


async def run_and_stop(
    lab: Lab, shape: Shape, cell: Cell, ask: Ask, ask_during: AskDuring, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Run in this process, make the request at the cell's moment, and wait for the end."""
    slow = SlowCommit(shape.path)
    if cell.moment == "commit":
        slow.patch(monkeypatch)
    lab.hold(*cell.held(shape))
    box: list[Session] = []

    def observe(_session_id: str, stamped: Stamped) -> None:
        if cell.moment == "between" and records_end(stamped.event.name, stamped.event.path, shape.path):
            ask(box[0])  # nothing else happens in the loop meanwhile: what follows has not been decided

    async with runtime_in(lab, observe=observe) as runtime:
        box.append(session := await runtime.start(shape.file))
        if cell.moment == "commit":
            await until(slow.reached.is_set)
            await ask_during(session, slow)
        elif cell.holds:
            await until(lambda: lab.begun(*cell.held(shape)))
            ask(session)
        elif cell.moment == "before":
            ask(session)  # it has not had its first turn
        await until(lambda: str(session.status) != "running")
        if cell.ends is Level.GRACEFUL:
            lab.release()
        await session.wait()
    return session.id


@cells
async def test_through_the_api(
    lab: Lab, cell: Cell, contexts: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = SHAPES[cell.shape](lab)

    def ask(session: Session) -> None:
        assert session.cancel("enough", immediate=cell.level == "immediate", grace=cell.grace).accepted

    async def ask_during(session: Session, slow: SlowCommit) -> None:  # noqa: ASYNC124  its place is async
        ask(session)
        slow.go.set()

    session_id = await run_and_stop(lab, shape, cell, ask, ask_during, monkeypatch)
    await check(lab, shape, cell, session_id, {Source.API}, contexts[cell.shape])


# --- from another process ----------------------------------------------------------------------------------------


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


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """One for all cells."""
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.campaign.zygote"],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    yield Zygote(process)
    process.communicate(timeout=PATIENCE)


@cells
async def test_from_another_process(
    lab: Lab, cell: Cell, contexts: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, zygote: Zygote
) -> None:
    shape = SHAPES[cell.shape](lab)

    def ask(session: Session) -> None:
        zygote.cancel(lab, session.id, cell)

    async def ask_during(session: Session, slow: SlowCommit) -> None:
        await trio.to_thread.run_sync(zygote.cancel, lab, session.id, cell, slow)

    if cell.moment == "before":
        session_id = await _stop_unstarted(lab, shape, partial(zygote.cancel, lab, cell=cell))
    else:
        session_id = await run_and_stop(lab, shape, cell, ask, ask_during, monkeypatch)
    assert len(lab.answers(session_id)) == 1
    await check(lab, shape, cell, session_id, {Source.USER}, contexts[cell.shape])


async def _stop_unstarted(lab: Lab, shape: Shape, cancel: Callable[[str], None]) -> str:
    """A session that exists and has not begun is asked to stop; whoever begins it then finds the request."""
    session_id = lab.manager.create_session(load_recipe(shape.file), lab.root, shape.file)
    cancel(session_id)
    async with runtime_in(lab) as runtime:
        session = await runtime.resume(session_id)
        await session.wait()
    return session_id


# --- by signals --------------------------------------------------------------------------------------------------


@define(eq=False)
class Forked:
    """A runner that the zygote has forked: the command line's own ``main``."""

    lab: Lab
    zygote: Zygote
    pid: int = 0
    last: signal.Signals = signal.SIGINT

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
        self.last = number
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


@cells
@pytest.mark.slow
def test_by_a_signal(lab: Lab, cell: Cell, contexts: dict[str, dict[str, Any]], zygote: Zygote) -> None:
    shape, runner = SHAPES[cell.shape](lab), Forked(lab, zygote)
    lab.hold(*cell.held(shape))
    runner.start(shape, cell)
    if cell.holds:
        eventually(lambda: lab.begun(*cell.held(shape)))
        runner.send(cell, loop_runs=True)
    else:
        eventually((lab.root / "paused").exists)
        runner.send(cell, loop_runs=cell.moment == "commit")
        runner.go_on()
    if cell.moment == "between":
        eventually(lambda: NOTICED in runner.complaints)
    if cell.ends is Level.GRACEFUL:
        lab.release()

    code = runner.code()
    stopped = 143 if runner.last is signal.SIGTERM else -signal.SIGINT
    assert code == (0 if cell.too_late else stopped), runner.complaints
    (session_id,) = [folder.name for folder in (lab.store / "sessions").iterdir()]
    trio.run(partial(check, lab, shape, cell, session_id, {Source.SIGNAL}, contexts[cell.shape]))
