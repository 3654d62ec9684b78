"""Which variables are known where: undefined ones are found before anything runs.

The check follows the order in which a run would set variables (recipe-language.md sections 3 and 7). What only a
skipped step would have set counts as known, since no check can tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from trio_recipes.classes import define
from trio_recipes.language.model import AgentStep, BashStep, Foreach, Step
from trio_recipes.language.references import head, made, made_inside, mentioned, work_texts
from trio_recipes.language.report import Report
from trio_recipes.language.template import Template
from trio_recipes.language.wording import did_you_mean, kind_of, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trio_recipes.errors import Problem
    from trio_recipes.language.expression import Expression
    from trio_recipes.language.model import Recipe, Stage
    from trio_recipes.values import Value

    Known: TypeAlias = "dict[str, Value | _Unseen]"


class _Unseen:
    """A value that only a run knows."""


ANY: Final = _Unseen()
ANSWER: Final = _Unseen()
"""The answer of an agent: whatever it likes to write."""

ENGINE: dict[str, Value] = {
    "recipe": {"name": "", "version": "", "description": ""},
    "session": {"id": "", "started": "", "project": ""},
    "step": {"id": "", "index": 0, "stage": ""},
    "_skipped_steps": [],
}
"""The engine's own variables in every recipe (section 3), with their parts."""

STAGED = ("_approval_message", "_approval")
LOOPED = ("_loop_index", "_loop_iteration")


def check_recipe(recipe: Recipe, *, given: Iterable[str] = ()) -> list[Problem]:
    """Find references to variables that can't be known where they stand.

    Args:
        recipe: a recipe that was loaded.
        given: the names of the variables that the caller passes.

    Returns:
        Errors and warnings in document order; empty if all is well.
    """
    report = Report(recipe.file, recipe.positions)
    _Check(report, _first_makers(recipe)).recipe(recipe, given)
    return report.in_order()


