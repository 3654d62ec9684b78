"""The makers' own clients and the model server, and our backends beside them: `nox -s sdks`.

What these clients take as an answer is what an answer looks like. So the server says nothing that they would not hear
from their makers, and our backends ask as they do.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import trio

from tests.agents.http.asking import BACKENDS, PATIENCE, Client, client
from trio_recipes.agents.http.endpoint import EnvironmentKey
from trio_recipes.testing.model_server import (
    Complain,
    Refusal,
    Say,
    Stream,
    Think,
    hangs_up,
    refuses,
    says,
    serving,
    stalls,
)

openai = pytest.importorskip("openai", reason="`nox -s sdks` installs the makers' clients")
anthropic = pytest.importorskip("anthropic", reason="`nox -s sdks` installs the makers' clients")
pydantic = pytest.importorskip("pydantic")

# They leave generators of streams that end early to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
both = pytest.mark.parametrize("dialect", BACKENDS)

PATHS = {"openai": "/chat/completions", "anthropic": "/messages"}
HEADERS: dict[str, dict[str, str]] = {"openai": {}, "anthropic": {"anthropic-version": "1"}}
MESSAGES = [{"role": "user", "content": "tell me about frogs"}]
ASKED: dict[str, Any] = {"model": "m", "messages": MESSAGES, "max_tokens": 50}
KEY = "sk-of-the-test"

ANSWERS = [
    says("Frogs ", "jump"),
    Stream((Think("hm "), Think("hm"), Say("Frogs "), Think("or toads"), Say("jump"))),
    says(),
    says("cut", stop="length"),
    says("cached", prompt_tokens_details={"cached_tokens": 2}, cache_read_input_tokens=2, input_tokens=2),
]


def types_of(dialect: str) -> tuple[Any, Any, Any]:
    """Of a whole answer, of an event, and of a model."""
    if dialect == "openai":
        return openai.types.chat.ChatCompletion, openai.types.chat.ChatCompletionChunk, openai.types.Model
    types = anthropic.types
    return types.Message, types.RawMessageStreamEvent, types.ModelInfo


def check(kind: Any, document: Any) -> None:
    """Hold a document to a type: their clients themselves take whatever comes."""
    pydantic.TypeAdapter(kind).validate_python(document)


@both
@pytest.mark.parametrize("answer", ANSWERS)
async def test_nothing_is_said_that_their_types_do_not_have(dialect: str, answer: Stream) -> None:
    if dialect == "anthropic" and answer.stop == "length":
        answer = says("cut", stop="max_tokens")
    whole, event, model = types_of(dialect)
    body = {**ASKED, "stream_options": {"include_usage": True}}
    async with serving(answer) as server, httpx2.AsyncClient(headers=HEADERS[dialect], timeout=PATIENCE) as asking:
        check(whole, (await asking.post(server.url + PATHS[dialect], json=body)).json())
        stream = (await asking.post(server.url + PATHS[dialect], json={**body, "stream": True})).text
        models = (await asking.get(f"{server.url}/models")).json()["data"]
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]
    for each in events:
        if each.get("type") != "ping":  # which their client leaves out before it looks
            check(event, each)
    check(list[model], models)  # type: ignore[valid-type]


@asynccontextmanager
async def theirs(dialect: str, base_url: str) -> AsyncGenerator[Any]:
    """The maker's client."""
    if dialect == "openai":
        made = openai.AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0, timeout=PATIENCE)
    else:
        made = anthropic.AsyncAnthropic(
            base_url=base_url.removesuffix("/v1"), api_key=KEY, max_retries=0, timeout=PATIENCE
        )
    async with made:
        yield made


async def heard(dialect: str, asking: Any) -> tuple[str, str, Mapping[str, int], str]:
    """What the maker's client hears: text, thoughts, tokens, and why it ends."""
    if dialect == "openai":
        return await heard_by_openai(asking)
    async with asking.messages.stream(**ASKED) as stream:
        message = await stream.get_final_message()
    said = {kind: "".join(getattr(block, kind, "") for block in message.content) for kind in ("text", "thinking")}
    usage = message.usage
    tokens = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    return said["text"], said["thinking"], tokens, message.stop_reason


