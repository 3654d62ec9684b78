"""The two APIs that a model server speaks: how each streams, ends, refuses and lists.

What is said has every field that the makers' own clients count on (``nox -s sdks``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from attrs import field

from trio_recipes.classes import define, frozen
from trio_recipes.testing.model_server.script import Asked, Dialect, Refusal, Stream

MADE: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""When all answers and models were made, to be the same in each test."""


class Speaks(Protocol):
    """An API, as spoken to one client for one request."""

    def key_of(self, headers: Mapping[str, str]) -> str:
        """The key that a client shows."""
        ...

    def begins(self, asked: Asked) -> bytes:
        """What precedes an answer."""
        ...

    def said(self, asked: Asked, text: str, *, thought: bool = False) -> bytes:
        """A piece of it."""
        ...

    def ends(self, asked: Asked, stream: Stream) -> bytes:
        """What follows it."""
        ...

    def complains(self, message: str, code: str) -> bytes:
        """An error in mid-stream."""
        ...

    def refuses(self, refusal: Refusal) -> bytes:
        """The body of a refusal."""
        ...

    def whole(self, asked: Asked, stream: Stream) -> bytes:
        """An answer for a client that wants no stream."""
        ...

    def lists(self, models: tuple[str, ...]) -> bytes:
        """The models there are."""
        ...


