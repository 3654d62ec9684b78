"""What stands in the boxes and frames of a diagram, line by line, as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_recipes.frontends.printable import duration
from trio_recipes.language.model import AgentStep, BashStep, Foreach, FunctionStep, OnError, RecipeStep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_recipes.language.model import Approval, Recipe, Stage, Step, While

ON_ERROR = {OnError.CONTINUE: "on error: go on", OnError.SKIP_REMAINING: "on error: skip the rest"}
ON_INTERRUPT = {"ask": "interrupted: ask", "skip": "interrupted: skip", "fail": "interrupted: fail"}


def start_lines(recipe: Recipe) -> tuple[str, ...]:
    """A recipe's name, and what holds for all of it."""
    deadline = recipe.limits.deadline
    limit = f"at most {duration(deadline)}" if deadline is not None else ""
    return f"{recipe.name} {recipe.version}", limit, "" if recipe.stages else schedule_line(recipe)


def stage_lines(stage: Stage) -> tuple[str, ...]:
    """A stage's name and schedule."""
    return f"stage {stage.name}", schedule_line(stage)


def schedule_line(block: Recipe | Stage) -> str:
    """How steps follow each other, where it is not one after the other."""
    if block.schedule != "graph":
        return ""
    return _listed(["as dependencies allow", _at_once(block.max_parallel_steps)])


def step_lines(step: Step) -> tuple[str, ...]:
    """A step's id, its work, and what happens when the work is slow or fails."""
    return step.id, _work(step), _listed(_handling(step))


def loop_lines(step: Step, loop: Foreach | While) -> tuple[str, ...]:
    """What a loop goes over, how, and how it ends early; for a loop with a body also :func:`step_lines`."""
    over = _over(loop) if isinstance(loop, Foreach) else f"while {loop.condition.source}"
    until = f"until {loop.break_when.source}" if loop.break_when else ""
    handling = _listed(_handling(step)) if loop.body else ""
    return f"{step.id}: {over}", _listed(_pace(loop)), until, handling


def gate_lines(approval: Approval) -> tuple[str, ...]:
    """The question of a gate, and what happens without an answer."""
    question = approval.prompt.source if approval.prompt else ""
    silence = f"no answer in {duration(approval.timeout)}: {approval.default}" if approval.timeout else ""
    return "approval", question, silence, "by a person only" if approval.by == "human" else ""


def _work(step: Step) -> str:
    match step:
        case AgentStep():
            return f"agent {step.agent}"
        case BashStep():
            return f"$ {_first_words(step.command.source)}"
        case RecipeStep():
            return f"recipe {step.recipe.source}"
        case FunctionStep():
            return f"function {step.function}"
        case _:
            return ""


def _first_words(command: str) -> str:
    """The first line that says something: not only a brace or a parenthesis."""
    lines = (line.strip() for line in command.splitlines())
    return next((line for line in lines if any(map(str.isalnum, line))), "")


def _handling(step: Step) -> Iterator[str]:
    # Steps that give no timeout have one in the model, too; what everybody has is not worth a line.
    if step.timeout is not None and step.source.get("timeout") is not None:
        yield f"timeout {duration(step.timeout)}"
    if step.retry.max_attempts > 1:
        yield f"{step.retry.max_attempts} attempts, {step.retry.backoff} back-off"
    yield ON_ERROR.get(step.on_error, "")
    yield ON_INTERRUPT.get(step.on_interrupt, "")


def _over(loop: Foreach) -> str:
    return f"for each {loop.variable} of {loop.items.source}"


def _pace(loop: Foreach | While) -> Iterator[str]:
    if isinstance(loop, Foreach) and loop.parallel != 1:
        yield _at_once(loop.parallel) or "all at once"
    if loop.max_iterations != 100:
        yield f"at most {loop.max_iterations} times"


def _at_once(limit: int | None) -> str:
    return f"at most {limit} at once" if limit else ""


def _listed(facts: Iterator[str] | list[str]) -> str:
    return ", ".join(fact for fact in facts if fact)
