"""A failure of a step, as a value: it is recorded, handed to the parent and decided on, never thrown across tasks."""

from __future__ import annotations

from enum import StrEnum

from attrs import evolve

from trio_recipes.classes import define, frozen

STDERR_TAIL = 4096
"""Bytes of stderr kept for a message; all of it stays in the record."""


@define
class Tail:
    """The end of what a program prints."""

    _data: bytes = b""

    def add(self, data: bytes) -> None:
        """Take a piece."""
        self._data = (self._data + data)[-STDERR_TAIL - 1 :]

    @property
    def text(self) -> str:
        """As it stands in a message, marked where it has been cut."""
        text = self._data[-STDERR_TAIL:].decode("utf-8", "replace")
        return text.strip() if len(self._data) <= STDERR_TAIL else "…" + text.lstrip("\ufffd").rstrip()


class FailureKind(StrEnum):
    """What went wrong, as people and retry rules tell failures apart."""

    EXIT = "exit"
    TIMEOUT = "timeout"
    BACKEND = "backend"
    RATE_LIMIT = "rate_limit"
    FUNCTION = "function"
    TEMPLATE = "template"
    LIMIT = "limit"
    DENIED = "denied"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


NEVER_RETRIED = frozenset({FailureKind.LIMIT, FailureKind.DENIED, FailureKind.CANCELLED, FailureKind.INTERNAL})
"""Kinds that another attempt can't mend; ``cancelled`` is somebody's decision, not an accident."""


_NO_STACK = frozenset({FailureKind.LIMIT, FailureKind.DENIED})
"""One names the recipes in its own words, the other is no fault of any."""


@frozen
class Failure:
    """Why a scope failed.

    Args:
        kind: the sort of failure.
        message: for people; says what to do where that is known.
        path: the scope where it began (a parent that fails because of a child keeps the child's path).
        attempt: which attempt it was, from 1.
        exit_code: of a bash or command step, negative for a signal; None otherwise.
        retryable: False if the cause can't go away by trying again.
        hint: what may help, or "".
        cause: the type of the exception behind it, or "".
        retry_after: seconds that an endpoint asked to wait before the next attempt, or None.
        stack: the recipes from the root to the one that it began in, if that is a sub-recipe; the message names them.
    """

    kind: FailureKind
    message: str
    path: str = ""
    attempt: int = 1
    exit_code: int | None = None
    retryable: bool = True
    hint: str = ""
    cause: str = ""
    retry_after: float | None = None
    stack: tuple[str, ...] = ()

    @property
    def may_retry(self) -> bool:
        """Whether ``retry`` applies to it at all."""
        return self.retryable and self.kind not in NEVER_RETRIED

    def at(self, path: str, attempt: int = 1) -> Failure:
        """The same failure, located at a ``path`` and ``attempt``, unless it already is."""
        return self if self.path else evolve(self, path=path, attempt=attempt)

    def within(self, stack: tuple[str, ...]) -> Failure:
        """The same failure, naming the recipes on the way to it (``stack``), once (recipe-language.md section 8)."""
        if self.stack or self.kind in _NO_STACK:
            return self
        return evolve(self, message=f"{self.message.rstrip()} (in recipe {' > '.join(stack)})", stack=stack)
