"""Servers that nobody should meet: each ends in a clear error, in bounded time and memory, or in the answer."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from typing import Any

import pytest
import trio

from tests.agents.http.asking import Client, client
from trio_recipes.agents.http import exchange
from trio_recipes.agents.http.connections import Connections
from trio_recipes.agents.http.endpoint import Timeouts
from trio_recipes.errors import ConfigurationError

Talk = Callable[[trio.SocketStream], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"


def says(text: str, reason: str | None = None) -> bytes:
    return (
        b"data: " + json.dumps({"choices": [{"delta": {"content": text}, "finish_reason": reason}]}).encode() + b"\n\n"
    )


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def whole(head: bytes, body: bytes) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


@asynccontextmanager
async def talking(talk: Talk, host: str = "127.0.0.1", **timeouts: float) -> AsyncGenerator[Client]:
    """A client of a server that reads a request and then says what ``talk`` has it say."""

    async def serve(stream: trio.SocketStream) -> None:
        request = b""
        async with stream:
            try:
                while not request.endswith(b"}"):
                    data = await stream.receive_some()
                    if not data:
                        return
                    request += data
                await talk(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass

    limits = Timeouts(**{"connect": 5, "first": 1, "between": 1, **timeouts})
    async with client(timeouts=limits) as it, trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host=host))
        port = listeners[0].socket.getsockname()[1]
        it.reach(base_url=f"http://{f'[{host}]' if ':' in host else host}:{port}/v1")
        yield it
        nursery.cancel_scope.cancel()


def sending(*pieces: bytes, then: float = 0.0) -> Talk:
    async def talk(stream: trio.SocketStream) -> None:
        for piece in pieces:
            await stream.send_all(piece)
        await trio.sleep(then)

    return talk


def for_ever(begin: bytes, piece: bytes, every: float = 0.0) -> Talk:
    async def talk(stream: trio.SocketStream) -> None:
        await stream.send_all(begin)
        for _ in count():
            await stream.send_all(piece)
            await trio.sleep(every)

    return talk


FAILURES: dict[str, tuple[Talk, str, bool]] = {
    "headers without end": (for_ever(HEAD, b"X-a: %s\r\n" % (b"y" * 1000)), "broke off", True),
    "a header without end": (for_ever(HEAD + b"X-a: ", b"y" * 10_000), "broke off", True),
    "headers by drops": (for_ever(HEAD, b"X", 0.02), "did not begin to answer within 1 s", True),
    "nothing but 100": (for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.01), "did not begin", True),
    "a body without lines": (for_ever(CHUNKED, chunk(b"x" * 100_000)), "sent more than 16 MB", False),
    "no length": (sending(HEAD + b"Content-Length: x\r\n\r\n"), "broke off", True),
    "less than none": (sending(HEAD + b"Content-Length: -5\r\n\r\n"), "broke off", True),
    "two lengths": (sending(HEAD + b"Content-Length: 5, 7\r\n\r\n"), "broke off", True),
    "less than its length": (sending(HEAD + b"Content-Length: 9999\r\n\r\n" + says("hi")), "broke off", True),
    "no chunk": (sending(CHUNKED + b"zz\r\nhello\r\n", then=5), "broke off", True),
    "a chunk of exabytes": (sending(CHUNKED + b"f" * 15 + b"\r\nhello\r\n", then=5), "fell silent", True),
    "compressed": (sending(whole(HEAD + b"Content-Encoding: gzip\r\n", gzip.compress(DONE))), "(gzip)", False),
    "no content": (sending(b"HTTP/1.1 204 No Content\r\n\r\n"), "something else than was asked for (HTTP 204)", False),
    "another protocol": (sending(b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), "broke off", True),
    "a list in a list": (sending(CHUNKED + chunk(b"data: " + b"[" * 200_000 + b"\n\n")), "can't be read", True),
    "no word": (sending(CHUNKED + b"0\r\n\r\n"), "ended before the first word", True),
}


@pytest.mark.parametrize("case", FAILURES)
async def test_what_fails(case: str) -> None:
    talk, said, retryable = FAILURES[case]
    async with talking(talk) as it:
        failure = await it.failure()
    assert said in str(failure)
    assert failure.retryable is retryable


ANSWERS: dict[str, Talk] = {
    "a mark before the first event": sending(
        CHUNKED + chunk(b"\xef\xbb\xbf" + says("hi", "stop") + DONE) + b"0\r\n\r\n"
    ),
    "silence after its end": sending(CHUNKED + chunk(says("hi", "stop")), then=60),
    "a lost connection after its end": sending(CHUNKED + chunk(says("hi", "stop"))),
    "signs of life without end after its end": for_ever(
        CHUNKED + chunk(says("hi", "stop")), chunk(b": here\n\n"), 0.01
    ),
    "nonsense after its end": sending(CHUNKED + chunk(says("hi", "stop") + b"data: {\n\n"), then=60),
    "words without end after its end": for_ever(CHUNKED + chunk(says("hi", "stop") + DONE), chunk(says("no")), 0.01),
    "trailers without end": for_ever(CHUNKED + chunk(says("hi", "stop") + DONE) + b"0\r\n", b"X-t: 1\r\n", 0.01),
    "HTTP/1.0": sending(HEAD.replace(b"1.1", b"1.0") + b"\r\n" + says("hi", "stop")),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_what_is_an_answer_all_the_same(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "ENDING_SECONDS", 0.2)
    async with talking(ANSWERS[case], between=30) as it:
        assert (await it.ask()).text == "hi"


async def test_ten_megabytes_in_one_event() -> None:
    body = says("x" * 10_000_000, "stop") + DONE
    async with talking(sending(CHUNKED + chunk(body) + b"0\r\n\r\n")) as it:
        assert len((await it.ask()).text or "") == 10_000_000


async def test_ipv6() -> None:
    async with talking(sending(CHUNKED + chunk(says("hi", "stop") + DONE) + b"0\r\n\r\n"), host="::1") as it:
        assert (await it.ask()).text == "hi"


async def test_a_refusal_that_never_ends_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "REFUSING_SECONDS", 0.2)
    begin = b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"wrong key ")
    async with talking(for_ever(begin, chunk(b"x"), 0.05), between=30) as it:
        failure = await it.failure()
    assert "(HTTP 401): wrong key x" in str(failure)
    assert not failure.retryable


async def test_a_compressed_refusal_is_told_by_its_status() -> None:
    reply = whole(b"HTTP/1.1 400 No\r\nContent-Encoding: gzip\r\n", gzip.compress(b"reasons"))
    async with talking(sending(reply)) as it:
        assert "refused the request (HTTP 400). See" in str(await it.failure())


# --- the environment ---------------------------------------------------------------------------------------------


async def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with client() as it:
        it.reach(base_url="http://models.test/v1")
        assert "A proxy is set (HTTP_PROXY)" in str(await it.failure())


WRONG: list[tuple[str, str, Any]] = [
    ("HTTP_PROXY", "nonsense://x", "nonsense"),
    ("HTTP_PROXY", "socks5://127.0.0.1:9", "socksio"),
    ("SSL_CERT_FILE", "/nowhere.pem", "No such file"),
]


@pytest.mark.parametrize(("name", "value", "said"), WRONG)
async def test_an_environment_with_which_nobody_can_be_asked(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    async with Connections() as connections:
        with pytest.raises(ConfigurationError, match=said):
            await connections.client()
