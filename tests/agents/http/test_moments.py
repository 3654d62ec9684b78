"""A stop at each moment of asking a model: nothing is left of its connection, the records say so, a resume goes on.

Each moment is one of a real connection to a server that says so much and no more.
"""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import trio
from attrs import Factory, define, field

from tests.agents.http.asking import client
from tests.agents.http.test_hostile import CHUNKED, chunk
from tests.agents.http.test_peculiar import piece, text
from tests.frontends.running import write_recipe
from trio_recipes import open_runtime
from trio_recipes.events import AgentBrokeOff, Output, ScopeFinished, Stamped
from trio_recipes.testing import ScriptedAgent

PATIENCE = 60
Answer: TypeAlias = tuple[bytes, ...]


@define(eq=False)
class Listener:
    """A server that says what it is told to, one answer after another, then waits until its client has left.

    Args:
        answers: by the path that is asked for; the last one of each counts for all that follow.
        tls: for connections that are encrypted.
    """

    answers: dict[str, list[Answer]]
    tls: ssl.SSLContext | None = None
    port: int = 0
    asked: list[str] = Factory(list)
    reached: trio.Event = field(factory=trio.Event)
    left: trio.Event = field(factory=trio.Event)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/v1"

    async def serve(self, stream: trio.SocketStream) -> None:
        try:
            async with trio.SSLStream(stream, self.tls, server_side=True) if self.tls else stream as line:
                await self._talk(line)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.left.set()

    async def _talk(self, line: trio.abc.Stream) -> None:
        while path := await self._request(line):
            self.asked.append(path)
            answers = self.answers[path]
            pieces = answers.pop(0) if len(answers) > 1 else answers[0]
            for each in pieces:
                await line.send_all(each)
            if pieces[-1:] != (LAST,):
                self.reached.set()
        self.left.set()

    @staticmethod
    async def _request(line: trio.abc.Stream) -> str:
        """The path of the next request, or "" once the client has left."""
        request = b""
        while not (request.startswith(b"GET") and b"\r\n\r\n" in request) and not request.endswith(b"}"):
            data = await line.receive_some()
            if not data:
                return ""
            request += data
        return request.split()[1].decode().rpartition("/v1/")[2]


LAST = b"0\r\n\r\n"
ASK, LIST = "chat/completions", "models"


def answer(*texts: bytes) -> Answer:
    return (CHUNKED, *map(chunk, texts))


def whole(*texts: bytes) -> Answer:
    return (*answer(*texts, text("", "stop"), b"data: [DONE]\n\n"), LAST)


def refusal(status: int, headers: bytes = b"") -> Answer:
    """One without a body, whose connection can serve again."""
    return (b"HTTP/1.1 %d No\r\nTransfer-Encoding: chunked\r\n%s\r\n" % (status, headers), LAST)


@asynccontextmanager
async def listening(answers: dict[str, list[Answer]], tls: ssl.SSLContext | None = None) -> AsyncGenerator[Listener]:
    server = Listener(answers, tls)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, server.serve, 0)
        server.port = listeners[0].socket.getsockname()[1]
        yield server
        nursery.cancel_scope.cancel()


