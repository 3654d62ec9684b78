"""All peers asked for the same, one after the other: the probe that takes turns with ours."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import trio
from attrs import define, field

from benchmarks.case import Cannot, CannotMeasureError
from benchmarks.peer import Peer

BUDGET_SECONDS = 8.0
"""Of one peer for one case: who has used it up is not asked again. If that was in the warm-up, that is what counts."""


@define(eq=False)
class Round:
    """Asks each peer, and names what it measured after it: ``dbos step``.

    Args:
        peers: all that are asked.
        measure: has one peer measure something.
        names: of what that measures.
        best: the name of the measurement whose least value, of the durable peers, is ``best`` of this round.
        late_at: trio's time from which on peers have no seconds left: each is asked once.
    """

    peers: Sequence[Peer]
    measure: Callable[[Peer], Awaitable[Mapping[str, float]]]
    names: Sequence[str]
    best: str | None = None
    late_at: float = math.inf
    _spent: dict[str, list[float]] = field(factory=dict)
    _reasons: dict[str, str] = field(factory=dict)
    _found: dict[str, Mapping[str, float | Cannot]] = field(factory=dict)

    async def __call__(self) -> dict[str, float | Cannot]:
        found: dict[str, float | Cannot] = {}
        for peer in self.peers:
            found |= await self._ask(peer)
        return found | self._best(found)

    async def _ask(self, peer: Peer) -> Mapping[str, float | Cannot]:
        """What a peer measures. Who can't, or takes too long, is not asked again."""
        spent = self._spent.setdefault(peer.kind.name, [])
        used_up = bool(spent) and (sum(spent) > BUDGET_SECONDS or trio.current_time() > self.late_at)
        if len(spent) > 1 and used_up:
            return {}
        if not used_up:
            began = time.monotonic()
            self._found[peer.kind.name] = await self._measured(peer)
            spent.append(time.monotonic() - began)
        else:
            spent.append(0.0)
        return self._found[peer.kind.name]

    async def _measured(self, peer: Peer) -> Mapping[str, float | Cannot]:
        name, reasons = peer.kind.name, self._reasons
        if name not in reasons:
            try:
                measured = await self.measure(peer)
                await trio.sleep(peer.kind.pause)
                return {f"{name} {what}": measured[what] for what in self.names}
            except CannotMeasureError as error:
                reasons[name] = str(error)
        return {f"{name} {what}": Cannot(reasons[name]) for what in self.names}

    def _best(self, found: Mapping[str, float | Cannot]) -> dict[str, float | Cannot]:
        if self.best is None:
            return {}
        asked = (found.get(f"{peer.kind.name} {self.best}") for peer in self.peers if peer.kind.durable)
        values = [value for value in asked if isinstance(value, float)]
        return {"best": min(values) if values else Cannot("no durable peer could be measured")}
