"""Running code of others (functions, backends) so that what it raises can't outvote a cancellation."""

from __future__ import annotations

import logging

import trio

_log = logging.getLogger("trio_recipes.steps")

LONGEST_MESSAGE = 2048
"""Characters of somebody else's exception that a failure repeats."""


def sorted_out(error: BaseException, what: str) -> BaseException:
    """What somebody else's code failed with, out of what it raised; if that was a cancellation, it is raised.

    A group with ``Cancelled`` in it comes from code that was cancelled and failed while it cleaned up. It was
    cancelled, not failed, and a bare ``Cancelled`` keeps deep trees cheap. The rest is logged. Whoever catches the
    error calls this: a context manager would cost each plain ``Cancelled`` something on its way through.

    Args:
        error: what was raised.
        what: the code, for the log.

    Raises:
        Cancelled: the group has one.
        BaseExceptionGroup: the group has something that goes first, like ``KeyboardInterrupt``.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error
    cancelled, rest = error.split(trio.Cancelled)
    if rest is not None and not isinstance(rest, ExceptionGroup):
        raise error
    if cancelled is None:
        return error
    if rest is not None:
        _log.warning("%s failed while it was stopped", what, exc_info=rest)
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
