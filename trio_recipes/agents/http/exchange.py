"""One request to an endpoint: a stream of events, or a document; and each way in which that fails, as BackendError.

Whatever ends a stream in its middle, its connection is closed at once, so that the server stops generating. It is left
by a read that is cancelled: only so do all the generators end that httpx2 has below it.
"""

from __future__ import annotations

import json
import math
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn

import trio
from attrs import field

from trio_recipes.agents.http.connections import CLOSING, Connections, is_here
from trio_recipes.agents.http.endpoint import Endpoint
from trio_recipes.agents.http.opened import Opened
from trio_recipes.agents.http.refusals import Complaint, refused
from trio_recipes.agents.http.sse import MAX_EVENT, EventDecoder, EventTooLargeError
from trio_recipes.agents.http.waiting import retry_after
from trio_recipes.classes import define, frozen
from trio_recipes.errors import BackendError

if TYPE_CHECKING:
    import httpx2

MAX_REFUSAL: Final = 64 * 1024
"""Bytes that are read of a refusal."""

MAX_DOCUMENT: Final = 16 * 1024 * 1024
"""Bytes of a document, such as a list of models."""

REFUSING_SECONDS: Final = 10.0
"""In which a refusal has to say why, once it has begun."""

ENDING_SECONDS: Final = 5.0
"""For what may follow the last word of an answer, such as its usage."""

LAST_WORDS: Final = 0.5
"""Seconds in which an endpoint that has said all may end its answer, so that its connection can serve again."""


JSON: Final = "application/json"

_PLAIN: Final = {"content-type": JSON, "accept-encoding": "identity"}
"""Nothing compressed: bytes as they come."""


class RefusedError(BackendError):
    """An endpoint refused a request before it began to answer.

    Args:
        error: what is told of it.
        status: the HTTP status.
        complaint: what the body says.
    """

    def __init__(self, error: BackendError, status: int, complaint: Complaint) -> None:
        self.status, self.complaint = status, complaint
        super().__init__(
            str(error), rate_limited=error.rate_limited, retryable=error.retryable, retry_after=error.retry_after
        )


@frozen
class Exchange:
    """Asks an endpoint.

    Args:
        endpoint: where.
        connections: of the runtime.
    """

    endpoint: Endpoint
    connections: Connections

    @asynccontextmanager
    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[Events]:
        """Ask for an answer in pieces; read it inside of ``async with``.

        Raises:
            RefusedError: the endpoint said no.
            BackendError: it can't be reached, keeps silent, or breaks off.
        """
        due = await self._due()
        # Halves of surrogate pairs, which JSON lets through and UTF-8 doesn't, become question marks.
        data = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        async with self._answer("POST", path, due, data) as response:
            await _check_type(response, self.endpoint)
            events = Events(self.endpoint, response, due)
            try:
                yield events
                await events.rest()
            finally:
                with trio.move_on_after(0, shield=True):
                    await events.skip()

    async def document(self, path: str) -> Any:
        """The JSON that stands at ``path``.

        Raises:
            BackendError: as for :meth:`stream`; or it is no JSON.
        """
        due = await self._due()
        async with self._answer("GET", path, due) as response:
            _check_coding(response, self.endpoint)
            data = await _read(self.endpoint, response, due, MAX_DOCUMENT)
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            text = f"{self.endpoint.base_url} answers {path!r} with what is no JSON; check `base_url`"
            raise BackendError(text, retryable=False) from None

    async def _due(self) -> float:
        """When the first words are due: from now, that there is a client: making it takes a while."""
        await self.connections.client()
        return trio.current_time() + self.endpoint.timeouts.first

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, due: float, body: bytes | None = None
    ) -> AsyncGenerator[httpx2.Response]:
        endpoint = self.endpoint
        client = await self.connections.client()
        # Connecting is limited there; all other waits have deadlines of our own, which say what was waited for.
        limits = (endpoint.timeouts.connect, None, None, None)
        with told(endpoint):
            headers, opened = {**_PLAIN, **endpoint.authorised()}, Opened()
            request = client.build_request(
                method,
                endpoint.url(path),
                headers=headers,
                content=body,
                timeout=limits,
                extensions={"trace": opened.trace},
            )
            with at_latest(due, not_begun(endpoint)):
                try:
                    response = await client.send(request, stream=True)
                except BaseException:
                    with trio.move_on_after(CLOSING, shield=True):
                        await opened.close()
                    raise
        try:
            if response.status_code != 200:
                await self._refuse(response)
            yield response
        finally:
            with trio.move_on_after(CLOSING, shield=True):
                await response.aclose()

    async def _refuse(self, response: httpx2.Response) -> NoReturn:
        endpoint, status = self.endpoint, response.status_code
        complaint = Complaint.read(await _reasons(response)).masked(endpoint.masked)
        if response.is_redirect:  # never followed: who knows who would get the key there
            complaint = Complaint(message=endpoint.masked(response.headers.get("location", "")).partition("?")[0])
        error = refused(endpoint, complaint, status=status, retry_after=retry_after(response.headers))
        if response.headers.get("x-should-retry") == "false":  # as the makers' own clients take it
            error.retryable = False
        raise RefusedError(error, status, complaint)


