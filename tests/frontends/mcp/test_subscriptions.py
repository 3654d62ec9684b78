"""Clients that want to know when a session's status changes, whoever changes it."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from mcp import Client, MCPError
from mcp.types import TextResourceContents

from tests.frontends.mcp.listening import LISTING, Ear, subscribe, unsubscribe
from tests.frontends.mcp.serving import ABOUT, MODES, connected, recipes, until, wired
from tests.frontends.running import PATIENCE, QUICK, gated, invoke, write_recipe
from trio_recipes.frontends.mcp.calls import Calls
from trio_recipes.frontends.mcp.ending import Ending
from trio_recipes.frontends.mcp.lookout import Lookout
from trio_recipes.frontends.mcp.resources import Resources
from trio_recipes.frontends.mcp.server import make_server
from trio_recipes.frontends.mcp.subscriptions import Subscriptions
from trio_recipes.language.load import load_recipe
from trio_recipes.sessions.manager import SessionManager
from trio_recipes.sessions.opening import open_runtime


async def status(client: Client, uri: str) -> Any:
    """Where a session stands, as its resource says."""
    (content,) = (await client.read_resource(uri, cache_mode="bypass")).contents
    assert isinstance(content, TextResourceContents)
    return json.loads(content.text)["status"]


@pytest.mark.parametrize("mode", MODES)
async def test_a_session_that_the_server_runs(tmp_path: Path, mode: str) -> None:
    write_recipe(tmp_path, gated("hand") + QUICK)
    ear = Ear()
    async with connected(tmp_path, mode=mode, message_handler=ear) as client:
        begun = await recipes(client, "execute", recipe_path="probe.yaml", background=True)
        uri = f"session:///{begun['session_id']}"
        await until((tmp_path / "begun").exists)
        async with ear.open(client, uri):
            assert await status(client, uri) == "running"
            (tmp_path / "gate").touch()
            await ear.hears_of(uri)
            while await status(client, uri) != "completed":
                await ear.hears_of(uri)


@pytest.mark.parametrize("mode", MODES)
async def test_a_session_that_another_process_changes(tmp_path: Path, mode: str) -> None:
    recipe = load_recipe(write_recipe(tmp_path, QUICK))
    session_id, other_id = (SessionManager().create_session(recipe, tmp_path) for _ in range(2))
    uri, other, ear = f"session:///{session_id}", f"session:///{other_id}", Ear()
    async with connected(tmp_path, mode=mode, message_handler=ear) as client:
        async with ear.open(client, uri, other):
            await trio.to_thread.run_sync(invoke, "resume", session_id)
            while await status(client, uri) != "completed":
                await ear.hears_of(uri)
        if mode == "legacy":  # it has said that it wants to hear no more
            await subscribe(client, other)
            assert SessionManager(auto_cleanup_days=0).cleanup_old_sessions(tmp_path) == 1
            await trio.to_thread.run_sync(invoke, "cancel", other_id)
            await ear.hears_of(other)
            assert uri not in ear.heard


async def test_the_list_and_what_is_not_there_yet(tmp_path: Path) -> None:
    recipe = load_recipe(write_recipe(tmp_path, QUICK))
    ear = Ear()
    async with (
        connected(tmp_path, message_handler=ear) as client,
        ear.open(client, "recipe:///later.yaml", "nonsense", listing=True),
    ):
        capabilities = client.server_capabilities
        assert capabilities.resources
        assert capabilities.resources.subscribe
        assert capabilities.resources.list_changed
        SessionManager().create_session(recipe, tmp_path)
        await ear.hears_of(LISTING)
        write_recipe(tmp_path, QUICK, name="later")
        await ear.hears_of("recipe:///later.yaml")
        await ear.hears_of(LISTING)


async def test_what_can_not_be_subscribed_to(tmp_path: Path) -> None:
    write_recipe(tmp_path, QUICK)
    async with connected(tmp_path, mode="legacy") as client:
        for uri in ("session:///0123456789", "recipe:///nowhere.yaml", "recipe:///..%2Fprobe.yaml", "file:///etc", ""):
            with pytest.raises(MCPError, match="there is no resource"):
                await subscribe(client, uri)
        await subscribe(client, "recipe:///probe.yaml")
        await subscribe(client, "recipe:///probe.yaml")
        await unsubscribe(client, "recipe:///probe.yaml")
        await unsubscribe(client, "recipe:///probe.yaml")


def test_a_stream_of_changes_is_closed_before_the_server_ends(tmp_path: Path) -> None:
    write_recipe(tmp_path, QUICK)
    wanted = {"resourceSubscriptions": ["recipe:///probe.yaml"]}
    with wired(tmp_path, greet=False) as wire:
        asked = wire.ask("subscriptions/listen", notifications=wanted, _meta=ABOUT)
        assert wire.next()["method"] == "notifications/subscriptions/acknowledged"
        assert wire.process.stdin
        wire.process.stdin.close()
        assert wire.next()["id"] == asked
        assert wire.process.wait(PATIENCE) == 0


# --- in one process --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def served(project: Path) -> AsyncGenerator[tuple[Any, Lookout]]:
    """A server in this process, and its lookout."""
    async with open_runtime(project=str(project)) as runtime, trio.open_nursery() as nursery:
        lookout = Lookout(runtime)
        subscriptions = Subscriptions(lookout, nursery)
        ending = Ending(runtime, subscriptions.close)
        calls = Calls(ending, nursery, allow_approve=False, grace=None)
        nursery.start_soon(lookout.run)
        yield make_server(calls, Resources(runtime), subscriptions, ending.answers), lookout
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("mode", MODES)
async def test_nothing_is_looked_at_for_a_client_that_has_gone(tmp_path: Path, mode: str) -> None:
    write_recipe(tmp_path, QUICK)
    uri, ear = "recipe:///probe.yaml", Ear()
    async with served(tmp_path) as (server, lookout):
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as client_lives:
                async with Client(server, mode=mode, message_handler=ear) as client, ear.open(client, uri):
                    assert lookout.knows(uri)
                    client_lives.cancel()
                    await trio.sleep_forever()
            nursery.cancel_scope.cancel()
        await until(lambda: not lookout.knows(uri))


async def test_there_is_a_limit(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, _), Client(server) as client:
        many = [f"session:///{number:016x}" for number in range(101)]
        with pytest.raises(MCPError, match="too many resources"):
            async with client.listen(resource_subscriptions=many):
                pass
        async with client.listen(resource_subscriptions=many[:100]):
            pass
        async with client.listen(resource_subscriptions=many[:100]):
            pass
