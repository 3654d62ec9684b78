"""An agent backend that answers by a script: for tests of recipes, and of programs that run them.

An *answer* is a text, a JSON value, an ``AgentReply``, an exception to raise, a function of the request (plain or
async) that returns an answer, or one of the forms made by :func:`after`, :func:`streamed`, :func:`in_turn` and
:func:`failing`. They nest. All waiting is trio's, so scripts work on a mock clock.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import trio
from attrs import Factory, field

from trio_recipes.classes import define, frozen
from trio_recipes.errors import BackendError
from trio_recipes.runtime.ports import AgentCall, AgentReply, AgentRequest

Answer: TypeAlias = Any
"""See the module's text; ``Any``, because JSON values and functions leave little out."""


def unscripted(request: AgentRequest) -> Answer:
    """The default answer of a script: a request that nobody thought of is a failure of the test.

    Raises:
        BackendError: always.
    """
    message = f"the script has no answer for agent {request.agent!r} at {request.path!r}"
    raise BackendError(message, retryable=False)


@runtime_checkable
class _Form(Protocol):
    """An answer that takes its time or depends on earlier ones."""

    async def give(self, request: AgentRequest, call: AgentCall) -> Answer:
        """The answer it stands for, this time."""
        ...


@define(eq=False, kw_only=True)
class ScriptedAgent:
    """Answers by a script, and remembers what it was asked. The most specific rule that fits is taken.

    Args:
        default: for requests that no rule fits; fails them unless given.
        paths: by the step's scope, such as ``audit/scan[3]``.
        steps: by step id.
        prompts: by a text that is in the prompt, or a pattern found in it; the first that fits.
        agents: by the agent's name.

    Attributes:
        requests: what was asked, in order.
        started: how many were asked; ``finished``, ``failed`` and ``cancelled`` say what became of them.
    """

    default: Answer = field(default=unscripted, kw_only=False)
    paths: Mapping[str, Answer] = Factory(dict)
    steps: Mapping[str, Answer] = Factory(dict)
    prompts: Mapping[str | re.Pattern[str], Answer] = Factory(dict)
    agents: Mapping[str, Answer] = Factory(dict)

    requests: list[AgentRequest] = field(factory=list, init=False)
    finished: int = field(default=0, init=False)
    failed: int = field(default=0, init=False)
    cancelled: int = field(default=0, init=False)
    _changed: trio.Event = field(factory=trio.Event, init=False)

    async def ask(self, request: AgentRequest, call: AgentCall) -> AgentReply:
        """Answer one request.

        Raises:
            Exception: if the script says so.
        """
        self.requests.append(request)
        self._wake()
        try:
            reply = await _settled(self._answer_for(request), request, call)
        except trio.Cancelled:
            self.cancelled += 1
            raise
        except Exception:
            self.failed += 1
            raise
        else:
            self.finished += 1
            return reply
        finally:
            self._wake()

    @property
    def started(self) -> int:
        """How many requests there were."""
        return len(self.requests)

    @property
    def running(self) -> int:
        """How many requests are being answered at this moment."""
        return self.started - self.finished - self.failed - self.cancelled

    @property
    def prompts_seen(self) -> list[str]:
        """The prompts, in order."""
        return [request.prompt for request in self.requests]

    async def wait_started(self, count: int = 1) -> None:
        """Return once there have been ``count`` requests. To be bounded by the caller, as any wait."""
        while self.started < count:
            await self._changed.wait()

    async def wait_idle(self) -> None:
        """Return once no request is being answered."""
        while self.running:
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _answer_for(self, request: AgentRequest) -> Answer:
        if request.path in self.paths:
            return self.paths[request.path]
        if request.step_id in self.steps:
            return self.steps[request.step_id]
        for pattern, answer in self.prompts.items():
            if _is_in(pattern, request.prompt):
                return answer
        return self.agents.get(request.agent, self.default)


def _is_in(pattern: str | re.Pattern[str], prompt: str) -> bool:
    return pattern in prompt if isinstance(pattern, str) else pattern.search(prompt) is not None


async def _settled(answer: Answer, request: AgentRequest, call: AgentCall) -> AgentReply:
    """Follow an answer until it is a reply."""
    await trio.lowlevel.checkpoint()
    while isinstance(answer, _Form) or callable(answer):
        answer = await answer.give(request, call) if isinstance(answer, _Form) else answer(request)
        if inspect.isawaitable(answer):
            answer = await answer
    if isinstance(answer, BaseException):
        raise answer
    if isinstance(answer, AgentReply):
        return answer
    return AgentReply(text=answer) if isinstance(answer, str) else AgentReply(value=answer)


# --- forms of answers --------------------------------------------------------------------------------------------


def after(seconds: float, answer: Answer = "") -> Answer:
    """``answer``, ``seconds`` later; ``math.inf`` never answers, which is what a cancellation ends."""
    return _After(seconds, answer)


def streamed(*pieces: str, every: float = 0.0, then: Answer = None) -> Answer:
    """The pieces, streamed one by one, ``every`` seconds apart.

    Args:
        pieces: of the text.
        every: seconds before each piece.
        then: the answer after that; the pieces together unless given.
    """
    return _Streamed(pieces, every, then)


def in_turn(*answers: Answer) -> Answer:
    """The first answer for the first request, and so on; the last one for all that follow."""
    return _InTurn(answers)


def failing(times: int, then: Answer, error: Exception | None = None) -> Answer:
    """``error`` for the first ``times`` requests, whatever they ask; ``then`` for those that follow."""
    return _InTurn((*[error or BackendError("scripted failure")] * times, then))


@frozen
class _After:
    seconds: float
    answer: Answer

    async def give(self, request: AgentRequest, call: AgentCall) -> Answer:
        await trio.sleep(self.seconds)
        return self.answer


@frozen
class _Streamed:
    pieces: tuple[str, ...]
    every: float
    then: Answer

    async def give(self, request: AgentRequest, call: AgentCall) -> Answer:
        for piece in self.pieces:
            await trio.sleep(self.every)
            call.stream(piece)
        return "".join(self.pieces) if self.then is None else self.then


@define(eq=False)
class _InTurn:
    answers: tuple[Answer, ...]
    _given: int = field(default=0, init=False)

    async def give(self, request: AgentRequest, call: AgentCall) -> Answer:
        self._given += 1
        return self.answers[min(self._given, len(self.answers)) - 1]
