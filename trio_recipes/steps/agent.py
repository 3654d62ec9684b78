"""Agent steps (recipe-language.md section 2, ``agent``): a prompt, a backend that answers, the answer's pieces."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

import trio
from attrs import Factory, field

from trio_recipes.classes import define, frozen
from trio_recipes.errors import BackendError, ConfigurationError, ValueRefusedError
from trio_recipes.events import AgentAccount, AgentAnswered, AgentAnswering, AgentAsked, AgentBrokeOff
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.language.model import AgentStep
from trio_recipes.language.output import JSON_INSTRUCTION
from trio_recipes.runtime.ports import AgentReply, AgentRequest, Choice, Chooser, Forcible, LeafCall, Reply
from trio_recipes.steps.apart import Apart
from trio_recipes.steps.coalesce import Coalescer
from trio_recipes.steps.guard import describe, sorted_out
from trio_recipes.steps.repair import Repairs
from trio_recipes.values import counts, normalise

if TYPE_CHECKING:
    from trio_recipes.values import Value


_log = logging.getLogger("trio_recipes.steps")

TELLING_SECONDS: Final = 1.0
"""How often an answer that comes in pieces tells what it has taken so far, at most."""

Pricing: TypeAlias = "Callable[[str | None, Mapping[str, int]], float | None]"
"""From a model and an answer's usage to US dollars, or None where nobody knows."""


def _unknown(_model: str | None, _usage: Mapping[str, int]) -> float | None:
    return None


@frozen(eq=False)
class AgentRunner:
    """Runs agent steps.

    Args:
        choose: who answers a request.
        apart: runs the backends.
        price: what an answer of a model cost in US dollars by its usage, or None if that is not known.
        repairs: answers to be mended.
    """

    choose: Chooser
    apart: Apart = Factory(Apart)
    price: Pricing = _unknown
    repairs: Repairs = Factory(Repairs)

    async def __call__(self, call: LeafCall) -> Reply:
        """Ask the agent.

        Raises:
            TemplateError: the prompt refers to what there is not.
        """
        step = call.step
        assert isinstance(step, AgentStep)
        request = self.repairs.asked(request_of(step, call))
        conversation = Conversation(call, self.price)
        try:
            choice = await self.choose(request)
            conversation.asks(choice)
            answer = await self.apart.run(
                partial(choice.backend.ask, choice.request, conversation),
                f"agent {step.agent}",
                call,
                extra=getattr(choice.backend, "kill_grace", 0.0),  # of one that stops processes, and ends by itself
            )
            return self.repairs.checked(call, request, answer, conversation.conclude(answer, step.agent))
        except (Exception, BaseExceptionGroup) as error:
            return Reply(failure=_failure(step, sorted_out(error, f"agent {step.agent!r}")))
        finally:
            conversation.end()


def request_of(step: AgentStep, call: LeafCall) -> AgentRequest:
    """What the backend is asked.

    Raises:
        TemplateError: the prompt refers to what there is not.
    """
    return AgentRequest(
        agent=step.agent,
        prompt=_prompt(step, call),
        session_id=call.session_id,
        path=call.path,
        step_id=step.id,
        key=call.key,
        attempt=call.attempt,
        parse_json=step.parse_json,
        mode=step.mode,
        agent_config=step.agent_config,
        provider=step.provider,
        model=step.model,
        provider_preferences=step.provider_preferences,
        model_role=step.model_role,
        spawn_mode=step.spawn_mode,
        orchestrator=call.frame.orchestrator,
        project=call.project,
    )


def _prompt(step: AgentStep, call: LeafCall) -> str:
    mode = f"MODE: {step.mode}\n\n" if step.mode else ""
    instruction = JSON_INSTRUCTION if step.parse_json else ""
    return f"{mode}{step.prompt.render(call.frame.variables)}{instruction}"


# --- while it answers --------------------------------------------------------------------------------------------


