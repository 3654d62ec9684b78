"""Standard input and output as the wire: nothing but protocol passes, and reading can be cancelled.

The SDK reads stdin in a thread that nothing can stop. These streams are trio's own: a signal ends the server at once.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import trio
from attrs import field
from mcp.server.stdio import stdio_server

from trio_recipes.classes import define
from trio_recipes.runtime.scope import concurrent

if TYPE_CHECKING:
    from mcp.server import Server

    from trio_recipes.frontends.mcp.ending import Ending

_FIRST_FREE = 3

_ESCAPE = re.compile(
    rb"""\\ (?: u[dD][89abAB][0-9a-fA-F]{2} \\u[dD][c-fC-F][0-9a-fA-F]{2}  # a pair: one character
            | (?P<lone> u[dD][89a-fA-F][0-9a-fA-F]{2} )
            | . )""",
    re.VERBOSE,
)


def claim() -> tuple[int, int]:
    """Take stdin and stdout away from everybody else: they read nothing, and print to stderr.

    Returns:
        Descriptors of our own, to read from the client and to write to it.
    """
    reading, writing = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE) for fd in (0, 1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return reading, writing


async def serve_wire(server: Server[Any], wire: tuple[int, int], ending: Ending) -> None:
    """Speak MCP until the client has gone.

    Args:
        server: answers.
        wire: descriptors to read from and to write to; both are closed in the end.
        ending: of the server, which ends with its client.
    """
    reading, writing = wire
    async with trio.lowlevel.FdStream(reading) as source, trio.lowlevel.FdStream(writing) as sink:
        # The SDK asks for anyio's files; these have what it uses of them.
        files = cast(Any, Received(source, ending.farewell)), cast(Any, Sent(sink, ending.client_gone))
        async with stdio_server(*files) as (received, sent), concurrent() as nursery:
            nursery.start_soon(_once_unread, wire, ending.client_gone)
            await server.run(received, sent, server.create_initialization_options())
            nursery.cancel_scope.cancel(reason="the wire has ended")


async def _once_unread(wire: tuple[int, int], act: Callable[[], None]) -> None:
    """Act when nobody reads our output any more: a client may close that alone, and write nothing."""
    reading, writing = map(os.fstat, wire)
    is_a_wire_of_its_own = (reading.st_dev, reading.st_ino) != (writing.st_dev, writing.st_ino)
    if is_a_wire_of_its_own and (stat.S_ISFIFO(writing.st_mode) or stat.S_ISSOCK(writing.st_mode)):
        await trio.lowlevel.wait_readable(wire[1])  # nothing ever comes from there, but its end does
        act()


@define(eq=False)
class Received:
    """What the client writes, line by line, for ``async for``.

    Args:
        stream: where from.
        ended: done before the end is told.
    """

    stream: trio.abc.ReceiveStream
    ended: Callable[[], Awaitable[None]]
    _lines: deque[bytes] = field(factory=deque)
    _begun: list[bytes] = field(factory=list)

    def __aiter__(self) -> Received:
        return self

    async def __anext__(self) -> str:
        while not self._lines:
            chunk = await self.stream.receive_some()
            if not chunk:
                await self.ended()
                raise StopAsyncIteration
            self._take(bytes(chunk))
        return without_lone_surrogates(self._lines.popleft()).decode("utf-8", "replace")

    def _take(self, chunk: bytes) -> None:
        first, *others = chunk.split(b"\n")
        self._begun.append(first)
        if others:
            self._lines.append(b"".join(self._begun))
            self._lines.extend(others[:-1])
            self._begun = [others[-1]]


def without_lone_surrogates(line: bytes) -> bytes:
    """A line of JSON without escaped halves of characters, which clients in JavaScript send when they cut a text.

    The SDK's parser takes none of them, and would leave the request without an answer.
    """
    if b"\\ud" not in line and b"\\uD" not in line:
        return line
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found["lone"] else found[0], line)


@define(eq=False)
class Sent:
    """What we write to the client.

    Args:
        stream: where to.
        gone: called when nobody reads it any more.
    """

    stream: trio.abc.SendStream
    gone: Callable[[], None]

    async def write(self, text: str) -> None:
        """Write all of it, or drop it if nobody reads."""
        try:
            await self.stream.send_all(text.encode("utf-8", "replace"))
        except trio.BrokenResourceError:
            self.gone()

    async def flush(self) -> None:
        """Nothing is held back."""
        await trio.lowlevel.checkpoint()
