"""What stages, steps and calls mean: the language's sections 1 to 3 and 8 as generators.

Nothing here waits, runs or records: see :mod:`trio_recipes.progress.asks`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from attrs import evolve

from trio_recipes.errors import ExpressionError, TemplateError
from trio_recipes.events import ScopeStatus
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.language.model import AgentStep, BlockStep, Recipe, RecipeStep, Stage, Step
from trio_recipes.language.template import render_tree
from trio_recipes.progress import path as paths
from trio_recipes.progress.asks import Child, Decided, Enter, Gate, Guarded, NeedRecipe, Pass, Walk, answered
from trio_recipes.progress.frame import Frame
from trio_recipes.progress.graph import walk_graph
from trio_recipes.progress.guard import guarded, guarded_loop_body
from trio_recipes.progress.loops import walk_loop
from trio_recipes.progress.outcome import SKIPPED, Outcome, completed, failed, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def walk_recipe(frame: Frame, path: str) -> Walk:
    """The whole body of a recipe at ``path``. ``skip_remaining`` ends here: the recipe counts as completed."""
    outcome = yield from guarded(frame.recipe, frame, path, partial(_walk_body, frame, path), walk_steps)
    return _whole(outcome)


def _walk_body(frame: Frame, path: str) -> Walk:
    recipe = frame.recipe
    if recipe.stages:
        return (yield from _walk_stages(recipe.stages, frame, path))
    return (yield from _walk_block(recipe, frame, path))


def _walk_block(block: Recipe | Stage, frame: Frame, path: str) -> Walk:
    """The steps of a recipe or stage, by its schedule."""
    if block.schedule == "graph":
        return (yield from walk_graph(block.steps, frame, path, block.max_parallel_steps, ask_for, bind))
    return (yield from walk_steps(block.steps, frame, path))


def _whole(outcome: Outcome) -> Outcome:
    """A recipe or stage that ended early, by ``skip_remaining``, has completed."""
    return completed(outcome.value) if outcome.ends_block and outcome.goes_on else outcome


def _walk_stages(stages: Sequence[Stage], frame: Frame, path: str) -> Walk:
    """One stage after the other. A stage that ``skip_remaining`` ended early has completed: its gate asks."""
    outcome = completed()
    for index, stage in enumerate(stages):
        frame.set_stage(stage.name, index)
        inner = partial(_walk_stage, stage, frame, paths.child(path, stage.name))
        outcome = answered((yield Enter(paths.child(path, stage.name), "stage", inner)))
        if outcome.goes_on and stage.approval.required:
            outcome = yield from _pass_gate(stage, frame, paths.child(path, stage.name), outcome)
        if not outcome.goes_on:
            return outcome
    return outcome


def _pass_gate(stage: Stage, frame: Frame, path: str, before: Outcome) -> Walk:
    """Ask a person; the decision is there for what follows (recipe-language.md sections 10 and 12)."""
    prompt = stage.approval.prompt
    try:
        text = frame.facts.vault.mask.text(prompt.render(frame.variables)) if prompt else ""
    except TemplateError as error:
        message = f"stage '{stage.name}': approval prompt: {error}"
        return failed(Failure(FailureKind.TEMPLATE, message, path, retryable=False))
    outcome = answered((yield Gate(path, stage.name, text, stage.approval)))
    if not outcome.goes_on:
        return outcome
    frame.approved(outcome.value)
    return before


def _walk_stage(stage: Stage, frame: Frame, path: str) -> Walk:
    body = partial(_walk_block, stage, frame, path)
    return _whole((yield from guarded(stage, frame, path, body, walk_steps)))


def walk_steps(steps: Sequence[Step], frame: Frame, path: str) -> Walk:
    """Steps in document order; the value is the last executed step's.

    Returns:
        completed, with ``ends_block`` if ``skip_remaining`` took effect; or the outcome that ended the block.
    """
    value = None
    for index, step in enumerate(steps):
        frame.set_step(step, index)
        outcome = answered((yield ask_for(step, frame, paths.child(path, step.id))))
        if not outcome.goes_on:
            return outcome
        if outcome.ends_block:
            return Outcome(ScopeStatus.COMPLETED, value=value, ends_block=True)
        bind(step, outcome, frame)
        value = outcome.value if outcome.status is not ScopeStatus.SKIPPED else value
    return completed(value)


def ask_for(step: Step, frame: Frame, path: str) -> Child:
    """What a step asks for, once its condition has been looked at (a loop's condition: once, before the loop)."""
    try:
        if step.condition is not None and not step.condition.test(frame.variables):
            return Decided(path, step, SKIPPED)
    except (ExpressionError, TemplateError) as error:
        return Decided(path, step, settle(step, failed(_unreadable("condition", step, error, path))))
    if step.loop is None:
        return pass_of(step, frame, path)
    return Enter(path, _loop_kind(step), partial(walk_loop, step, step.loop, frame, path, guarded_pass), step)


def _loop_kind(step: Step) -> str:
    return type(step.loop).__name__.lower()


def _unreadable(what: str, step: Step, error: Exception, path: str) -> Failure:
    text = f"step '{step.id}': {what}: {error}"
    return Failure(FailureKind.TEMPLATE, text, path, retryable=False, cause=type(error).__name__)


def bind(step: Step, outcome: Outcome, frame: Frame) -> None:
    """Store what an executed step leaves in the variables; a completed loop has bound its results itself."""
    if outcome.status is ScopeStatus.SKIPPED:
        frame.skip(step.id)
    elif step.loop is None or outcome.status is not ScopeStatus.COMPLETED:
        frame.bind_result(step, outcome)


# --- one pass of a step's own action -----------------------------------------------------------------------------


def pass_of(step: Step, frame: Frame, path: str) -> Pass | Decided:
    """One pass: a leaf, a sub-recipe or a loop body. An agent step takes from the tree's budget here."""
    if isinstance(step, AgentStep):
        failure = frame.budget.take(path, frame.stack)
        if failure is not None:
            return Decided(path, step, settle(step, failed(failure.at(path))))
    return Pass(path, step, frame, _inner(step, frame, path))


def guarded_pass(step: Step, frame: Frame, path: str) -> Pass | Decided | Guarded:
    """One pass of a loop's body, with the body's ``finally`` behind it."""
    if not step.finally_:
        return pass_of(step, frame, path)
    return guarded_loop_body(step, frame, path, partial(_just, step, frame, path), walk_steps)


def _just(step: Step, frame: Frame, path: str) -> Walk:
    return answered((yield pass_of(step, frame, path)))


def _inner(step: Step, frame: Frame, path: str) -> Callable[[], Walk] | None:
    if isinstance(step, RecipeStep):
        return partial(_walk_call, step, frame, path)
    if isinstance(step, BlockStep):
        return partial(walk_steps, step.body, frame, path)
    return None


def _walk_call(step: RecipeStep, frame: Frame, path: str) -> Walk:
    try:
        name = step.recipe.render(frame.variables)
        context = render_tree(dict(step.context), frame.variables)
    except TemplateError as error:
        return failed(_unreadable("recipe call", step, error, path))
    answer = yield NeedRecipe(path, name, frame.recipe.file)
    if not isinstance(answer, Recipe):
        return answered(answer)
    assert isinstance(context, dict)
    called = frame.call(answer, context, step.recursion)
    if isinstance(called, Failure):
        return failed(called.at(path))
    outcome = yield from walk_recipe(called, path)
    if outcome.goes_on:
        return completed(called.added())
    return evolve(outcome, failure=outcome.failure.within(called.stack)) if outcome.failure else outcome