def _coding(response: httpx2.Response) -> str:
    """How a body is compressed, or ""."""
    return response.headers.get("content-encoding", "").strip().lower().replace("identity", "")


def _check_coding(response: httpx2.Response, endpoint: Endpoint) -> None:
    if _coding(response):
        text = f"{endpoint.base_url} compresses its answer ({_coding(response)}), although it was asked not to"
        raise BackendError(f"{text}; have it, or the proxy before it, send it as it is", retryable=False)


async def _check_type(response: httpx2.Response, endpoint: Endpoint) -> None:
    _check_coding(response, endpoint)
    found = response.headers.get("content-type", "nothing").partition(";")[0].strip().lower()
    if found == "text/event-stream":
        return
    complaint = Complaint.read(await _reasons(response)).masked(endpoint.masked) if found == JSON else Complaint()
    if complaint.is_error:  # told with a status that says that all is well
        raise refused(endpoint, complaint)
    text = f"{endpoint.base_url} does not answer with a stream of events, but with {found}; check `base_url`"
    raise BackendError(text, retryable=False)


@define(eq=False)
class Events:
    """What the events of a stream hold, for ``async for``; each within the endpoint's timeouts.

    Args:
        endpoint: what sends them.
        response: the stream.
        due: trio's time at which the first is due.
    """

    endpoint: Endpoint
    response: httpx2.Response
    due: float
    _last: float = field(default=math.inf, init=False)
    _pieces: AsyncIterator[bytes] = field(init=False)
    _ready: Iterator[str] = field(factory=lambda: iter(()), init=False)
    _decoder: EventDecoder = field(factory=EventDecoder, init=False)
    _is_over: bool = field(default=False, init=False)
    _late: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._pieces, self._late = self.response.aiter_raw(), not_begun(self.endpoint)

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> str:
        """The data of the next event.

        Raises:
            BackendError: it can't be read, or comes too late.
        """
        while (data := next(self._ready, None)) is None:
            if self._is_over:
                raise StopAsyncIteration
            self._ready = await self._more()
        return data

    async def _more(self) -> Iterator[str]:
        with told(self.endpoint), at_latest(self.due, self._late):
            piece = await anext(self._pieces, None)
        self.due = min(trio.current_time() + self.endpoint.timeouts.between, self._last)
        self._late = fell_silent(self.endpoint)
        self._is_over = piece is None
        try:
            return iter([*(self._decoder.rest() if piece is None else self._decoder.feed(piece))])
        except EventTooLargeError:
            text = f"{self.endpoint.base_url} sent more than {MAX_EVENT >> 20} MB without an end"
            raise BackendError(text, retryable=False) from None

    def hurry(self) -> None:
        """The answer is complete: what may still come has to come soon, however alive the endpoint is."""
        self._last = min(self._last, trio.current_time() + ENDING_SECONDS)
        self.due = min(self.due, self._last)

    def take_time(self) -> None:
        """More of the answer has come: whatever was told of its end before, this is not it."""
        self._last = math.inf

    async def rest(self) -> None:
        """Wait a moment for the end of an answer that is complete: then its connection can serve again."""
        with trio.move_on_after(LAST_WORDS):
            await self.skip()

    async def skip(self) -> None:
        """Read to the end. When cancelled, everything below has ended and can be closed."""
        await _skip(self._pieces)


