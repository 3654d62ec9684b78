"""Pacing of agent steps over a whole tree (recipe-language.md section 9, ``rate_limiting`` of the root recipe).

Three waits stand before an agent is asked: for a slot (``max_concurrent_llm``), for the gap after the last completion
(``min_delay_ms``), and for the back-off that a 429 answer began, or asked for (``Retry-After``). None of them is work:
graceful cancellation ends each at once. Only leaves hold slots: a parent that waits for children has none that they
could need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from attrs import field

from trio_recipes.classes import define
from trio_recipes.failure import FailureKind

if TYPE_CHECKING:
    from trio_recipes.language.model import Backoff, RateLimiting
    from trio_recipes.progress.outcome import Outcome
    from trio_recipes.runtime.scope import Scope


@define
class Slowdown:
    """How long agent steps wait since the last rate-limit answers; pure, so that it can be tested as a table.

    Args:
        rules: of the recipe.
        seconds: the wait before each step now; 0 when nothing was wrong lately.
        successes: in a row since the last rate-limit answer.
    """

    rules: Backoff
    seconds: float = 0.0
    successes: int = 0

    def limited(self) -> None:
        """An answer was 429: begin to wait, or wait longer."""
        if self.rules.enabled:
            longer = self.seconds * self.rules.multiplier or self.rules.initial_delay_ms / 1000
            self.seconds = self.bounded(longer)
            self.successes = 0

    def bounded(self, seconds: float) -> float:
        """A wait that somebody wants, as far as the rules allow it."""
        return min(seconds, self.rules.max_delay_ms / 1000) if self.rules.enabled else 0.0

    def succeeded(self) -> None:
        """An answer came: after enough of them in a row the waits end."""
        self.successes += 1
        if self.successes >= self.rules.reset_after_success:
            self.seconds = 0.0


@define(eq=False)
class Pacer:
    """Lets agent steps begin, one after the other, at the pace that the root recipe allows."""

    rules: RateLimiting
    slots: trio.CapacityLimiter
    slowdown: Slowdown
    _turn: trio.Lock = field(factory=trio.Lock)
    _last_end: float = float("-inf")
    _not_before: float = float("-inf")

    @classmethod
    def of(cls, rules: RateLimiting) -> Pacer:
        """The pacer of a recipe's rules."""
        return cls(rules, trio.CapacityLimiter(rules.max_concurrent_llm or float("inf")), Slowdown(rules.backoff))

    async def acquire(self, scope: Scope) -> bool:
        """Wait for a slot and for one's turn.

        Returns:
            True with a slot in hand; False if the scope is draining: there is nothing to release then.
        """
        with scope.napping() as nap:
            await self.slots.acquire_on_behalf_of(scope)
        if nap.cancelled_caught:
            return False
        if await self._wait_turn(scope):
            return True
        self.slots.release_on_behalf_of(scope)
        return False

    async def _wait_turn(self, scope: Scope) -> bool:
        try:
            with scope.napping() as nap:
                async with self._turn:
                    await trio.sleep_until(max(self._earliest(), trio.current_time()))
                    await trio.sleep(self.slowdown.seconds)
                    while self._not_before > trio.current_time():  # noqa: ASYNC110  a date that may be put off meanwhile
                        await trio.sleep_until(self._not_before)
        except trio.Cancelled:
            self.slots.release_on_behalf_of(scope)
            raise
        return not nap.cancelled_caught and not scope.draining

    def _earliest(self) -> float:
        return self._last_end + self.rules.min_delay_ms / 1000

    def release(self, scope: Scope) -> None:
        """Give the slot back; the gap to the next step begins."""
        self._last_end = trio.current_time()
        self.slots.release_on_behalf_of(scope)

    def note(self, outcome: Outcome) -> None:
        """Learn from an answer: it came; or it was 429, perhaps with the seconds that all have to wait now."""
        if outcome.failure is None:
            self.slowdown.succeeded()
        elif outcome.failure.kind is FailureKind.RATE_LIMIT:
            self.slowdown.limited()
            if outcome.failure.retry_after is not None:
                wait = self.slowdown.bounded(outcome.failure.retry_after)
                self._not_before = max(self._not_before, trio.current_time() + wait)

    @property
    def busy(self) -> bool:
        """Whether the next step would have to wait."""
        due = max(self._earliest(), self._not_before) > trio.current_time() or self.slowdown.seconds > 0
        return due or self.slots.available_tokens == 0
