"""Outline -> Graphviz DOT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_recipes.frontends.diagrams.parts import Group, GroupKind, NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_recipes.frontends.diagrams.parts import Edge, Item, Node, Outline

SHAPES = {
    NodeKind.START: "shape=oval",
    NodeKind.END: "shape=oval",
    NodeKind.AGENT: "shape=box, style=rounded",
    NodeKind.BASH: "shape=box",
    NodeKind.FUNCTION: "shape=parallelogram",
    NodeKind.RECIPE: "shape=box, peripheries=2",
    NodeKind.UNKNOWN: "shape=box, style=dashed",
    NodeKind.CONDITION: "shape=diamond",
    NodeKind.GATE: "shape=hexagon",
    NodeKind.JOIN: "shape=point",
}
FRAMES = {
    GroupKind.RECIPE: "solid",
    GroupKind.STAGE: "solid",
    GroupKind.LOOP: "rounded",
    GroupKind.FINALLY: "dashed",
}

# A backslash begins an escape of DOT, an ampersand a character reference; both are read inside of quotes.
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "&": "&amp;"})


def dot(outline: Outline) -> str:
    """The text of a directed graph."""
    edges = (f"  {_edge(edge)}" for edge in outline.edges)
    head = ["digraph recipe {", '  node [fontname="sans-serif"];', '  edge [fontname="sans-serif"];']
    lines = [*head, '  fontname="sans-serif";', *_items(outline.items, "  "), *edges, "}"]
    return "".join(f"{line}\n" for line in lines)


def _items(items: tuple[Item, ...], indent: str) -> Iterator[str]:
    for item in items:
        if isinstance(item, Group):
            # Graphviz draws a frame around a subgraph because of its name.
            yield f"{indent}subgraph cluster_{item.id} {{"
            yield f"{indent}  label={_quoted(item.lines)}; style={FRAMES[item.kind]}; labeljust=l;"
            yield from _items(item.items, f"{indent}  ")
            yield f"{indent}}}"
        else:
            yield f"{indent}{_node(item)}"


def _node(node: Node) -> str:
    return f"{node.id} [label={_quoted(node.lines)}, {SHAPES[node.kind]}];"


def _edge(edge: Edge) -> str:
    facts = [f"label={_quoted((edge.label,))}"] if edge.label else []
    facts += ["style=dotted"] if edge.dotted else []
    return f"{edge.source} -> {edge.target}" + (f" [{', '.join(facts)}];" if facts else ";")


def _quoted(lines: tuple[str, ...]) -> str:
    return '"' + r"\n".join(line.translate(_ESCAPES) for line in lines) + '"'
