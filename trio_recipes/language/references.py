"""What a step refers to and what it sets: the raw material of every check of names (recipe-language.md 3 and 4)."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from trio_recipes.language.model import AgentStep, BashStep, Foreach, FunctionStep, RecipeStep
from trio_recipes.language.report import segment
from trio_recipes.language.template import Template

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trio_recipes.language.model import Recipe, Step
    from trio_recipes.values import Value


def head(reference: str) -> str:
    """The variable that ``a.b.c`` begins with."""
    return reference.partition(".")[0]


def work_texts(step: Step) -> Iterator[tuple[str, str]]:
    """Field path and text of each template in the step's own work (not in its condition, loop or body)."""
    if isinstance(step, AgentStep):
        yield f"{step.where}.prompt", step.prompt.source
    elif isinstance(step, BashStep):
        yield f"{step.where}.command", step.command.source
        if step.cwd:
            yield f"{step.where}.cwd", step.cwd.source
        for name, template in step.env.items():
            yield f"{step.where}.env.{segment(name)}", template.source
    elif isinstance(step, RecipeStep):
        yield f"{step.where}.recipe", step.recipe.source
        yield from _tree_texts(f"{step.where}.context", dict(step.context))
    elif isinstance(step, FunctionStep):
        yield from _tree_texts(f"{step.where}.args", dict(step.args))


def loop_texts(step: Step) -> Iterator[tuple[str, str]]:
    """Field path and text of each template of the step's loop."""
    if isinstance(step.loop, Foreach):
        yield f"{step.where}.foreach", step.loop.items.source
    if step.loop:
        for name, template in step.loop.update_context.items():
            yield f"{step.where}.update_context.{name}", template.source


def mentioned(step: Step) -> set[str]:
    """The variables that a step and everything below it refer to."""
    texts = [text for _, text in (*work_texts(step), *loop_texts(step))]
    names = {head(reference) for text in texts for reference in Template.parse(text).references}
    conditions = [step.condition, getattr(step.loop, "condition", None), step.loop.break_when if step.loop else None]
    names |= {head(reference) for condition in conditions if condition for reference in condition.references}
    names |= set(step.env_from_context) if isinstance(step, BashStep) else set()
    return names.union(*(mentioned(inner) for inner in (*step.body, *step.finally_)))


def unused(recipe: Recipe, names: Iterable[str]) -> list[str]:
    """Which of the names a recipe neither has a default for nor refers to anywhere, in their order.

    Args:
        recipe: the recipe; what its sub-recipes use counts if it hands that on.
        names: of variables that a caller sets.
    """
    bodies = [
        recipe.steps,
        recipe.finally_,
        *(body for stage in recipe.stages for body in (stage.steps, stage.finally_)),
    ]
    prompts = [stage.approval.prompt for stage in recipe.stages if stage.approval.prompt]
    asked = {head(reference) for prompt in prompts for reference in prompt.references}
    used = asked.union(recipe.context, recipe.secrets, *map(mentioned, chain.from_iterable(bodies)))
    return [name for name in dict.fromkeys(names) if name not in used]


def made(step: Step) -> Iterator[tuple[str, Step]]:
    """The variables that are set once a step is done, each with the step whose result it is.

    Iterations of a parallel loop work on copies of the variables (section 7), so that only the loop's own result
    leaves it.
    """
    loop = step.loop
    if not (isinstance(loop, Foreach) and loop.parallel != 1):
        yield from made_inside(step)
    for name in (step.output, loop.collect if loop else None):
        if name:
            yield name, step


def made_inside(step: Step) -> Iterator[tuple[str, Step]]:
    """The variables that one pass of the step sets besides its result."""
    for inner in step.body:
        yield from made(inner)
    if isinstance(step, BashStep) and step.output_exit_code:
        yield step.output_exit_code, step
    if step.loop:
        for name in step.loop.update_context:
            yield name, step


def literal_sub_recipes(recipe: Recipe) -> Iterator[tuple[RecipeStep, str]]:
    """The recipe steps whose path is no template, with that path."""
    for step in recipe.all_steps():
        if isinstance(step, RecipeStep) and not step.recipe.references:
            yield step, step.recipe.source


def _tree_texts(path: str, value: Value) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _tree_texts(f"{path}.{segment(key)}", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _tree_texts(f"{path}[{index}]", item)
