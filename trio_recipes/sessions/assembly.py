"""From an opened session to the engine of its run: everything that a runtime has, put together for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from attrs import Factory

from trio_recipes.classes import frozen
from trio_recipes.language.model import Limits
from trio_recipes.progress.frame import SessionFacts, root_frame
from trio_recipes.progress.replay import Replay
from trio_recipes.progress.times import iso
from trio_recipes.runtime.budget import Budget
from trio_recipes.runtime.context import RunContext
from trio_recipes.runtime.drive import Driver
from trio_recipes.runtime.engine import Engine
from trio_recipes.runtime.gates import Gatekeeper
from trio_recipes.runtime.limits import Pacer
from trio_recipes.runtime.scope import ScopeTree
from trio_recipes.sessions.recipes import FrozenRecipes
from trio_recipes.sessions.requesting import lapse
from trio_recipes.sessions.secrets import restored
from trio_recipes.steps.agent import AgentRunner
from trio_recipes.steps.bash import BashRunner
from trio_recipes.steps.function import FunctionRunner

if TYPE_CHECKING:
    from trio_recipes.agents.prices import Prices
    from trio_recipes.agents.registry import Agents
    from trio_recipes.agents.resolver import Resolver
    from trio_recipes.processes.trees import ProcessTrees
    from trio_recipes.runtime.ports import LeafRunner
    from trio_recipes.sessions.secrets import MaskedLog
    from trio_recipes.sessions.sources import Sources
    from trio_recipes.steps.apart import Apart
    from trio_recipes.store.journal import Journal, SessionLog
    from trio_recipes.store.runs import Opening
    from trio_recipes.values import Variables


@frozen(eq=False)
class Terms:
    """On which terms one run of a session begins.

    Args:
        limits: what the caller set over the recipe's own.
        secrets: values of the recipe's secrets that the caller gave.
        finishing: only ``finally`` steps run: the session was cancelled or denied while nobody ran it.
    """

    limits: Limits = Factory(Limits)
    secrets: Variables = MappingProxyType({})
    finishing: bool = False

    def over(self, recipes: Limits, ran: float) -> Limits:
        """The limits that hold for a session that has been running for ``ran`` seconds."""
        if self.finishing:
            return Limits()
        left = None if recipes.deadline is None else recipes.deadline - ran
        given = self.limits
        return Limits(
            deadline=left if given.deadline is None else given.deadline,
            cost_usd=recipes.cost_usd if given.cost_usd is None else given.cost_usd,
            tokens=recipes.tokens if given.tokens is None else given.tokens,
        )


@frozen(eq=False, kw_only=True)
class Equipment:
    """What a runtime has for the runs of its sessions; the fields are those of ``Runtime``."""

    agents: Agents
    resolver: Resolver
    functions: Mapping[str, Callable[..., Any]]
    sources: Sources
    apart: Apart
    prices: Prices
    journal: Journal
    trees: ProcessTrees
    stays_at_gates: bool

    def engine(self, opening: Opening, log: SessionLog, masked: MaskedLog, terms: Terms) -> Engine:
        """The engine of one run."""
        progress = opening.progress
        created = progress.created
        assert created is not None
        recipes = FrozenRecipes(created.project_path, progress.recipes, log, self.sources)
        facts = SessionFacts(created.session_id, iso(progress.created_at), created.project_path, masked.vault)
        recipe = recipes.root()
        frame = root_frame(recipe, restored(recipe, created.context, terms.secrets), facts)
        limits = terms.over(recipe.limits, progress.ran / 1_000_000)
        run = RunContext(
            session_id=created.session_id,
            project=created.project_path,
            tree=ScopeTree(),
            log=masked,
            progress=progress,
            replay=Replay(progress, recipes.known),
            recipes=recipes,
            leaves=self._leaves(),
            gates=self._gatekeeper(opening, log, terms.finishing),
            finishing=terms.finishing,
            cleans_up=created.cleans_up,
            pacer=Pacer.of(recipe.rate_limiting) if recipe.rate_limiting else None,
            budget=Budget(limits, progress.spent.settled()),
        )
        return Engine(Driver(run), frame, limits.deadline)

    def _gatekeeper(self, opening: Opening, log: SessionLog, finishing: bool) -> Gatekeeper:
        async def decide_defaults() -> None:
            await self.journal.call(partial(lapse, opening.file))
            log.poke()

        return Gatekeeper(opening.progress, log, self.stays_at_gates, not finishing, decide_defaults)

    def _leaves(self) -> dict[str, LeafRunner]:
        policy = self.sources.policy
        return {
            "bash": BashRunner(self.trees, inherit_env=policy.inherit_env),
            "function": FunctionRunner(self.functions, policy.imports_functions, self.apart),
            "agent": AgentRunner(partial(self.resolver.resolve, known=self.agents), self.apart, self.prices.cost),
        }
