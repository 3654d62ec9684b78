"""What a diagram is made of, whatever it is drawn with. Labels are plain text: renderers escape them."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

from trio_recipes.classes import frozen


class NodeKind(StrEnum):
    """What a node stands for."""

    START = "start"
    END = "end"
    AGENT = "agent"
    BASH = "bash"
    FUNCTION = "function"
    RECIPE = "recipe"
    UNKNOWN = "unknown"
    CONDITION = "condition"
    GATE = "gate"
    JOIN = "join"


class GroupKind(StrEnum):
    """What a frame around nodes stands for."""

    RECIPE = "recipe"
    STAGE = "stage"
    LOOP = "loop"
    FINALLY = "finally"


@frozen
class Node:
    """One box. ``lines`` are its label."""

    id: str
    kind: NodeKind
    lines: tuple[str, ...]


@frozen
class Group:
    """A frame around nodes and other frames; never empty."""

    id: str
    kind: GroupKind
    lines: tuple[str, ...]
    items: tuple[Item, ...]


Item: TypeAlias = "Node | Group"


@frozen
class Edge:
    """An arrow between two nodes; ``dotted`` is what is no step forward: calls, repetitions, clean-up."""

    source: str
    target: str
    label: str = ""
    dotted: bool = False


@frozen
class Outline:
    """A whole diagram."""

    items: tuple[Item, ...]
    edges: tuple[Edge, ...]
