"""The conversation with a peer, over real pipes: with a peer that is nothing but asyncio, so that none is needed."""

import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from benchmarks.case import Cannot, CannotMeasureError
from benchmarks.peer import Peer, PeerKind
from benchmarks.peer_round import BUDGET_SECONDS, Round

ROOT = Path(__file__).parents[2]

PEER = dedent(
    """
    import asyncio
    from benchmarks.peers.conversation import main
    from benchmarks.peers.engine import CannotError, Engine

    class Plain(Engine):
        async def about(self):
            print("what libraries print")
            return {"version": "Plain 1"}

        async def run_steps(self, run, count):
            for _ in range(count):
                self.ticks()
                await asyncio.sleep(0.001)

        async def run_parallel(self, run, count):
            raise CannotError("one at a time")

        async def run_waiting(self, run, count):
            await asyncio.gather(*(self.waiting() for _ in range(count)))

        async def run_shell(self, run, command):
            pass

        async def run_long(self, run, count):
            await self.run_steps(run, count)
            await self.waiting()

        async def resume_long(self, run, count):
            await (self.waiting() if self.flavour == "good" else self.run_long(run, count))

    main(Plain)
    """
)


class PlainKind(PeerKind):
    """Under the interpreter that runs the tests."""

    def python(self, environments: Path) -> Path:
        return Path(sys.executable)

    def program(self) -> list[str]:
        return ["-c", PEER]


@pytest.fixture(params=["good"])
async def peer(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncGenerator[Peer]:
    peer = Peer(PlainKind("plain", "plain", request.param), tmp_path, tmp_path, ROOT)
    yield peer
    await peer.stop()


async def test_a_peer_takes_its_own_times(peer: Peer) -> None:
    assert (await peer.ask("steps", count=5))["step"] >= 0.001
    assert peer.title == "Plain 1"


async def test_a_cancelled_run_is_over_when_its_last_step_is(peer: Peer) -> None:
    await peer.ask("wait", count=3)
    answer = await peer.ask("cancel")
    assert 0 < answer["ended"] <= answer["returned"]


async def test_a_resumed_run_begins_at_its_first_new_step(peer: Peer) -> None:
    run = (await peer.ask("prepare", count=4))["run"]
    assert (await peer.ask("resume", run=run))["first"] > 0


@pytest.mark.parametrize("peer", ["bad"], indirect=True)
async def test_a_resume_that_repeats_steps_is_none(peer: Peer) -> None:
    run = (await peer.ask("prepare", count=4))["run"]
    with pytest.raises(CannotMeasureError, match="4 finished steps ran again"):
        await peer.ask("resume", run=run)


async def test_what_a_peer_cannot_is_not_asked_again(peer: Peer) -> None:
    asked: list[str] = []

    async def measure(one: Peer) -> dict[str, float]:
        asked.append(one.kind.name)
        return await one.ask("parallel", count=2)

    each = Round([peer], measure, ["iteration"], best="iteration")
    expected = {"plain iteration": Cannot("one at a time"), "best": Cannot("no durable peer could be measured")}
    assert [await each(), await each()] == [expected, expected]
    assert asked == ["plain"]


async def test_the_best_durable_peer_is_that_of_the_round(tmp_path: Path) -> None:
    values = {"a": [3.0, 1.0], "b": [2.0, 5.0], "fast": [0.1, 0.1]}
    peers = [Peer(PeerKind(name, name, "", durable=name != "fast"), tmp_path, tmp_path, ROOT) for name in values]

    async def measure(one: Peer) -> dict[str, float]:  # noqa: ASYNC124  its place is async
        return {"step": values[one.kind.name].pop(0)}

    each = Round(peers, measure, ["step"], best="step")
    assert [(await each())["best"], (await each())["best"]] == [2.0, 1.0]


async def test_a_peer_that_is_not_installed_says_how_to_get_it(tmp_path: Path) -> None:
    absent = Peer(PeerKind("dbos", "dbos", ""), tmp_path, tmp_path, ROOT)
    with pytest.raises(CannotMeasureError, match="nox -s peers"):
        await absent.ask("steps", count=1)
    with pytest.raises(CannotMeasureError, match="nox -s peers"):
        await absent.smallest()


async def test_who_takes_too_long_is_measured_once(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.peer_round.time", SimpleNamespace(monotonic=trio.current_time))
    asked: list[str] = []

    async def measure(one: Peer) -> dict[str, float]:
        asked.append(one.kind.name)
        await trio.sleep(BUDGET_SECONDS + 1 if one.kind.name == "slow" else 0.1)
        return {"step": 1.0}

    peers = [Peer(PeerKind(name, name, ""), tmp_path, tmp_path, ROOT) for name in ("slow", "quick")]
    each = Round(peers, measure, ["step"])
    warm_up, first, second = await each(), await each(), await each()
    assert warm_up == first == {"slow step": 1.0, "quick step": 1.0}
    assert second == {"quick step": 1.0}
    assert asked == ["slow", "quick", "quick", "quick"]
