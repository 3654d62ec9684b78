"""The connections of a runtime: nothing is imported before it is needed, nothing stays open."""

import sys

import pytest
import trio

from tests.agents.http.asking import client
from trio_recipes.agents.http import connections as module
from trio_recipes.agents.http.connections import Connections
from trio_recipes.agents.http.endpoint import Endpoint
from trio_recipes.errors import ConfigurationError
from trio_recipes.testing.model_server import says

LATE = ("httpx2", "h11", "anthropic", "openai")


async def test_backends_import_no_client_before_they_ask() -> None:
    code = (
        "import sys, trio_recipes.agents.backends.openai, trio_recipes.agents.backends.anthropic\n"
        "import trio_recipes.sessions.opening, trio_recipes.agents.load\n"
        f"sys.exit(str([name for name in {LATE} if name in sys.modules] or '') or 0)"
    )
    done = await trio.run_process([sys.executable, "-c", code], check=False, capture_stderr=True)
    assert done.returncode == 0, done.stderr.decode()


async def test_all_who_ask_at_first_share_one_client() -> None:
    found = []

    async def note() -> None:
        found.append(await connections.client())

    async with Connections() as connections:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(note)
        assert len({id(each) for each in found}) == 1
    assert found[0].is_closed


async def test_idle_connections_end_with_their_runtime() -> None:
    async with client(script=says("x")) as it:
        await it.ask()
        assert it.server.connected == 1
        assert it.backend.connections is not None
        await it.backend.connections.__aexit__(None, None, None)
        with trio.fail_after(5):
            await it.server.until(lambda server: server.connected == 0)


async def test_a_missing_client_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    async with Connections() as connections:
        with pytest.raises(ConfigurationError, match=r"trio-recipes\[llm\]"):
            await connections.client()


@pytest.mark.parametrize("base", ["http://h/v1", "http://h/v1/"])
def test_addresses(base: str) -> None:
    assert Endpoint(base_url=base).url("models") == "http://h/v1/models"