@define(eq=False)
class Conversation:
    """What a backend may do besides answering (``runtime.ports.AgentCall``).

    Args:
        call: the attempt.
        price: what an answer costs.
        closed: the step has ended; what its backend still tells comes too late to be recorded.
    """

    call: LeafCall
    price: Pricing = _unknown
    closed: bool = field(default=False, init=False)
    _choice: Choice | None = field(default=None, init=False)
    _asked: float = field(factory=trio.current_time, init=False)
    _first: float | None = field(default=None, init=False)
    _next: float = field(default=0.0, init=False)
    _so_far: Callable[[], AgentReply] | None = field(default=None, init=False)
    _is_whole: bool = field(default=False, init=False)
    _streamed: list[str] = field(factory=list, init=False)
    _channels: dict[str, Coalescer] = field(factory=dict, init=False)

    @property
    def forcible(self) -> Forcible:
        """Register clean-up that a forced stop cuts short."""
        return self.call.forcible

    def asks(self, choice: Choice) -> None:
        """Record whom the step is about to ask, and what."""
        request, self._choice = choice.request, choice
        asked = AgentAsked(
            path=self.call.path,
            agent=request.agent,
            provider=request.provider,
            model=request.model,
            data=_encoded(request.prompt),
        )
        self.call.log.emit(asked)
        self._asked = trio.current_time()

    def account(self, so_far: Callable[[], AgentReply]) -> None:
        """Tell where to ask what the answer has taken so far: at once, since a prompt that was read is paid for."""
        self._so_far = so_far
        self._tell_now_and_then()

    def stream(self, piece: str) -> None:
        """Keep a piece of the answer on the channel ``text``; and tell now and then what the answer has taken."""
        if self._first is None:
            self._first, self._next = trio.current_time() - self._asked, 0.0
        self._streamed.append(piece)
        self.output("text", _encoded(piece))

    def output(self, channel: str, data: bytes, *, background: bool = False) -> None:
        """Keep other output, a moment later; but at once in the background, where nobody tells which is the last."""
        if self.closed:
            return
        if background:
            self.call.output(channel, data, background=True)
            return
        if channel not in self._channels:
            self._channels[channel] = Coalescer(lambda chunk: self.call.output(channel, chunk))
        self._channels[channel].write(data)
        self._tell_now_and_then()

    def _tell_now_and_then(self) -> None:
        """What has been taken so far, for whoever comes if this runner is killed."""
        now = trio.current_time()
        if now >= self._next and not self.closed and (self._so_far or self._streamed):
            self._next = now + TELLING_SECONDS
            self._tell(AgentAnswering, self._heard())

    def signalled(self, pid: int, signal: str) -> None:
        """A process that answers was signalled."""
        if not self.closed:
            self.call.signalled(pid, signal)

    def resisted(self, what: str, *, pid: int | None = None) -> None:
        """Something runs on although it was told to stop."""
        if not self.closed:
            self.call.resisted(what, pid=pid)

    def flush(self) -> None:
        """Record all there is: what follows it in the record is the step's end."""
        for coalescer in self._channels.values():
            coalescer.flush()

    def end(self) -> None:
        """The attempt is over: an answer that is not whole by now never will be."""
        if not self._is_whole and (self._so_far or self._streamed):
            self._tell(AgentBrokeOff, self._heard())
        self.flush()
        self.closed = True

    def conclude(self, answer: object, agent: str) -> Reply:
        """The reply that an answer makes, its text whole on one channel of the record.

        Raises:
            BackendError: the answer is nothing a backend may answer.
        """
        if not isinstance(answer, AgentReply):
            raise BackendError(f"the backend returned {type(answer).__name__}, not AgentReply", retryable=False)
        self._is_whole = True
        self._tell(AgentAnswered, answer)
        if answer.text is not None:
            return self._text(answer.text)
        value = _unwrapped(answer.value, agent)
        return self._text(value) if isinstance(value, str) else Reply(value=value)

    def _heard(self) -> AgentReply:
        """What the backend says of its answer so far: code of others, and not worth a failure."""
        try:
            return self._so_far() if self._so_far is not None else AgentReply()
        except Exception:
            _log.warning("step '%s': its backend can't say what it has used", self.call.path, exc_info=True)
            return AgentReply()

    def _tell(self, kind: type[AgentAccount], answer: AgentReply) -> None:
        """What an answer took; who answers is as chosen, unless the backend knows better."""
        chosen = self._choice.request if self._choice else None
        model = answer.model or (chosen.model if chosen else None)
        usage = counts(answer.usage)
        account = kind(
            path=self.call.path,
            agent=chosen.agent if chosen else "",
            provider=answer.provider or (chosen.provider if chosen else None),
            model=model,
            usage=usage,
            estimated=tuple(name for name in answer.estimated if name in usage),
            cost_usd=self.price(model, usage) if answer.cost_usd is None else answer.cost_usd,
            stop_reason=answer.stop_reason,
            first_seconds=self._first,
            seconds=trio.current_time() - self._asked,
        )
        self.call.took(account)

    def _text(self, text: str) -> Reply:
        """Streamed pieces that add up to the answer are its record; otherwise it is recorded once more."""
        data = _encoded(text)
        channel = "text" if not self._streamed or "".join(self._streamed) == text else "reply"
        if channel == "reply" or not self._streamed:
            self.output(channel, data)
        return Reply(text=data.decode(), channel=channel)


def _encoded(text: str) -> bytes:
    """UTF-8; halves of surrogate pairs, which JSON lets through and UTF-8 doesn't, become question marks."""
    return text.encode("utf-8", "replace")


def _unwrapped(value: object, agent: str) -> Value:
    """A backend may answer a mapping with ``output`` (recipe-language.md section 6)."""
    inner = value["output"] if isinstance(value, Mapping) and "output" in value else value
    try:
        return normalise(inner, f"the answer of agent {agent!r}")
    except ValueRefusedError as error:
        raise BackendError(str(error), retryable=False) from error


# --- what can go wrong -------------------------------------------------------------------------------------------


def _failure(step: AgentStep, error: BaseException) -> Failure:
    where = f"step '{step.id}': agent {step.agent!r}"
    if isinstance(error, ConfigurationError):
        hint = "configure a backend for it in trio-recipes.toml, or run with --agents FILE"
        return Failure(FailureKind.BACKEND, f"{where}: {error}", retryable=False, hint=hint)
    if not isinstance(error, BackendError):
        return Failure(FailureKind.BACKEND, f"{where}: {describe(error)}", cause=type(error).__name__)
    wait = "" if error.retry_after is None else f"the endpoint asks to wait {error.retry_after:g} s"
    return Failure(
        FailureKind.RATE_LIMIT if error.rate_limited else FailureKind.BACKEND,
        f"{where}: {error}",
        exit_code=error.exit_code,
        retryable=error.retryable,
        hint=wait,
        cause=type(error.__cause__ or error).__name__,
        retry_after=error.retry_after,
    )
