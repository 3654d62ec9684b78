"""Running code of others (functions, backends) so that what it raises can't outvote a cancellation."""

from __future__ import annotations

import logging

import trio

_log = logging.getLogger("trio_recipes.steps")

LONGEST_MESSAGE = 2048
"""Characters of somebody else's exception that a failure repeats."""


class cancellation_wins:  # noqa: N801  a context manager, used like a function
    """Let a group with ``Cancelled`` in it out as one ``Cancelled``; others as they are.

    Such a group comes from code that was cancelled and failed while it cleaned up. It was cancelled, not failed, and a
    bare ``Cancelled`` keeps deep trees cheap. The rest is logged. A class, since a generator would double what a plain
    ``Cancelled`` costs on its way through.

    Args:
        what: the code, for the log.
    """

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Look at what comes out."""
        if isinstance(error, BaseExceptionGroup):
            self._sort(error)

    def _sort(self, group: BaseExceptionGroup[BaseException]) -> None:
        cancelled, rest = group.split(trio.Cancelled)
        if cancelled is None or (rest is not None and not isinstance(rest, ExceptionGroup)):
            return  # no cancellation, or something like KeyboardInterrupt that goes first
        if rest is not None:
            _log.warning("%s failed while it was stopped", self._what, exc_info=rest)
        raise _leaf(cancelled).with_traceback(None) from None


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def describe(error: BaseException) -> str:
    """``Type: message``, cut; a group is described by the first exception in it, and how many there are."""
    leaf = _leaf(error)
    more = f" (and {_count(error) - 1} more)" if leaf is not error and _count(error) > 1 else ""
    text = f"{type(leaf).__name__}: {leaf}".removesuffix(": ")
    return (text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + "…") + more


def _count(error: BaseException) -> int:
    if isinstance(error, BaseExceptionGroup):
        return sum(_count(part) for part in error.exceptions)
    return 1
