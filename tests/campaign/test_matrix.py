"""Every way to ask, at every moment, of every shape of recipe: the request holds, and a resume loses nothing.

{graceful, immediate, grace period} × {plain steps, sequential loop, parallel loop, while, sub-recipe, three levels} ×
{before the start, during the first step, between steps, during a commit, in the last step} × {API, another process,
signal}: 270 cells. Requests from another process are made by the real ``cancel`` command; signals are sent to a real
runner. To be affordable, both come from one process that has imported everything (``zygote.py``).
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.campaign.cells import CELLS, Cell
from tests.campaign.forked import NOTICED, Forked, Zygote
from tests.campaign.lab import PATIENCE, Lab, eventually
from tests.campaign.shapes import SHAPES, Shape, every_step_once, last_end, only_steps_started_before
from tests.campaign.slow_commit import SlowCommit
from tests.campaign.zygote import records_end
from trio_recipes import CancellationStatus, Session, SessionFinishedError, load_recipe
from trio_recipes.events import Level, Source, Stamped
from trio_recipes.testing import assert_no_survivors

cells = pytest.mark.parametrize("cell", CELLS, ids=str)


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The context that an uninterrupted run of each shape gives."""

    async def run(lab: Lab, shape: Shape) -> dict[str, Any]:
        async with lab.runtime() as runtime:
            session = await runtime.start(shape.file)
            return dict((await session.wait()).unwrap())

    labs = {name: Lab(tmp_path_factory.mktemp(name)) for name in SHAPES}
    return {name: trio.run(run, labs[name], make(labs[name])) for name, make in SHAPES.items()}


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
    async with lab.runtime() as runtime:
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

    async with lab.runtime(observe=observe) as runtime:
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
    async with lab.runtime() as runtime:
        session = await runtime.resume(session_id)
        await session.wait()
    return session_id


# --- by signals --------------------------------------------------------------------------------------------------


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
    # While the loop stands still, the second signal may interrupt Python's handler of the first and be taken before it.
    stopped_by = runner.sent if cell.moment in {"before", "between"} else runner.sent[-1:]
    codes = {143 if number is signal.SIGTERM else -signal.SIGINT for number in stopped_by}
    assert code in ({0} if cell.too_late else codes), runner.complaints
    (session_id,) = [folder.name for folder in (lab.store / "sessions").iterdir()]
    trio.run(partial(check, lab, shape, cell, session_id, {Source.SIGNAL}, contexts[cell.shape]))
