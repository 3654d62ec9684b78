"""An answer as it comes in, whatever API it comes by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from attrs import field

from trio_recipes.classes import define
from trio_recipes.errors import BackendError
from trio_recipes.runtime.ports import AgentReply

if TYPE_CHECKING:
    from trio_recipes.runtime.ports import AgentCall


@define(eq=False)
class Answer:
    """What a model has said so far.

    Args:
        call: the conversation; pieces are told to it as they come.
        who: the endpoint, for people.
    """

    call: AgentCall
    who: str
    usage: dict[str, int] = field(factory=dict, init=False)
    model: str | None = field(default=None, init=False)
    stop_reason: str | None = field(default=None, init=False)
    complete: bool = field(default=False, init=False)
    _pieces: list[str] = field(factory=list, init=False)

    def say(self, text: object) -> None:
        """Take a piece of the answer."""
        if isinstance(text, str) and text:
            self._pieces.append(text)
            self.call.stream(text)

    def think(self, text: object) -> None:
        """Take a piece of what the model thinks before it answers: kept, and none of the answer."""
        if isinstance(text, str) and text:
            self.call.output("thinking", text.encode("utf-8", "replace"))

    def name(self, model: object) -> None:
        """Take the name of the model that answers."""
        self.model = model if isinstance(model, str) and model else self.model

    def count(self, **usage: object) -> None:
        """Take counts of tokens; later ones replace earlier ones."""
        self.usage |= {name: number for name, number in usage.items() if isinstance(number, int)}

    def reply(self) -> AgentReply:
        """The answer, once it is complete.

        Raises:
            BackendError: it broke off before.
        """
        if not self.complete:
            raise BackendError(f"{self.who} broke off: its answer has no end")
        text = "".join(self._pieces)
        return AgentReply(text=text, usage=self.usage, model=self.model, stop_reason=self.stop_reason, repairable=True)


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
