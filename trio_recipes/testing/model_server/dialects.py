"""The two APIs that a model server speaks: how each streams, ends, refuses and lists."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from trio_recipes.classes import frozen
from trio_recipes.testing.model_server.script import Asked, Dialect, Refusal, Stream


class Speaks(Protocol):
    """An API."""

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
        message = {"role": "assistant", "content": stream.text}
        choice = {"index": 0, "message": message, "finish_reason": stream.stop or "stop"}
        head = {**self._head(asked), "object": "chat.completion"}
        return json.dumps({**head, "choices": [choice], "usage": self._usage(asked, stream)}).encode()

    def lists(self, models: tuple[str, ...]) -> bytes:
        """As the field ``data``."""
        return json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in models]}).encode()

    def _head(self, asked: Asked) -> dict[str, Any]:
        return {"id": f"chatcmpl-{asked.number}", "object": "chat.completion.chunk", "model": asked.model}

    def _chunk(self, asked: Asked, delta: Mapping[str, Any], reason: str | None = None) -> bytes:
        return _event({**self._head(asked), "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})

    def _usage(self, asked: Asked, stream: Stream) -> dict[str, Any]:
        put, got = _tokens(asked.prompt), _tokens(stream.text)
        return {"prompt_tokens": put, "completion_tokens": got, "total_tokens": put + got, **stream.usage}


@frozen
class Anthropic:
    """Messages."""

    def key_of(self, headers: Mapping[str, str]) -> str:
        """A header of its own, or a bearer token."""
        return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")

    def begins(self, asked: Asked) -> bytes:
        """The message, and its one block of text."""
        message = {**self._head(asked), "content": [], "usage": {"input_tokens": _tokens(asked.prompt)}}
        block = {"type": "text", "text": ""}
        return b"".join(
            (
                _named({"type": "message_start", "message": message}),
                _named({"type": "content_block_start", "index": 0, "content_block": block}),
                _named({"type": "ping"}),
            )
        )

    def said(self, asked: Asked, text: str, *, thought: bool = False) -> bytes:
        """A delta."""
        delta = {"type": "thinking_delta", "thinking": text} if thought else {"type": "text_delta", "text": text}
        return _named({"type": "content_block_delta", "index": 0, "delta": delta})

    def ends(self, asked: Asked, stream: Stream) -> bytes:
        """The end of the block; the reason and the usage; the end of the message."""
        usage = {"output_tokens": _tokens(stream.text), **stream.usage}
        return b"".join(
            (
                _named({"type": "content_block_stop", "index": 0}),
                _named({"type": "message_delta", "delta": {"stop_reason": stream.stop or "end_turn"}, "usage": usage}),
                _named({"type": "message_stop"}),
            )
        )

    def complains(self, message: str, code: str) -> bytes:
        """An event with an error."""
        return _named({"type": "error", "error": {"type": code, "message": message}})

    def refuses(self, refusal: Refusal) -> bytes:
        """As the field ``error``."""
        return json.dumps({"type": "error", "error": {"type": refusal.code, "message": refusal.message}}).encode()

    def whole(self, asked: Asked, stream: Stream) -> bytes:
        """One message."""
        usage = {"input_tokens": _tokens(asked.prompt), "output_tokens": _tokens(stream.text), **stream.usage}
        content = [{"type": "text", "text": stream.text}]
        end = {"content": content, "stop_reason": stream.stop or "end_turn", "usage": usage}
        return json.dumps({**self._head(asked), **end}).encode()

    def lists(self, models: tuple[str, ...]) -> bytes:
        """As the field ``data``."""
        return json.dumps({"data": [{"id": name, "type": "model"} for name in models], "has_more": False}).encode()

    def _head(self, asked: Asked) -> dict[str, Any]:
        return {"id": f"msg_{asked.number}", "type": "message", "role": "assistant", "model": asked.model}


SPEAKS: Final[Mapping[Dialect, Speaks]] = {"openai": OpenAI(), "anthropic": Anthropic()}


def _tokens(text: str) -> int:
    """Words will do."""
    return sum(1 for _ in _words(text))


def _words(text: str) -> Iterator[str]:
    yield from text.split()


def _event(document: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def _named(document: Mapping[str, Any]) -> bytes:
    return f"event: {document['type']}\n".encode() + _event(document)
