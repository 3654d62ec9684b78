"""The same work done by other projects: what people would otherwise use.

Each peer runs in a process of its own, in an environment of its own, with its defaults in its durable way, and takes
its times itself: from the same moment to the same moment as ours, with the same clock.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import trio
from attrs import define, field

from benchmarks.case import Bench, CannotMeasureError, Case, Group
from benchmarks.cases.cancel_tree import TREE, forget, started
from benchmarks.eyes import Eyes
from benchmarks.ours import Ours
from benchmarks.peer import KINDS, LANGGRAPH_ASYNC, RESTLESS, Peer
from benchmarks.peer_round import Round
from benchmarks.peers.conversation import MOMENT
from benchmarks.row import Row
from benchmarks.target import Times
from benchmarks.unit import SECONDS

Measure = Callable[[Peer], Awaitable[Mapping[str, float]]]
_LATE_SECONDS = 150.0
"""From then on the slow ones are measured once each, so that all of it takes less than six minutes."""
_SURVIVAL_SECONDS = 2.0
"""A process that is alive so long after its run was cancelled has been left behind."""


@define(eq=False)
class Peers:
    """All peers, and what they are asked for.

    Args:
        all: everyone.
        file: where a shell command writes its processes.
        late_at: trio's time from which on each is asked once for each case.
    """

    all: Sequence[Peer]
    file: Path
    late_at: float
    _prepared: dict[str, str] = field(factory=dict)

    def round(self, measure: Measure, *names: str, best: str | None = None) -> Round:
        """Have all of them asked for the same; LangGraph's other way only for what it does differently."""
        asked = self.all if {"step", "iteration"} & set(names) else _main(self)
        return Round(asked, measure, names, best, self.late_at)

    async def start(self) -> None:
        """Have all of them running, so that they can be named; who does not start says so when it is asked."""
        for peer in self.all:
            with suppress(CannotMeasureError):
                await peer.ready()

    async def stop(self) -> None:
        """End all of them."""
        for peer in self.all:
            await peer.stop()

    async def cancel(self, count: int, peer: Peer) -> Mapping[str, float]:
        """Cancel ``count`` waiting steps of one."""
        await peer.ask("wait", count=count)
        return await peer.ask("cancel")

    async def cancel_by_id(self, peer: Peer) -> Mapping[str, float]:
        """Cancel a waiting step of one by another process."""
        run = (await peer.ask("wait", count=1))["run"]
        return await peer.ask("ended", began=await peer.request(run))

    async def cancel_tree(self, peer: Peer) -> Mapping[str, float]:
        """Cancel a shell command of one.

        Raises:
            CannotMeasureError: if processes of it are left behind; they are killed then.
        """
        forget(self.file)
        await peer.ask("shell", command=TREE.format(file=self.file))
        pids = await started(self.file)
        await trio.sleep(MOMENT)
        async with Eyes.on(pids) as eyes:
            try:
                answer = await peer.ask("cancel")
                with trio.move_on_after(_SURVIVAL_SECONDS):
                    return {"dead": await eyes.closed() - answer["began"]}
                left = sum(_is_alive(pid) for pid in pids)
            finally:
                _kill(pids)
        raise CannotMeasureError(
            f"its run was over after {SECONDS.show(answer['returned'])}, and {left} of {len(pids)} processes were "
            f"alive {_SURVIVAL_SECONDS:g} s later"
        )

    async def resume(self, count: int, peer: Peer) -> Mapping[str, float]:
        """Resume a run of one with ``count`` finished steps, which is made when it is first asked for."""
        if peer.kind.name not in self._prepared:
            self._prepared[peer.kind.name] = (await peer.ask("prepare", count=count))["run"]
        return await peer.ask("resume", run=self._prepared[peer.kind.name])


def _is_alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def _open(bench: Bench) -> AsyncGenerator[Sequence[Case]]:
    if bench.peers is None:
        raise CannotMeasureError("no environments of peers were named (`nox -s peers` makes them)")
    folder = bench.folder / "peers"
    folder.mkdir()
    late_at = trio.current_time() + _LATE_SECONDS
    both = [
        Peers([Peer(kind, bench.peers, folder, bench.root) for kind in kinds], bench.folder / "peers.pids", late_at)
        for kinds in (KINDS, RESTLESS)
    ]
    try:
        async with Ours.opened(bench) as ours:
            for peers in both:
                await peers.start()
            yield [case for peers in both for case in _cases(bench, ours, peers)]
    finally:
        with trio.move_on_after(30, shield=True):
            for peers in both:
                await peers.stop()


