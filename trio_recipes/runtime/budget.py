"""The limits on tokens and cost of a whole tree, kept while it runs (recipe-language.md section 12, ``limits``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from attrs import Factory

from trio_recipes.classes import define
from trio_recipes.events import AgentAnswered
from trio_recipes.language.model import Limits
from trio_recipes.progress.spending import Spending

if TYPE_CHECKING:
    from trio_recipes.events import AgentAccount

PRICES: Final = "~/.config/trio_recipes/prices.toml"
"""Where users put them; named first, since names of models can be long and lines are cut."""


def _nobody(_reason: str) -> None:
    """Whom to tell before there is an engine."""


@define(eq=False)
class Budget:
    """Counts what answers cost and tells, once, when a limit is reached.

    Args:
        limits: of the root recipe, or those that the caller set over them.
        spent: so far, earlier runs included.
        exhausted: called with the reason, synchronously, when a limit is reached.
        warn: called with what can't be counted although there is a limit on it, once each.
    """

    limits: Limits = Factory(Limits)
    spent: Spending = Factory(Spending)
    exhausted: Callable[[str], None] = _nobody
    warn: Callable[[str], None] = _nobody
    _told: bool = False
    _warned: set[str] = Factory(set)

    def charge(self, account: AgentAccount) -> None:
        """Count an answer, whole or broken off."""
        self.spent.take(account)
        if isinstance(account, AgentAnswered):
            self._miss(account)
        self.check()

    def _miss(self, answered: AgentAccount) -> None:
        """A limit that an answer can't be counted against is none: say so, for each model (or agent) once."""
        who = f"model {answered.model!r}" if answered.model else f"agent {answered.agent!r}"
        if self.limits.cost_usd is not None and answered.cost_usd is None:
            self._say(f"limits.cost_usd counts no answer without a price; {PRICES} has none for {who}")
        if self.limits.tokens is not None and not answered.usage and answered.cost_usd != 0:
            self._say(f"limits.tokens does not count the answers of {who}: it does not tell its usage")
        if answered.estimated and (self.limits.tokens is not None or self.limits.cost_usd is not None):
            self._say(f"limits count estimates for the answers of {who}: it does not tell its usage")

    def _say(self, what: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            self.warn(what)

    def check(self) -> None:
        """Tell if a limit is reached: also at the start of a run, which then starts nothing."""
        reason = self.spent.reached(self.limits)
        if reason is not None and not self._told:
            self._told = True
            self.exhausted(reason)