async def heard_by_openai(asking: Any) -> tuple[str, str, Mapping[str, int], str]:
    text, thoughts, usage, reason = "", "", None, ""
    stream = await asking.chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True})
    async with stream:
        async for chunk in stream:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                text += choice.delta.content or ""
                thoughts += getattr(choice.delta, "reasoning_content", None) or ""
                reason = choice.finish_reason or reason
    assert usage is not None
    return text, thoughts, {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}, reason


@asynccontextmanager
async def ours(dialect: str, script: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Client]:
    monkeypatch.setenv("SOME_KEY", KEY)
    async with client(dialect, script, server_key=KEY, key=EnvironmentKey("SOME_KEY")) as it:
        it.change(max_tokens=50)
        yield it


@both
@pytest.mark.parametrize("answer", ANSWERS[:3])
async def test_we_hear_what_they_hear(dialect: str, answer: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ours(dialect, answer, monkeypatch) as it, theirs(dialect, it.server.url) as asking:
        reply = await it.ask(MESSAGES[0]["content"])
        text, thoughts, tokens, reason = await heard(dialect, asking)
    assert (reply.text, reply.usage, reply.stop_reason) == (text, tokens, reason)
    assert it.log.output("thinking").decode() == thoughts == answer.thoughts


SAME = ("content-type", "anthropic-version")


def key_in(headers: Mapping[str, str]) -> str | None:
    """Anthropic takes it in either header: its client has moved from one to the other, older endpoints have not."""
    return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")


@both
async def test_we_ask_as_they_do(dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ours(dialect, says("x"), monkeypatch) as it, theirs(dialect, it.server.url) as asking:
        await it.ask(MESSAGES[0]["content"])
        await heard(dialect, asking)
        mine, other = (visit.asked for visit in it.server.visits)
    assert mine.body == other.body
    assert {name: mine.headers.get(name) for name in SAME} == {name: other.headers.get(name) for name in SAME}
    assert key_in(mine.headers) == key_in(other.headers) == KEY


REFUSALS = [
    (401, "authentication_error", "AuthenticationError"),
    (403, "permission_error", "PermissionDeniedError"),
    (404, "not_found_error", "NotFoundError"),
    (429, "rate_limit_error", "RateLimitError"),
    (500, "api_error", "InternalServerError"),
]


@both
@pytest.mark.parametrize(("status", "code", "name"), REFUSALS)
async def test_they_know_a_refusal(dialect: str, status: int, code: str, name: str) -> None:
    error = getattr(openai if dialect == "openai" else anthropic, name)
    async with serving(refuses(status, "no, it says", code=code)) as server, theirs(dialect, server.url) as asking:
        with pytest.raises(error, match="no, it says"):
            await heard(dialect, asking)


@both
@pytest.mark.parametrize("script", [says("half ").then(Complain("busy", "overloaded_error")), hangs_up("half ")])
async def test_they_know_an_answer_that_breaks_off(dialect: str, script: Stream) -> None:
    module = openai if dialect == "openai" else anthropic
    async with serving(script) as server, theirs(dialect, server.url) as asking:
        with pytest.raises((module.APIError, httpx2.RemoteProtocolError)) as caught:
            await heard(dialect, asking)
    assert ("busy" in str(caught.value)) == isinstance(script.moves[-1], Complain)


@both
async def test_they_leave_when_they_are_cancelled(dialect: str) -> None:
    async with (
        serving(stalls("half ")) as server,
        theirs(dialect, server.url) as asking,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(heard, dialect, asking)
        with trio.fail_after(PATIENCE):
            await server.until_saying()
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await server.until_left()


@both
async def test_they_wait_for_a_whole_answer_as_for_a_stream(dialect: str) -> None:
    """So that a script is the same trouble for clients that want no stream."""

    async def ask(asking: Any) -> Any:
        create = asking.chat.completions.create if dialect == "openai" else asking.messages.create
        return await create(**ASKED)

    async with serving(stalls("half ")) as server, theirs(dialect, server.url) as asking:
        with trio.move_on_after(0.2) as scope:
            await ask(asking)
        assert scope.cancelled_caught
        server.script = Refusal(529, "later", "overloaded_error")
        with pytest.raises((openai.InternalServerError, anthropic.APIStatusError)):
            await ask(asking)
        server.script = hangs_up("half ")
        with pytest.raises((openai.APIConnectionError, anthropic.APIConnectionError)):
            await ask(asking)