@frozen
class OpenAI:
    """Chat completions."""

    def key_of(self, headers: Mapping[str, str]) -> str:
        """A bearer token."""
        return headers.get("authorization", "").removeprefix("Bearer ")

    def begins(self, asked: Asked) -> bytes:
        """The role."""
        return self._chunk(asked, {"role": "assistant", "content": ""})

    def said(self, asked: Asked, text: str, *, thought: bool = False) -> bytes:
        """One chunk."""
        return self._chunk(asked, {"reasoning_content" if thought else "content": text})

    def ends(self, asked: Asked, stream: Stream) -> bytes:
        """The reason, the usage if it is wanted, and the mark."""
        end = self._chunk(asked, {}, stream.stop or "stop")
        if (asked.body.get("stream_options") or {}).get("include_usage"):
            end += _event({**self._head(asked), "choices": [], "usage": self._usage(asked, stream)})
        return end + b"data: [DONE]\n\n"

    def complains(self, message: str, code: str) -> bytes:
        """An event with an error."""
        return _event({"error": {"message": message, "type": code, "code": code}})

    def refuses(self, refusal: Refusal) -> bytes:
        """As the field ``error``."""
        error = {"message": refusal.message, "type": refusal.code, "code": refusal.code, "param": refusal.param}
        return json.dumps({"error": error}).encode()

    def whole(self, asked: Asked, stream: Stream) -> bytes:
        """One completion."""
        thought = {"reasoning_content": stream.thoughts} if stream.thoughts else {}
        message = {"role": "assistant", "content": stream.text, "refusal": None, **thought}
        choice = {"index": 0, "message": message, "finish_reason": stream.stop or "stop"}
        head = {**self._head(asked), "object": "chat.completion"}
        return json.dumps({**head, "choices": [choice], "usage": self._usage(asked, stream)}).encode()

    def lists(self, models: tuple[str, ...]) -> bytes:
        """As the field ``data``."""
        made = {"object": "model", "created": int(MADE.timestamp()), "owned_by": "trio_recipes"}
        return json.dumps({"object": "list", "data": [{"id": name, **made} for name in models]}).encode()

    def _head(self, asked: Asked) -> dict[str, Any]:
        kind = {"object": "chat.completion.chunk", "created": int(MADE.timestamp())}
        return {"id": f"chatcmpl-{asked.number}", **kind, "model": asked.model}

    def _chunk(self, asked: Asked, delta: Mapping[str, Any], reason: str | None = None) -> bytes:
        return _event({**self._head(asked), "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})

    def _usage(self, asked: Asked, stream: Stream) -> dict[str, Any]:
        put, got = _tokens(asked.prompt), _tokens(stream.text)
        return {"prompt_tokens": put, "completion_tokens": got, "total_tokens": put + got, **stream.usage}


@define(eq=False)
class Anthropic:
    """Messages: blocks of thoughts and of text, each opened before its first piece and closed before the next."""

    _block: str = field(default="", init=False)
    _index: int = field(default=-1, init=False)

    def key_of(self, headers: Mapping[str, str]) -> str:
        """A header of its own, or a bearer token."""
        return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")

    def begins(self, asked: Asked) -> bytes:
        """The message, without its end; and a sign of life."""
        usage = {"input_tokens": _tokens(asked.prompt), "output_tokens": 1}
        end = {"stop_reason": None, "stop_sequence": None}
        message = {**self._head(asked), "content": [], **end, "usage": usage}
        return _named({"type": "message_start", "message": message}) + _named({"type": "ping"})

    def said(self, asked: Asked, text: str, *, thought: bool = False) -> bytes:
        """A delta, in a block of its kind."""
        kind = "thinking" if thought else "text"
        opened = b"" if kind == self._block else self._closed() + self._opened(kind)
        return opened + self._delta({"type": f"{kind}_delta", kind: text})

    def ends(self, asked: Asked, stream: Stream) -> bytes:
        """The end of the block; the reason and the usage; the end of the message."""
        usage = {"output_tokens": _tokens(stream.text), **stream.usage}
        delta = {"stop_reason": stream.stop or "end_turn", "stop_sequence": None}
        told = _named({"type": "message_delta", "delta": delta, "usage": usage})
        return self._closed() + told + _named({"type": "message_stop"})

    def complains(self, message: str, code: str) -> bytes:
        """An event with an error."""
        return _named({"type": "error", "error": {"type": code, "message": message}})

    def refuses(self, refusal: Refusal) -> bytes:
        """As the field ``error``."""
        return json.dumps({"type": "error", "error": {"type": refusal.code, "message": refusal.message}}).encode()

    def whole(self, asked: Asked, stream: Stream) -> bytes:
        """One message."""
        usage = {"input_tokens": _tokens(asked.prompt), "output_tokens": _tokens(stream.text), **stream.usage}
        content = [{**_BLOCKS["thinking"], "thinking": stream.thoughts}] if stream.thoughts else []
        content += [{**_BLOCKS["text"], "text": stream.text}]
        end = {"content": content, "stop_reason": stream.stop or "end_turn", "stop_sequence": None, "usage": usage}
        return json.dumps({**self._head(asked), **end}).encode()

    def lists(self, models: tuple[str, ...]) -> bytes:
        """As the field ``data``, on one page."""
        made = {"type": "model", "created_at": MADE.isoformat(), "lifecycle": "active"}
        data = [{"id": name, "display_name": name, **made} for name in models]
        page = {"has_more": False, "first_id": models[0] if models else None, "last_id": models[-1] if models else None}
        return json.dumps({"data": data, **page}).encode()

    def _head(self, asked: Asked) -> dict[str, Any]:
        return {"id": f"msg_{asked.number}", "type": "message", "role": "assistant", "model": asked.model}

    def _opened(self, kind: str) -> bytes:
        self._block, self._index = kind, self._index + 1
        return _named({"type": "content_block_start", "index": self._index, "content_block": _BLOCKS[kind]})

    def _closed(self) -> bytes:
        if not self._block:
            return b""
        signed = self._delta({"type": "signature_delta", "signature": "c2lnbmVk"}) if self._block == "thinking" else b""
        return signed + _named({"type": "content_block_stop", "index": self._index})

    def _delta(self, delta: Mapping[str, Any]) -> bytes:
        return _named({"type": "content_block_delta", "index": self._index, "delta": delta})


_BLOCKS: Final[Mapping[str, Mapping[str, str]]] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}

SPEAKS: Final[Mapping[Dialect, Callable[[], Speaks]]] = {"openai": OpenAI, "anthropic": Anthropic}


def _tokens(text: str) -> int:
    """Words will do."""
    return len(text.split())


def _event(document: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def _named(document: Mapping[str, Any]) -> bytes:
    return f"event: {document['type']}\n".encode() + _event(document)
