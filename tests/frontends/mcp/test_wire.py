"""The server over pipes: calls, progress, questions, cancellation, and how it ends."""

import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from mcp import Client, MCPError
from mcp.types import TextResourceContents

from tests.frontends.mcp.serving import GATED, MODES, Person, Progress, connected, recipes, staged, until, wired
from tests.frontends.running import (
    DEAF,
    PATIENCE,
    QUICK,
    eventually,
    gated,
    invoke,
    shown,
    spawned,
    stands,
    write_recipe,
)
from trio_recipes.errors import RecipesError
from trio_recipes.language.load import load_recipe
from trio_recipes.sessions.history import read_history
from trio_recipes.sessions.manager import SessionManager
from trio_recipes.store.base import open_store
from trio_recipes.testing import assert_no_survivors


async def read(client: Client, uri: str) -> Any:
    """A resource's JSON."""
    (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    return json.loads(content.text)


@pytest.mark.parametrize("mode", MODES)
async def test_what_a_client_does_over_pipes(tmp_path: Path, mode: str) -> None:
    """All with one server, since starting one takes a second."""
    person, progress = Person(content={"decision": "approve", "message": "go ahead"}), Progress()
    async with connected(tmp_path, mode=mode, elicitation_callback=person) as client:
        await a_person_decides(client, tmp_path, person, progress)
        # Before 2026 the answer comes within the call, so progress has to go on growing.
        told = [(count, total) for count, total, _ in progress.told]
        assert told == [(0, 2), (1, 2), (2, 2)] if mode == "legacy" else told[-1] == (2, 2)
        await cancelling_a_call_is_graceful(client, tmp_path)


async def a_person_decides(client: Client, tmp_path: Path, person: Person, progress: Progress) -> None:
    staged(tmp_path, GATED, "release")
    staged(tmp_path, GATED.replace("required: true", "required: true, by: human"), "human")
    (tool,) = (await client.list_tools()).tools
    assert not {"approve", "deny"} & {*tool.input_schema["properties"]["operation"]["enum"]}

    done = await recipes(client, "execute", recipe_path="release.yaml", progress=progress)
    assert (done["status"], done["summary"]["final_output"]) == ("completed", "go ahead\n")
    assert person.asked == ["build: Publish made\n?"]
    assert progress.told[0][2] == f"session {done['session_id']}"
    (gate,) = shown(done["session_id"])["approvals"]
    assert (gate["decision"]["via"], gate["decision"]["by"]) == ("mcp", "a person at mcp")

    person.content = {"decision": "deny", "message": "not today"}
    denied = await recipes(client, "execute", recipe_path="release.yaml")
    assert (denied["status"], denied["reason"]) == ("denied", "not today")
    assert stands("denied", denied["session_id"])

    person.action = "decline"  # closes the form: nothing is decided
    left = await recipes(client, "execute", recipe_path="release.yaml")
    assert left["status"] == "paused"
    assert stands("paused", left["session_id"])

    waiting = await recipes(client, "execute", recipe_path="human.yaml")
    assert (waiting["status"], len(person.asked)) == ("paused_for_approval", 3), "people decide at another door"
    assert f"trio-recipes approve {waiting['session_id']} build" in waiting["message"]
    refused = await recipes(client, "approve", session_id=waiting["session_id"], stage_name="build")
    assert "a person decides" in refused["message"]


async def _cancel_once(condition: Callable[[], object], scope: trio.CancelScope) -> None:
    await until(condition)
    scope.cancel()


async def cancelling_a_call_is_graceful(client: Client, tmp_path: Path) -> None:
    write_recipe(tmp_path, gated("hand") + QUICK)
    begun = tmp_path / "begun"
    with trio.move_on_after(PATIENCE) as call:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_once, begun.exists, call)
            await recipes(client, "execute", recipe_path="probe.yaml")
    assert call.cancelled_caught
    await until(lambda: stands("cancelling"))
    cancellation = shown()["cancellation"]
    assert (cancellation["status"], cancellation["source"]) == ("requested", "tool")
    (tmp_path / "gate").touch()  # the step in hand is let finish
    await until(lambda: stands("cancelled"))
    assert [node["status"] for node in shown()["nodes"]] == ["completed"]
    resumed = await recipes(client, "resume", session_id=shown()["session_id"])
    assert resumed["summary"]["final_output"] == "quickly\n"


