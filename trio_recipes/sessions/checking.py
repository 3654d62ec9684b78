"""What a recipe needs to be there before anything runs: agents, functions, and the values of its secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from trio_recipes.agents.registry import Agents
from trio_recipes.agents.resolver import Resolver
from trio_recipes.classes import frozen
from trio_recipes.errors import ConfigurationError, InvalidRecipeError
from trio_recipes.sessions.policy import Policy
from trio_recipes.sessions.recipes import FrozenRecipes, Prepared, agent_steps, function_names
from trio_recipes.sessions.secrets import require
from trio_recipes.steps import named

if TYPE_CHECKING:
    from trio_recipes.progress.fold import Progress
    from trio_recipes.values import Variables


@frozen(eq=False)
class Supplies:
    """What a runtime has to offer.

    Args:
        agents: who answers agent steps.
        resolver: chooses among them.
        functions: callables by name.
        policy: what recipes may do.
    """

    agents: Agents
    resolver: Resolver
    functions: Mapping[str, Callable[..., Any]]
    policy: Policy

    def check(self, prepared: Prepared, secrets: Variables, project: str) -> None:
        """Refuse a recipe that names what is not there.

        Raises:
            ConfigurationError: naming everything that is missing.
        """
        steps = list(prepared.steps())
        unanswered = self.resolver.problems(agent_steps(steps), self.agents)
        if unanswered:
            raise ConfigurationError("\n".join(unanswered))
        problems = [named.check(self.functions, name, self.policy.imports_functions) for name in function_names(steps)]
        found = [problem for problem in problems if problem]
        if found:
            raise ConfigurationError("\n".join(found))
        require(prepared, secrets, project)

    def check_known(self, secrets: Variables, progress: Progress) -> None:
        """Check the recipes of a session.

        Raises:
            InvalidRecipeError: if one holds steps that are not allowed here.
            ConfigurationError: as :meth:`check` does.
        """
        assert progress.created is not None
        recipes = FrozenRecipes(progress.created.project_path, progress.recipes)
        subs = {key: recipes.parse(key) for key in progress.recipes if key}
        refused = [problem for recipe in (recipes.root(), *subs.values()) for problem in self.policy.refusals(recipe)]
        if refused:
            raise InvalidRecipeError(refused)
        self.check(Prepared(recipes.root(), subs), secrets, recipes.project)
