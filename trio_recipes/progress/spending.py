"""What agents have cost a session, and when that is too much (recipe-language.md section 12, ``limits``).

What was spent stays spent: a retry, a resume and an edited recipe forget records, never what they have cost. That holds
for answers that nobody saw the end of, too: as far as they were told of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import Factory, evolve

from trio_recipes.classes import define
from trio_recipes.events import AgentAnswered, AgentBrokeOff

if TYPE_CHECKING:
    from trio_recipes.events import AgentAccount
    from trio_recipes.language.model import Limits

COUNTED: Final = ("input_tokens", "output_tokens")
"""The counts of an answer that make up its tokens; others, such as ``cached_tokens``, are parts of these."""


@define
class Spending:
    """Totals over all answers.

    Args:
        answers: how many there were, whole ones.
        broken_off: how many ended before they were whole; what they took is in the totals.
        input_tokens: that were read.
        output_tokens: that were written.
        estimated_tokens: how many of both are estimates, since nobody told.
        cost_usd: in US dollars, of those answers whose cost is known.
        unpriced: how many answers used tokens of which nobody knows the price.
        in_hand: what was last told of answers that have begun and not ended, by path; not in the totals.
    """

    answers: int = 0
    broken_off: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    estimated_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0
    in_hand: dict[str, AgentAccount] = Factory(dict)

    def take(self, account: AgentAccount) -> None:
        """Take into account what an answer took: at its end, or until now."""
        match account:
            case AgentAnswered():
                self.add(account)
            case AgentBrokeOff():
                self.break_off(account)
            case _:
                self.begin(account)

    def add(self, answered: AgentAccount) -> None:
        """Count one more whole answer."""
        self.answers += 1
        self._count(answered)

    def break_off(self, broken: AgentAccount) -> None:
        """Count one that ended before it was whole."""
        self.broken_off += 1
        self._count(broken)

    def begin(self, answering: AgentAccount) -> None:
        """Keep in mind what an answer has taken so far: if its runner is killed, nobody tells more."""
        self.in_hand[answering.path] = answering

    def settled(self) -> Spending:
        """The totals, with the answers that are in hand as broken off: their runner is gone."""
        total = evolve(self, in_hand={})
        for answering in self.in_hand.values():
            total.break_off(answering)
        return total

    def _count(self, account: AgentAccount) -> None:
        usage = account.usage
        self.in_hand.pop(account.path, None)
        self.input_tokens += usage.get("input_tokens", 0)
        self.output_tokens += usage.get("output_tokens", 0)
        self.estimated_tokens += sum(usage.get(name, 0) for name in COUNTED if name in account.estimated)
        if account.cost_usd is not None:
            self.cost_usd += account.cost_usd
        elif usage:
            self.unpriced += 1

    @property
    def tokens(self) -> int:
        """Read and written."""
        return self.input_tokens + self.output_tokens

    def reached(self, limits: Limits) -> str | None:
        """Which limit is reached, in words for people, or None."""
        if limits.tokens is not None and self.tokens >= limits.tokens:
            return f"limits.tokens ({limits.tokens:,}) is reached: {self.tokens:,} used"
        if limits.cost_usd is not None and self.cost_usd >= limits.cost_usd:
            return f"limits.cost_usd ({limits.cost_usd:g}) is reached: {self.cost_usd:.4g} spent"
        return None
