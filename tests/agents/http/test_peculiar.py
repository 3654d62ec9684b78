"""What endpoints really send, each in its own way: streams of theirs, shortened, and what is to come of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import trio

from tests.agents.http.asking import client
from tests.agents.http.test_hostile import CHUNKED, chunk, sending, talking
from trio_recipes.agents.http import exchange
from trio_recipes.testing.model_server import Complain, Refusal, Say, Send, Stream, Think, refuses, says

END = b"data: [DONE]\n\n"


def event(document: Any, name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(document).encode() + b"\n\n"


def piece(delta: Any, reason: Any = None, **more: Any) -> bytes:
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more})


def text(content: Any, reason: Any = None, **more: Any) -> bytes:
    return piece({"content": content}, reason, **more)


USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
COUNTED = {"input_tokens": 9, "output_tokens": 4}
AZURES = {"hate": {"filtered": False}}

# what is sent, text, thoughts, tokens (None: estimated)
ANSWERS: dict[str, tuple[bytes, str, str, Any]] = {
    "Azure": (
        event({"choices": [], "model": "", "prompt_filter_results": [{"content_filter_results": AZURES}]})
        + piece({"role": "assistant", "content": "", "refusal": None})
        + event({"choices": [{"index": 0, "delta": {"content": "hi"}, "content_filter_results": AZURES}]})
        + event({"choices": [{"index": 0, "delta": {}, "content_filter_offsets": {"end_offset": 2}}]})
        + piece({}, "stop")
        + event({"choices": [], "usage": USAGE})
        + END,
        *("hi", "", COUNTED),
    ),
    "llama.cpp": (
        piece({"role": "assistant", "content": None})
        + text("hi", timings={"predicted_ms": 1.5})
        + piece({}, "stop")
        + event({"choices": [], "usage": {**USAGE, "prompt_tokens_details": {"cached_tokens": 2}}, "timings": {}})
        + END,
        *("hi", "", {**COUNTED, "cached_tokens": 2}),
    ),
    "DeepSeek": (
        b": keep-alive\n\n" * 3
        + piece({"role": "assistant", "content": None, "reasoning_content": "hm"})
        + piece({"content": "hi", "reasoning_content": None})
        + piece({"content": "", "reasoning_content": None}, "stop", usage={**USAGE, "prompt_cache_hit_tokens": 3})
        + END,
        *("hi", "hm", {**COUNTED, "cached_tokens": 3}),
    ),
    "vLLM": (
        piece({"role": "assistant", "content": ""}, usage={**USAGE, "completion_tokens": 0})
        + piece({"reasoning": "hm"}, usage={**USAGE, "completion_tokens": 1})
        + event({"choices": [{"index": 0, "delta": {"content": "hi"}, "logprobs": None, "stop_reason": None}]})
        + event({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop", "stop_reason": 2}]})
        + event({"choices": [], "usage": USAGE})
        + END,
        *("hi", "hm", COUNTED),
    ),
    "Ollama": (
        text("h", "") + text("i", "", system_fingerprint="fp_ollama") + text("", "stop") + END,
        *("hi", "", None),
    ),
    "Mistral": (
        text([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}])
        + text([{"type": "text", "text": "h"}, {"type": "reference", "reference_ids": [1]}])
        + text("i", "stop", usage=USAGE)
        + END,
        *("hi", "hm", COUNTED),
    ),
    "OpenRouter": (
        b": OPENROUTER PROCESSING\n\n" + text("hi", provider="x") + text("", "stop", usage=USAGE) + b": OR\n\n" + END,
        *("hi", "", COUNTED),
    ),
    "line ends of Windows, data on several lines": (
        b'event: x\r\nid: 7\r\ndata: {"choices":\r\ndata: [{"delta":\r\ndata: {"content": "hi"}}]}\r\n\r\n'
        + END.replace(b"\n", b"\r\n"),
        *("hi", "", None),
    ),
    "no reason for its end": (text("h") + text("i") + END, "hi", "", None),
    "several choices": (
        text("hi")
        + event({"choices": [{"index": 1, "delta": {"content": "ho"}, "finish_reason": "length"}]})
        + piece({}, "stop")
        + END,
        *("hi", "", None),
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("size", [1, 100_000])
async def test_answers(name: str, size: int) -> None:
    body, said, thought, tokens = ANSWERS[name]
    pieces = [chunk(body[at : at + size]) for at in range(0, len(body), size)]
    async with talking(sending(CHUNKED, *pieces, b"0\r\n\r\n"), first=5, between=5) as it:
        reply = await it.ask()
    assert (reply.text, it.log.output("thinking").decode()) == (said, thought)
    if tokens is None:
        assert reply.estimated == ("input_tokens", "output_tokens")
    else:
        assert (reply.usage, reply.estimated) == (tokens, ())


OLD_ERROR = {"object": "error", "message": "out of memory", "type": "BadRequestError", "param": None, "code": 500}
ROUTERS = {"error": {"code": 429, "message": "slow down"}, "choices": [{"delta": {"content": ""}}]}

# what is sent, in the message, retryable
FAILURES: dict[str, tuple[bytes, str, bool]] = {
    "an end without a word": (END, "ended before the first word", True),
    "vLLM, whose engine died": (piece({"role": "assistant", "content": ""}) + END, "before the first word", True),
    "vLLM's errors until 2025": (text("h") + event(OLD_ERROR) + END, "failed to answer: out of memory", True),
    "an error beside the choices": (text("h") + event(ROUTERS) + END, "is asked too often: slow down", True),
    "DeepSeek without resources": (text("h") + piece({}, "insufficient_system_resource") + END, "gave up in the", True),
    "SGLang, aborted": (text("h") + piece({}, "abort") + END, "gave up in the middle of its answer (abort)", True),
    "an error for a reason": (text("h") + piece({}, "error") + END, "gave up in the middle", True),
    "Mistral, cut off": (text("h") + piece({}, "model_length") + END, "cut its answer off", False),
    "reasons in capitals": (text("h") + piece({}, "CONTENT_FILTER") + END, "content filter", False),
    "a refusal in words": (
        piece({"refusal": "I can't "}) + piece({"refusal": "help."}, "stop") + END,
        "I can't help.",
        False,
    ),
    "thoughts and no end": (piece({"reasoning_content": "hm"}), "ended before the first word", True),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_failures(name: str) -> None:
    body, said, retryable = FAILURES[name]
    async with talking(sending(CHUNKED + chunk(body) + b"0\r\n\r\n")) as it:
        failure = await it.failure()
    assert said in str(failure)
    assert failure.retryable is retryable


# --- ends that are none ------------------------------------------------------------------------------------------


def slowly(every: float, *pieces: bytes) -> Callable[[trio.SocketStream], Any]:
    async def talk(stream: trio.SocketStream) -> None:
        await stream.send_all(CHUNKED)
        for each in pieces:
            await stream.send_all(chunk(each))
            await trio.sleep(every)
        await stream.send_all(b"0\r\n\r\n")

    return talk


async def test_an_end_that_is_told_with_each_piece_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As gateways do: together they take longer than may follow an answer that is complete."""
    monkeypatch.setattr(exchange, "ENDING_SECONDS", 1.0)
    pieces = [text("h", "stop"), *[text("i", "stop")] * 5, END]
    async with talking(slowly(0.3, *pieces), first=5, between=5) as it:
        assert (await it.ask()).text == "hiiiii"