async def test_what_is_read_runs_nothing_and_what_runs_imports_nothing(tmp_path: Path) -> None:
    staged(tmp_path, GATED.replace("echo made", "touch ran"), "release")
    (tmp_path / "wrong.yaml").write_text("name: wrong\nversion: 1.0.0\nsteps: [{id: a, typ: bash}]\n")
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere.yaml"
    elsewhere.write_text((tmp_path / "release.yaml").read_text())
    (tmp_path / "link.yaml").symlink_to(elsewhere)
    session_id = SessionManager().create_session(load_recipe(tmp_path / "release.yaml"), tmp_path)
    write_recipe(tmp_path, "- {id: where, type: function, function: 'os:getcwd'}", name="imports")
    (tmp_path / "mcp.py").write_text("raise SystemExit('the project is not the SDK')")
    async with connected(tmp_path, "--allow-approve") as client:
        listed = [resource.uri for resource in (await client.list_resources()).resources]
        assert listed == [
            "recipe:///imports.yaml",
            "recipe:///release.yaml",
            "recipe:///wrong.yaml",
            f"session:///{session_id}",
        ]
        release = await read(client, "recipe:///release.yaml")
        assert release["valid"]
        assert release["stages"][0]["approval"] == "approval, Publish {{made}}?"
        wrong = await read(client, "recipe:///wrong.yaml")
        assert "typ" in "".join(wrong["problems"])
        assert (await read(client, f"session:///{session_id}"))["status"] == "created"
        for uri in (
            "recipe:///link.yaml",
            f"recipe:///..%2F{elsewhere.name}",
            "recipe:///%00.yaml",
            "session:///0123456789",
            "file:///etc",
        ):
            with pytest.raises(MCPError):
                await read(client, uri)
        assert not (tmp_path / "ran").exists()

        refused = await recipes(client, "execute", recipe_path="imports.yaml")
        assert "os:getcwd" in refused["message"]
        waiting = await recipes(client, "resume", session_id=session_id)
        assert (waiting["status"], waiting["stage_name"]) == ("paused_for_approval", "build")
        gate = {"session_id": session_id, "stage_name": "build"}
        assert (await recipes(client, "approve", **gate, message="ok"))["status"] == "approved"
        done = await recipes(client, "resume", session_id=session_id)
        assert done["summary"]["final_output"] == "ok\n"


# --- how it ends -----------------------------------------------------------------------------------------------------

_SLOW = DEAF.rstrip() + "\n  kill_grace: 0.2\n" + QUICK

_CLIENT = """
import os, sys, trio
from mcp import Client, StdioServerParameters
async def main():
    server = StdioServerParameters(command=sys.executable, args=["-m", "trio_recipes", "mcp"], env=dict(os.environ))
    async with Client(server) as client:
        await client.call_tool("recipes", {"operation": "execute", "recipe_path": "probe.yaml"})
trio.run(main)
"""


def test_a_signal_ends_the_server_and_its_sessions(tmp_path: Path) -> None:
    write_recipe(tmp_path, _SLOW)
    with wired(tmp_path) as wire:
        call = wire.run("probe.yaml")
        eventually(deaf_runs)
        sent = time.monotonic()
        wire.process.send_signal(signal.SIGTERM)
        answer = wire.next()
        assert (answer["id"], "CancellationRequestedError" in json.dumps(answer)) == (call, True)
        assert wire.process.wait(PATIENCE) == 128 + signal.SIGTERM
        assert time.monotonic() - sent < 5
    assert_stopped("SIGTERM", "signal")


def test_a_client_that_is_killed_takes_its_sessions_along(tmp_path: Path) -> None:
    write_recipe(tmp_path, _SLOW)
    with spawned([sys.executable, "-c", _CLIENT], cwd=tmp_path) as client:
        eventually(deaf_runs)
        client.kill()
        eventually(lambda: stands("cancelled"))
    assert_stopped("the MCP client has gone", "host")
    assert invoke("resume", "@last", "--plan", cwd=tmp_path).returncode == 0