def sockets() -> int:
    """How many this process has."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found += str(link.readlink()).startswith("socket:")
    return found


@pytest.fixture(autouse=True)
def none_left() -> Generator[None]:
    """Each socket of a test is closed once it is over, on the one side and on the other."""
    before = sockets()
    yield
    assert sockets() == before


@define(eq=False)
class Trial:
    """A session that is stopped once a condition holds, and gone on with afterwards."""

    folder: Path
    url: str
    more: str = ""
    head: str = ""
    model: str = "m"
    events: list[Stamped] = field(factory=list)
    _more_seen: trio.Event = field(factory=trio.Event)

    async def run(self, moment: Callable[[Trial], Any], *, immediate: bool = True) -> None:
        """Stop it there; check what became of it; resume it with somebody who answers."""
        recipe = write_recipe(
            self.folder, f"- {{id: ask, agent: a, prompt: p, output: said, timeout: 120{self.more}}}", self.head
        )
        provider = {"backend": "openai", "base_url": self.url, "model": self.model}
        options: dict[str, Any] = {"project": self.folder, "store": str(self.folder / "store")}
        with trio.fail_after(PATIENCE):
            async with open_runtime(agents={"agents": {"*": provider}}, observe=self.see, **options) as runtime:
                session = await runtime.start(recipe)
                await moment(self)
                session.cancel(immediate=immediate)
                result = await session.wait()
                assert result.status == "cancelled", result.failure
            async with open_runtime(agents=ScriptedAgent("[1]"), **options) as runtime:
                again = await (await runtime.resume(session.id)).wait()
        assert (again.status, again.context["said"]) == ("completed", [1])
        (ended,) = [each.status for each in self.named(ScopeFinished) if each.path == "ask"]
        assert ended == "cancelled"

    def see(self, _: str, stamped: Stamped) -> None:
        self.events.append(stamped)
        self._more_seen.set()

    def named(self, kind: type) -> list[Any]:
        return [stamped.event for stamped in self.events if isinstance(stamped.event, kind)]

    async def until(self, name: str) -> None:
        """Return once there is such an event."""
        await self.until_it_holds(lambda: name in [stamped.event.name for stamped in self.events])

    async def until_it_holds(self, holds: Callable[[], bool]) -> None:
        """Return once it holds."""
        while not holds():
            self._more_seen = trio.Event()
            await self._more_seen.wait()

    @property
    def said(self) -> bytes:
        return b"".join(each.data for each in self.named(Output) if each.channel == "text")


# --- before there is a connection --------------------------------------------------------------------------------


async def test_while_it_connects(tmp_path: Path) -> None:
    with trio.socket.socket() as full:
        await full.bind(("127.0.0.1", 0))
        full.listen(0)
        with trio.socket.socket() as waiting:
            await waiting.connect(full.getsockname())
            trial = Trial(tmp_path, f"http://127.0.0.1:{full.getsockname()[1]}/v1")
            await trial.run(lambda trial: trial.until("agent_asked"))
    assert trial.named(AgentBrokeOff) == []


async def test_in_a_handshake_that_nobody_answers(tmp_path: Path) -> None:
    reached, left = trio.Event(), trio.Event()

    async def silent(stream: trio.SocketStream) -> None:
        async with stream:
            assert (await stream.receive_some()).startswith(b"\x16\x03")  # its side of a handshake
            reached.set()
            while await stream.receive_some():
                pass
            left.set()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, silent, 0)
        trial = Trial(tmp_path, f"https://127.0.0.1:{listeners[0].socket.getsockname()[1]}/v1")
        await trial.run(lambda _: reached.wait())
        with trio.fail_after(PATIENCE):
            await left.wait()
        nursery.cancel_scope.cancel()
    assert trial.named(AgentBrokeOff) == []


# --- while it is asked -------------------------------------------------------------------------------------------

REFUSING = (b"HTTP/1.1 500 No\r\nContent-Length: 99\r\n\r\nbecause ",)
MOMENTS: dict[str, tuple[Answer, bytes, bool]] = {  # what is said; kept of it; whether an answer has begun
    "before a word": ((), b"", False),
    "in the headers": ((CHUNKED[:30],), b"", False),
    "after the headers": ((CHUNKED,), b"", True),
    "in a chunk": ((CHUNKED, b"ffff\r\n" + text("half ") + b"data: {"), b"half ", True),
    "between chunks": (answer(text("half ")), b"half ", True),
    "in the thoughts": (answer(piece({"reasoning_content": "hm"})), b"", True),
    "after the end, before the usage": (answer(text("all", "stop")), b"all", True),
    "in a refusal": (REFUSING, b"", False),
}


@pytest.mark.parametrize("name", MOMENTS)
async def test_while_it_answers(name: str, tmp_path: Path) -> None:
    pieces, kept, has_begun = MOMENTS[name]
    async with listening({ASK: [pieces]}) as server:

        async def moment(trial: Trial) -> None:
            await server.reached.wait()
            await trial.until_it_holds(lambda: trial.said == kept)
            if has_begun and not kept:
                await trio.sleep(0.1)  # nothing tells that the headers were read

        trial = Trial(tmp_path, server.url)
        await trial.run(moment)
        with trio.fail_after(PATIENCE):
            await server.left.wait()
    assert server.asked == [ASK]
    assert trial.said == kept
    assert len(trial.named(AgentBrokeOff)) == has_begun


async def test_while_its_models_are_asked_for(tmp_path: Path) -> None:
    async with listening({LIST: [(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[",)]}) as server:
        trial = Trial(tmp_path, server.url, model="m*")
        await trial.run(lambda _: server.reached.wait())
        with trio.fail_after(PATIENCE):
            await server.left.wait()
    assert server.asked == [LIST]


async def test_while_an_answer_is_mended(tmp_path: Path) -> None:
    async with listening({ASK: [whole(text("sorry")), answer(text("half "))]}) as server:
        trial = Trial(tmp_path, server.url, ", parse_json: true")
        await trial.run(lambda _: server.reached.wait())
        with trio.fail_after(PATIENCE):
            await server.left.wait()
    assert server.asked == [ASK, ASK]


# --- while it waits ----------------------------------------------------------------------------------------------

RETRY = ", retry: {max_attempts: 3, initial_delay: 100}"


@pytest.mark.parametrize("immediate", [True, False])
@pytest.mark.parametrize("header", [b"Retry-After: 300\r\n", b""])
async def test_while_it_waits_to_ask_again(immediate: bool, header: bytes, tmp_path: Path) -> None:
    """A graceful stop as well: nothing is in hand, and nothing new is to begin."""
    async with listening({ASK: [refusal(429, header)]}) as server:
        trial = Trial(tmp_path, server.url, RETRY)
        await trial.run(lambda trial: trial.until("attempt_failed"), immediate=immediate)
        with trio.fail_after(PATIENCE):
            await server.left.wait()
    assert server.asked == [ASK]


# --- over TLS ----------------------------------------------------------------------------------------------------


def authority(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """The certificate of an authority of our own, and what a server at 127.0.0.1 has of it."""
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-days", "2", "-keyout", "key.pem"]
    ca = ["-out", "ca.pem", "-subj", "/CN=authority", "-addext", "keyUsage=critical,keyCertSign"]
    subprocess.run([*make, *ca], cwd=folder, check=True, capture_output=True)
    (folder / "key.pem").rename(folder / "ca-key.pem")
    names = ["-out", "server.pem", "-subj", "/CN=server", "-addext", "subjectAltName=IP:127.0.0.1"]
    signed = ["-CA", "ca.pem", "-CAkey", "ca-key.pem", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run([*make, *names, *signed], cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "key.pem")
    return folder / "ca.pem", context


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
async def test_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, context = authority(tmp_path)
    async with listening({ASK: [answer(text("half "))]}, context) as server:
        async with client() as it:
            it.reach(base_url=server.url)
            assert "certificate verify failed" in str(await it.failure())  # nobody here has heard of that authority
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        trial = Trial(tmp_path, server.url)
        await trial.run(lambda _: server.reached.wait())
        with trio.fail_after(PATIENCE):
            await server.left.wait()
    assert trial.said == b"half "
