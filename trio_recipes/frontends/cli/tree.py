"""A session as a tree of lines, for people."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from attrs import field

from trio_recipes.classes import define
from trio_recipes.events import Level, ScopeStatus
from trio_recipes.frontends.cli.deciding import how_to_decide, quoted, until
from trio_recipes.frontends.printable import duration, in_one_line, printable
from trio_recipes.progress.path import outer
from trio_recipes.progress.tables import FINISHED
from trio_recipes.sessions.approvals import waiting_gates
from trio_recipes.sessions.view import LIVE, request_of, spent_by, status_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_recipes.progress.record import Record
    from trio_recipes.progress.spending import Spending
    from trio_recipes.sessions.history import History

MARKS = {
    ScopeStatus.COMPLETED: "✓",
    ScopeStatus.FAILED: "✗",
    ScopeStatus.CANCELLED: "■",
    ScopeStatus.SKIPPED: "↷",
    ScopeStatus.RUNNING: "▶",
    ScopeStatus.WAITING: "…",
    ScopeStatus.PENDING: "·",
    ScopeStatus.INTERRUPTED: "!",
}
MAX_SIBLINGS = 20
"""Finished iterations of one loop that are listed one by one."""


def session_text(history: History) -> str:
    """Everything people ask about a session, in lines."""
    return "".join(f"{line}\n" for line in (*_head(history), "", *_tree(history), "", *_tail(history)))


def _head(history: History) -> Iterator[str]:
    created, standing = history.progress.created, history.standing
    assert created is not None
    version = f" {printable(created.recipe_version)}" if created.recipe_version else ""
    yield f"session   {created.session_id}"
    yield f"recipe    {printable(created.recipe_name)}{version}"
    if created.recipe_file:
        yield f"file      {printable(created.recipe_file)}"
    yield f"status    {standing.status}{_where(history)}"
    runs = f", run {standing.run}" if standing.run > 1 else ""
    yield f"started   {_clock(history.progress.created_at)}{runs}"
    if history.progress.ended_at:
        yield f"ended     {_clock(history.progress.ended_at)}"
    spent = spent_by(history)
    if spent.answers or spent.broken_off:
        yield f"agents    {_spent(spent)}"


def _spent(spent: Spending) -> str:
    whole = f"{spent.answers} answer{'' if spent.answers == 1 else 's'}"
    parts = [whole + (f" and {spent.broken_off} broken off" if spent.broken_off else "")]
    if spent.tokens:
        guessed = f"; {spent.estimated_tokens:,} of them estimated" if spent.estimated_tokens else ""
        parts.append(f"{spent.tokens:,} tokens ({spent.input_tokens:,} read, {spent.output_tokens:,} written{guessed})")
    if spent.cost_usd:
        parts.append(f"{spent.cost_usd:.4f} USD" + (f", {spent.unpriced} of unknown cost" if spent.unpriced else ""))
    return ", ".join(parts)


def _where(history: History) -> str:
    ended = history.progress.ended
    return f" at {printable(ended.current_step)}" if ended and ended.current_step else ""


def _clock(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at / 1_000_000))


# --- the tree ----------------------------------------------------------------------------------------------------


@define
class _Node:
    """A scope and those below it: passes of a loop by their numbers, all else in the order in which they began."""

    record: Record
    children: list[_Node] = field(factory=list)

    @property
    def number(self) -> float:
        """Of a pass of a loop, whose path ends in it; the steps of its ``finally`` come behind all passes."""
        name = _name(self.record.path)
        return int(name[1:-1]) if name.startswith("[") else math.inf


def _tree(history: History) -> Iterator[str]:
    nodes = {path: _Node(record) for path, record in history.progress.records.items()}
    tops: list[_Node] = []
    for path, node in nodes.items():
        if path:
            parent = nodes.get(outer(path))
            (parent.children if parent and parent.record.path else tops).append(node)
    if not tops:
        yield "nothing has begun yet"
    for node in tops:
        yield from _lines(node, history, 0)


def _lines(node: _Node, history: History, depth: int) -> Iterator[str]:
    yield "  " * depth + _line(node.record, history)
    elided = 0
    for number, child in enumerate(sorted(node.children, key=lambda child: child.number)):
        if number >= MAX_SIBLINGS and child.record.status is ScopeStatus.COMPLETED:
            elided += 1
        else:
            yield from _lines(child, history, depth + 1)
    if elided:
        yield "  " * (depth + 1) + f"✓ … and {elided} more completed"


def _line(record: Record, history: History) -> str:
    status, name = status_of(record, history), _name(record.path)
    facts = [record.kind, *_facts(record, status)]
    why = f": {in_one_line(record.failure.message)}" if record.failure else ""
    return f"{MARKS[status]} {printable(name)}  ({', '.join(facts)}){why}"


def _name(path: str) -> str:
    """What a path has more than that of the scope around it."""
    return path[len(outer(path)) :].lstrip("/")


def _facts(record: Record, status: ScopeStatus) -> Iterator[str]:
    if status is not ScopeStatus.COMPLETED:
        yield str(status)
    if record.started_at and record.finished_at and status is not ScopeStatus.SKIPPED:
        yield duration((record.finished_at - record.started_at) / 1_000_000)
    if record.attempts > 1:
        yield f"{record.attempts} attempts"
    if record.waits_for:
        yield f"waits for {printable(record.waits_for)}"
    if record.handled:
        yield "handled by on_error"


# --- what came of it ---------------------------------------------------------------------------------------------


def _tail(history: History) -> Iterator[str]:
    ended, status = history.progress.ended, history.standing.status
    session_id = history.progress.created.session_id if history.progress.created else ""
    yield from _cancellation(history)
    if ended and ended.failure:
        yield f"failed: {printable(ended.failure.message)}"
    for gate in waiting_gates(history):
        limit = until(gate.expires_at, gate.asked.default)
        yield f"? {printable(gate.asked.path)} asks for approval since {_clock(gate.asked_at)}{limit}"
        yield from (*quoted(gate.asked.prompt), *how_to_decide(session_id, gate.asked.path))
    for held in ended.still_running if ended else ():
        yield f"still running: {in_one_line(str(held))}"
    if status in LIVE:
        yield f"watch it: trio-recipes watch {session_id}; stop it: trio-recipes cancel {session_id}"
    elif status not in FINISHED:
        yield f"go on with: trio-recipes resume {session_id}"


def _cancellation(history: History) -> Iterator[str]:
    asked = request_of(history)
    if asked is None:
        return
    how = "to stop now" if asked.level is Level.IMMEDIATE else "to stop gracefully"
    reason = f": {in_one_line(asked.reason, 512)}" if asked.reason else ""
    yield f"asked {how} by {in_one_line(asked.requester or str(asked.source))} at {_clock(asked.requested_at)}{reason}"
