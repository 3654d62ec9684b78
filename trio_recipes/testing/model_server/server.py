"""A server that speaks the APIs of models over real HTTP, answers by a script, and tells who left when."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from functools import partial
from time import monotonic
from typing import Final

import h11
import trio
from attrs import Factory, field

from trio_recipes.classes import define
from trio_recipes.testing.model_server.dialects import SPEAKS, Speaks
from trio_recipes.testing.model_server.line import Line, Request
from trio_recipes.testing.model_server.script import (
    Answer,
    Asked,
    Complain,
    Dialect,
    HangUp,
    Move,
    Refusal,
    Say,
    Script,
    Send,
    Stream,
    Think,
    Wait,
    repeats,
)

ROUTES: Final[Mapping[str, Dialect]] = {"/v1/chat/completions": "openai", "/v1/messages": "anthropic"}
"""Where answers are asked for."""

MODELS: Final = ("test-large-2", "test-small-1", "test-small-2")
"""Those there are, unless other ones are named."""

JSON: Final = {"content-type": "application/json"}


class Outcome(StrEnum):
    """What became of a request for an answer."""

    ANSWERING = "answering"
    FINISHED = "finished"
    REFUSED = "refused"
    LEFT = "left"
    HUNG_UP = "hung_up"


@define(eq=False)
class Visit:
    """One request for an answer. Times are of ``time.monotonic()``.

    Args:
        asked: what for.
        began: when it was read.
        outcome: what became of it; ``left``: the client closed the connection before the end.
        first: when the first piece was sent.
        ended: when it was over; for a client that left, when that was noticed.
    """

    asked: Asked
    began: float = Factory(monotonic)
    outcome: Outcome = Outcome.ANSWERING
    first: float | None = None
    ended: float | None = None

    def end(self, outcome: Outcome) -> None:
        """Take down what became of it; what came first counts."""
        if self.ended is None:
            self.outcome, self.ended = outcome, monotonic()


@define(eq=False)
class ModelServer:
    """A server; :func:`serving` starts one.

    Args:
        script: what it answers; may be replaced at any time.
        models: those that it lists.
        key: the one that it wants; None takes any, or none.
        told: called when a visit begins and when it ends.
        host: where it listens.
        port: where it listens, once it does.
        visits: requests for answers, in order.
        connected: connections that are open now.
        connections: connections there have been.
    """

    script: Script = Factory(repeats)
    models: tuple[str, ...] = MODELS
    key: str | None = None
    told: Callable[[Visit], None] = field(default=lambda _: None)
    host: str = "127.0.0.1"
    port: int = 0
    visits: list[Visit] = field(factory=list, init=False)
    connected: int = field(default=0, init=False)
    connections: int = field(default=0, init=False)
    _changed: trio.Event = field(factory=trio.Event, init=False)

    @property
    def url(self) -> str:
        """The ``base_url`` for clients of both dialects."""
        return f"http://{self.host}:{self.port}/v1"

    def having(self, outcome: Outcome) -> list[Visit]:
        """Visits with this outcome."""
        return [visit for visit in self.visits if visit.outcome is outcome]

    @property
    def answering(self) -> int:
        """How many answers are being given now."""
        return len(self.having(Outcome.ANSWERING))

    @property
    def left(self) -> list[Visit]:
        """Visits whose client left before the end."""
        return self.having(Outcome.LEFT)

    async def until(self, condition: Callable[[ModelServer], bool]) -> None:
        """Return once ``condition`` holds. To be bounded by the caller, as any wait."""
        while not condition(self):
            await self._changed.wait()

    async def until_saying(self, count: int = 1) -> None:
        """Return once ``count`` visits have had the first piece of their answer."""
        await self.until(lambda server: sum(visit.first is not None for visit in server.visits) >= count)

    async def until_left(self, count: int = 1) -> None:
        """Return once ``count`` clients have left."""
        await self.until(lambda server: len(server.left) >= count)

    def _wake(self, visit: Visit) -> None:
        self.told(visit)
        self._changed.set()
        self._changed = trio.Event()

    # --- a client ------------------------------------------------------------------------------------------------

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection until it is closed."""
        self.connected += 1
        self.connections += 1
        try:
            async with stream:
                line = Line(stream)
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError, h11.ProtocolError):
                    while (request := await line.request()) is not None:
                        if not await self._respond(line, request):
                            break
        finally:
            self.connected -= 1
            self._changed.set()
            self._changed = trio.Event()

    async def _respond(self, line: Line, request: Request) -> bool:
        dialect: Dialect = "anthropic" if "anthropic-version" in request.headers else "openai"
        speaks = SPEAKS[ROUTES.get(request.path, dialect)]()
        if self.key is not None and speaks.key_of(request.headers) != self.key:
            no_key = Refusal(401, "this is not the key that the server wants", "authentication_error")
            return await _refuse(line, speaks, no_key)
        if request.path == "/v1/models":
            return await _document(line, 200, speaks.lists(self.models))
        if request.path in ROUTES and request.method == "POST":
            return await self._visit(line, request, ROUTES[request.path], speaks)
        return await _refuse(line, speaks, Refusal(404, f"there is nothing at {request.path}", "not_found_error"))

    async def _visit(self, line: Line, request: Request, dialect: Dialect, speaks: Speaks) -> bool:
        try:
            body = json.loads(request.body)
        except ValueError:
            return await _refuse(line, speaks, Refusal(400, "this is no JSON", "invalid_request_error"))
        visit = Visit(Asked(len(self.visits) + 1, dialect, body, request.headers))
        self.visits.append(visit)
        self._wake(visit)
        try:
            return await self._answer(line, visit, speaks)
        finally:
            visit.end(Outcome.LEFT)  # unless something else came of it
            self._wake(visit)

    async def _answer(self, line: Line, visit: Visit, speaks: Speaks) -> bool:
        """Answer, watching meanwhile whether the client is still there."""
        goes_on = False
        answer = self.script(visit.asked) if callable(self.script) else self.script

        async def talk() -> None:
            nonlocal goes_on
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                goes_on = await self._give(line, visit, answer, speaks)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk)
            await line.closed()
            visit.end(Outcome.LEFT)
            nursery.cancel_scope.cancel()
        return goes_on

    async def _give(self, line: Line, visit: Visit, answer: Answer, speaks: Speaks) -> bool:
        if isinstance(answer, Refusal):
            visit.end(Outcome.REFUSED)
            return await _refuse(line, speaks, answer)
        if not visit.asked.body.get("stream"):
            return await self._whole(line, visit, answer, speaks)
        return await self._stream(line, visit, answer, speaks)

    async def _whole(self, line: Line, visit: Visit, answer: Stream, speaks: Speaks) -> bool:
        """For a client that wants no stream: as late as a stream would end, or not at all."""
        for move in answer.moves if answer.ends else (*answer.moves, HangUp()):
            match move:
                case Wait(seconds):
                    await trio.sleep(seconds)
                case Complain(message, code):
                    visit.end(Outcome.REFUSED)
                    return await _refuse(line, speaks, Refusal(500, message, code))
                case HangUp():
                    visit.end(Outcome.HUNG_UP)
                    await line.stream.aclose()
                    return False
                case _:  # pieces of a stream, which this is not
                    pass
        visit.end(Outcome.FINISHED)
        return await _document(line, 200, speaks.whole(visit.asked, answer))

    async def _stream(self, line: Line, visit: Visit, answer: Stream, speaks: Speaks) -> bool:
        await line.head(200, {"content-type": "text/event-stream", "cache-control": "no-cache"})
        await line.data(speaks.begins(visit.asked))
        for move in answer.moves:
            await self._make(move, line, visit, speaks)
            if visit.ended is not None:
                return False
        if answer.ends:
            await line.data(speaks.ends(visit.asked, answer))
        visit.end(Outcome.FINISHED)
        return await line.end()

    async def _make(self, move: Move, line: Line, visit: Visit, speaks: Speaks) -> None:
        match move:
            case Wait(seconds):
                await trio.sleep(seconds)
            case Say(text):
                await line.data(speaks.said(visit.asked, text))
                if visit.first is None:
                    visit.first = monotonic()
                    self._wake(visit)
            case Think(text):
                await line.data(speaks.said(visit.asked, text, thought=True))
            case Send(data):
                await line.data(data)
            case Complain(message, code):
                await line.data(speaks.complains(message, code))
            case HangUp():
                visit.end(Outcome.HUNG_UP)
                await line.stream.aclose()