def _cases(bench: Bench, ours: Ours, peers: Peers) -> list[Case]:
    few = bench.pick(5, 2)
    widths = (1, 100) if bench.quick else (1, 100, 1_000)
    return [
        _steps(ours, peers, bench.pick(200, 50), few),
        _parallel(ours, peers, bench.pick(100, 50), few),
        _resume(ours, peers, bench.pick(100, 50), few),
        *(_cancel(ours, peers, width, few) for width in widths),
        _by_id(ours, peers, few),
        _tree(ours, peers, few),
        _smallest(ours, peers, few),
    ]


def _steps(ours: Ours, peers: Peers, count: int, repetitions: int) -> Case:
    what = f"one of {count} sequential durable steps"
    rows = [_row(what, "step", peer, f"{peer.title}: {peer.durability}") for peer in peers.all]
    if any(peer.kind.durable for peer in peers.all):
        rows.insert(0, Row(what, "step", "the best durable peer, in each round", "best", (Times(0.5),)))
    measure = partial(_ask, "steps", count)
    return Case(tuple(rows), partial(ours.steps, count), peers.round(measure, "step", best="step"), repetitions)


def _parallel(ours: Ours, peers: Peers, count: int, repetitions: int) -> Case:
    what = f"one of {count} parallel durable steps, start and end of the run included"
    rows = [_row(what, "iteration", peer, f"{peer.title}: {peer.durability}") for peer in peers.all]
    measure = partial(_ask, "parallel", count)
    return Case(tuple(rows), partial(ours.parallel, count), peers.round(measure, "iteration"), repetitions)


def _resume(ours: Ours, peers: Peers, count: int, repetitions: int) -> Case:
    what = f"resume of {count} finished steps → the first new step begins"
    rows = [_row(what, "first", peer, f"{peer.title}: {peer.resuming}") for peer in _main(peers)]
    asked = peers.round(partial(peers.resume, count), "first")
    return Case(tuple(rows), partial(ours.resume, count), asked, repetitions)


def _cancel(ours: Ours, peers: Peers, count: int, repetitions: int) -> Case:
    what = f"cancel of {count:,} waiting step{'s' if count > 1 else ''}"
    rows = _rows_of_cancel(what, {peer: peer.cancelling for peer in _main(peers)})
    asked = peers.round(partial(peers.cancel, count), "ended", "returned")
    return Case(tuple(rows), partial(ours.cancel, count), asked, repetitions)


def _by_id(ours: Ours, peers: Peers, repetitions: int) -> Case:
    what = "cancel by id from another process, from when it is durable"
    rows = _rows_of_cancel(what, {peer: peer.requesting for peer in _main(peers)})
    asked = peers.round(peers.cancel_by_id, "ended", "returned")
    return Case(tuple(rows), ours.cancel_by_id, asked, repetitions)


def _rows_of_cancel(what: str, means: Mapping[Peer, str]) -> list[Row]:
    moments = {"ended": "the last step has ended", "returned": "the run has ended (ours: `cancelled` is durable)"}
    return [
        _row(f"{what} → {moment}", name, peer, f"{peer.title}: {how}" if how else peer.title)
        for name, moment in moments.items()
        for peer, how in means.items()
    ]


def _tree(ours: Ours, peers: Peers, repetitions: int) -> Case:
    what = "cancel of a step that runs bash and three children → all four processes are dead"
    rows = [_row(what, "dead", peer, peer.title) for peer in _main(peers)]
    return Case(tuple(rows), partial(ours.cancel_tree, peers.file), peers.round(peers.cancel_tree, "dead"), repetitions)


def _smallest(ours: Ours, peers: Peers, repetitions: int) -> Case:
    what = "one step that does nothing, whole process"
    rows = [_row(what, "process", peer, peer.title) for peer in _main(peers)]
    return Case(tuple(rows), ours.smallest, peers.round(_smallest_of, "process"), repetitions)


def _main(peers: Peers) -> list[Peer]:
    """Those that differ in more than how they store steps."""
    return [peer for peer in peers.all if peer.kind is not LANGGRAPH_ASYNC]


async def _ask(case: str, count: int, peer: Peer) -> Mapping[str, float]:
    return await peer.ask(case, count=count)


async def _smallest_of(peer: Peer) -> Mapping[str, float]:
    return {"process": await peer.smallest()}


def _row(what: str, ours: str, peer: Peer, against: str) -> Row:
    return Row(what, ours, against, f"{peer.kind.name} {ours}")


GROUP = Group("others", "The same work in other projects", _open, peers=True)
