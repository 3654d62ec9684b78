"""Outline -> a Mermaid flowchart."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trio_recipes.frontends.diagrams.parts import Group, NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_recipes.frontends.diagrams.parts import Edge, Item, Node, Outline

SHAPES = {
    NodeKind.START: '(["{}"])',
    NodeKind.END: '(["{}"])',
    NodeKind.AGENT: '("{}")',
    NodeKind.BASH: '["{}"]',
    NodeKind.FUNCTION: '[/"{}"/]',
    NodeKind.RECIPE: '[["{}"]]',
    NodeKind.UNKNOWN: '>"{}"]',
    NodeKind.CONDITION: '{{"{}"}}',
    NodeKind.GATE: '{{{{"{}"}}}}',
    NodeKind.JOIN: '(("{}"))',
}

# Mermaid reads labels as its own syntax, as HTML, as Markdown ("1. x" is a list, "www.x" a link, "$$" mathematics) and,
# in part, as whole-text patterns ("style…:…#…;", "%%{…}%%"). What is left as it is means nothing to any of them:
# letters, digits, spaces, a few marks, and '-', '_' and '.' inside of words.
_INSIDE_WORDS = r"(?<=[^\W_])(?<![wW]{3})[-_.](?=[^\W_])"
_SPECIAL = re.compile(rf"(?!{_INSIDE_WORDS})(?:[^\w ,/?'(){{}}]|_)")


def mermaid(outline: Outline) -> str:
    """The text of a flowchart."""
    lines = ["flowchart TD", *_items(outline.items, "  "), *(f"  {_edge(edge)}" for edge in outline.edges)]
    return "".join(f"{line}\n" for line in lines)


def _items(items: tuple[Item, ...], indent: str) -> Iterator[str]:
    for item in items:
        if isinstance(item, Group):
            yield f'{indent}subgraph {item.id} ["{_label(item.lines)}"]'
            yield from _items(item.items, f"{indent}  ")
            yield f"{indent}end"
        else:
            yield f"{indent}{_node(item)}"


def _node(node: Node) -> str:
    return node.id + SHAPES[node.kind].format(_label(node.lines) or " ")


def _edge(edge: Edge) -> str:
    arrow = "-.->" if edge.dotted else "-->"
    label = f'|"{_escaped(edge.label)}"|' if edge.label else ""
    return f"{edge.source} {arrow}{label} {edge.target}"


def _label(lines: tuple[str, ...]) -> str:
    return "<br/>".join(map(_escaped, lines))


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda match: f"#{ord(match.group())};", text)
