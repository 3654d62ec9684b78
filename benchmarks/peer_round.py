"""All peers asked for the same, one after the other: the probe that takes turns with ours."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from attrs import define, field

from benchmarks.case import Cannot, CannotMeasureError
from benchmarks.peer import Peer

BUDGET_SECONDS = 12.0
"""Of one peer for one case: who has used it up is measured less often than the others, but at least once."""


@define(eq=False)
class Round:
    """Asks each peer, and names what it measured after it: ``dbos step``.

    Args:
        peers: all that are asked.
        measure: has one peer measure something.
        names: of what that measures.
        best: the name of the measurement whose least value, of the durable peers, is ``best`` of this round.
    """

    peers: Sequence[Peer]
    measure: Callable[[Peer], Awaitable[Mapping[str, float]]]
    names: Sequence[str]
    best: str | None = None
    _spent: dict[str, list[float]] = field(factory=dict)
    _reasons: dict[str, str] = field(factory=dict)

    async def __call__(self) -> dict[str, float | Cannot]:
        found: dict[str, float | Cannot] = {}
        for peer in self.peers:
            found |= await self._ask(peer)
        return found | self._best(found)

    async def _ask(self, peer: Peer) -> Mapping[str, float | Cannot]:
        """What a peer measures. Who can't is not asked again."""
        spent = self._spent.setdefault(peer.kind.name, [])
        if peer.kind.name not in self._reasons:
            if len(spent) > 1 and sum(spent) > BUDGET_SECONDS:
                return {}
            began = time.monotonic()
            try:
                measured = await self.measure(peer)
                return {f"{peer.kind.name} {name}": measured[name] for name in self.names}
            except CannotMeasureError as error:
                self._reasons[peer.kind.name] = str(error)
            finally:
                spent.append(time.monotonic() - began)
        return {f"{peer.kind.name} {name}": Cannot(self._reasons[peer.kind.name]) for name in self.names}

    def _best(self, found: Mapping[str, float | Cannot]) -> dict[str, float | Cannot]:
        if self.best is None:
            return {}
        asked = (found.get(f"{peer.kind.name} {self.best}") for peer in self.peers if peer.kind.durable)
        values = [value for value in asked if isinstance(value, float)]
        return {"best": min(values) if values else Cannot("no durable peer could be measured")}
