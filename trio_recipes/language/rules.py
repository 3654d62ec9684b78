"""Rules that cross fields and steps: identity, order, secrets, and what is legal but surprising."""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING

from trio_recipes.language.model import AgentStep, BashStep, RecipeStep
from trio_recipes.language.references import head, loop_texts, work_texts
from trio_recipes.language.wording import did_you_mean, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trio_recipes.language.model import Recipe, Stage, Step
    from trio_recipes.language.report import Report
    from trio_recipes.language.template import Template

LONG_DESCRIPTION = 500
LONG_ID = 50

_SPACED = re.compile(r"\{\{\s+(\w+(?:\.\w+)*)\s*\}\}|\{\{(\w+(?:\.\w+)*)\s+\}\}")
_BLOCK = re.compile(r"\{\{\s*[#/](?:if|each|unless|with)\b[^{}]*\}\}|\{%[^{}%]*%\}")
_FILTER = re.compile(r"\{\{\s*(\w+(?:\.\w+)*)\s*[|\[][^{}]*\}\}")


def check_structure(recipe: Recipe, report: Report) -> None:
    """Note what breaks a rule, or surprises, without knowing the caller's variables.

    Args:
        recipe: as it was read; fields that were refused hold their defaults.
        report: receives the problems.
    """
    _check_document(recipe, report)
    _check_stages(recipe, report)
    _check_steps(recipe, report)
    for step in recipe.all_steps():
        _check_step(step, recipe, report)


# --- the document ------------------------------------------------------------------------------------------------


def _check_document(recipe: Recipe, report: Report) -> None:
    if len(recipe.description) > LONG_DESCRIPTION:
        message = f"has {len(recipe.description)} characters; {LONG_DESCRIPTION} are enough"
        report.add("description", message, warning=True)
    for name in ("created", "updated"):
        text = getattr(recipe, name)
        if text and not _is_date(text):
            report.add(name, f"is no ISO 8601 date, such as 2025-03-31; found {shown(text)}", warning=True)
    for name in recipe.secrets:
        if recipe.context.get(name):
            message = f"is secret, and its value stands in this file; leave it empty and pass it, or set ${name}"
            report.add(f"context.{name}", message, warning=True)
    _check_schedule(recipe, "", report)


def _check_schedule(block: Recipe | Stage, path: str, report: Report) -> None:
    if block.max_parallel_steps and block.schedule != "graph":
        path = f"{path}.max_parallel_steps" if path else "max_parallel_steps"
        report.add(path, "has no effect without 'schedule: graph'", warning=True)


def _is_date(text: str) -> bool:
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _check_stages(recipe: Recipe, report: Report) -> None:
    lines: dict[str, int | None] = {}
    for stage in recipe.stages:
        if stage.name and stage.name in lines:
            report.add(f"{stage.where}.name", f"{stage.name!r} is also the stage on line {lines[stage.name]}")
        lines.setdefault(stage.name, stage.line)
        _check_schedule(stage, stage.where, report)


# --- identity and order of steps ---------------------------------------------------------------------------------


def _check_steps(recipe: Recipe, report: Report) -> None:
    """Ids are unique across all stages, and inside of each body and each ``finally`` (sections 1 and 2)."""
    groups = [recipe.steps, *(stage.steps for stage in recipe.stages)]
    everything = [step for group in groups for step in group]
    _check_group(everything, {}, report)
    earlier = {step.id: step for step in everything}
    for stage in recipe.stages:
        _check_group(stage.finally_, earlier, report)
    _check_group(recipe.finally_, earlier, report)


def _check_group(steps: Iterable[Step], outer: Mapping[str, Step], report: Report) -> None:
    """Check steps that stand side by side; ``outer`` are those that stand before them, further out."""
    steps = list(steps)
    ids = {step.id for step in steps}
    seen: dict[str, Step] = {}
    for step in steps:
        _check_id(step, seen, report)
        for index, name in enumerate(step.depends_on):
            problem = _wrong_dependency(name, step, ids, seen, outer)
            if problem:
                report.add(f"{step.where}.depends_on[{index}]", problem)
        if step.body or step.finally_:
            before = {**outer, **seen}
            _check_group(step.body, before, report)
            _check_group(step.finally_, {**before, **{inner.id: inner for inner in step.body}}, report)
        seen.setdefault(step.id, step)


def _check_id(step: Step, seen: Mapping[str, Step], report: Report) -> None:
    if step.id and step.id in seen:
        message = f"{step.id!r} is also the step on line {seen[step.id].line}; ids are unique"
        report.add(f"{step.where}.id", message)
    if len(step.id) > LONG_ID:
        report.add(f"{step.where}.id", f"has {len(step.id)} characters; {LONG_ID} are enough", warning=True)


def _wrong_dependency(
    name: str, step: Step, ids: set[str], seen: Mapping[str, Step], outer: Mapping[str, Step]
) -> str | None:
    if name == step.id:
        return "a step can't depend on itself"
    if name in seen or name in outer:
        return None
    if name in ids:
        return f"{name!r} stands later; steps depend on earlier ones: move one of them"
    return f"there is no step {shown(name)} before this one{did_you_mean(name, {*seen, *outer})}"


# --- texts -------------------------------------------------------------------------------------------------------


def _check_step(step: Step, recipe: Recipe, report: Report) -> None:
    for path, text in (*work_texts(step), *loop_texts(step)):
        if surprise := _literal_braces(text):
            report.add(path, surprise, warning=True)
    if isinstance(step, BashStep):
        for name in _secrets_in(step.command, recipe):
            report.add(
                f"{step.where}.command",
                f"{name!r} is secret, and a command is visible to other programs; "
                f'use env_from_context: [{name}] and "${name}"',
            )
    if isinstance(step, RecipeStep):
        for name in _secrets_in(step.recipe, recipe):
            report.add(f"{step.where}.recipe", f"{name!r} is secret, and the names of recipes are recorded")
    if isinstance(step, AgentStep) and "{{" in step.agent:
        report.add(f"{step.where}.agent", f"is not a template; the agent's name is {shown(step.agent)}", warning=True)


def _secrets_in(text: Template, recipe: Recipe) -> list[str]:
    return sorted({head(reference) for reference in text.references} & set(recipe.secrets))


def _literal_braces(text: str) -> str:
    """What looks like a template and is literal text (section 4)."""
    if found := _SPACED.search(text):
        name = found[1] or found[2]
        return f"{shown(found.group())} is literal text; a variable is written {{{{{name}}}}}, without spaces"
    if found := _BLOCK.search(text):
        return f"{shown(found.group())} is literal text; templates have no blocks: use 'condition', 'foreach'"
    if found := _FILTER.search(text):
        return f"{shown(found.group())} is literal text; templates have no filters and no indexes: only {{{{a.b.c}}}}"
    return ""
