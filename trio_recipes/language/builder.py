"""Parser events -> plain data with positions.

The data is built from events, not with a YAML loader, because a loader keeps the last of two equal keys, constructs
objects for tags, follows alias bombs and runs out of C stack; here each of these is a problem with a line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import yaml
from attrs import field

from trio_recipes.classes import define
from trio_recipes.errors import Problem
from trio_recipes.language.report import Position, Report, segment
from trio_recipes.language.scalars import MERGE, ScalarError, construct, is_scalar_tag, surprise, tag_of
from trio_recipes.language.wording import kind_of, shown
from trio_recipes.values import Value

Event: TypeAlias = Any
"""A parser event. PyYAML's event classes have no common base that knows marks, tags and anchors."""

MAX_DEPTH = 100
"""Mappings and lists inside of each other."""

MAX_NODES = 500_000
"""Keys and values of one document, those that aliases repeat included."""

_COLLECTION_TAGS = (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


class StopReadingError(Exception):
    """A limit was passed, and noted; what follows is not looked at."""


@define
class _Anchor:
    """What ``&name`` stands for: its value once it is complete, and how many nodes that has."""

    value: Value = None
    nodes: int = 0
    complete: bool = False


@define
class Builder:
    """Builds the data of one document.

    Args:
        report: receives the problems.
        positions: line and column of each key and list item built so far, by field path.
    """

    report: Report
    positions: dict[str, Position] = field(factory=dict)
    _events: Iterator[Event] = field(factory=lambda: iter(()))
    _anchors: dict[str, _Anchor] = field(factory=dict)
    _nodes: int = 0
    _depth: int = 0

    def document(self, events: Iterator[Event]) -> Value:
        """The value of the only document in a stream; None for an empty stream.

        Raises:
            StopReadingError: if a limit was passed.
            yaml.YAMLError: for a syntax error.
        """
        self._events = events
        next(events)
        event = next(events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        value = self._value(next(events), "")
        next(events)
        event = next(events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._problem(event, "", "a second document begins here; a recipe is one document")
        return value

    def _value(self, event: Event, path: str) -> Value:
        self._count(event, 1)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        nodes = self._nodes
        anchor = _Anchor()
        if event.anchor:
            self._anchors[event.anchor] = anchor
        anchor.value = self._content(event, path)
        anchor.nodes, anchor.complete = self._nodes - nodes, True
        return anchor.value

    def _content(self, event: Event, path: str) -> Value:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if event.tag not in _COLLECTION_TAGS:
            self._refuse_tag(event, path)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._stop(event, f"nested more than {MAX_DEPTH} levels deep")
        value = self._mapping(path) if isinstance(event, yaml.MappingStartEvent) else self._list(path)
        self._depth -= 1
        return value

    def _list(self, path: str) -> list[Value]:
        items: list[Value] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            here = f"{path}[{len(items)}]"
            self.positions[here] = _position(event)
            items.append(self._value(event, here))
        return items

    def _mapping(self, path: str) -> dict[str, Value]:
        items: dict[str, Value] = {}
        lines: dict[str, int] = {}
        merged: dict[str, Value] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key, is_merge = self._key(event, path)
            if is_merge:
                merged |= self._merge(path)
                continue
            here = f"{path}.{segment(key)}" if path else segment(key)
            self.positions.setdefault(here, _position(event))
            if key in lines:
                self._problem(event, here, f"{shown(key)} stands here and on line {lines[key]}; keep one of them")
            lines.setdefault(key, event.start_mark.line + 1)
            items[key] = self._value(next(self._events), here)
        return {**merged, **items} if merged else items

    def _key(self, event: Event, path: str) -> tuple[str, bool]:
        """A key, and whether it is YAML's merge key ``<<``."""
        if isinstance(event, yaml.ScalarEvent) and tag_of(event) == MERGE:
            return "<<", True
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            what = "a mapping" if isinstance(event, yaml.MappingStartEvent) else "a list"
            hint = "; a value that starts with {{ must be quoted" if event.flow_style and what == "a mapping" else ""
            self._problem(event, path, f"{what} can't be a key{hint}")
            self._value(event, path)
            self.report.broken.add(path)
            return "?", False
        key = self._value(event, path)
        if not isinstance(key, str):
            self._problem(event, path, f"keys must be strings; quote this one ({kind_of(key)}: {shown(key)})")
        return str(key), False

    def _merge(self, path: str) -> dict[str, Value]:
        """The mapping (or mappings, the first one winning) that ``<<`` brings in."""
        event = next(self._events)
        value = self._value(event, f"{path}.<<")
        sources = value if isinstance(value, list) else [value]
        merged: dict[str, Value] = {}
        for source in reversed(sources):
            if isinstance(source, dict):
                merged |= source
            else:
                self._problem(event, path, f"'<<' takes a mapping, or a list of mappings; found {shown(source)}")
        return merged

    def _alias(self, event: Event, path: str) -> Value:
        anchor = self._anchors.get(event.anchor)
        if anchor is None:
            self._problem(event, path, f"'*{event.anchor}' refers to an anchor that does not stand above it")
            return None
        if not anchor.complete:
            self._problem(event, path, f"'*{event.anchor}' stands inside of what it refers to")
            return None
        self._count(event, anchor.nodes)
        return anchor.value

    def _scalar(self, event: Event, path: str) -> Value:
        tag = tag_of(event)
        if not is_scalar_tag(tag):
            self._refuse_tag(event, path)
            return str(event.value)
        try:
            value = construct(tag, event.value)
        except ScalarError as error:
            self._problem(event, path, str(error))
            return None
        if odd := surprise(tag, event.value, value):
            self._problem(event, path, odd, warning=True)
        return value

    # --- limits and problems ---

    def _count(self, event: Event, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self._stop(event, f"more than {MAX_NODES:,} keys and values, counting those that aliases repeat")

    def _stop(self, event: Event, message: str) -> None:
        self._problem(event, "", message)
        raise StopReadingError

    def _refuse_tag(self, event: Event, path: str) -> None:
        self._problem(event, path, f"the tag {shown(event.tag)} is not allowed: recipes are plain data; remove it")

    def _problem(self, event: Event, path: str, message: str, *, warning: bool = False) -> None:
        line, column = _position(event)
        self.report.note(Problem(message, self.report.file, line, column, path, warning))


def _position(event: Event) -> Position:
    return event.start_mark.line + 1, event.start_mark.column + 1
