"""The variables of one recipe on the stack, and the budget of the tree it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import Factory, evolve

from trio_recipes.classes import define, frozen
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.language.model import BashStep
from trio_recipes.progress import path as paths
from trio_recipes.progress.vault import Vault, missing

if TYPE_CHECKING:
    from trio_recipes.language.model import RateLimiting, Recipe, Recursion, Step
    from trio_recipes.progress.outcome import Outcome
    from trio_recipes.values import Value

ENGINE_KEYS = frozenset({"recipe", "session", "step", "stage"})
"""Names the engine sets itself; never part of a sub-recipe's result (recipe-language.md section 2, ``recipe``)."""


@define
class Budget:
    """Agent steps taken over the whole tree, by their places: reused ones count, and an attempt that failed does not.

    So a run that is resumed counts as one that was not: of an attempt that failed, records know nothing either.

    Args:
        limit: how many there may be.
        taken: the paths of those that were taken.
    """

    limit: int
    taken: set[str] = Factory(set)

    def take(self, path: str, stack: tuple[str, ...]) -> Failure | None:
        """Take the agent step at ``path``, or say why not (the language's section 9)."""
        if len(self.taken) >= self.limit and path not in self.taken:
            return _over(
                f"more than {self.limit} agent steps (recursion.max_total_steps)", stack, "raise max_total_steps"
            )
        self.taken.add(path)
        return None

    def give_back(self, path: str) -> None:
        """What was taken at or below ``path`` is not used, or will be taken again."""
        self.taken = {one for one in self.taken if not paths.contains(path, one)}


def _over(what: str, stack: tuple[str, ...], hint: str) -> Failure:
    return Failure(FailureKind.LIMIT, f"{what}; recipes on the stack: {' > '.join(stack)}", hint=hint, retryable=False)


@frozen
class SessionFacts:
    """What ``{{session.…}}`` says, and what recipes get from where the session runs."""

    id: str
    started: str
    project: str
    vault: Vault = Factory(Vault)


@define(eq=False)
class Pace:
    """The rules that a called recipe sets for the agent steps below it, where nobody above has set any.

    Args:
        rules: of the recipe; each call of it has a pace of its own.
    """

    rules: RateLimiting


@define(eq=False)
class Frame:
    """One recipe on the stack, with its variables.

    Args:
        recipe: what is being walked.
        variables: name -> value; changed by the walk only, in document order.
        given: names the recipe was handed by its caller: no part of its result.
        stack: names of the recipes from the root to this one.
        budget: shared by the tree, or by the subtree of a step with a ``recursion`` of its own.
        max_depth: recipes allowed on the stack.
        facts: of the session.
        pace: of the highest recipe that sets one, the root aside, whose rules hold for the whole tree.
        orchestrator: what agent backends are passed: of the highest recipe that says something.
    """

    recipe: Recipe
    variables: dict[str, Value]
    given: frozenset[str]
    stack: tuple[str, ...]
    budget: Budget
    max_depth: int
    facts: SessionFacts
    pace: Pace | None = None
    orchestrator: Mapping[str, Value] = Factory(dict)

    def set_step(self, step: Step, index: int) -> None:
        """Bind ``{{step.id}}`` and ``{{step.index}}``."""
        self.variables["step"] = {"id": step.id, "index": index}

    def set_stage(self, name: str, index: int) -> None:
        """Bind ``{{stage.name}}`` and ``{{stage.index}}``."""
        self.variables["stage"] = {"name": name, "index": index}

    def approved(self, decision: Value) -> None:
        """Bind ``{{_approval}}`` and ``{{_approval_message}}``."""
        self.variables["_approval"] = decision
        self.variables["_approval_message"] = decision.get("message", "") if isinstance(decision, dict) else ""

    def skip(self, step_id: str) -> None:
        """Note a skipped step in ``_skipped_steps``."""
        before = self.variables.get("_skipped_steps")
        self.variables["_skipped_steps"] = [*(before if isinstance(before, list) else ()), step_id]

    def bind_result(self, step: Step, outcome: Outcome) -> None:
        """Store the result of one pass under ``output``, and its exit code under ``output_exit_code``."""
        if step.output:
            self.variables[step.output] = outcome.value
        if isinstance(step, BashStep) and step.output_exit_code and outcome.exit_code is not None:
            self.variables[step.output_exit_code] = str(outcome.exit_code)

    def copy(self, variables: Mapping[str, Value]) -> Frame:
        """A frame for one parallel iteration: its own variables, everything else shared."""
        return evolve(self, variables={**self.variables, **variables})

    def call(self, recipe: Recipe, context: dict[str, Value], limits: Recursion | None) -> Frame | Failure:
        """The frame of a sub-recipe, which sees ``context`` over its own defaults and nothing else.

        Args:
            recipe: the sub-recipe.
            context: the variables it is given.
            limits: the step's own ``recursion``, replacing the tree's for the subtree.
        """
        stack = (*self.stack, recipe.name)
        max_depth = limits.max_depth if limits else self.max_depth
        if len(stack) > max_depth:
            return _over(f"more than {max_depth} recipes deep (recursion.max_depth)", stack, "raise max_depth")
        lost = missing(recipe, context, self.facts.vault.outside)
        if lost:
            return _closed(recipe, lost)
        budget = Budget(limits.max_total_steps) if limits else self.budget
        given = frozenset((*context, *recipe.secrets))
        pace = self.pace or (Pace(recipe.rate_limiting) if recipe.rate_limiting else None)
        orchestrator = self.orchestrator or recipe.orchestrator
        start = _start(recipe, context, self.facts)
        return Frame(recipe, start, given, stack, budget, max_depth, self.facts, pace, orchestrator)

    def added(self) -> dict[str, Value]:
        """What a sub-recipe's call results in: every variable but those given and the engine's own."""
        hidden = self.given | ENGINE_KEYS
        return {k: v for k, v in self.variables.items() if k not in hidden and not k.startswith("_")}


def root_frame(recipe: Recipe, context: Mapping[str, Value], facts: SessionFacts) -> Frame:
    """The frame of a session's own recipe; ``context`` holds the caller's variables."""
    limits = recipe.recursion
    budget = Budget(limits.max_total_steps)
    variables = _start(recipe, context, facts)
    given, stack = frozenset(context), (recipe.name,)
    return Frame(recipe, variables, given, stack, budget, limits.max_depth, facts, orchestrator=recipe.orchestrator)


def _closed(recipe: Recipe, lost: list[str]) -> Failure:
    text = f"recipe '{recipe.name}': no value for its secret {', '.join(map(repr, lost))}"
    hint = "pass it in the step's context, or set the environment variable of that name"
    return Failure(FailureKind.TEMPLATE, text, retryable=False, hint=hint)


def _start(recipe: Recipe, context: Mapping[str, Value], facts: SessionFacts) -> dict[str, Value]:
    return {
        **{name: value for name, value in recipe.context.items() if name not in recipe.secrets},
        **context,
        **facts.vault.open(recipe, context),
        "recipe": {"name": recipe.name, "version": recipe.version, "description": recipe.description},
        "session": {"id": facts.id, "started": facts.started, "project": facts.project},
        "_approval_message": "",
        "_approval": {"decision": "", "by": "", "via": "", "at": "", "message": ""},
        "_skipped_steps": [],
    }
