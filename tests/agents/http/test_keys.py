"""Where keys go, and where they never go: other hosts, proxies that have no business here, messages, files."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.agents.http.asking import BACKENDS, Client, client
from trio_recipes.agents.http.connections import Connections
from trio_recipes.agents.http.endpoint import Endpoint, EnvironmentKey
from trio_recipes.agents.load import load_agents
from trio_recipes.errors import BackendError, ConfigurationError
from trio_recipes.testing.model_server import refuses, says, serving

both = pytest.mark.parametrize("dialect", BACKENDS)
KEY = "sk-very-secret-1234"
PASSWORD = "pass-of-the-proxy"


@asynccontextmanager
async def keyed(monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> AsyncGenerator[Client]:
    monkeypatch.setenv("SOME_KEY", KEY)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    async with client(*arguments, key=EnvironmentKey("SOME_KEY")) as it:
        yield it


@both
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(dialect: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(says("stolen")) as other:
        elsewhere = f"{other.url}/messages?token=x"
        async with keyed(monkeypatch, dialect, refuses(status, headers={"location": elsewhere})) as it:
            failure = await it.failure()
        assert other.visits == []
    assert f"answers at another address (HTTP {status}): {other.url}/messages. Set `base_url`" in str(failure)
    assert not failure.retryable


@both
async def test_a_list_of_models_is_not_looked_for_elsewhere(dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def moved(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(
            f"HTTP/1.1 302 Moved\r\nLocation: {other.url}/models\r\nContent-Length: 0\r\n\r\n".encode()
        )

    async with serving() as other, keyed(monkeypatch, dialect) as it, listening(moved) as port:
        it.reach(base_url=f"http://127.0.0.1:{port}/v1")
        with pytest.raises(BackendError, match="answers at another address"):
            await it.backend.models()
        assert other.connections == 0


# --- proxies -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def listening(talk: Callable[[trio.SocketStream], Any]) -> AsyncGenerator[int]:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, talk, 0)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def proxy(monkeypatch: pytest.MonkeyPatch, variable: str) -> AsyncGenerator[list[str]]:
    """One that the environment names; it refuses everything, and keeps what it was sent."""
    seen: list[str] = []

    async def refuse(stream: trio.SocketStream) -> None:
        seen.append(bytes(await stream.receive_some()).decode())
        await stream.send_all(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n")

    async with listening(refuse) as port:
        monkeypatch.setenv(variable, f"http://user:{PASSWORD}@127.0.0.1:{port}")
        yield seen


async def test_a_proxy_gets_no_key_of_what_is_encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with keyed(monkeypatch) as it, proxy(monkeypatch, "HTTPS_PROXY") as seen:
        it.reach(base_url="https://models.test/v1")
        failure = await it.failure()
    assert seen[0].startswith("CONNECT models.test:443")
    assert KEY not in "".join(seen)
    assert PASSWORD not in str(failure) + repr(failure.__cause__)


async def test_a_proxy_is_asked_where_the_user_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads the key of what is not encrypted, as everybody on the way does."""
    async with keyed(monkeypatch) as it, proxy(monkeypatch, "HTTP_PROXY") as seen:
        it.reach(base_url="http://models.test/v1")
        await it.failure()
        monkeypatch.setenv("NO_PROXY", "models.test")
    assert seen[0].startswith("POST http://models.test/v1/chat/completions")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
async def test_this_machine_is_never_asked_through_a_proxy(
    host: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with keyed(monkeypatch, "openai", says("x")) as it, proxy(monkeypatch, variable) as seen:
        it.reach(base_url=it.server.url.replace("127.0.0.1", host))
        assert (await it.ask()).text == "x"
        it.reach(base_url="http://127.0.0.1:9/v1")
        assert "proxy" not in str(await it.failure())
    assert seen == []


async def test_a_password_of_a_proxy_that_is_none_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"nonsense://user:{PASSWORD}@127.0.0.1:9")
    async with Connections() as connections:
        with pytest.raises(ConfigurationError, match="HTTP_PROXY") as caught:
            await connections.client()
    assert PASSWORD not in str(caught.value) + repr(caught.value.__cause__)


# --- addresses and headers ---------------------------------------------------------------------------------------

ADDRESSES = [f"https://user:{KEY}@models.test/v1", f"https://models.test/v1?key={KEY}", f"https://models.test/#{KEY}"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_with_what_may_be_secret_is_refused_and_not_shown(address: str, tmp_path: Path) -> None:
    file = tmp_path / "agents.yaml"
    file.write_text(f"providers: {{p: {{backend: openai, base_url: '{address}'}}}}")
    for make in (lambda: Endpoint(base_url=address), lambda: load_agents(file)):
        with pytest.raises(ConfigurationError, match="an address has no user, password or query") as caught:
            make()
        assert KEY not in str(caught.value)


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "API-Key", "Cookie", "Proxy-Authorization"])
def test_a_key_among_the_headers_is_refused_and_not_shown(name: str, tmp_path: Path) -> None:
    file = tmp_path / "agents.yaml"
    file.write_text(f"agents: {{'*': {{backend: openai, headers: {{{name}: 'Bearer {KEY}'}}}}}}")
    with pytest.raises(ConfigurationError, match=f"{name}: keys come from the environment only") as caught:
        load_agents(file)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("field", ["api_key", "api_key_env"])
def test_a_key_in_the_place_of_its_variable_is_not_shown(field: str) -> None:
    with pytest.raises(ConfigurationError, match=r"keys come from the environment|not a key") as caught:
        load_agents({"*": {"backend": "openai", field: KEY}})
    assert KEY not in str(caught.value)


@both
async def test_what_an_endpoint_repeats_of_a_request_is_masked(dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gateways that are being debugged show the headers that they got, in one form or another."""
    async with keyed(monkeypatch, dialect) as it:
        for body in (
            f"Authorization: Bearer {KEY}\r\nx-api-key: {KEY}",
            f'{{"error": {{"message": {{"h": "{KEY}"}}}}}}',
        ):
            it.server.script = refuses(400, body=body.encode())
            failure = await it.failure()
            assert "***" in str(failure)
            assert KEY not in str(failure) + repr(failure) + repr(failure.__dict__)
