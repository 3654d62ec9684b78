"""What an agent program prints, read as an answer: plain text, or JSON lines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Protocol

from attrs import evolve, field

from trio_recipes.agents.http.refusals import BY_STATUS
from trio_recipes.agents.tokens import Uncounted
from trio_recipes.classes import define
from trio_recipes.errors import BackendError, ValueRefusedError
from trio_recipes.language.wording import shown
from trio_recipes.runtime.ports import AgentReply
from trio_recipes.values import Value, counts, normalise

MAX_LINE: Final = 16_000_000
"""Characters of one JSON line, above which it is nonsense."""

MAX_COST: Final = 1e9
"""US dollars that no answer costs; infinity, say, is none either."""


class Reader(Protocol):
    """Makes an answer of what is printed, piece by piece."""

    keeps_raw: ClassVar[bool]
    """Whether what is printed is recorded besides the answer, since there is more in it."""

    def feed(self, text: str, *, last: bool = False) -> str:
        """Take what was printed; returns the text of the answer that is in it, to be streamed."""
        ...

    def so_far(self) -> AgentReply:
        """What the answer has taken, as far as that was told."""
        ...

    @property
    def failure(self) -> BackendError | None:
        """What went wrong, as far as that was told."""
        ...

    def reply(self, model: str | None) -> AgentReply:
        """The answer, once all is printed.

        Raises:
            BackendError: it is none.
        """
        ...


@define(eq=False)
class PlainText:
    """All that is printed is the answer, without one line end at its end."""

    keeps_raw: ClassVar[bool] = False

    _pieces: list[str] = field(factory=list, init=False)
    _held: str = field(default="", init=False)  # a line end, which is none of the answer if it stays the last

    def feed(self, text: str, *, last: bool = False) -> str:
        """Take what was printed."""
        text = self._held + text
        self._held = "\n" if text.endswith("\n") and not last else ""
        piece = text.removesuffix("\n")
        self._pieces.append(piece)
        return piece

    def so_far(self) -> AgentReply:
        """Nothing is known of that."""
        return AgentReply()

    @property
    def failure(self) -> BackendError | None:
        """Nothing is told of that."""
        return None

    def reply(self, model: str | None) -> AgentReply:
        """The answer."""
        return AgentReply(text="".join(self._pieces), model=model)


@define(eq=False)
class JsonLines:
    """Each line is a JSON object. Those that say nothing that we know are passed over; agents tell a lot.

    Understood are lines with ``text`` (a piece of the answer), ``output`` (the answer; pieces before it are not part of
    it), ``error``, ``usage``, ``cost_usd``, ``model`` and ``stop_reason``; and the events of two widespread agents:
    ``stream_event``, ``assistant`` and ``result``; ``item.completed``, ``turn.completed``, ``turn.failed`` and
    ``error``.

    Attributes:
        noise: lines that are no JSON objects.
    """

    keeps_raw: ClassVar[bool] = True

    noise: list[str] = field(factory=list, init=False)
    _begun: str = field(default="", init=False)
    _pieces: list[str] = field(factory=list, init=False)
    _final: list[Any] = field(factory=list, init=False)
    _facts: dict[str, Any] = field(factory=dict, init=False)
    _error: str | None = field(default=None, init=False)
    _status: int | None = field(default=None, init=False)
    _is_streamed: bool = field(default=False, init=False)
    _messages: Counter[str] = field(factory=Counter, init=False)  # what those before the one in hand took
    _message: dict[str, int] = field(factory=dict, init=False)
    _uncounted: Uncounted = field(factory=Uncounted, init=False)

    def feed(self, text: str, *, last: bool = False) -> str:
        """Take what was printed."""
        *lines, self._begun = (self._begun + text).split("\n")
        if last:
            lines, self._begun = [*lines, self._begun], ""
        if len(self._begun) > MAX_LINE:
            self._error, self._begun = f"a line of more than {MAX_LINE:,} characters", ""
        before = len(self._pieces)
        for line in filter(str.strip, lines):
            self._read(line)
        return "".join(self._pieces[before:])

    def so_far(self) -> AgentReply:
        """What the answer has taken: as the agent told in the end, or else of each message in pieces."""
        taken = self._messages + Counter(self._message)
        if "usage" in self._facts or not (taken or self._is_streamed):
            return AgentReply(**self._facts)
        guessed = ("output_tokens",) if self._uncounted.pieces else ()
        taken["output_tokens"] += self._uncounted.tokens
        return AgentReply(**self._facts, usage=dict(taken), estimated=guessed)

    @property
    def failure(self) -> BackendError | None:
        """The error that the agent tells of; by the HTTP status of the model's endpoint, if it names one."""
        if self._error is None:
            return None
        refusal = BY_STATUS.get(self._status) if self._status is not None else None
        text = f"the agent failed: {self._error}"
        if refusal is None:
            return BackendError(text)
        return BackendError(text, retryable=refusal.retryable, rate_limited=refusal.rate_limited)

    def reply(self, model: str | None) -> AgentReply:
        """The answer.

        Raises:
            BackendError: the agent tells of an error, or there is no answer.
        """
        failure = self.failure
        if failure is not None:
            raise failure
        if not self._final and not self._pieces:
            noise = f"; what it printed begins with {shown(self.noise[0])}" if self.noise else ""
            raise BackendError(f"the agent printed no answer as JSON lines{noise}", retryable=False)
        final = self._final[-1] if self._final else "".join(self._pieces)
        taken = self.so_far()
        taken = evolve(taken, model=taken.model or model)
        return evolve(taken, text=final) if isinstance(final, str) else evolve(taken, value={"output": _json(final)})

    def _read(self, line: str) -> None:
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            self.noise.append(line)
            return
        match document.get("type"):
            case "stream_event":
                self._event(_part(document, "event"))
            case "assistant":
                self._assistant(document)
            case "result":
                self._result(document)
            case "item.completed":
                self._item(document)
            case "turn.completed":
                self._error = None  # what it had told of, such as a connection that was lost, is over
                self._note(document)
            case "turn.failed" | "error":
                self._failed(document)
            case _:
                self._ours(document)

    def _ours(self, line: Mapping[str, Any]) -> None:
        if isinstance(line.get("text"), str):
            self._pieces.append(line["text"])
        if "output" in line:
            self._final.append(line["output"])
        if line.get("error") is not None:
            self._error = _words(line["error"])
        self._note(line)

    def _event(self, event: Mapping[str, Any]) -> None:
        """A piece of an answer, if the agent tells of pieces; its whole text is told once more after them."""
        delta, message = _part(event, "delta"), _part(event, "message")
        if isinstance(delta.get("text"), str):
            self._is_streamed = True
            self._pieces.append(delta["text"])
            self._uncounted.add(delta["text"])
        if message:
            self._messages += Counter(self._message) + Counter(output_tokens=self._uncounted.tokens)
            self._message = {}
        told = _counts(_part(event, "usage") or _part(message, "usage"))
        if "output_tokens" in told or message:
            self._uncounted = Uncounted()
        self._message |= told
        self._note({"model": message.get("model")})

    def _assistant(self, line: Mapping[str, Any]) -> None:
        if line.get("error"):  # made by the agent, to tell people what went wrong; the result tells us
            return
        message = _part(line, "message")
        self._note({"model": message.get("model")})
        if self._is_streamed:
            return
        content = message.get("content")
        parts = content if isinstance(content, list) else []
        self._pieces += [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]

    def _result(self, line: Mapping[str, Any]) -> None:
        if line.get("is_error"):
            self._error = _words(line.get("result") or line.get("subtype"))
            status = line.get("api_error_status")
            self._status = status if isinstance(status, int) else None
        elif line.get("result") is not None:
            self._final.append(line["result"])
        self._note({**line, "cost_usd": line.get("total_cost_usd")})

    def _item(self, line: Mapping[str, Any]) -> None:
        item = _part(line, "item")
        if item.get("type") == "agent_message" and isinstance(item.get("text"), str):
            self._pieces.append(item["text"])
            self._final.append(item["text"])

    def _failed(self, line: Mapping[str, Any]) -> None:
        self._error = _words(line.get("error") or line.get("message"))

    def _note(self, line: Mapping[str, Any]) -> None:
        """What is said of the answer, as far as it is what it should be."""
        for name in ("model", "stop_reason"):
            if isinstance(line.get(name), str):
                self._facts[name] = line[name]
        cost = line.get("cost_usd")
        if isinstance(cost, (int, float)) and not isinstance(cost, bool) and 0 <= cost < MAX_COST:
            self._facts["cost_usd"] = float(cost)
        if isinstance(line.get("usage"), dict):
            self._facts["usage"] = _counts(line["usage"])