async def _skip(pieces: AsyncIterator[bytes]) -> None:
    with suppress(Exception):  # of what nobody wants to know any more
        async for _ in pieces:
            pass


async def _reasons(response: httpx2.Response) -> bytes:
    """What the body of a refusal says, as far as it comes in time and can be read: its status says enough."""
    pieces, data = response.aiter_raw(), bytearray()
    with suppress(Exception), trio.move_on_after(REFUSING_SECONDS):
        async for piece in pieces:
            data += piece
            if len(data) >= MAX_REFUSAL:
                break
    with trio.move_on_after(0):
        await _skip(pieces)
    return b"" if _coding(response) else bytes(data[:MAX_REFUSAL])


async def _read(endpoint: Endpoint, response: httpx2.Response, due: float, most: int) -> bytes:
    """The beginning of a body that is no stream."""
    pieces, data = response.aiter_raw(), bytearray()
    with told(endpoint), at_latest(due, fell_silent(endpoint)):
        async for piece in pieces:
            data += piece
            if len(data) >= most:
                break
    with trio.move_on_after(0):
        await _skip(pieces)
    return bytes(data[:most])


# --- what goes wrong below HTTP ----------------------------------------------------------------------------------


@contextmanager
def at_latest(due: float, late: str) -> Generator[None]:
    """A deadline of ours, at trio's time ``due``.

    Raises:
        BackendError: it was not met: ``late``.
    """
    with trio.move_on_at(due) as scope:
        yield
    if scope.cancelled_caught:
        raise BackendError(late)


def not_begun(endpoint: Endpoint) -> str:
    """What is told of an endpoint that is late with its first words."""
    return f"{endpoint.base_url} did not begin to answer within {endpoint.timeouts.first:g} s"


def fell_silent(endpoint: Endpoint) -> str:
    """What is told of one that is late with its next."""
    return f"{endpoint.base_url} fell silent for {endpoint.timeouts.between:g} s in its answer"


@contextmanager
def told(endpoint: Endpoint) -> Generator[None]:
    """What httpx2 raises, as errors of ours.

    Raises:
        BackendError: the endpoint can't be reached, or breaks off, or does not speak HTTP.
    """
    import httpx2  # noqa: PLC0415  imported by now, but an extra

    try:
        yield
    except httpx2.ConnectTimeout as error:
        text = f"{endpoint.base_url} took no connection within {endpoint.timeouts.connect:g} s"
        raise BackendError(text) from error
    except (httpx2.ConnectError, httpx2.ProxyError) as error:
        why = _tls_error(error)
        text = f"{endpoint.base_url} can't be reached: {why or error}. Is it running, and is `base_url` right?"
        raise BackendError(text + _proxies(endpoint), retryable=why is None) from error
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, UnicodeError) as error:
        text = f"{endpoint.base_url} can't be asked: {endpoint.masked(str(error))}"
        raise BackendError(text, retryable=False) from error
    except httpx2.HTTPError as error:
        text = f"{endpoint.base_url} broke off before its answer was complete: {str(error) or type(error).__name__}"
        raise BackendError(text) from error


def _proxies(endpoint: Endpoint) -> str:
    """A word on proxies, where there are some: it may be these that can't be reached."""
    if is_here(endpoint.base_url):
        return ""
    named = [name for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") if {name, name.lower()} & os.environ.keys()]
    return f" A proxy is set ({', '.join(named)}); NO_PROXY names the hosts that are reached without" if named else ""


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """What is wrong with the endpoint's certificate, or how it speaks TLS: nothing that would change soon."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error
