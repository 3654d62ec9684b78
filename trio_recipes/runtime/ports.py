"""What the runtime needs from outside, as protocols, and what it hands to the code that performs a leaf."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from attrs import Factory, define, field, frozen

from trio_recipes.events import Output, Resisted, Signalled

if TYPE_CHECKING:
    from trio_recipes.events import Event
    from trio_recipes.failure import Failure
    from trio_recipes.language.model import Recipe, Step
    from trio_recipes.progress.asks import NeedRecipe
    from trio_recipes.progress.frame import Frame
    from trio_recipes.values import Value


class Log(Protocol):
    """Where events go: numbered at once, durable a little later."""

    def emit(self, event: Event) -> int:
        """Append an event, synchronously, and return its ``seq``."""
        ...

    async def durable(self, seq: int) -> None:
        """Return once the event ``seq`` would survive a crash.

        Raises:
            StoreWriteError: if it can't be written; the run must stop.
        """
        ...


class RecipeSource(Protocol):
    """Finds sub-recipes and freezes them in the session."""

    def known(self, ask: NeedRecipe) -> Recipe | None:
        """The recipe, if this session has frozen it already."""
        ...

    async def obtain(self, ask: NeedRecipe) -> Recipe | Failure:
        """The recipe, loaded, checked and durably frozen; or why that can't be."""
        ...


@frozen
class Reply:
    """What a leaf came to.

    Args:
        text: the raw result, still to be read by the rules of language section 6; or None.
        channel: the output channel that holds ``text``, whole, in the records.
        value: the result if it is not text.
        exit_code: of a process.
        failure: why it failed; ``text`` may be there all the same.
    """

    text: str | None = None
    channel: str | None = None
    value: Value = None
    exit_code: int | None = None
    failure: Failure | None = None


@define(eq=False)
class Forcible:
    """Something whose shielded clean-up can be cut short: what a third Ctrl+C drops."""

    callbacks: dict[int, Callable[[], None]] = field(factory=dict)
    forced: bool = False
    _next: int = 0

    def register(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have ``callback`` called on force (at once if that was already asked for); returns its remover."""
        key = self._next = self._next + 1
        self.callbacks[key] = callback
        if self.forced:
            callback()
        return lambda: self.callbacks.pop(key, None) and None

    def force(self) -> None:
        """Call everything that is registered, and from now on everything that registers."""
        self.forced = True
        for callback in list(self.callbacks.values()):
            callback()


@frozen(eq=False)
class LeafCall:
    """One attempt of a leaf: what is to be done, and the doors to tell what happens meanwhile.

    Args:
        step: the step.
        path: its scope.
        frame: the variables.
        attempt: from 1.
        session_id: the session.
        project: the project's folder.
        log: where its events go.
        forcible: register here what must be dropped when the stop is forced.
        resisting: names of what runs on although it was told to stop; they end up in the run's last event.
    """

    step: Step
    path: str
    frame: Frame
    attempt: int
    session_id: str
    project: str
    log: Log
    forcible: Forcible
    resisting: list[str] = Factory(list)

    @property
    def key(self) -> str:
        """The idempotency key: equal across attempts, runs and crashes (decisions.md)."""
        return f"{self.session_id}/{self.path}"

    def output(self, channel: str, data: bytes, *, background: bool = False) -> None:
        """Keep what the step produced, as it came."""
        self.log.emit(Output(path=self.path, channel=channel, data=data, background=background))

    def signalled(self, pid: int, signal: str) -> None:
        """A process of the step was signalled."""
        self.log.emit(Signalled(path=self.path, pid=pid, signal=signal))

    def resisted(self, what: str) -> None:
        """Something of the step runs on although it was told to stop."""
        self.resisting.append(f"{self.path}: {what}")
        self.log.emit(Resisted(path=self.path, what=what))


class LeafRunner(Protocol):
    """Performs leaves of one kind. Failures are values of the reply; only ``Cancelled`` and bugs are raised."""

    async def __call__(self, call: LeafCall) -> Reply:
        """Do one attempt, under the scope of the caller, leaving nothing behind when cancelled."""
        ...


# --- agents ------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class AgentRequest:
    """What an agent step asks of a backend (recipe-language.md section 2, ``agent``).

    Args:
        agent: the agent's name, usually ``bundle:name``.
        prompt: complete: the mode's prefix and the JSON instruction are in it.
        session_id: the session that asks.
        path: the step's scope.
        step_id: the step.
        key: idempotency key: equal across attempts, runs and crashes.
        attempt: from 1.
        parse_json: the answer must be JSON.
        mode: as written, for backends that treat it themselves.
        agent_config: to be merged deeply over the agent's definition.
        provider: wanted provider, or None.
        model: wanted model or glob, or None.
        provider_preferences: in order of preference.
        model_role: wanted role, or None.
        spawn_mode: ``subprocess`` or None.
        orchestrator: passed through from the recipe.
        project: the project's folder.
    """

    agent: str
    prompt: str
    session_id: str = ""
    path: str = ""
    step_id: str = ""
    key: str = ""
    attempt: int = 1
    parse_json: bool = False
    mode: str | None = None
    agent_config: Mapping[str, Any] = Factory(dict)
    provider: str | None = None
    model: str | None = None
    provider_preferences: tuple[Mapping[str, Any], ...] = ()
    model_role: str | None = None
    spawn_mode: str | None = None
    orchestrator: Mapping[str, Any] = Factory(dict)
    project: str = ""


@frozen(kw_only=True)
class AgentReply:
    """What a backend answers: text to be read by language section 6, or (``text`` None) a JSON value.

    Args:
        text: the answer.
        value: the answer, if it is not text.
        usage: counts such as ``input_tokens`` and ``output_tokens``.
        cost_usd: in US dollars, or None if unknown.
        model: what answered.
        stop_reason: why it stopped.
    """

    text: str | None = None
    value: Value = None
    usage: Mapping[str, int] = Factory(dict)
    cost_usd: float | None = None
    model: str | None = None
    stop_reason: str | None = None


class AgentCall(Protocol):
    """What a backend may do besides answering: stream, and tell what must be dropped on force."""

    @property
    def forcible(self) -> Forcible:
        """Register clean-up that a forced stop cuts short."""
        ...

    def stream(self, piece: str) -> None:
        """Keep a piece of the answer, as it came; what was streamed survives a stop."""
        ...

    def output(self, channel: str, data: bytes, *, background: bool = False) -> None:
        """Keep other output, such as a program's stderr."""
        ...

    def signalled(self, pid: int, signal: str) -> None:
        """A process that answers was signalled."""
        ...

    def resisted(self, what: str) -> None:
        """Something runs on although it was told to stop."""
        ...


class AgentBackend(Protocol):
    """Answers agent steps. An application may pass its own.

    A backend is a trio function: cancelled means stopped, at once, with nothing left behind. It raises
    ``BackendError`` for what went wrong; anything else it raises counts as a backend failure, too.
    """

    async def ask(self, request: AgentRequest, call: AgentCall) -> AgentReply:
        """Answer one request."""
        ...