def _part(line: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = line.get(name)
    return part if isinstance(part, dict) else {}


def _counts(usage: Mapping[str, object]) -> dict[str, int]:
    """Counts as we have them: tokens that a cache held are told apart, and are among the ``input_tokens``."""
    found = counts(usage)
    apart = {name: found.pop(name) for name in (_READ, _WRITTEN) if name in found}
    if apart:
        found["input_tokens"] = found.get("input_tokens", 0) + sum(apart.values())
        found["cached_tokens"] = apart.get(_READ, 0)
        found["cache_creation_tokens"] = apart.get(_WRITTEN, 0)
    for theirs, ours in _INCLUDED.items():
        if theirs in found:
            found[ours] = found.pop(theirs)
    return {name: count for name, count in found.items() if count > 0 or name in ("input_tokens", "output_tokens")}


_READ: Final = "cache_read_input_tokens"
_WRITTEN: Final = "cache_creation_input_tokens"

_INCLUDED: Final[Mapping[str, str]] = {
    "cached_input_tokens": "cached_tokens",
    "cache_write_input_tokens": "cache_creation_tokens",
}
"""Parts of the ``input_tokens`` by one agent's names, and by ours."""


def _words(error: object) -> str:
    message = error.get("message", error) if isinstance(error, dict) else error
    return message if isinstance(message, str) else json.dumps(message)


def _json(value: object) -> Value:
    try:
        return normalise(value, "the agent's output")
    except ValueRefusedError as error:
        raise BackendError(str(error), retryable=False) from error
