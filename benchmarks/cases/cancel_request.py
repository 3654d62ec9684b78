"""Answers of a model under way, stopped at once: when the server, a process of its own, sees that the clients left."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import trio
from attrs import define

from benchmarks.case import Bench, CannotMeasureError, Case, Group
from benchmarks.recipes import Job, head
from benchmarks.row import Row
from benchmarks.target import Times
from trio_recipes.agents.backends.openai import OpenAIBackend
from trio_recipes.agents.http.endpoint import Endpoint
from trio_recipes.agents.http.settings import ModelSettings
from trio_recipes.language.load import parse_recipe
from trio_recipes.sessions.opening import open_runtime

if TYPE_CHECKING:
    import httpx2

    from trio_recipes.sessions.runtime import Runtime

_BODY = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "one two three"}]}
WORDS = 2
"""How many words the server sends before it falls silent."""


def _rows(count: int) -> tuple[Row, ...]:
    answers = "one answer" if count == 1 else f"{count} answers at once"
    what, idle = f"cancel → the server sees the last client leave, {answers}", "an idle socket each, in bare trio"
    return (
        Row(what, "left", "bare httpx2", "bare", (Times(2),)),
        Row(what, "left", idle, "socket"),
        Row(f"cancel → `cancelled` is durable, {answers}", "durable", idle, "socket"),
    )


@define(eq=False)
class Server:
    """A model server in a process of its own.

    Args:
        lines: what it tells.
        url: its ``base_url``.
    """

    lines: AsyncIterator[dict[str, Any]]
    url: str

    async def saying(self, count: int) -> None:
        """Return once ``count`` clients have had a word, and a moment more."""
        while count:
            told = await anext(self.lines)
            count -= told["first"] is not None and told["ended"] is None
        await trio.sleep(0.1)

    async def last_left(self, count: int) -> float:
        """When the last of ``count`` clients was seen to leave."""
        left: list[float] = []
        while len(left) < count:
            told = await anext(self.lines)
            left += [told["ended"]] if told["outcome"] == "left" else []
        return max(left)


@asynccontextmanager
async def _server() -> AsyncGenerator[Server]:
    command = [sys.executable, "-m", "trio_recipes.testing.model_server", "--json", "--port", "0", "--every", "0"]
    async with trio.open_nursery() as nursery:
        start = partial(trio.run_process, [*command, "--stall-after", str(WORDS)], stdout=-1, check=False)
        process = await nursery.start(start)
        lines = _lines(process.stdout)
        yield Server(lines, (await anext(lines))["base_url"])
        await lines.aclose()
        nursery.cancel_scope.cancel()


async def _lines(stream: trio.abc.ReceiveStream) -> AsyncGenerator[dict[str, Any]]:
    held = b""
    async for piece in stream:
        *whole, held = (held + piece).split(b"\n")
        for line in whole:
            yield json.loads(line)


@asynccontextmanager
async def _open(bench: Bench) -> AsyncGenerator[Sequence[Case]]:
    try:
        import httpx2  # noqa: PLC0415  an extra
    except ImportError:
        raise CannotMeasureError("httpx2 is not installed") from None
    unlimited = httpx2.Limits(max_connections=None)
    async with _server() as server, httpx2.AsyncClient(timeout=None, limits=unlimited) as client:
        agents = OpenAIBackend(Endpoint(base_url=server.url), ModelSettings(model="m"))
        async with open_runtime(store=bench.folder / "requests", agents=agents) as runtime:
            yield [
                Case(
                    _rows(count),
                    partial(_ours, runtime, server, count),
                    partial(_bares, client, server, count),
                    repetitions,
                )
                for count, repetitions in ((1, bench.pick(40, 6)), (bench.pick(500, 50), bench.pick(3, 2)))
            ]


async def _ours(runtime: Runtime, server: Server, count: int) -> dict[str, float]:
    session = await _job(count).start(runtime)
    await server.saying(count)
    began = time.monotonic()
    session.cancel(immediate=True)
    await session.wait()
    durable = time.monotonic() - began
    return {"left": await server.last_left(count) - began, "durable": durable}


def _job(count: int) -> Job:
    step = "  - {id: s, agent: a, prompt: one two three, foreach: '{{items}}', parallel: true, max_iterations: 1000}\n"
    limits = "recursion: {max_total_steps: 1000}\n"
    return Job(parse_recipe(head("requests") + limits + "steps:\n" + step), {"items": list(range(count))})


async def _bares(client: httpx2.AsyncClient, server: Server, count: int) -> dict[str, float]:
    return {
        "bare": await _bare(server, count, partial(_request, client, server.url)),
        "socket": await _bare(server, count, partial(_idle, server.url)),
    }


async def _bare(server: Server, count: int, request: Callable[[], Awaitable[None]]) -> float:
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(request)
        await server.saying(count)
        began = time.monotonic()
        nursery.cancel_scope.cancel()
    return await server.last_left(count) - began


async def _request(client: httpx2.AsyncClient, url: str) -> None:
    async with client.stream("POST", f"{url}/chat/completions", json=_BODY) as response:
        async for _ in response.aiter_lines():
            pass


async def _idle(url: str) -> None:
    """The same request by hand, on a socket that then only waits: the least that can be closed."""
    place, body = urlsplit(url), json.dumps(_BODY)
    head = f"POST {place.path}/chat/completions HTTP/1.1\r\nhost: {place.netloc}\r\ncontent-type: application/json\r\n"
    async with await trio.open_tcp_stream(place.hostname or "", place.port or 0) as stream:
        await stream.send_all(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
        async for _ in stream:
            pass


GROUP = Group("cancel-request", "Answers of a model in mid-stream", _open)
