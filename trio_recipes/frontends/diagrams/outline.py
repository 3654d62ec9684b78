"""Recipe -> :class:`~trio_recipes.frontends.diagrams.parts.Outline`: which box follows which.

Parts are drawn in the order of the document. Each takes the loose *ends* of what came before, ties them to its first
box, and returns its own. A sub-recipe is drawn once, beside its callers, however often it is called: so diagrams stay
small, and recipes that call each other have one, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from attrs import evolve, field

from trio_recipes.classes import define, frozen
from trio_recipes.frontends.diagrams.labels import (
    gate_lines,
    loop_lines,
    stage_lines,
    start_lines,
    step_lines,
)
from trio_recipes.frontends.diagrams.parts import Edge, Group, GroupKind, Item, Node, NodeKind, Outline
from trio_recipes.frontends.printable import duration, in_one_line
from trio_recipes.language.model import Foreach, Recipe, RecipeStep, Stage, Step, While

LONGEST_LINE = 60
"""Characters of a label's line."""

Find: TypeAlias = Callable[[Recipe, RecipeStep], Recipe | None]
"""The recipe that a step calls, or None where only a run can tell."""


@frozen
class _End:
    """A loose end: the next box is tied to it."""

    node: str
    label: str = ""
    dotted: bool = False


def outline(recipe: Recipe, find: Find) -> Outline:
    """What a recipe does, with every recipe that it calls.

    Args:
        recipe: where it begins.
        find: looks up sub-recipes.
    """
    drawing = _Drawing(find)
    drawing.start_of(recipe)
    items: list[Item] = list(drawing.recipe(*drawing.pending.pop(0)))
    while drawing.pending:
        called, start = drawing.pending.pop(0)
        items.append(drawing.group(GroupKind.RECIPE, [f"recipe {called.name}"], drawing.recipe(called, start)))
    return Outline(tuple(items), tuple(drawing.edges))


