"""What each running scope of a session waits for, told from any process (``show --stuck``).

Three sources, none of which needs the run's help but the last: the records (waits that are events, the last output),
``/proc`` (the processes of a step, by the marks they carry), and what the runner writes down when it is asked.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import Factory, asdict

from trio_recipes.classes import frozen
from trio_recipes.events import ScopeStatus
from trio_recipes.processes import marks
from trio_recipes.processes.procfs import pids, read_process
from trio_recipes.progress.times import iso
from trio_recipes.sessions import describing
from trio_recipes.sessions.view import LIVE, status_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trio_recipes.processes.procfs import Proc
    from trio_recipes.progress.record import GateRecord, Record
    from trio_recipes.sessions.history import History
    from trio_recipes.store.session_file import SessionFile

ANSWER_SECONDS: Final = 1.0
"""How long a runner may take to answer: it has nothing to do for that but to come round."""

_STATES: Final = {
    "R": "running",
    "S": "sleeping",
    "D": "waiting for the disk or the kernel",
    "T": "stopped",
    "t": "stopped by a debugger",
    "Z": "ended",
    "I": "idle",
}
_WAITS: Final = {
    "backoff": "its next attempt",
    "rate_limit": "a slot or its turn, as the recipe's rate limit has it",
    "slot": "a free slot",
    "approval": "a person's approval",
}


@frozen
class Running:
    """A process of a step.

    Args:
        pid: its id.
        state: of the kernel, in words.
        command: its command line, cut.
    """

    pid: int
    state: str
    command: str


@frozen
class Wait:
    """A scope that runs, and what it waits for.

    Args:
        path: the scope.
        kind: of step, or ``session``, ``stage``, …
        since: when it began, or began to wait; ISO 8601.
        seconds: that this is ago.
        waits_for: in words.
        level: ``none``, ``graceful`` or ``immediate``: whether it was asked to stop.
        attempt: of a step.
        last_output_at: when it last put something out, or None.
        processes: of the step, with those that they have started.
        thread: the thread that its function runs in.
        task: the task that its function or backend runs in.
        stack: where that is, outermost call first.
    """

    path: str
    kind: str
    since: str | None
    seconds: float
    waits_for: str
    level: str
    attempt: int = 0
    last_output_at: str | None = None
    processes: tuple[Running, ...] = ()
    thread: str | None = None
    task: str | None = None
    stack: tuple[str, ...] = ()


@frozen
class Stuck:
    """What is known of a session that may be stuck.

    Args:
        session_id: the session.
        status: where it stands.
        runner: who runs it, as it was written down: pid, host, since; None if nobody does.
        answers: whether the runner answered when it was asked.
        waits: of each running scope, in the order in which they began.
    """

    session_id: str
    status: str
    runner: Mapping[str, Any] | None
    answers: bool
    waits: tuple[Wait, ...] = Factory(tuple)


def look_closely(file: SessionFile, history: History) -> Stuck:
    """Find out what a session waits for. Blocks, for a second if its runner does not answer.

    Args:
        file: of the session.
        history: its records.
    """
    status = history.standing.status
    if status not in LIVE or not history.standing.alive:
        return Stuck(file.session_id, str(status), None, answers=False)
    told = describing.ask(file.layout, file.session_id, ANSWER_SECONDS)
    with file.reading() as connection:
        owner = file.owner(connection)[2]
        outputs = dict(connection.execute("SELECT path, max(at) FROM events WHERE event = 'output' GROUP BY path"))
    look = _Look(history, (told or {}).get("scopes", {}), told is not None, outputs, _processes(file.session_id))
    return Stuck(file.session_id, str(status), owner, told is not None, look.waits())


def as_json(stuck: Stuck) -> dict[str, Any]:
    """For programs."""
    return asdict(stuck)


@frozen
class _Look:
    """Everything that was found out, brought together."""

    history: History
    told: Mapping[str, Mapping[str, Any]]
    is_answered: bool
    outputs: Mapping[str, int]
    processes: Mapping[str, Sequence[Running]]

    def waits(self) -> tuple[Wait, ...]:
        going_on = (ScopeStatus.RUNNING, ScopeStatus.WAITING)
        records = self.history.progress.records.values()
        scopes = [self._wait(each) for each in records if each.path and status_of(each, self.history) in going_on]
        known = {each.path for each in scopes}
        gates = [self._gate(gate) for gate in self.history.progress.open_gates if gate.asked.path not in known]
        return (*scopes, *gates)

    def _gate(self, gate: GateRecord) -> Wait:
        """A gate before its stage: that is no scope yet."""
        level = self.history.standing.level_at(gate.asked.path).name.lower()
        since = round(time.time() - gate.asked_at / 1e6, 1)
        return Wait(gate.asked.path, "gate", iso(gate.asked_at), since, _WAITS["approval"], level)

    def _wait(self, record: Record) -> Wait:
        told = self.told.get(record.path, {})
        last = self.outputs.get(record.path)
        return Wait(
            path=record.path,
            kind=record.kind,
            since=iso(record.started_at) if record.started_at else None,
            seconds=round(time.time() - record.started_at / 1e6, 1) if record.started_at else 0.0,
            waits_for=self._reason(record, told),
            level=told.get("level") or self.history.standing.level_at(record.path).name.lower(),
            attempt=record.attempts,
            last_output_at=iso(last) if last else None,
            processes=tuple(self.processes.get(record.path, ())),
            thread=told.get("thread"),
            task=told.get("task"),
            stack=tuple(told.get("stack", ())),
        )

    def _reason(self, record: Record, told: Mapping[str, Any]) -> str:
        asked = record.path in self.history.progress.gates
        if record.waits_for and (asked or not self.is_answered or told.get("naps")):
            return _WAITS.get(record.waits_for, record.waits_for)
        if found := self.processes.get(record.path):
            return f"{'its process' if len(found) == 1 else f'its {len(found)} processes'} to end"
        if told.get("thread"):
            return f"the thread of {told['thread']} to end{_at(told)}"
        if told.get("task"):
            return f"{told['task']} to end{_at(told)}"
        if any(path.startswith((f"{record.path}/", f"{record.path}[")) for path in self._open):
            return "the scopes in it"
        return "its record to be written, or its turn" if self.is_answered else "nothing that can be seen from here"

    @property
    def _open(self) -> list[str]:
        return [path for path, each in self.history.progress.records.items() if each.status is ScopeStatus.RUNNING]


def _at(told: Mapping[str, Any]) -> str:
    return f", at {told['stack'][-1]}" if told.get("stack") else ""


def _processes(session_id: str) -> dict[str, list[Running]]:
    """The processes of a session's steps, by path, as far as this machine and this user can see them."""
    found: dict[str, list[Running]] = {}
    for proc in filter(None, (_marked(pid) for pid in sorted(pids()))):
        session, _, path = proc.marks.get(marks.STEP_KEY, "").partition("/")
        if session == session_id:
            found.setdefault(path, []).append(_running(proc))
    return found


def _marked(pid: int) -> Proc | None:
    return read_process(pid, since=0) if pid != os.getpid() else None


def _running(proc: Proc) -> Running:
    return Running(proc.pid, _STATES.get(proc.state, proc.state), _command(proc.pid))


def _command(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has just ended
        return ""
    return " ".join(text.decode("utf-8", "replace").split("\0")).strip()[:500]
