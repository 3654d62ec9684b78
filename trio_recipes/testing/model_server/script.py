"""What a model server answers: a stream made of moves, or a refusal; and what it was asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

from attrs import Factory, evolve

from trio_recipes.classes import frozen

Dialect: TypeAlias = Literal["openai", "anthropic"]


@frozen
class Asked:
    """What a client asks a model.

    Args:
        number: which request for an answer it is, from 1.
        dialect: the API it speaks.
        body: of the request.
        headers: of the request, in lower case.
    """

    number: int
    dialect: Dialect
    body: Mapping[str, Any]
    headers: Mapping[str, str]

    @property
    def prompt(self) -> str:
        """The text of the last message."""
        messages = self.body.get("messages") or [{}]
        content = messages[-1].get("content", "")
        return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)

    @property
    def model(self) -> str:
        """The model that is wanted."""
        return str(self.body.get("model", ""))


# --- moves -------------------------------------------------------------------------------------------------------


@frozen
class Say:
    """Send a piece of the answer."""

    text: str


@frozen
class Think:
    """Send a piece of what the model thinks."""

    text: str


@frozen
class Wait:
    """Send nothing for a while.

    Args:
        seconds: ``math.inf`` until the client has left.
    """

    seconds: float


@frozen
class Send:
    """Send bytes as they are, in the middle of the stream: whatever no server should."""

    data: bytes


@frozen
class Complain:
    """Tell of an error in mid-stream, in the dialect's form."""

    message: str
    code: str


@frozen
class HangUp:
    """Close the connection."""


Move: TypeAlias = Say | Think | Wait | Send | Complain | HangUp

# --- answers -----------------------------------------------------------------------------------------------------


@frozen
class Stream:
    """An answer in pieces.

    Args:
        moves: in order.
        stop: the reason why it ends, in the dialect's words; None for its ordinary one.
        ends: whether its end is said.
        usage: further counts for the answer's ``usage``.
    """

    moves: tuple[Move, ...]
    stop: str | None = None
    ends: bool = True
    usage: Mapping[str, Any] = Factory(dict)

    @property
    def text(self) -> str:
        """All that it says."""
        return "".join(move.text for move in self.moves if isinstance(move, Say))

    @property
    def thoughts(self) -> str:
        """All that was thought before."""
        return "".join(move.text for move in self.moves if isinstance(move, Think))

    def then(self, *moves: Move, ends: bool = False) -> Stream:
        """The same, with more moves at its end."""
        return evolve(self, moves=(*self.moves, *moves), ends=ends)


@frozen
class Refusal:
    """No answer.

    Args:
        status: of HTTP.
        message: for people.
        code: of the error.
        param: the field that it is about.
        headers: more of them.
        body: instead of the dialect's own form.
    """

    status: int
    message: str = "refused by the script"
    code: str = "scripted"
    param: str | None = None
    headers: Mapping[str, str] = Factory(dict)
    body: bytes | None = None


Answer: TypeAlias = Stream | Refusal
Script: TypeAlias = Answer | Callable[[Asked], Answer]
"""One answer for all, or a function that gives one for each request."""

HELLO: Final = "This is no model, only the test server of trio_recipes. You asked:"


def says(*pieces: str, every: float = 0.0, stop: str | None = None, **usage: Any) -> Stream:
    """The pieces, one by one, ``every`` seconds apart."""
    moves = [move for piece in pieces for move in ((Wait(every), Say(piece)) if every else (Say(piece),))]
    return Stream(tuple(moves), stop, usage=usage)


def stalls(*pieces: str, every: float = 0.0) -> Stream:
    """The pieces, then silence until the client has left."""
    return says(*pieces, every=every).then(Wait(math.inf))


def hangs_up(*pieces: str, every: float = 0.0) -> Stream:
    """The pieces, then a closed connection."""
    return says(*pieces, every=every).then(HangUp())


def refuses(status: int, message: str = "refused by the script", *, code: str = "scripted", **more: Any) -> Refusal:
    """No answer.

    Args:
        status: of HTTP.
        message: for people.
        code: of the error.
        more: ``retry_after`` (seconds or a date), and the other fields of :class:`Refusal`.
    """
    retry_after = more.pop("retry_after", None)
    headers = {**more.pop("headers", {}), **({} if retry_after is None else {"retry-after": str(retry_after)})}
    return Refusal(status, message, code, headers=headers, **more)


def in_turn(*answers: Answer) -> Callable[[Asked], Answer]:
    """The first answer for the first request, and so on; the last one for all that follow."""
    return lambda asked: answers[min(asked.number, len(answers)) - 1]


def repeats(every: float = 0.0) -> Callable[[Asked], Stream]:
    """Every word of the prompt, after a greeting."""

    def answer(asked: Asked) -> Stream:
        return says(*(f"{word} " for word in f"{HELLO} {asked.prompt}".split()), every=every)

    return answer
