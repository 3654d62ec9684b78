"""Events as lines: JSON for programs, plain lines for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from attrs import field

from trio_recipes.classes import define
from trio_recipes.events import (
    ApprovalDecided,
    ApprovalRequested,
    ApprovalWithdrawn,
    AttemptFailed,
    CancelRequested,
    Level,
    Output,
    Resisted,
    RunStarted,
    ScopeFinished,
    ScopeStarted,
    ScopeStatus,
    Waiting,
    Warned,
)
from trio_recipes.frontends.cli.deciding import how_to_decide, quoted
from trio_recipes.frontends.printable import duration, in_one_line, printable
from trio_recipes.progress.decisions import said
from trio_recipes.store.codec import to_public

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_recipes.events import Event, Stamped


class Teller(Protocol):
    """Turns events into text."""

    def tell(self, stamped: Stamped) -> str:
        """The lines about one event, each with its newline; '' if there is nothing to say."""
        ...


def json_line(value: object) -> str:
    """One line of JSON Lines."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n"


@define
class JsonTeller:
    """Every event, as ``--json`` prints it."""

    session_id: str

    def tell(self, stamped: Stamped) -> str:
        """The event's public JSON."""
        return json_line(to_public(stamped, self.session_id))


_MARKS = {
    ScopeStatus.COMPLETED: "✓",
    ScopeStatus.FAILED: "✗",
    ScopeStatus.CANCELLED: "■",
    ScopeStatus.SKIPPED: "↷",
}
_INDENT = "    "
_LEAVES = frozenset({"bash", "agent", "function"})


@define
class HumanTeller:
    """What happens, for people: one line when a step begins and one when it ends; within loops the end only.

    Args:
        quiet: leave out what steps print.
        decidable: the session, if people are to be told how to decide while it waits.
    """

    quiet: bool = False
    decidable: str = ""
    _kinds: dict[str, str] = field(factory=dict)
    _partial: dict[tuple[str, str], str] = field(factory=dict)

    def tell(self, stamped: Stamped) -> str:
        """The lines about one event."""
        handler = _TELLERS.get(type(stamped.event))
        return handler(self, stamped.event) if handler else ""

    def started(self, event: ScopeStarted) -> str:
        """A step begins: said of steps outside of loops, whose end may be far away."""
        self._kinds[event.path] = event.kind
        if not event.path or "[" in event.path:
            return ""
        return f"▶ {printable(event.path)}\n"

    def finished(self, event: ScopeFinished) -> str:
        """A step has ended."""
        kind = self._kinds.pop(event.path, "")
        rest = self.rest(event.path)
        if not event.path or (event.status is ScopeStatus.CANCELLED and kind not in _LEAVES):
            return rest
        why = in_one_line(event.failure.message) if event.failure else ""
        handled = ", and the recipe goes on" if event.handled else ""
        time = "" if event.status is ScopeStatus.SKIPPED else f"  {duration(event.seconds)}"
        text = f": {why}{handled}" if why else ""
        word = "" if event.status is ScopeStatus.COMPLETED else f" {event.status}"
        return f"{rest}{_MARKS.get(event.status, '?')} {printable(event.path)}{word}{text}{time}\n"

    def output(self, event: Output) -> str:
        """What a step prints, line by line, under its path."""
        if self.quiet:
            return ""
        key = (event.path, event.channel)
        text = self._partial.pop(key, "") + event.data.decode("utf-8", "replace")
        *lines, rest = text.split("\n")
        if rest:
            self._partial[key] = rest
        return "".join(_quoted(event.path, line) for line in lines)

    def rest(self, path: str) -> str:
        """Lines that a step began and did not end."""
        keys = [key for key in self._partial if key[0] == path]
        return "".join(_quoted(path, self._partial.pop(key)) for key in keys)


def _quoted(path: str, line: str) -> str:
    return f"{_INDENT}{printable(path)} | {printable(line)}\n"


def _attempt_failed(teller: HumanTeller, event: AttemptFailed) -> str:
    again, rest = f"again in {duration(event.delay)}", teller.rest(event.path)
    return f"{rest}↻ {printable(event.path)} failed, {again}: {in_one_line(event.failure.message)}\n"


def _cancel_requested(_teller: HumanTeller, event: CancelRequested) -> str:
    asked = event.cancellation
    how = "now" if asked.level is Level.IMMEDIATE else "gracefully"
    what = f"{printable(asked.at)} to stop" if asked.at else "to stop"
    reason = f": {in_one_line(asked.reason)}" if asked.reason and asked.reason != asked.requester else ""
    return f"■ asked {what} {how} ({in_one_line(asked.requester or str(asked.source))}){reason}\n"


def _run_started(_teller: HumanTeller, event: RunStarted) -> str:
    return "! its former process has died; going on from the records\n" if event.took_over_from else ""


def _approval_requested(teller: HumanTeller, event: ApprovalRequested) -> str:
    lines = [f"? {printable(event.path)} asks for approval", *quoted(event.prompt)]
    if teller.decidable:
        lines += ["  from another terminal:", *how_to_decide(teller.decidable, event.path)]
    return "".join(f"{line}\n" for line in lines)


def _approval_decided(_teller: HumanTeller, event: ApprovalDecided) -> str:
    what = said(event.by, event.via, event.message, approved=event.approved)
    return f"? {printable(event.path)} {in_one_line(what)}\n"


def _approval_withdrawn(_teller: HumanTeller, event: ApprovalWithdrawn) -> str:
    return f"? {printable(event.path)} asks no longer\n"


def _waiting(_teller: HumanTeller, event: Waiting) -> str:
    if event.what in ("slot", "backoff", "approval"):  # said elsewhere, or not worth a line
        return ""
    return f"… {printable(event.path)} waits for {printable(event.what)}\n"


def _warned(_teller: HumanTeller, event: Warned) -> str:
    return f"! {printable(event.path)}: {in_one_line(event.message)}\n"


def _resisted(_teller: HumanTeller, event: Resisted) -> str:
    return f"! {printable(event.path)}: still running: {in_one_line(event.what)}\n"


_TELLERS: dict[type[Event], Callable[[HumanTeller, Event], str]] = {
    ScopeStarted: HumanTeller.started,  # type: ignore[dict-item]
    ScopeFinished: HumanTeller.finished,  # type: ignore[dict-item]
    Output: HumanTeller.output,  # type: ignore[dict-item]
    ApprovalRequested: _approval_requested,  # type: ignore[dict-item]
    ApprovalDecided: _approval_decided,  # type: ignore[dict-item]
    ApprovalWithdrawn: _approval_withdrawn,  # type: ignore[dict-item]
    AttemptFailed: _attempt_failed,  # type: ignore[dict-item]
    CancelRequested: _cancel_requested,  # type: ignore[dict-item]
    RunStarted: _run_started,  # type: ignore[dict-item]
    Waiting: _waiting,  # type: ignore[dict-item]
    Warned: _warned,  # type: ignore[dict-item]
    Resisted: _resisted,  # type: ignore[dict-item]
}
