"""Each way in which an endpoint fails, through a real server: its own clear error, and whether to try again."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import trio

from tests.agents.http.asking import BACKENDS, client
from trio_recipes.agents.http.endpoint import EnvironmentKey, Timeouts
from trio_recipes.errors import BackendError
from trio_recipes.testing.model_server import (
    Complain,
    HangUp,
    Outcome,
    Refusal,
    Say,
    Send,
    Stream,
    Wait,
    hangs_up,
    refuses,
    says,
    stalls,
)

both = pytest.mark.parametrize("dialect", BACKENDS)

# status, code, message of the endpoint; in our message; retryable, rate limited
REFUSALS = [
    (400, "invalid_request_error", "top_k: no", "refused the request (HTTP 400): top_k: no", False, False),
    (400, "context_length_exceeded", "too long", "can't take a prompt this long", False, False),
    (400, "invalid_request_error", "prompt is too long: 9 > 8", "can't take a prompt this long", False, False),
    (500, "", "the request exceeds the available context size", "can't take a prompt this long", False, False),
    (400, "content_filter", "violates our policy", "content filter", False, False),
    (401, "invalid_api_key", "wrong key", "wants a key, and none was sent", False, False),
    (402, "", "", "wants to be paid first", False, False),
    (403, "permission_error", "no", "does not let this key do that", False, False),
    (404, "model_not_found", "no model 'm'", "knows no such model", False, False),
    (408, "", "", "gave up waiting", True, False),
    (413, "request_too_large", "", "can't take a prompt this long", False, False),
    (429, "rate_limit_error", "slow down", "is asked too often (HTTP 429): slow down", True, True),
    (429, "insufficient_quota", "no credit", "wants to be paid first", False, False),
    (500, "api_error", "oops", "failed to answer (HTTP 500): oops", True, False),
    (502, "", "", "failed to answer", True, False),
    (503, "", "", "is overloaded", True, True),
    (504, "", "", "gave up waiting", True, False),
    (529, "overloaded_error", "", "is overloaded", True, True),
    (418, "", "", "refused the request", False, False),
    (599, "", "", "failed to answer", True, False),
    (302, "", "", "answers at another address", False, False),
]


@both
async def test_refusals(dialect: str) -> None:
    async with client(dialect) as it:
        for status, code, message, said, retryable, limited in REFUSALS:
            it.server.script = refuses(status, message, code=code)
            failure = await it.failure()
            assert said in str(failure)
            assert str(failure).startswith(it.server.url)
            assert (failure.retryable, failure.rate_limited) == (retryable, limited), f"{status} {code}"
        assert it.server.connected == 1, "a refusal leaves its connection for the next request"


@both
@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("0.5", 0.5), ("soon", None), ("nan", None)])
async def test_the_wait_that_an_endpoint_asks_for(dialect: str, header: str, seconds: float | None) -> None:
    async with client(dialect, refuses(429, retry_after=header)) as it:
        assert (await it.failure()).retry_after == seconds


BODIES = [
    b"<html>Bad gateway</html>",
    b"",
    b"plain text",
    b"\xff\xfe",
    b"[]",
    b'"text"',
    b"null",
    b'{"error": 5}',
    b"{",
]


@pytest.mark.parametrize("body", BODIES)
async def test_refusals_in_other_forms(body: bytes) -> None:
    async with client(script=Refusal(502, body=body)) as it:
        failure = await it.failure()
        assert "failed to answer (HTTP 502)" in str(failure)
        assert "<html>" not in str(failure)


async def test_a_refusal_without_end_is_cut() -> None:
    async with client(script=Refusal(500, body=b"x" * 1_000_000)) as it:
        assert len(str(await it.failure())) < 1000
        assert (await it.failure()).retryable


# --- streams -----------------------------------------------------------------------------------------------------


def brief(**timeouts: float) -> dict[str, Any]:
    return {"timeouts": Timeouts(**timeouts)}


# script, endpoint, in the message, retryable, streamed before
STREAMS: dict[str, tuple[Any, dict[str, Any], str, bool]] = {
    "dropped": (hangs_up("half "), {}, "broke off", True),
    "dropped before a word": (hangs_up(), {}, "broke off", True),
    "no end": (says("half ").then(), {}, "its answer has no end", True),
    "stalled": (stalls("half "), brief(between=0.2), "fell silent for 0.2 s", True),
    "silent": (Stream((Wait(60), Say("late"))), brief(first=0.2, between=0.2), "", True),
    "garbage": (says("half ").then(Send(b"data: {garbage\n\n")), {}, "can't be read", True),
    "other choices": (says("half ").then(Send(b'data: {"choices": 5, "type": "error"}\n\n')), {}, "", True),
    "another type": (says("half ").then(Send(b"data: [1, 2]\n\n")), {}, "can't be read", True),
    "no HTTP": (says("half ").then(Send(b"\xff\xff\xff")), {}, "no end", True),
    "too large": (Stream((Send(b"data: " + b"x" * (17 << 20)),)), {}, "sent more than 16 MB without an end", False),
    "overloaded": (says("half ").then(Complain("busy", "overloaded_error")), {}, "is overloaded", True),
    "error": (says("half ").then(Complain("oops", "server_error")), {}, "failed to answer: oops", True),
    "unknown error": (says("half ").then(Complain("odd", "what")), {}, "failed to answer: odd", True),
    "refusal": (says("half ", stop="refusal"), {}, "refuses to answer", False),
    "filter": (says("half ", stop="content_filter"), {}, "content filter", False),
    "tools": (says(stop="tool_calls"), {}, "wants to call a tool", False),
    "length": (says("half ", stop="length"), {}, "cut its answer off", False),
    "max_tokens": (says("half ", stop="max_tokens"), {}, "cut its answer off", False),
}


@both
@pytest.mark.parametrize("case", STREAMS)
async def test_streams_that_go_wrong(dialect: str, case: str) -> None:
    script, endpoint, said, retryable = STREAMS[case]
    async with client(dialect, script, **endpoint) as it:
        failure = await it.failure()
        assert said in str(failure)
        assert failure.retryable is retryable
        assert it.log.output("text") == (b"half " if script.text.startswith("half") else b"")
        with trio.fail_after(5):
            await it.server.until(lambda server: not server.answering)
        is_done = any(visit.outcome is Outcome.FINISHED for visit in it.server.visits)
        if not is_done:  # on a busy machine the client may have left before its question was read
            await it.server.until(lambda server: server.connected == 0)


async def test_an_answer_as_long_as_it_was_asked_to_be_is_one() -> None:
    async with client(script=says("half ", stop="length")) as it:
        it.change(max_tokens=1)
        reply = await it.ask()
    assert (reply.text, reply.stop_reason) == ("half ", "length")


async def test_an_answer_has_ended_once_its_reason_is_told() -> None:
    reason = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}
    end = Send(f"event: message_delta\ndata: {json.dumps(reason)}\n\n".encode())
    for after in (HangUp(), Wait(60)):
        async with client("anthropic", says("all of it").then(end, after)) as it:
            reply = await it.ask("p")
        assert (reply.text, reply.stop_reason) == ("all of it", "end_turn")
        assert (reply.usage["output_tokens"], reply.estimated) == (9, ())


async def test_events_that_nobody_knows_are_none_of_the_answer() -> None:
    odd = Send(b': a comment\n\nevent: odd\nid: 7\nretry: 3\ndata: {"type": "news", "choices": null}\n\n')
    for dialect in BACKENDS:
        async with client(dialect, Stream((odd, Say("a"), odd, Say("b")))) as it:
            assert (await it.ask()).text == "ab"


async def test_pieces_cut_anywhere_make_the_same_answer() -> None:
    data = 'data: {"choices": [{"delta": {"content": "hé😀"}}]}\r\n\r\n'.encode()
    moves = [move for byte in data for move in (Send(bytes([byte])), Wait(0))]
    async with client(script=Stream((*moves, Say("!")))) as it:
        assert (await it.ask()).text == "hé😀!"


# --- no endpoint -------------------------------------------------------------------------------------------------


@both
async def test_nobody_listens(dialect: str) -> None:
    async with client(dialect) as it:
        with trio.socket.socket() as taken:
            await taken.bind(("127.0.0.1", 0))
            it.reach(base_url=f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
            failure = await it.failure()
    assert "can't be reached" in str(failure)
    assert failure.retryable


async def test_a_connection_that_is_not_taken() -> None:
    async with client(timeouts=Timeouts(connect=0.2)) as it:
        with trio.socket.socket() as full:
            await full.bind(("127.0.0.1", 0))
            full.listen(0)
            with trio.socket.socket() as waiting:
                await waiting.connect(full.getsockname())
                it.reach(base_url=f"http://127.0.0.1:{full.getsockname()[1]}/v1")
                failure = await it.failure()
    assert "took no connection within 0.2 s" in str(failure)
    assert failure.retryable


async def test_what_does_not_speak_http() -> None:
    async def babble(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(b"220 mail.example.org ESMTP\r\n")

    async with client() as it, trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, babble, 0)
        it.reach(base_url=f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/v1")
        assert "broke off" in str(await it.failure())
        nursery.cancel_scope.cancel()


async def test_a_header_that_is_none() -> None:
    async with client(headers={"x-team": "ünïcødé\ud83d"}) as it:
        failure = await it.failure()
    assert "can't be asked" in str(failure)
    assert not failure.retryable


@pytest.mark.parametrize("address", ["ftp://example.org", "nothing", "http://[::1"])
async def test_addresses_that_are_none(address: str) -> None:
    async with client() as it:
        it.reach(base_url=address)
        failure = await it.failure()
    assert not failure.retryable


async def test_tls_with_what_has_none() -> None:
    async with client() as it:
        it.reach(base_url=it.server.url.replace("http:", "https:"))
        failure = await it.failure()
    assert "SSL" in str(failure)
    assert not failure.retryable


async def test_a_server_that_is_something_else() -> None:
    async with client() as it:
        it.reach(base_url=it.server.url.removesuffix("/v1"))
        assert "knows no such model or address" in str(await it.failure())
        it.reach(base_url=it.server.url)
        it.server.script = Refusal(200, body=b"<html>Welcome</html>")
        assert "does not answer with a stream of events" in str(await it.failure())


async def refused_list(told: Callable[[], Any]) -> BackendError:
    try:
        await told()
    except BackendError as error:
        return error
    raise AssertionError("it was a list")


async def test_lists_of_models_that_are_none() -> None:
    async with client(server_key="right") as it:
        assert "wants a key, and none was sent" in str(await refused_list(it.backend.models))
        it.server.key = None
        it.reach(base_url=it.server.url + "/nothing")
        assert "(HTTP 404)" in str(await refused_list(it.backend.models))


# --- keys --------------------------------------------------------------------------------------------------------


@both
async def test_a_key_never_shows(dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-very-secret-1234"
    monkeypatch.setenv("SOME_KEY", key)
    async with client(dialect, key=EnvironmentKey("SOME_KEY")) as it:
        for script in (refuses(401, f"no: {key}", code=""), says("x").then(Complain(f"no: {key}", "api_error"))):
            it.server.script = script
            failure = await it.failure()
            assert "no: ***" in str(failure)
            assert "none was sent" not in str(failure)
            assert key not in repr(failure) + repr(failure.__cause__) + repr(it.backend) + repr(failure.__dict__)


@both
async def test_keys_that_are_missing_or_none(dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    async with client(dialect, key=EnvironmentKey("SOME_KEY")) as it:
        assert "environment variable SOME_KEY holds none" in str(await it.failure())
        monkeypatch.setenv("SOME_KEY", "sk-1\nX-Other: sk-2")
        failure = await it.failure()
        assert "characters that no key has" in str(failure)
        assert "sk-" not in str(failure)
        assert it.server.visits == []


def test_hang_up_is_a_move() -> None:
    assert hangs_up("a").moves == (Say("a"), HangUp())
