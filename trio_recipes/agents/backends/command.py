"""A backend that is a program: the prompt on its standard input, the answer on its standard output."""

from __future__ import annotations

import codecs
import os
import signal
import sys
from typing import TYPE_CHECKING, Final, Literal

from attrs import evolve, field

from trio_recipes.agents.backends.printed import JsonLines, PlainText, Reader
from trio_recipes.classes import define, frozen
from trio_recipes.errors import BackendError, InternalError
from trio_recipes.failure import Tail
from trio_recipes.processes import Channel, Command, Exit, ProcessTrees, Signalled, Stopper, StopReport
from trio_recipes.runtime.ports import AgentCall

if TYPE_CHECKING:
    from trio_recipes.runtime.ports import AgentReply, AgentRequest

INTERPRETER: Final = ("AMPLIFIER_PYTHON", "TRIO_RECIPES_PYTHON")
"""Variables that hold the running Python, as bash steps have them (recipe-language.md section 2)."""

_LASTING: Final = (FileNotFoundError, NotADirectoryError, PermissionError, ValueError)
"""Reasons not to start a program that trying again won't mend."""


@frozen
class CommandBackend:
    """Runs a program for each request, in the project's folder and in a process tree of its own.

    The program reads the prompt, complete, until the end of its standard input. What it prints is the answer, without
    one line end at its end; what it prints on stderr is recorded. ``TRIO_RECIPES_AGENT`` holds the agent's name,
    ``TRIO_RECIPES_MODEL`` the model that is wanted and ``TRIO_RECIPES_SYSTEM`` the agent's system prompt, where there
    are such. Its processes are stopped as those of a bash step are; what it leaves running ends with it.

    Args:
        argv: the program and its arguments; no shell is involved.
        kill_grace: seconds between SIGTERM and SIGKILL when it is stopped.
        prompt: ``stdin``; or ``argument``: the last one, which other users of the machine can read, and which must fit
            the kernel's limit of 128 KiB.
        output: ``text``; or ``json-lines`` (:class:`~trio_recipes.agents.backends.printed.JsonLines`).
        trees: starts the processes; ``Agents.attached`` sets it.
    """

    argv: tuple[str, ...]
    kill_grace: float = 2.0
    prompt: Literal["stdin", "argument"] = "stdin"
    output: Literal["text", "json-lines"] = "text"
    trees: ProcessTrees | None = field(default=None, eq=False, repr=False)

    def attached(self, trees: ProcessTrees) -> CommandBackend:
        """The same backend, in a runtime whose process trees are ``trees``."""
        return evolve(self, trees=trees)

    async def ask(self, request: AgentRequest, call: AgentCall) -> AgentReply:
        """Run the program; when cancelled, stop all of its processes first.

        Raises:
            BackendError: it can't be run, ended with a code other than 0, or printed no answer.
        """
        if self.trees is None:
            raise InternalError("a command backend was asked before it was attached to a runtime's process trees")
        answer = Answer(call, JsonLines() if self.output == "json-lines" else PlainText())
        stopper = Stopper()
        forget = call.forcible.register(stopper.force)
        try:
            ended = await self.trees.run(
                self._command(request),
                on_output=answer.take,
                on_signal=answer.tell_signal,
                on_stopped=answer.tell_survivors,
                stopper=stopper,
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL character in an argument or variable
            may_pass = not isinstance(error, _LASTING)
            raise BackendError(f"{self.argv[0]!r} can't be run: {error}", retryable=may_pass) from error
        finally:
            forget()
        if ended.code != 0:
            raise self._failure(ended, answer)
        return answer.reply(request.model)

    def _command(self, request: AgentRequest) -> Command:
        told = {"AGENT": request.agent, "MODEL": request.model, "SYSTEM": request.agent_config.get("system")}
        own = {f"TRIO_RECIPES_{name}": text for name, text in told.items() if isinstance(text, str) and text}
        as_argument = self.prompt == "argument"
        return Command(
            argv=(*self.argv, request.prompt) if as_argument else self.argv,
            cwd=request.project or os.curdir,
            env={**os.environ, **dict.fromkeys(INTERPRETER, sys.executable), **own},
            session_id=request.session_id,
            key=request.key,
            attempt=request.attempt,
            stdin=b"" if as_argument else request.prompt.encode("utf-8", "replace"),
            kill_grace=self.kill_grace,
            background="kill",
        )

    def _failure(self, ended: Exit, answer: Answer) -> BackendError:
        how = f"exited with {ended.code}" if ended.code > 0 else f"was ended by {_name(-ended.code)}"
        told = answer.failure
        reasons = [answer.complaint, str(told) if told else ""]
        why = "; ".join(filter(None, reasons))
        text = f"{self.argv[0]!r} {how}" + (f": {why}" if why else "")
        if told is None:
            return BackendError(text, exit_code=ended.code)
        return BackendError(text, exit_code=ended.code, retryable=told.retryable, rate_limited=told.rate_limited)


@define(eq=False)
class Answer:
    """Takes what the program prints: stdout as the streamed answer, stderr to the record, its end to messages.

    Args:
        call: the conversation.
        reader: makes an answer of what is printed.
    """

    call: AgentCall
    reader: Reader = field(factory=PlainText)
    _tail: Tail = field(factory=Tail, init=False)
    _decoder: codecs.IncrementalDecoder = field(
        factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"), init=False
    )

    def take(self, channel: Channel, data: bytes, /, *, background: bool) -> None:
        """Take a piece of output."""
        if channel == "stderr" or background:
            self.call.output(channel, data, background=background)
            self._tail.add(data)
            return
        self.call.account(self.reader.so_far)  # not before: who never said a word has no answer that could break off
        if self.reader.keeps_raw:
            self.call.output(channel, data)
        self._stream(self._decoder.decode(data))

    def reply(self, model: str | None) -> AgentReply:
        """The whole answer, once the program has ended.

        Raises:
            BackendError: it is none.
        """
        self._stream(self._decoder.decode(b"", final=True), last=True)
        return self.reader.reply(model)

    @property
    def failure(self) -> BackendError | None:
        """What went wrong, if the program says so in what it prints. To be asked when all is printed."""
        self._stream(self._decoder.decode(b"", final=True), last=True)
        return self.reader.failure

    @property
    def complaint(self) -> str:
        """The end of stderr."""
        return self._tail.text

    def tell_signal(self, signalled: Signalled) -> None:
        """Record that a process was signalled."""
        self.call.signalled(signalled.pid, _name(signalled.signal))

    def tell_survivors(self, report: StopReport) -> None:
        """Record what can't be stopped."""
        for survivor in report.survivors:
            self.call.resisted(f"process {survivor.pid}: {survivor.reason}", pid=survivor.pid)

    def _stream(self, text: str, *, last: bool = False) -> None:
        piece = self.reader.feed(text, last=last)
        if piece:
            self.call.stream(piece)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no names in Python
        return f"signal {number}"
