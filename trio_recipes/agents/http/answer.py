"""An answer as it comes in, whatever API it comes by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn

from attrs import evolve, field

from trio_recipes.agents.tokens import Uncounted, tokens_in
from trio_recipes.classes import define
from trio_recipes.errors import BackendError
from trio_recipes.runtime.ports import AgentReply
from trio_recipes.values import counts

if TYPE_CHECKING:
    from trio_recipes.runtime.ports import AgentCall

MAX_OBJECTION: Final = 300
"""Characters of a model's own words in a message."""

NO_END: Final = "its answer has no end"
NO_WORD: Final = "its answer ended before the first word. Its log may say why: some do so if a prompt is too long"


@define(eq=False)
class Answer:
    """What a model has said so far, and what that has taken.

    Endpoints that tell the tokens do so at the end of an answer, if it has one. Until then, and where they don't, they
    are estimated.

    Args:
        call: the conversation; pieces are told to it as they come.
        who: the endpoint, for people.
        prompt: all that the model reads, for the estimate.

    Attributes:
        heard: pieces so far, of thoughts too.
        objection: what the model says instead of an answer.
    """

    call: AgentCall
    who: str
    prompt: tuple[str, ...] = ()
    usage: dict[str, int] = field(factory=dict, init=False)
    model: str | None = field(default=None, init=False)
    stop_reason: str | None = field(default=None, init=False)
    complete: bool = field(default=False, init=False)
    objection: str = field(default="", init=False)
    heard: int = field(default=0, init=False)
    _pieces: list[str] = field(factory=list, init=False)
    _uncounted: Uncounted = field(factory=Uncounted, init=False)

    def begin(self) -> None:
        """The endpoint has taken the prompt: from now on, tokens are used."""
        self.call.account(self.so_far)

    def say(self, text: object) -> None:
        """Take a piece of the answer."""
        if isinstance(text, str) and text:
            self._hear(text)
            self._pieces.append(text)
            self.call.stream(text)

    def think(self, text: object) -> None:
        """Take a piece of what the model thinks before it answers: kept, and none of the answer."""
        if isinstance(text, str) and text:
            self._hear(text)
            self.call.output("thinking", text.encode("utf-8", "replace"))

    def _hear(self, text: str) -> None:
        self.complete = False  # some tell of an end with each piece, or after the thoughts
        self.heard += 1
        self._uncounted.add(text)

    def refuse(self, text: object) -> None:
        """Take a piece of what the model says instead of an answer, for the message."""
        if isinstance(text, str):
            self.objection = (self.objection + text)[:MAX_OBJECTION]

    def end(self, *, told: bool = True) -> None:
        """Take it as complete; where no reason was ``told``, only if anything was said."""
        self.complete = told or self.complete or self.has_text

    @property
    def has_text(self) -> bool:
        """Whether anything was said."""
        return bool(self._pieces)

    def name(self, model: object) -> None:
        """Take the name of the model that answers."""
        self.model = model if isinstance(model, str) and model else self.model

    def count(self, **usage: object) -> None:
        """Take counts of tokens, up to here; later ones replace earlier ones."""
        told = counts(usage)
        self.usage |= told
        if "output_tokens" in told:
            self._uncounted = Uncounted()

    def so_far(self) -> AgentReply:
        """What it has taken until now: as the endpoint told, the rest as an estimate."""
        usage, estimated = dict(self.usage), []
        if "input_tokens" not in usage:
            usage["input_tokens"] = tokens_in("".join(self.prompt))
            estimated.append("input_tokens")
        if self._uncounted.pieces or "output_tokens" not in usage:
            usage["output_tokens"] = usage.get("output_tokens", 0) + self._uncounted.tokens
            estimated.append("output_tokens")
        return AgentReply(usage=usage, estimated=tuple(estimated), model=self.model, stop_reason=self.stop_reason)

    def reply(self) -> AgentReply:
        """The answer, once it is complete.

        Raises:
            BackendError: it broke off before.
        """
        if not self.complete:
            raise BackendError(f"{self.who} broke off: {NO_END if self.has_text else NO_WORD}")
        return evolve(self.so_far(), text="".join(self._pieces), repairable=True)


def fields_of(data: str, who: str) -> Mapping[str, Any]:
    """The JSON object that an event holds.

    Raises:
        BackendError: it holds none.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    return document if isinstance(document, dict) else malformed(who)


def part(fields: Mapping[str, Any], name: str, who: str) -> Mapping[str, Any]:
    """The object called ``name`` in another; empty if it is absent or null.

    Raises:
        BackendError: it is something else.
    """
    value = fields.get(name) or {}
    return value if isinstance(value, dict) else malformed(who)


def malformed(who: str) -> NoReturn:
    """Give up an answer that can't be read.

    Raises:
        BackendError: always.
    """
    raise BackendError(f"{who} sent an event in its answer that can't be read")