async def _refuse(line: Line, speaks: Speaks, refusal: Refusal) -> bool:
    body = speaks.refuses(refusal) if refusal.body is None else refusal.body
    return await _document(line, refusal.status, body, refusal.headers)


async def _document(line: Line, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> bool:
    await line.head(status, {**JSON, "content-length": str(len(body)), **(headers or {})})
    await line.data(body)
    return await line.end()


@asynccontextmanager
async def serving(script: Script | None = None, *, port: int = 0, **options: object) -> AsyncGenerator[ModelServer]:
    """A server on this machine, for ``async with``; leaving it closes every connection.

    Args:
        script: what it answers; the prompt, word by word, unless given.
        port: where it listens; any free one unless given.
        options: ``models``, ``key``, ``told`` and ``host`` of :class:`ModelServer`.

    Raises:
        OSError: the port is taken.
    """
    server = ModelServer(script or repeats(), **options)  # type: ignore[arg-type]
    listeners = await trio.open_tcp_listeners(port, host=server.host)
    server.port = listeners[0].socket.getsockname()[1]
    hosts: BaseException | None = None
    async with trio.open_nursery() as nursery:
        # The listeners listen already: who connects before this task runs is served then.
        nursery.start_soon(partial(trio.serve_listeners, server.serve, listeners, handler_nursery=nursery))  # noqa: ASYNC113
        try:
            yield server
        except trio.Cancelled:
            raise
        except BaseException as error:  # raised again below, as it was
            hosts = error
        finally:
            nursery.cancel_scope.cancel()
    if hosts is not None:
        raise hosts