@define(eq=False)
class _Drawing:
    """What was drawn so far.

    Args:
        find: looks up sub-recipes.
        edges: all arrows.
        starts: the first box of each recipe, drawn or pending.
        pending: recipes that were called and are not drawn yet.
    """

    find: Find
    edges: list[Edge] = field(factory=list)
    starts: dict[tuple[str | None, str], str] = field(factory=dict)
    pending: list[tuple[Recipe, str]] = field(factory=list)
    _count: int = 0

    # --- recipes and stages ---

    def start_of(self, recipe: Recipe) -> str:
        """The first box of a recipe, which will be drawn in its turn."""
        key = (recipe.file, recipe.digest)
        if key not in self.starts:
            self.starts[key] = self._id()
            self.pending.append((recipe, self.starts[key]))
        return self.starts[key]

    def recipe(self, recipe: Recipe, start: str) -> list[Item]:
        """A whole recipe, from its start to its end."""
        items: list[Item] = [Node(start, NodeKind.START, _label(start_lines(recipe)))]
        ends = self.block(recipe, recipe, [_End(start)], items)
        for stage in recipe.stages:
            ends = self.stage(recipe, stage, ends, items)
        ends = self.cleanup(recipe, recipe, ends, items)
        self.node(NodeKind.END, ["end"], ends, items)
        return items

    def stage(self, recipe: Recipe, stage: Stage, ends: list[_End], items: list[Item]) -> list[_End]:
        """A stage and its gate."""
        inner: list[Item] = []
        ends = self.block(recipe, stage, ends, inner)
        ends = self.cleanup(recipe, stage, ends, inner)
        items.append(self.group(GroupKind.STAGE, stage_lines(stage), inner))
        if not stage.approval.required:
            return ends
        return [_End(self.node(NodeKind.GATE, gate_lines(stage.approval), ends, items), "approved")]

    def cleanup(self, recipe: Recipe, owner: Recipe | Stage | Step, ends: list[_End], items: list[Item]) -> list[_End]:
        """What runs however ``owner`` ended; of a loop, each pass."""
        if not owner.finally_:
            return ends
        inner: list[Item] = []
        arriving = [evolve(end, label=end.label or "always", dotted=True) for end in ends]
        ends = self.steps(recipe, owner.finally_, arriving, inner)
        items.append(self.group(GroupKind.FINALLY, [f"finally, at most {duration(owner.cleanup_timeout)}"], inner))
        return ends

    # --- steps ---

    def block(self, recipe: Recipe, block: Recipe | Stage, ends: list[_End], items: list[Item]) -> list[_End]:
        """Steps one after the other, or as their dependencies allow."""
        if block.schedule == "graph" and block.steps:
            return self.graph(recipe, block.steps, self._joined(ends, items), items)
        return self.steps(recipe, block.steps, ends, items)

    def steps(self, recipe: Recipe, steps: Sequence[Step], ends: list[_End], items: list[Item]) -> list[_End]:
        """Steps one after the other."""
        for step in steps:
            ends = self.step(recipe, step, ends, items)
        return ends

    def graph(self, recipe: Recipe, steps: Sequence[Step], ends: list[_End], items: list[Item]) -> list[_End]:
        """Each step after those it depends on; those of earlier stages are done anyway."""
        own: dict[str, list[_End]] = {}
        for step in steps:
            before = [end for name in dict.fromkeys(step.depends_on) for end in own.get(name, ())]
            own[step.id] = self.step(recipe, step, before or ends, items)
        needed = {name for step in steps for name in step.depends_on}
        return [end for name, last in own.items() if name not in needed for end in last]

    def step(self, recipe: Recipe, step: Step, ends: list[_End], items: list[Item]) -> list[_End]:
        """A step with its condition."""
        if step.condition is None or not step.condition.source.strip():
            return self.passes(recipe, step, ends, items)
        question = self.node(NodeKind.CONDITION, [step.condition.source], ends, items)
        return [*self.passes(recipe, step, [_End(question, "yes")], items), _End(question, "no")]

    def passes(self, recipe: Recipe, step: Step, ends: list[_End], items: list[Item]) -> list[_End]:
        """A step's work, as often as its loop says."""
        if step.loop is None:
            return [self.work(recipe, step, ends, items)]
        inner: list[Item] = []
        body = self.steps(recipe, step.body, ends, inner) if step.body else [self.work(recipe, step, ends, inner)]
        body = self.cleanup(recipe, step, body, inner)
        self._repeat(step.loop, body, inner)
        items.append(self.group(GroupKind.LOOP, loop_lines(step, step.loop), inner))
        return body

    def work(self, recipe: Recipe, step: Step, ends: list[_End], items: list[Item]) -> _End:
        """What a step does of its own, and the recipe that it calls."""
        node = self.node(NodeKind(step.kind), step_lines(step), ends, items)
        if isinstance(step, RecipeStep):
            call = [_End(node, "calls", dotted=True)]
            called = self.find(recipe, step)
            if called is None:
                self.node(NodeKind.UNKNOWN, [step.recipe.source, "known only when it runs"], call, items)
            else:
                self._tie(call, self.start_of(called))
        return _End(node)

    # --- boxes, frames and arrows ---

    def node(self, kind: NodeKind, lines: Sequence[str], ends: list[_End], items: list[Item]) -> str:
        """Draw a box after ``ends``."""
        node = Node(self._id(), kind, _label(lines))
        items.append(node)
        self._tie(ends, node.id)
        return node.id

    def group(self, kind: GroupKind, lines: Sequence[str], items: Sequence[Item]) -> Group:
        """A frame around what was drawn."""
        return Group(self._id(), kind, _label(lines), tuple(items))

    def _joined(self, ends: list[_End], items: list[Item]) -> list[_End]:
        """One end for many: else each step of a wide block would be tied to each of the block before it."""
        return [_End(self.node(NodeKind.JOIN, [], ends, items))] if len(ends) > 1 else ends

    def _repeat(self, loop: Foreach | While, ends: list[_End], items: list[Item]) -> None:
        if isinstance(loop, While) or loop.parallel is not None:
            self._tie([evolve(end, label=end.label or "next", dotted=True) for end in ends], _first(items[0]))

    def _tie(self, ends: list[_End], node: str) -> None:
        self.edges += [Edge(end.node, node, end.label, end.dotted) for end in ends]

    def _id(self) -> str:
        self._count += 1
        return f"n{self._count}"


def _label(lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(in_one_line(line, LONGEST_LINE) for line in lines if line)


def _first(item: Item) -> str:
    """The box that is reached first."""
    return item.id if isinstance(item, Node) else _first(item.items[0])