@define
class _Check:
    """One walk through a recipe.

    Args:
        report: receives the problems.
        makers: for each variable that any step sets, the first such step; for messages only.
    """

    report: Report
    makers: dict[str, Step]

    # --- the walk ---

    def recipe(self, recipe: Recipe, given: Iterable[str]) -> None:
        known: Known = {**recipe.context, **dict.fromkeys((*recipe.secrets, *given), ANY), **ENGINE}
        self.block(recipe.steps, known, recipe.schedule)
        for stage in recipe.stages:
            self.stage(stage, known)
        self.cleanup(recipe.finally_, known)

    def stage(self, stage: Stage, known: Known) -> None:
        known.update({"stage": {"name": "", "index": 0}, **dict.fromkeys(STAGED, ANY)})
        self.block(stage.steps, known, stage.schedule)
        self.cleanup(stage.finally_, known)
        if stage.approval.prompt:
            self.text(stage.approval.prompt.source, f"{stage.where}.approval.prompt", known)

    def block(self, steps: Sequence[Step], known: Known, schedule: str = "order") -> None:
        """Check steps and add to ``known`` what they set."""
        if schedule == "graph":
            self.graph(steps, known)
            return
        for step in steps:
            self.step(step, known)
            known.update(_made(step))

    def graph(self, steps: Sequence[Step], known: Known) -> None:
        """A step sees the variables at the block's start and those of the steps it depends on (section 12)."""
        before = _ancestors(steps)
        makers: dict[str, int] = {}
        shapes: Known = {}
        for index, step in enumerate(steps):
            for name, shape in _made(step).items():
                makers[name] = makers.get(name, 0) | 1 << index
                shapes[name] = shape
        for index, step in enumerate(steps):
            seen = {name: shapes[name] for name in mentioned(step) if makers.get(name, 0) & before[index]}
            self.step(step, {**known, **seen})
        known.update(shapes)

    def cleanup(self, steps: Sequence[Step], known: Known) -> None:
        if steps:
            self.block(steps, {**known, "_outcome": ANY})

    def step(self, step: Step, known: Known) -> None:
        self.condition(step.condition, f"{step.where}.condition", known)
        if step.loop is None:
            self.work(step, known)
            return
        inner: Known = {**known, **dict.fromkeys(LOOPED, ANY)}
        if isinstance(step.loop, Foreach):
            self.text(step.loop.items.source, f"{step.where}.foreach", known)
            inner[step.loop.variable] = ANY
        else:
            self.condition(step.loop.condition, f"{step.where}.while_condition", known)
        self.work(step, inner)
        self.block(step.body, inner)
        self.end_of_iteration(step, inner)
        self.cleanup(step.finally_, inner)

    def end_of_iteration(self, step: Step, inner: Known) -> None:
        """output, then update_context one by one, then break_when (section 7)."""
        if step.output:
            inner[step.output] = _shape(step)
        if isinstance(step, BashStep) and step.output_exit_code:
            inner[step.output_exit_code] = ANY
        for name, template in step.loop.update_context.items() if step.loop else ():
            self.text(template.source, f"{step.where}.update_context.{name}", inner)
            inner[name] = ANY
        if step.loop:
            self.condition(step.loop.break_when, f"{step.where}.break_when", inner)

    def work(self, step: Step, known: Known) -> None:
        for path, text in work_texts(step):
            self.text(text, path, known)
        if isinstance(step, BashStep):
            for index, name in enumerate(step.env_from_context):
                self.reference(name, f"{step.where}.env_from_context[{index}]", known)
            self.answers_in_command(step, known)

    # --- references ---

    def text(self, text: str, path: str, known: Known) -> None:
        for reference in Template.parse(text).references:
            self.reference(reference, path, known)

    def condition(self, condition: Expression | None, path: str, known: Known) -> None:
        for reference in condition.references if condition else ():
            self.reference(reference, path, known)

    def reference(self, reference: str, path: str, known: Known) -> None:
        name, *parts = reference.split(".")
        if name not in known:
            self.report.add(path, self.undefined(name, known))
        elif problem := _missing_part(name, parts, known[name]):
            self.report.add(path, f"{{{{{reference}}}}}: {problem}")

    def undefined(self, name: str, known: Known) -> str:
        if maker := self.makers.get(name):
            line = f" (line {maker.line})" if maker.line else ""
            return (
                f"{name!r} is not known here: step {maker.id!r}{line} sets it, but not before this step. Only earlier "
                "steps count; iterations of a parallel loop keep what they set (use 'collect'), and in a graph a step "
                "sees those of its 'depends_on'"
            )
        return (
            f"there is no variable {name!r}{did_you_mean(name, known)} (there are: {listed(known)}); "
            "give it a default in 'context', or pass it in"
        )

    def answers_in_command(self, step: BashStep, known: Known) -> None:
        for name in dict.fromkeys(head(reference) for reference in step.command.references):
            if known.get(name) is ANSWER:
                message = (
                    f"the shell will read what an agent wrote into {name!r} as part of the command; "
                    f'env_from_context: [{name}] and "${name}" keep it text'
                )
                self.report.add(f"{step.where}.command", message, warning=True)


def _missing_part(holder: str, parts: list[str], value: Value | _Unseen) -> str:
    """What is wrong with looking ``parts`` up in a value, as far as it is known before a run."""
    for part in parts:
        if isinstance(value, _Unseen):
            return ""
        if not isinstance(value, dict):
            return f"{holder!r} is {kind_of(value)}, so it has no {part!r}"
        if part not in value:
            return f"{holder!r} has no {part!r}{did_you_mean(part, value)} (it has: {listed(value)})"
        value, holder = value[part], f"{holder}.{part}"
    return ""


def _first_makers(recipe: Recipe) -> dict[str, Step]:
    makers: dict[str, Step] = {}
    for step in recipe.all_steps():
        for name, _ in (*made_inside(step), *made(step)):
            makers.setdefault(name, step)
    return makers


def _made(step: Step) -> Known:
    return {name: _shape(maker) for name, maker in made(step)}


def _shape(maker: Step) -> _Unseen:
    return ANSWER if isinstance(maker, AgentStep) else ANY


def _ancestors(steps: Sequence[Step]) -> list[int]:
    """For each step the set of steps it depends on, directly or not, as the bits of a number."""
    positions: dict[str, int] = {}
    ancestors: list[int] = []
    for index, step in enumerate(steps):
        direct = [positions[name] for name in step.depends_on if name in positions]
        mask = 0
        for position in direct:
            mask |= ancestors[position] | 1 << position
        ancestors.append(mask)
        positions[step.id] = index
    return ancestors
