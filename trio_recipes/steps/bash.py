"""Shell steps (recipe-language.md section 2, ``bash``): one command, all the processes it starts, all it prints."""

from __future__ import annotations

import errno
import signal
from typing import TYPE_CHECKING, Final

from attrs import field

from trio_recipes.classes import define, frozen
from trio_recipes.failure import Failure, FailureKind, Tail
from trio_recipes.language.model import BashStep
from trio_recipes.processes import Channel, Command, Exit, ProcessTrees, Signalled, Stopper, StopReport
from trio_recipes.runtime.ports import LeafCall, Reply
from trio_recipes.steps.coalesce import Coalescer
from trio_recipes.steps.invocation import command_of
from trio_recipes.steps.kept import Kept

if TYPE_CHECKING:
    from collections.abc import Callable

_PASSES: Final = frozenset({errno.EAGAIN, errno.ENFILE, errno.EMFILE, errno.ENOMEM, errno.ENOSPC, errno.ETXTBSY})
"""Reasons not to start a command that may be gone a moment later."""

_TOO_BIG: Final = "the variables and the command together are too large; hand data over in files"


@frozen(eq=False)
class BashRunner:
    """Runs shell steps.

    Args:
        trees: starts the processes, and sees to their end.
        inherit_env: whether commands see the environment of this process, or which names of it; besides them they
            get the few names of ``invocation.BASICS`` and what the step itself says.
    """

    trees: ProcessTrees
    inherit_env: bool | frozenset[str] = True

    async def __call__(self, call: LeafCall) -> Reply:
        """Run the command to its end; when cancelled, stop all of its processes first.

        Raises:
            TemplateError: a template of the step refers to what there is not.
        """
        assert isinstance(call.step, BashStep)
        command = command_of(call.step, call, inherit_env=self.inherit_env)
        if isinstance(command, Failure):
            return Reply(failure=command)
        with Kept() as stdout:
            printed = Printed(call, stdout)
            try:
                ended = await self._run(command, call, printed)
            except OSError as error:
                return Reply(failure=_not_started(call.step, command, error))
            return Reply(
                text=await stdout.text(),
                channel="stdout",
                exit_code=ended.code,
                failure=_failure(call.step, ended, printed),
            )

    async def _run(self, command: Command, call: LeafCall, printed: Printed) -> Exit:
        stopper = Stopper()
        forget = call.forcible.register(stopper.force)
        try:
            return await self.trees.run(
                command,
                on_output=printed.take,
                on_signal=_tell_signals(call),
                on_stopped=_tell_survivors(call),
                stopper=stopper,
            )
        finally:
            forget()
            printed.flush()


# --- what it prints ----------------------------------------------------------------------------------------------


@define(eq=False)
class Printed:
    """Takes the output of one command: to the record, stdout to the value, the end of stderr to messages.

    Args:
        call: the attempt.
        stdout: keeps what becomes the value.
    """

    call: LeafCall
    stdout: Kept
    _tail: Tail = field(factory=Tail, init=False)
    _channels: dict[Channel, Coalescer] = field(factory=dict, init=False)

    def take(self, channel: Channel, data: bytes, /, *, background: bool) -> None:
        """Take a piece. What background processes print later is recorded at once, and no more than that."""
        if background:  # not held for a moment: nobody tells when the last piece has come
            self.call.output(channel, data, background=True)
            return
        self._coalescer(channel).write(data)
        if channel == "stdout":
            self.stdout.write(data)
        else:
            self._tail.add(data)

    def flush(self) -> None:
        """Record all there is: what follows it in the record is the step's end."""
        for coalescer in self._channels.values():
            coalescer.flush()

    @property
    def complaint(self) -> str:
        """The end of stderr."""
        return self._tail.text

    def _coalescer(self, channel: Channel) -> Coalescer:
        if channel not in self._channels:
            self._channels[channel] = Coalescer(lambda chunk: self.call.output(channel, chunk))
        return self._channels[channel]


# --- what becomes of it ------------------------------------------------------------------------------------------


def _failure(step: BashStep, ended: Exit, printed: Printed) -> Failure | None:
    if ended.code == 0:
        return None
    how = f"exited with {ended.code}" if ended.code > 0 else f"was ended by {_name(-ended.code)}"
    why = f": {printed.complaint}" if printed.complaint else ""
    return Failure(FailureKind.EXIT, f"step '{step.id}': the command {how}{why}", exit_code=ended.code)


def _not_started(step: BashStep, command: Command, error: OSError) -> Failure:
    if error.filename == command.cwd:  # only that it fails tells: looking before would be a guess, and would block
        text = f"step '{step.id}': cwd: the folder {command.cwd!r} can't be used: {error.strerror}"
        hint = "create it in an earlier step, or correct the path"
        return Failure(FailureKind.TEMPLATE, text, retryable=False, hint=hint, cause=type(error).__name__)
    text = f"step '{step.id}': the command could not be run: {error.strerror or error}"
    hint = _TOO_BIG if error.errno == errno.E2BIG else ""
    may_pass = error.errno in _PASSES
    return Failure(FailureKind.EXIT, text, retryable=may_pass, hint=hint, cause=type(error).__name__)


def _tell_signals(call: LeafCall) -> Callable[[Signalled], None]:
    return lambda signalled: call.signalled(signalled.pid, _name(signalled.signal))


def _tell_survivors(call: LeafCall) -> Callable[[StopReport], None]:
    def tell(report: StopReport) -> None:
        for survivor in report.survivors:
            call.resisted(f"process {survivor.pid}: {survivor.reason}", pid=survivor.pid)

    return tell


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no names in Python
        return f"signal {number}"
