"""The server over streamable HTTP: the same tool, and a door that does not open for everybody."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
from attrs import frozen
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import Server

from tests.frontends.mcp.listening import Ear
from tests.frontends.mcp.serving import GATED, MODES, Person, Progress, recipes, staged, until
from tests.frontends.mcp.serving import HELLO as HANDSHAKE
from tests.frontends.running import DEAF, PATIENCE, PROGRAM, QUICK, environment, gated, spawned, write_recipe
from trio_recipes.errors import ConfigurationError, RecipesError
from trio_recipes.events import Level, Source
from trio_recipes.frontends.cli.main import main
from trio_recipes.frontends.mcp.http import Address, serve_http
from trio_recipes.sessions.history import History, read_history
from trio_recipes.sessions.view import session_view
from trio_recipes.store.base import open_store
from trio_recipes.testing import assert_no_survivors

# The SDK's HTTP client leaves generators behind that it has not read to their end.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*was garbage collected before it had been exhausted"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

TOKEN = "open sesame"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@frozen
class Served:
    """A server that listens."""

    process: subprocess.Popen[str]
    url: str
    project: Path

    def last(self) -> History | None:
        """The newest session; None while it is being created, and before there is one."""
        store = open_store(str(self.project / "store"), create=False)
        try:
            return read_history(store.file(store.resolve("@last")))
        except (RecipesError, AssertionError):
            return None

    @property
    def last_id(self) -> str | None:
        """The newest session's id."""
        last = self.last()
        return session_view(last)["session_id"] if last else None


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    """One server for all tests here."""
    project = tmp_path_factory.mktemp("served")
    staged(project, GATED, "release")
    write_recipe(project, DEAF.rstrip() + "\n  kill_grace: 0.1\n" + QUICK, name="deaf")
    with serving(project) as server:
        yield server
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE) == -signal.SIGINT


@contextmanager
def serving(project: Path) -> Generator[Served]:
    """A server of a project, with a store in its folder."""
    options = ["mcp", "--http", "--port", "0", "--grace", "0.2", "--store", str(project / "store")]
    env = environment(TRIO_RECIPES_MCP_TOKEN=TOKEN)
    with spawned([*PROGRAM, *options], cwd=project, env=env, stderr=subprocess.PIPE) as process:
        assert process.stderr
        yield Served(process, process.stderr.readline().split()[3].rstrip(";"), project)


@asynccontextmanager
async def connected(served: Served, **client: Any) -> AsyncGenerator[Client]:
    """A client that knows the token."""
    async with (
        httpx2.AsyncClient(headers=BEARER, timeout=PATIENCE) as http,
        Client(streamable_http_client(served.url, http_client=http), **client) as connection,
    ):
        yield connection


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_runs_a_recipe_and_a_person_decides(served: Served, mode: str) -> None:
    person, progress = Person(content={"decision": "approve", "message": "go ahead"}), Progress()
    async with connected(served, mode=mode, elicitation_callback=person) as client:
        done = await recipes(client, "execute", recipe_path="release.yaml", progress=progress)
        assert (done["status"], done["summary"]["final_output"]) == ("completed", "go ahead\n")
        assert progress.told[-1][:2] == (2, 2)
        assert f"session:///{done['session_id']}" in {one.uri for one in (await client.list_resources()).resources}


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_is_told_when_a_session_has_changed(served: Served, mode: str) -> None:
    write_recipe(served.project, gated("hand", f"gate-{mode}"), name="gated")
    ear = Ear()
    async with connected(served, mode=mode, message_handler=ear) as client:
        begun = await recipes(client, "execute", recipe_path="gated.yaml", background=True)
        uri = f"session:///{begun['session_id']}"
        async with ear.open(client, uri):
            (served.project / f"gate-{mode}").touch()
            while (await recipes(client, "status", session_id=begun["session_id"]))["status"] != "completed":
                await ear.hears_of(uri)


@pytest.mark.parametrize("mode", MODES)
async def test_a_cancelled_call_stops_its_session_within_the_grace(served: Served, mode: str) -> None:
    before = served.last_id
    async with connected(served, mode=mode) as client, trio.open_nursery() as nursery:
        nursery.start_soon(_execute_deaf, client)
        await until(lambda: deaf_runs(served, before))
        nursery.cancel_scope.cancel()
    await _assert_stopped(served)


@pytest.mark.parametrize("mode", MODES)
async def test_a_signal_in_the_middle_of_a_call_is_its_answer(tmp_path: Path, mode: str) -> None:
    write_recipe(tmp_path, DEAF.rstrip() + "\n  kill_grace: 0.1\n", name="deaf")
    with serving(tmp_path) as own:
        async with connected(own, mode=mode) as client, trio.open_nursery() as nursery:
            answers: list[Any] = []
            nursery.start_soon(_answered, client, answers)
            await until(lambda: deaf_runs(own, None))
            own.process.send_signal(signal.SIGTERM)
            await until(lambda: answers)
            assert (answers[0]["type"], answers[0]["session_id"]) == ("CancellationRequestedError", own.last_id)
        assert own.process.wait(PATIENCE) == 128 + signal.SIGTERM
        assert_no_survivors(str(own.last_id))