def test_a_client_that_stops_reading_has_gone_even_if_it_could_still_write(tmp_path: Path) -> None:
    write_recipe(tmp_path, _SLOW)
    with wired(tmp_path) as wire:
        wire.run("probe.yaml")
        eventually(deaf_runs)
        assert wire.process.stdout
        wire.process.stdout.close()
        assert wire.process.wait(PATIENCE) == 0
    assert_stopped("the MCP client has gone", "host")


def test_noise_harms_no_call(tmp_path: Path) -> None:
    write_recipe(tmp_path, QUICK)
    with wired(tmp_path) as wire:
        assert wire.process.stdin
        for noise in ("noise", "", "[]", "null", "{}", "[" * 100_000, '{"jsonrpc": "2.0", "id": {}, "method": "ping"}'):
            wire.process.stdin.write(f"{noise}\n")
        call = wire.run("probe.yaml")
        assert wire.next()["id"] == call
        cut = wire.ask("tools/call", name="recipes", arguments={"operation": "status", "session_id": "\ud83d"})
        answer = wire.next()
        assert (answer["id"], answer["result"]["isError"]) == (cut, True)
        wire.process.stdin.write('{"jsonrpc": "2.0", "id": 7, "met')  # its last words
        wire.process.stdin.close()
        assert wire.process.wait(PATIENCE) == 0


def test_two_servers_share_a_store(tmp_path: Path) -> None:
    write_recipe(tmp_path, _SLOW)
    with wired(tmp_path) as one, wired(tmp_path) as other:
        call = one.run("probe.yaml")
        eventually(deaf_runs)
        session_id = shown()["session_id"]
        for operation, said in (("resume", "SessionBusyError"), ("cancel", "graceful"), ("cancel", "immediate")):
            arguments = {"operation": operation, "session_id": session_id}
            other.ask("tools/call", name="recipes", arguments=arguments)
            assert said in json.dumps(other.next())
        ended = one.next()
        assert (ended["id"], ended["result"]["isError"]) == (call, True)
        assert "CancellationRequestedError" in json.dumps(ended)
    assert_no_survivors(session_id)


def test_a_second_call_to_end_waits_for_no_kill_grace(tmp_path: Path) -> None:
    write_recipe(tmp_path, DEAF.rstrip() + "\n  kill_grace: 60\n")
    with wired(tmp_path) as wire:
        wire.run("probe.yaml")
        eventually(deaf_runs)
        assert wire.process.stdin
        wire.process.stdin.close()
        eventually(lambda: stands("cancelling"))
        wire.process.send_signal(signal.SIGTERM)  # as the SDK's client does after two seconds
        assert wire.process.wait(5) == 128 + signal.SIGTERM
    assert_stopped("the MCP client has gone", "host")


def assert_stopped(reason: str, source: str) -> None:
    """The last session was cancelled at once, and nothing of it runs."""
    last = shown()
    assert_no_survivors(last["session_id"])
    cancellation = last["cancellation"]
    assert (last["status"], cancellation["was_immediate"]) == ("cancelled", True)
    assert (cancellation["reason"], cancellation["source"]) == (reason, source)


def deaf_runs() -> bool:
    """Whether the step that ignores SIGTERM does so by now."""
    try:
        history = read_history(open_store(create=False).file(open_store(create=False).resolve("@last")))
    except RecipesError:
        return False
    record = history.progress.records.get("deaf")
    return record is not None and b"ready" in record.output("stdout")


def test_nothing_but_protocol_reaches_standard_output(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(
        "import os, subprocess\ndef shout():\n    print('printed', flush=True)\n    os.write(1, b'written\\n')\n"
        "    subprocess.run(['echo', 'echoed'])\n    return os.read(0, 10).decode()\n"
    )
    write_recipe(tmp_path, "- {id: shout, type: function, function: 'loud:shout'}")
    with wired(tmp_path, "--import-functions") as wire:
        asked = wire.run("probe.yaml")
        answer = wire.next()
        assert (answer["id"], answer["result"]["isError"]) == (asked, False)
        assert answer["result"]["structuredContent"]["summary"]["final_output"] == ""
        assert wire.process.stdin
        assert wire.process.stdout
        last = {wire.ask("tools/list"), wire.ask("resources/list")}
        wire.process.stdin.close()
        assert {wire.next()["id"], wire.next()["id"]} == last, "what was asked before the end is answered"
        assert wire.process.stdout.read() == ""
        assert wire.process.wait(PATIENCE) == 0
