"""What agents have cost a session, and when that is too much (recipe-language.md section 12, ``limits``).

What was spent stays spent: a retry, a resume and an edited recipe forget records, never what they have cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_recipes.classes import define

if TYPE_CHECKING:
    from trio_recipes.events import AgentAnswered
    from trio_recipes.language.model import Limits

COUNTED: Final = ("input_tokens", "output_tokens")
"""The counts of an answer that make up its tokens; others, such as ``cached_tokens``, are parts of these."""


@define
class Spending:
    """Totals over all answers.

    Args:
        answers: how many there were.
        input_tokens: that were read.
        output_tokens: that were written.
        cost_usd: in US dollars, of those answers whose cost is known.
        unpriced: how many answers used tokens of which nobody knows the price.
    """

    answers: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0

    def add(self, answered: AgentAnswered) -> None:
        """Count one more answer."""
        self.answers += 1
        self.input_tokens += answered.usage.get("input_tokens", 0)
        self.output_tokens += answered.usage.get("output_tokens", 0)
        if answered.cost_usd is not None:
            self.cost_usd += answered.cost_usd
        elif answered.usage:
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
