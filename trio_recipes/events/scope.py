"""Events of one scope: its attempts, what it puts out, how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Factory

from trio_recipes.classes import frozen
from trio_recipes.events.base import Cancellation, Event
from trio_recipes.failure import Failure
from trio_recipes.statuses import ScopeStatus


@frozen(kw_only=True)
class ScopeStarted(Event):
    """A scope began in this run.

    Args:
        kind: of its step; or ``session``, ``stage``, ``foreach``, ``while``, ``finally``.
        digest: names the definition of its step.
        reruns: each resume runs it again, although it has finished (``on_resume: rerun``).
        item: a digest of the item that this pass of a loop is for, where a resume may bring another one.
        calls: a digest of the name of the recipe that is called, where that is a template.
    """

    name = "scope_started"

    kind: str
    digest: str = ""
    reruns: bool = False
    item: str = ""
    calls: str = ""


@frozen(kw_only=True)
class AttemptStarted(Event):
    """Attempt n (from 2; the first starts with its scope) began: what stood below ``path`` is void."""

    name = "attempt_started"

    attempt: int


@frozen(kw_only=True)
class AttemptFailed(Event):
    """An attempt failed and another will follow after ``delay`` seconds."""

    name = "attempt_failed"

    failure: Failure
    delay: float


@frozen(kw_only=True)
class Output(Event):
    """Bytes that a step produced, as they came.

    Args:
        channel: stdout, stderr, or what a backend calls it.
        background: they came after the step's value was fixed.
        secrets: where the values of secrets stand in ``data``, begin and end of each.
        data: the bytes.
    """

    name = "output"

    channel: str
    background: bool = False
    secrets: tuple[tuple[int, int], ...] = ()
    data: bytes = b""


@frozen(kw_only=True)
class AgentAsked(Event):
    """An agent step is about to ask: whom, and (in ``data``, secrets masked) with which prompt.

    Args:
        agent: its name.
        provider: who was chosen, or None if it has no name.
        model: what was chosen, or None if that is left to the backend.
    """

    name = "agent_asked"

    agent: str
    provider: str | None = None
    model: str | None = None
    data: bytes = b""


@frozen(kw_only=True)
class AgentAccount(Event):
    """What an answer took, so far or in all. No event by itself: one of the three below.

    Args:
        agent: its name.
        provider: who answers, or None if the backend does not tell.
        model: what answers, or None.
        usage: counts such as ``input_tokens`` and ``output_tokens``, as the backend tells them.
        estimated: names of those counts that nobody told, and that are estimates.
        cost_usd: in US dollars, or None if nobody knows.
        stop_reason: why the answer ended, as the backend tells it.
        first_seconds: from the question to the first piece of the answer, or None if it came as a whole.
        seconds: from the question to now.
    """

    agent: str
    provider: str | None = None
    model: str | None = None
    usage: Mapping[str, int] = Factory(dict)
    estimated: tuple[str, ...] = ()
    cost_usd: float | None = None
    stop_reason: str | None = None
    first_seconds: float | None = None
    seconds: float = 0.0


@frozen(kw_only=True)
class AgentAnswering(AgentAccount):
    """An answer is coming: told when its prompt was taken, at its first piece, and about once a second from then on."""

    name = "agent_answering"


@frozen(kw_only=True)
class AgentAnswered(AgentAccount):
    """An agent gave a whole answer; whether its step makes something of it is another matter."""

    name = "agent_answered"


@frozen(kw_only=True)
class AgentBrokeOff(AgentAccount):
    """An answer that had begun ended before it was whole: it was stopped, or failed. It is paid for all the same."""

    name = "agent_broke_off"


@frozen(kw_only=True)
class Waiting(Event):
    """A scope waits for something that is not work.

    Args:
        what: backoff, slot, rate_limit or approval.
        seconds: for how long, or None where nobody knows.
    """

    name = "waiting"

    what: str
    seconds: float | None = None


@frozen(kw_only=True)
class Warned(Event):
    """Something is legal but surprising, such as a ``break_when`` that can't be evaluated."""

    name = "warned"

    message: str


@frozen(kw_only=True)
class Signalled(Event):
    """A process of a step was sent a signal to stop it.

    Args:
        pid: the process.
        signal: by its name, such as SIGTERM.
    """

    name = "signalled"

    pid: int
    signal: str


@frozen(kw_only=True)
class Resisted(Event):
    """Something of a scope still runs although it was told to stop: a process, thread or task.

    Args:
        what: as for :class:`Holdout`, like the others.
        pid: of a process.
        thread: its name.
        task: its name.
        stack: where a thread or task is, outermost call first.
    """

    name = "resisted"

    what: str
    pid: int | None = None
    thread: str | None = None
    task: str | None = None
    stack: tuple[str, ...] = ()


@frozen(kw_only=True)
class ScopeFinished(Event):
    """A scope ended.

    Args:
        status: completed, failed, skipped or cancelled.
        handled: a failure that ``on_error`` dealt with: final, resume does not run it again.
        failure: why it failed.
        cancellation: who stopped it.
        exit_code: of a bash or command step.
        channel: the output channel whose bytes are its result, or None when ``value`` is.
        value: the result of a leaf that is not text. Composites store none.
        shown: ``value`` without secrets, if there are any in it.
        seconds: duration on the monotonic clock.
    """

    name = "scope_finished"

    status: ScopeStatus
    handled: bool = False
    failure: Failure | None = None
    cancellation: Cancellation | None = None
    exit_code: int | None = None
    channel: str | None = None
    value: Any = None
    shown: Any = None
    seconds: float = 0.0


@frozen(kw_only=True)
class WorkEnded(Event):
    """A body is over; what follows is the ``finally`` at ``path``, or (at the root) the end of the run."""

    name = "work_ended"

    outcome: ScopeStatus
