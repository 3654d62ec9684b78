"""What callers hand in and get back: a command, how it ended, what was done to stop it."""

import signal
from collections.abc import Callable, Mapping
from typing import Final, Literal, Protocol

from attrs import field, validators

from trio_recipes.classes import frozen

from .ladder import Cause

Channel = Literal["stdout", "stderr"]

DEFAULT_GRACE: Final = 2.0
"""Seconds between the stop signal and SIGKILL, where nobody says anything else."""
MAX_GRACE: Final = 60.0
"""Seconds. More patience than this belongs into the command."""


@frozen
class Command:
    """A program to run, and how it wants to be stopped.

    Attributes:
        argv: The program and its arguments; no shell is involved.
        cwd: The working directory.
        env: The complete environment. Our marks are added, and replace those of an outer runner.
        session_id: The session that the command belongs to, and its background processes with it.
        key: The step's idempotency key, which the command sees as ``TRIO_RECIPES_STEP_KEY``.
        attempt: Which attempt of the step this is, from 1.
        stdin: What the command reads; nothing (``/dev/null``) if empty.
        kill_grace: Seconds between the stop signal and SIGKILL, at most `MAX_GRACE`.
        stop_signal: The signal that asks each process of the tree to end.
        background: What becomes of processes that the command leaves running when it ends with code 0:
            ``session`` lets them run as long as their session, ``kill`` stops them at once.
            A command that fails or is stopped always takes its whole tree with it.
    """

    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str] = field(repr=False)
    session_id: str
    key: str
    attempt: int = 1
    stdin: bytes = field(default=b"", repr=False)
    kill_grace: float = field(default=DEFAULT_GRACE, validator=[validators.ge(0), validators.le(MAX_GRACE)])
    stop_signal: int = signal.SIGTERM
    background: Literal["session", "kill"] = "session"


@frozen
class Signalled:
    """A signal that we sent.

    Attributes:
        pid: The process, or the process group if `group` is true.
        signal: The signal's number.
        at: Seconds since the epoch.
        group: Whether a whole process group got it.
    """

    pid: int
    signal: int
    at: float
    group: bool = False


@frozen
class Survivor:
    """A process that resisted SIGKILL, and why."""

    pid: int
    reason: str


@frozen
class StopReport:
    """How one process tree was stopped.

    Attributes:
        cause: Why it was stopped; the first cause, if several came together.
        signals: What was sent, in order: each process gets one stop signal, and SIGKILL if it still
            runs at the deadline.
        survivors: What can't be killed; normally nothing.
        seconds: How long it took, the scans that verify it included.
    """

    cause: Cause
    signals: tuple[Signalled, ...]
    survivors: tuple[Survivor, ...]
    seconds: float


@frozen
class Exit:
    """How a command ended.

    Attributes:
        code: The leader's exit code; -n if signal n killed it.
        signals: What was sent to its tree, if it was stopped.
        survivors: What couldn't be stopped; normally nothing.
        background: Whether it left processes running that now belong to its session.
    """

    code: int
    signals: tuple[Signalled, ...] = ()
    survivors: tuple[Survivor, ...] = ()
    background: bool = False


@frozen
class Background:
    """What a command left running in the background of its session.

    Attributes:
        argv: The command.
        key: The idempotency key of its step.
        attempt: The attempt of its step.
        pids: The processes that are known to run, smallest first. Empty if somebody whom we can't see
            (another user's process) holds the command's output open.
    """

    argv: tuple[str, ...]
    key: str
    attempt: int
    pids: tuple[int, ...]


class OnOutput(Protocol):
    """Called with each piece of output, as it arrives."""

    def __call__(self, channel: Channel, data: bytes, /, *, background: bool) -> None:
        """Take at most 64 KiB; `background` is true for what comes after the command's value is fixed."""


OnSignal = Callable[[Signalled], None]
OnStopped = Callable[[StopReport], None]


class Stopper:
    """Brings the stop of one running command forward; each run of a command wants its own.

    >>> stopper = Stopper()
    >>> stopper.force()  # works before, during and after the stop
    """

    def __init__(self) -> None:
        self.forced = False
        self._force: Callable[[], None] | None = None

    def force(self) -> None:
        """Drop what is left of the grace period: what was asked to stop is killed now.

        Alone it stops nothing; it makes a stop that has begun, or begins later, impatient.
        """
        self.forced = True
        if self._force is not None:
            self._force()

    def attach(self, force: Callable[[], None]) -> None:
        """Connect the stopper with a process tree. For `ProcessTrees`."""
        self._force = force
        if self.forced:
            force()
