"""Agent steps (recipe-language.md section 2, ``agent``): a prompt, a backend that answers, the answer's pieces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from trio_recipes.errors import BackendError, ValueRefusedError
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.language.model import AgentStep
from trio_recipes.language.output import JSON_INSTRUCTION
from trio_recipes.runtime.ports import AgentBackend, AgentReply, AgentRequest, Forcible, LeafCall, Reply
from trio_recipes.steps.coalesce import Coalescer
from trio_recipes.steps.guard import cancellation_wins, describe
from trio_recipes.values import normalise

if TYPE_CHECKING:
    from trio_recipes.values import Value


@frozen(eq=False)
class AgentRunner:
    """Runs agent steps.

    Args:
        resolve: the backend that answers for an agent of this name, or None.
    """

    resolve: Callable[[str], AgentBackend | None]

    async def __call__(self, call: LeafCall) -> Reply:
        """Ask the agent.

        Raises:
            TemplateError: the prompt refers to what there is not.
        """
        step = call.step
        assert isinstance(step, AgentStep)
        request = request_of(step, call)
        backend = self.resolve(step.agent)
        if backend is None:
            return Reply(failure=_unanswered(step))
        conversation = Conversation(call)
        try:
            with cancellation_wins(f"agent {step.agent!r}"):
                answer = await backend.ask(request, conversation)
            return conversation.conclude(answer, step.agent)
        except Exception as error:
            return Reply(failure=_failure(step, error))
        finally:
            conversation.flush()


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
        orchestrator=call.frame.recipe.orchestrator,
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
    """

    call: LeafCall
    _streamed: list[str] = field(factory=list, init=False)
    _channels: dict[str, Coalescer] = field(factory=dict, init=False)

    @property
    def forcible(self) -> Forcible:
        """Register clean-up that a forced stop cuts short."""
        return self.call.forcible

    def stream(self, piece: str) -> None:
        """Keep a piece of the answer on the channel ``text``."""
        self._streamed.append(piece)
        self.output("text", _encoded(piece))

    def output(self, channel: str, data: bytes, *, background: bool = False) -> None:
        """Keep other output, a moment later; but at once in the background, where nobody tells which is the last."""
        if background:
            self.call.output(channel, data, background=True)
            return
        if channel not in self._channels:
            self._channels[channel] = Coalescer(lambda chunk: self.call.output(channel, chunk))
        self._channels[channel].write(data)

    def signalled(self, pid: int, signal: str) -> None:
        """A process that answers was signalled."""
        self.call.signalled(pid, signal)

    def resisted(self, what: str) -> None:
        """Something runs on although it was told to stop."""
        self.call.resisted(what)

    def flush(self) -> None:
        """Record all there is: what follows it in the record is the step's end."""
        for coalescer in self._channels.values():
            coalescer.flush()

    def conclude(self, answer: object, agent: str) -> Reply:
        """The reply that an answer makes, its text whole on one channel of the record.

        Raises:
            BackendError: the answer is nothing a backend may answer.
        """
        if not isinstance(answer, AgentReply):
            raise BackendError(f"the backend returned {type(answer).__name__}, not AgentReply", retryable=False)
        if answer.text is not None:
            return self._text(answer.text)
        value = _unwrapped(answer.value, agent)
        return self._text(value) if isinstance(value, str) else Reply(value=value)

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


def _unanswered(step: AgentStep) -> Failure:
    text = f"step '{step.id}': nothing answers the agent {step.agent!r}"
    hint = "configure a backend for it in trio-recipes.toml, or run with --agents FILE"
    return Failure(FailureKind.BACKEND, text, retryable=False, hint=hint)


def _failure(step: AgentStep, error: Exception) -> Failure:
    where = f"step '{step.id}': agent {step.agent!r}"
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
    )
