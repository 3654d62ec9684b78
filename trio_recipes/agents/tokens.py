"""Tokens that nobody has told, estimated: rather too many than too few, since limits are kept by them."""

from __future__ import annotations

from typing import Final

from trio_recipes.classes import define

BYTES_PER_TOKEN: Final = 4
"""As a rule of thumb, in UTF-8."""


def tokens_in(text: str) -> int:
    """About how many tokens a text has."""
    return _tokens_of(_size_of(text))


@define(eq=False)
class Uncounted:
    """What was heard since the endpoint, or the agent program, last told how many tokens there are.

    Args:
        pieces: how many; few servers send more than one token in a piece.
        size: in bytes.
    """

    pieces: int = 0
    size: int = 0

    def add(self, text: str) -> None:
        """Take one more piece."""
        self.pieces += 1
        self.size += _size_of(text)

    @property
    def tokens(self) -> int:
        """An estimate."""
        return max(self.pieces, _tokens_of(self.size))


def _size_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _tokens_of(size: int) -> int:
    return -(-size // BYTES_PER_TOKEN)
