"""Hiding the values of secrets in text: pure, and the same for whatever leaves the runner's memory.

Exact occurrences are hidden: of each text in a value, as it is, and as JSON and ``repr`` write it. Shorter values than
:data:`SHORTEST` can't be told from ordinary text, and are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import AnyStr, Final, TypeAlias

from attrs import field

from trio_recipes.classes import define, frozen
from trio_recipes.values import Value

MASK: Final = "***"
"""What stands where a secret stood."""

SHORTEST: Final = 4
"""Characters of the shortest value that is hidden."""

Spans: TypeAlias = tuple[tuple[int, int], ...]
"""Where secrets stand: begin and end of each, in order, none touching the inside of another."""

_CUT: Final = re.compile("['\"]?…|\\.\\.\\.")
"""How messages say that they leave something out; what they leave of a secret there is hidden, too."""


@frozen(repr=False)
class Mask:
    """Hides the values of secrets. Make one with :meth:`of`; it never shows what it knows."""

    _texts: tuple[str, ...] = ()
    _bytes: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, values: Iterable[Value]) -> Mask:
        """A mask for all texts in ``values``."""
        return cls().knowing(values)

    def knowing(self, values: Iterable[Value]) -> Mask:
        """A mask that hides these, too."""
        found = {text for value in values for text in _forms(value) if len(text) >= SHORTEST}
        texts = tuple(sorted(found.union(self._texts), key=lambda text: (-len(text), text)))
        return self if texts == self._texts else Mask(texts, tuple(_encoded(text) for text in texts))

    def __bool__(self) -> bool:
        return bool(self._texts)

    def text(self, text: str) -> str:
        """``text`` without secrets, nor what was left of one where the text has been cut."""
        if not self:
            return text
        hidden = _hidden(text, spans(text, self._texts), MASK)
        return _hidden(hidden, _merged(self._remains(hidden)), MASK)

    def data(self, data: bytes) -> bytes:
        """``data`` without secrets."""
        return hide(data, self.spans(data))

    def value(self, value: Value) -> Value:
        """A JSON value without secrets: in its texts, its numbers, and the keys of its mappings."""
        if not self:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, bool) or value is None:
            return value
        text = str(value)
        return value if self.text(text) == text else self.text(text)

    def spans(self, data: bytes) -> Spans:
        """Where secrets stand in ``data``."""
        return spans(data, self._bytes)

    def settled(self, data: bytes) -> int:
        """How many bytes of ``data`` can't be the beginning of a secret, whatever follows."""
        return min((_settled(data, needle) for needle in self._bytes), default=len(data))

    def _remains(self, text: str) -> Iterator[tuple[int, int]]:
        for cut in _CUT.finditer(text):
            for needle in self._texts:
                if kept := _overlap(text[: cut.start()], needle):
                    yield cut.start() - kept, cut.start()
                if kept := _overlap(needle, text[cut.end() : cut.end() + len(needle)]):
                    yield cut.end(), cut.end() + kept


@define(repr=False)
class Screen:
    """Finds secrets in bytes that come in pieces, also across their borders.

    Holds back what may be the beginning of a secret: less than the longest one, and nothing most of the time.

    Args:
        mask: knows the secrets.
    """

    mask: Mask
    _held: bytes = field(default=b"", init=False)
    _covered: int = field(default=0, init=False)  # bytes of what is held that belong to a secret whose begin is out

    def feed(self, data: bytes, *, last: bool = False) -> tuple[bytes, Spans]:
        """Take a piece; returns what can go on, as it came, with where secrets stand in it.

        Args:
            data: the piece.
            last: nothing follows, so nothing is held back.
        """
        whole = self._held + data
        found = _merged([(0, self._covered)] * bool(self._covered) + [*self.mask.spans(whole)])
        cut = len(whole) if last else self.mask.settled(whole)
        self._held = whole[cut:]
        self._covered = max((end - cut for begin, end in found if begin < cut < end), default=0)
        return whole[:cut], tuple((begin, min(end, cut)) for begin, end in found if begin < cut)


def hide(data: bytes, where: Spans) -> bytes:
    """``data`` with :data:`MASK` in place of each span."""
    return _hidden(data, where, MASK.encode())


def spans(text: AnyStr, needles: Sequence[AnyStr]) -> Spans:
    """Where any of ``needles`` stands in ``text``; those that overlap count as one."""
    return _merged([place for needle in needles for place in _places(text, needle)])


# --- the parts ---------------------------------------------------------------------------------------------------


def _forms(value: Value) -> Iterator[str]:
    """Each text in a value, as programs may print it."""
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _forms(item)
    elif isinstance(value, str):
        for text in (value, value.strip()):
            yield text
            yield json.dumps(text)[1:-1]
            yield json.dumps(text, ensure_ascii=False)[1:-1]
            yield repr(text)[1:-1]
    elif not isinstance(value, bool) and value is not None:
        yield str(value)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # as steps' texts are recorded


def _places(text: AnyStr, needle: AnyStr) -> Iterator[tuple[int, int]]:
    at = text.find(needle)
    while at >= 0:
        yield at, at + len(needle)
        at = text.find(needle, at + 1)


def _merged(places: Iterable[tuple[int, int]]) -> Spans:
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(places):
        if merged and begin < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return tuple(merged)


def _hidden(text: AnyStr, where: Spans, mask: AnyStr) -> AnyStr:
    if not where:
        return text
    pieces: list[AnyStr] = []
    after = 0
    for begin, end in where:
        pieces += [text[after:begin], mask]
        after = end
    pieces.append(text[after:])
    return text[:0].join(pieces)  # pyright: ignore[reportArgumentType]  AnyStr is one of the two, not their union


def _settled(data: bytes, needle: bytes) -> int:
    """Where the longest end of ``data`` begins that is a beginning of ``needle``, and not all of it."""
    at = data.find(needle[:1], max(0, len(data) - len(needle) + 1))
    while at >= 0 and not needle.startswith(data[at:]):
        at = data.find(needle[:1], at + 1)
    return len(data) if at < 0 else at


def _overlap(before: str, after: str) -> int:
    """How many characters, at least :data:`SHORTEST`, end ``before`` and begin ``after``; 0 for none."""
    sizes = range(min(len(before), len(after)), SHORTEST - 1, -1)
    return next((size for size in sizes if before.endswith(after[:size])), 0)
