"""What the runtime needs from outside, as protocols, and what it hands to the code that performs a leaf."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from attrs import Factory, asdict, field

from trio_recipes.classes import define, frozen
from trio_recipes.events import AgentAccount, AgentAnswering, Holdout, Output, Resisted, Signalled

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
        mend: one more attempt, at once and even beyond those of ``retry``, may make something better of ``text``;
            which is the result if it does not.
    """

    text: str | None = None
    channel: str | None = None
    value: Value = None
    exit_code: int | None = None
    failure: Failure | None = None
    mend: bool = False


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


@frozen
class Work:
    """What a step's code is doing at this moment.

    Args:
        thread: name of the thread that it runs in, if that is one of its own.
        task: name of the trio task that it runs in otherwise.
        stack: its calls, outermost first.
    """

    thread: str | None = None
    task: str | None = None
    stack: tuple[str, ...] = ()


def _for_free(_: AgentAccount) -> None:
    """Who counts where there is no limit."""


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
        resisting: what runs on although it was told to stop; it ends up in the run's last event.
        works: who can tell, for ``show --stuck``, what the step in hand at a path is doing.
        charge: counts what an answer took against the limits of the tree.
    """

    step: Step
    path: str
    frame: Frame
    attempt: int
    session_id: str
    project: str
    log: Log
    forcible: Forcible
    resisting: list[Holdout] = Factory(list)
    works: dict[str, Callable[[], Work]] = Factory(dict)
    charge: Callable[[AgentAccount], None] = _for_free

    @property
    def key(self) -> str:
        """The idempotency key: equal across attempts, runs and crashes."""
        return f"{self.session_id}/{self.path}"

    def output(self, channel: str, data: bytes, *, background: bool = False) -> None:
        """Keep what the step produced, as it came."""
        self.log.emit(Output(path=self.path, channel=channel, data=data, background=background))

    def took(self, account: AgentAccount) -> None:
        """What an agent's answer took: recorded; and counted at its end, whatever becomes of the step."""
        self.log.emit(account)
        if not isinstance(account, AgentAnswering):
            self.charge(account)

    def signalled(self, pid: int, signal: str) -> None:
        """A process of the step was signalled."""
        self.log.emit(Signalled(path=self.path, pid=pid, signal=signal))

    def resisted(self, what: str, *, pid: int | None = None, work: Work | None = None) -> None:
        """Something of the step, a process or what a thread or task does, runs on although it was told to stop."""
        thread, task = (work.thread, work.task) if work else (None, None)
        holdout = Holdout(self.path, what, pid, thread, task, work.stack if work else ())
        self.resisting.append(holdout)
        self.log.emit(Resisted(**asdict(holdout)))


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
        agent_config: what the step says of its agent. A backend gets it merged deeply over the agent's definition;
            known keys are ``system`` (text), ``temperature``, ``max_tokens`` and ``tools`` (names), the others are for
            backends that know them.
        provider: wanted provider, or None. A backend gets the name of the one that was chosen.
        model: wanted model or glob, or None. A backend gets an exact name if its provider lists models; None leaves
            the choice to it.
        provider_preferences: in order of preference, as written.
        model_role: wanted role, or None, as written.
        spawn_mode: ``subprocess`` or None.
        orchestrator: passed through from the recipe.
        project: the project's folder.
        unreadable: the answer of the attempt before, in which no JSON was found; it is to be mended.
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
    unreadable: str | None = None


@frozen(kw_only=True)
class AgentReply:
    """What a backend answers: text to be read by language section 6, or (``text`` None) a JSON value.

    Args:
        text: the answer.
        value: the answer, if it is not text.
        usage: counts such as ``input_tokens`` and ``output_tokens``; what is no such count is left out.
        estimated: names of those counts that are estimates.
        cost_usd: in US dollars, or None if unknown.
        model: what answered.
        provider: who answered.
        stop_reason: why it stopped.
        repairable: the backend can be asked once more, with ``AgentRequest.unreadable``, for a text without the JSON
            that the step wants.
    """

    text: str | None = None
    value: Value = None
    usage: Mapping[str, int] = Factory(dict)
    estimated: tuple[str, ...] = ()
    cost_usd: float | None = None
    model: str | None = None
    provider: str | None = None
    stop_reason: str | None = None
    repairable: bool = False


class AgentCall(Protocol):
    """What a backend may do besides answering: stream, and tell what must be dropped on force."""

    @property
    def forcible(self) -> Forcible:
        """Register clean-up that a forced stop cuts short."""
        ...

    def stream(self, piece: str) -> None:
        """Keep a piece of the answer, as it came; what was streamed survives a stop."""
        ...

    def account(self, so_far: Callable[[], AgentReply]) -> None:
        """Tell where to ask, at any time until the step ends, what the answer has taken so far.

        Its usage, cost, model and stop reason are recorded while the answer comes, and counted if it never becomes
        whole: what a stopped answer has cost stays spent.

        Args:
            so_far: says it; called in trio's thread, so it must not wait for anything.
        """
        ...

    def output(self, channel: str, data: bytes, *, background: bool = False) -> None:
        """Keep other output, such as a program's stderr.

        Args:
            channel: what it is called in the record.
            data: a piece of it, as it came.
            background: whether it came after the answer was complete.
        """
        ...

    def signalled(self, pid: int, signal: str) -> None:
        """A process that answers was signalled.

        Args:
            pid: of the process.
            signal: by its name, such as ``SIGTERM``.
        """
        ...

    def resisted(self, what: str, *, pid: int | None = None) -> None:
        """Something, a process as a rule, runs on although it was told to stop.

        Args:
            what: it is, in words.
            pid: if it is a process.
        """
        ...


class AgentBackend(Protocol):
    """Answers agent steps. An application may pass its own.

    A backend is a trio function: cancelled means stopped, at once, with nothing left behind. It raises
    ``BackendError`` for what went wrong; anything else it raises counts as a backend failure, too.
    """

    async def ask(self, request: AgentRequest, call: AgentCall) -> AgentReply:
        """Answer one request.

        Args:
            request: what is asked, of which agent and model.
            call: what may be done meanwhile: to stream the answer, and to tell what it has taken.

        Raises:
            BackendError: if there is no answer; it says whether to try again.
        """
        ...


@runtime_checkable
class ListsModels(Protocol):
    """A backend whose endpoint can say which models it has. Asked for model globs, and to see if it is reachable."""

    async def models(self) -> Sequence[str]:
        """The names of its models; () if it is there, and doesn't tell.

        Raises:
            BackendError: it can't be reached, or refuses the key.
        """
        ...


@frozen
class Choice:
    """Who answers a request.

    Args:
        backend: to be asked.
        request: what to ask it: its ``provider``, ``model`` and ``agent_config`` are settled.
    """

    backend: AgentBackend
    request: AgentRequest


class Chooser(Protocol):
    """Chooses who answers, each time that an agent step is about to ask."""

    async def __call__(self, request: AgentRequest) -> Choice:
        """The choice for this request.

        Raises:
            BackendError: nobody who may answer it is available.
        """
        ...
