"""The model server itself: what clients of any make see of it, and what it tells of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
import trio

from tests.frontends.running import environment, spawned
from trio_recipes.testing.model_server import Asked, ModelServer, Outcome, repeats, says, serving, stalls

MESSAGES = [{"role": "user", "content": "one two"}]
PATHS = {"openai": "/chat/completions", "anthropic": "/messages"}


async def asked(server: ModelServer, path: str, **options: Any) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=10) as client:
        return await client.request(options.pop("method", "POST"), server.url + path, **options)


@pytest.mark.parametrize("dialect", PATHS)
async def test_an_answer_as_a_whole(dialect: str) -> None:
    async with serving(says("Hello ", "there")) as server:
        response = await asked(server, PATHS[dialect], json={"model": "m", "messages": MESSAGES})
    body = response.json()
    text = body["choices"][0]["message"]["content"] if dialect == "openai" else body["content"][0]["text"]
    assert (response.status_code, text, body["model"]) == (200, "Hello there", "m")


@pytest.mark.parametrize("dialect", PATHS)
async def test_an_answer_in_pieces(dialect: str) -> None:
    async with serving(says("Hello ", "there")) as server:
        response = await asked(server, PATHS[dialect], json={"model": "m", "messages": MESSAGES, "stream": True})
    assert response.headers["content-type"] == "text/event-stream"
    assert response.text.index("Hello ") < response.text.index("there")
    assert response.text.endswith({"openai": "data: [DONE]\n\n", "anthropic": '"message_stop"}\n\n'}[dialect])
    assert [(visit.asked.number, visit.asked.dialect, visit.outcome) for visit in server.visits] == [
        (1, dialect, Outcome.FINISHED)
    ]


def answer_to(content: Any) -> str:
    body: Mapping[str, Any] = {"messages": [{"role": "user", "content": content}]}
    return repeats()(Asked(1, "openai", body, {})).text


def test_it_repeats_the_prompt_unless_it_is_told_otherwise() -> None:
    assert answer_to("what is this").endswith("You asked: what is this ")
    assert answer_to([{"type": "text", "text": "in parts"}]).endswith("You asked: in parts ")


async def test_what_is_no_request_for_an_answer() -> None:
    async with serving() as server:
        assert (await asked(server, "/nothing")).status_code == 404
        assert (await asked(server, PATHS["openai"], content=b"{")).status_code == 400
        assert (await asked(server, PATHS["openai"], method="GET")).status_code == 404
        assert server.visits == []


async def test_only_the_right_key_is_let_in() -> None:
    async with serving(key="right") as server:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"x-api-key": "right"}):
            assert (await asked(server, "/models", method="GET", headers=headers)).status_code == 401
        version, bearer = {"anthropic-version": "1"}, {"authorization": "Bearer right"}
        for headers in (bearer, {**version, **bearer}, {**version, "x-api-key": "right"}):
            assert (await asked(server, "/models", method="GET", headers=headers)).status_code == 200


async def test_clients_that_do_not_speak_http_do_no_harm() -> None:
    async with serving() as server:
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        await stream.send_all(b"\x16\x03\x01 hello\r\n\r\n")
        await stream.aclose()
        assert (await asked(server, "/models", method="GET")).status_code == 200


async def test_what_its_user_raises_comes_out_as_it_is() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with serving():
            raise KeyError("mine")


async def test_leaving_the_server_closes_every_connection() -> None:
    async with trio.open_nursery() as nursery:
        async with serving(stalls("a")) as server:
            stream = await trio.open_tcp_stream("127.0.0.1", server.port)
            nursery.start_soon(read_to_end, stream)
            body = json.dumps({"stream": True, "messages": MESSAGES}).encode()
            head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
            await stream.send_all(head.encode() + body)
            with trio.fail_after(5):
                await server.until_saying()
        nursery.cancel_scope.deadline = trio.current_time() + 5
    assert not nursery.cancel_scope.cancelled_caught


async def read_to_end(stream: trio.SocketStream) -> None:
    async with stream:
        try:
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass


# --- the command -------------------------------------------------------------------------------------------------


@contextmanager
def command(*options: str) -> Generator[subprocess.Popen[str]]:
    program = [sys.executable, "-m", "trio_recipes.testing.model_server", "--port", "0", *options]
    with spawned(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        yield process


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_the_command_tells_in_words_and_ends_by_a_signal() -> None:
    with command("--every", "0", "--refuse", "429", "--retry-after", "2", "--first", "1") as process:
        url = line_of(process).removeprefix("base_url: ")
        body = {"messages": MESSAGES, "model": "m", "stream": True}
        refused = httpx2.post(f"{url}/chat/completions", json=body)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "2.0")
        assert "You " in httpx2.post(f"{url}/chat/completions", json=body).text
        said = [line_of(process) for _ in range(5)]
        process.terminate()
        assert process.wait(10) == 0
    assert [line.partition(": ")[2].partition(" after")[0] for line in said] == [
        *("model 'm'", "refused"),
        *("model 'm'", "is being answered", "answered"),
    ]


def test_the_command_tells_programs_in_json() -> None:
    with command("--json", "--every", "0", "--stall-after", "1") as process:
        url = json.loads(line_of(process))["base_url"]
        with httpx2.stream("POST", f"{url}/messages", json={"messages": MESSAGES, "stream": True}) as response:
            lines = response.iter_lines()  # kept: the end of the iterator closes the connection
            assert any("one" in line for line in lines if "text_delta" in line) is True
            told = [json.loads(line_of(process)) for _ in range(2)]  # while the client is there
        told.append(json.loads(line_of(process)))
    assert [(each["request"], each["outcome"]) for each in told] == [(1, "answering"), (1, "answering"), (1, "left")]
    assert told[2]["began"] < told[2]["first"] < told[2]["ended"]


def test_a_port_that_is_taken() -> None:
    with command() as first:
        port = line_of(first).rpartition(":")[2].removesuffix("/v1")
        program = [sys.executable, "-m", "trio_recipes.testing.model_server", "--port", port]
        second = subprocess.run(program, capture_output=True, text=True, timeout=20, env=environment(), check=False)
    assert second.returncode == 2
    assert second.stderr.startswith(f"can't listen at port {port}:")