async def _answered(client: Client, answers: list[Any]) -> None:
    answers.append(await recipes(client, "execute", recipe_path="deaf.yaml"))


async def test_many_clients_at_once(served: Served) -> None:
    write_recipe(served.project, QUICK, name="quick")
    answers: list[Any] = []
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(_quickly, served, MODES[number % 2], answers)
    assert {answer["summary"]["final_output"] for answer in answers} == {"quickly\n"}
    assert len({answer["session_id"] for answer in answers}) == 20


async def _quickly(served: Served, mode: str, answers: list[Any]) -> None:
    async with connected(served, mode=mode) as client:
        answers.append(await recipes(client, "execute", recipe_path="quick.yaml"))


async def test_a_client_that_is_killed_does_not_leave_its_session_running(served: Served) -> None:
    before = served.last_id
    command = [sys.executable, "-c", _CLIENT, served.url]
    with spawned(command, env=environment(TOKEN=TOKEN)) as client:
        await until(lambda: deaf_runs(served, before))
        client.kill()
        await _assert_stopped(served)


_CLIENT = """
import os, sys, trio, httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
async def main():
    http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {os.environ['TOKEN']}"}, timeout=60)
    async with Client(streamable_http_client(sys.argv[1], http_client=http), mode="legacy") as client:
        await client.call_tool("recipes", {"operation": "execute", "recipe_path": "deaf.yaml"})
trio.run(main)
"""


async def _execute_deaf(client: Client) -> None:
    await recipes(client, "execute", recipe_path="deaf.yaml")


def deaf_runs(served: Served, before: str | None) -> bool:
    """Whether a new session has begun its step."""
    last = served.last()
    return last is not None and served.last_id != before and "deaf" in last.progress.records


async def _assert_stopped(served: Served) -> None:
    """The newest session was asked to stop gracefully, and stopped when the grace was over."""
    await until(lambda: (last := served.last()) and last.standing.status == "cancelled")
    last = served.last()
    assert last
    asked, by_deadline = (event.cancellation for event in last.progress.cancellations)
    assert (asked.reason, asked.source) == ("the MCP client cancelled its call", Source.TOOL)
    assert (asked.level, asked.grace) == (Level.GRACEFUL, 0.2)
    assert (by_deadline.source, by_deadline.level) == (Source.DEADLINE, Level.IMMEDIATE)
    assert_no_survivors(str(served.last_id))


HELLO = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {}}
ACCEPTS = {"Accept": "application/json, text/event-stream"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer open sesam"}, 401),
        ({"Host": "attacker.example"}, 421),
        ({"Host": "127.0.0.1.attacker.example:80"}, 421),
        ({"Origin": "https://attacker.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_others_are_refused(served: Served, headers: dict[str, str], status: int) -> None:
    assert httpx2.post(served.url, json=HELLO, headers={**ACCEPTS, **BEARER, **headers}).status_code == status


@pytest.mark.parametrize(
    ("body", "status"), [(b"{nonsense", 400), (b"\xff\x00", 400), (b"[]", 400), (b"x" * 5_000_000, 413)]
)
def test_noise_is_refused(served: Served, body: bytes, status: int) -> None:
    headers = {**ACCEPTS, **BEARER, "Content-Type": "application/json"}
    assert httpx2.post(served.url, content=body, headers=headers, timeout=PATIENCE).status_code == status


def test_a_client_that_reconnects_starts_anew(served: Served) -> None:
    """Nothing is kept for it, which it is told in the ways of HTTP."""
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HANDSHAKE}
    headers = {**ACCEPTS, **BEARER}
    with httpx2.Client(headers=headers, timeout=PATIENCE) as http:
        session = {"Mcp-Session-Id": http.post(served.url, json=hello).headers["Mcp-Session-Id"]}
        with http.stream("GET", served.url, headers={**session, "Last-Event-ID": "7"}) as stream:
            assert (stream.status_code, stream.headers["Content-Type"]) == (200, "text/event-stream")
        assert http.delete(served.url, headers=session).status_code == 200
        for gone in (session, {"Mcp-Session-Id": "0" * 32}):
            assert http.post(served.url, json=HELLO, headers=gone).status_code == 404


async def test_steps_do_not_see_the_token(served: Served) -> None:
    write_recipe(served.project, "- {id: look, type: bash, command: env}")
    async with connected(served) as client:
        seen = (await recipes(client, "execute", recipe_path="probe.yaml"))["summary"]["final_output"]
    assert "TRIO_RECIPES_SESSION" in seen
    assert TOKEN not in seen


def test_other_machines_need_a_token(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert main(["mcp", "--http", "--host", "0.0.0.0"]) == 2
    assert "set the environment variable TRIO_RECIPES_MCP_TOKEN" in capsys.readouterr().err


async def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(ConfigurationError) as refused:
            await serve_http(Server("probe"), address, print)
    assert re.fullmatch(r"can't listen on port \d+ of 127\.0\.0\.1: .*in use.*", str(refused.value))