async def test_an_end_after_the_thoughts_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model may load, or read, for longer than may follow an answer that is complete."""
    monkeypatch.setattr(exchange, "ENDING_SECONDS", 0.1)
    pieces = (piece({"reasoning_content": "hm"}, "stop"), text("hi", "stop"), END)
    async with talking(slowly(0.3, *pieces), first=5, between=5) as it:
        assert (await it.ask()).text == "hi"


async def test_what_breaks_off_after_an_end_that_was_none_has_broken_off() -> None:
    body = text("h", "stop") + text("i")
    async with talking(sending(CHUNKED + chunk(body))) as it:
        assert "broke off" in str(await it.failure())


# --- refusals ----------------------------------------------------------------------------------------------------


async def test_an_error_that_is_told_with_status_200_is_one() -> None:
    told = json.dumps({"error": {"message": "no credit", "type": "insufficient_quota"}}).encode()
    async with client(script=Refusal(200, body=told)) as it:
        failure = await it.failure()
        assert "wants to be paid first: no credit" in str(failure)
        assert not failure.retryable
        it.server.script = Refusal(200, body=b'{"choices": []}')
        assert "does not answer with a stream of events, but with application/json" in str(await it.failure())


async def test_an_endpoint_may_say_that_trying_again_is_no_use() -> None:
    async with client(script=refuses(500, headers={"x-should-retry": "false"})) as it:
        assert not (await it.failure()).retryable


# --- Anthropic's -------------------------------------------------------------------------------------------------


def named(kind: str, **fields: Any) -> Send:
    return Send(event({"type": kind, **fields}, kind))


def stop(reason: str | None, **details: Any) -> Send:
    return named("message_delta", delta={"stop_reason": reason, **details}, usage={"output_tokens": 4})


BLOCKS = (
    named("content_block_start", index=0, content_block={"type": "compaction", "content": None}),
    named("content_block_delta", index=0, delta={"type": "compaction_delta", "content": "before"}),
    named("content_block_stop", index=0),
    named("content_block_start", index=1, content_block={"type": "redacted_thinking", "data": "xyz"}),
    named("content_block_start", index=2, content_block={"type": "server_tool_use", "name": "web", "input": {}}),
    named("content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": '{"q": 1}'}),
    named("content_block_start", index=3, content_block={"type": "text", "text": "h"}),
    named("content_block_delta", index=3, delta={"type": "citations_delta", "citation": {"url": "u"}}),
    named("ping"),
    named("content_block_delta", index=3, delta={"type": "text_delta", "text": "i"}),
)


async def test_blocks_that_are_no_text_are_none_of_the_answer() -> None:
    async with client("anthropic", Stream((Think("hm"), *BLOCKS), usage={"output_tokens": 4})) as it:
        reply = await it.ask()
    assert (reply.text, reply.usage["output_tokens"]) == ("hi", 4)
    assert it.log.output("thinking") == b"hm"


WHY = {"stop_details": {"type": "refusal", "category": "bio", "explanation": "This is\n dangerous."}}

OF_ANTHROPIC: dict[str, tuple[Stream, str, bool]] = {
    "a refusal with its reason": (says("h").then(stop("refusal", **WHY)), "It says: This is dangerous.", False),
    "a refusal without one": (
        says("h").then(stop("refusal", stop_details=None)),
        "refuses to answer this prompt",
        False,
    ),
    "a tool": (says("h").then(stop("tool_use")), "wants to call a tool", False),
    "an end without a word": (Stream((named("message_stop"),), ends=False), "ended before the first word", True),
    "overloaded in its middle": (
        says("h").then(named("ping"), Complain("x", "overloaded_error")),
        "is overloaded",
        True,
    ),
    "a stop that is none": (says("h").then(stop(None)), "its answer has no end", True),
}


@pytest.mark.parametrize("name", OF_ANTHROPIC)
async def test_failures_of_anthropic(name: str) -> None:
    script, said, retryable = OF_ANTHROPIC[name]
    async with client("anthropic", script) as it:
        failure = await it.failure()
        assert it.log.output("text") == b"".join(move.text.encode() for move in script.moves if isinstance(move, Say))
    assert said in str(failure)
    assert failure.retryable is retryable
