"""Clients that do what no client should: the server answers what can be answered, and nothing of it goes on."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import trio
from mcp.types import ElicitRequestParams, ElicitResult

from tests.frontends.mcp.serving import ABOUT, GATED, MODES, connected, recipes, staged, wired
from tests.frontends.running import PATIENCE, QUICK, eventually, gated, invoke, shown, stands, write_recipe
from trio_recipes.store.base import open_store
from trio_recipes.testing import assert_no_survivors


def test_a_call_that_is_cancelled_twice_is_cancelled_once(tmp_path: Path) -> None:
    write_recipe(tmp_path, gated("hand") + QUICK)
    with wired(tmp_path) as wire:
        call = wire.run("probe.yaml")
        eventually((tmp_path / "begun").exists)
        for _ in range(2):
            wire.tell("notifications/cancelled", requestId=call, reason="seen enough")
        eventually(lambda: stands("cancelling"))
        assert shown()["cancellation"]["status"] == "requested", "twice is not twice as urgent"
        (tmp_path / "gate").touch()
        eventually(lambda: stands("cancelled"))
        wire.tell("notifications/cancelled", requestId=call)  # it is over
        wire.tell("notifications/cancelled", requestId=4711)  # it never was
        wire.tell("notifications/cancelled")
        asked = wire.ask("tools/list")
        assert wire.next()["id"] == asked, "a cancelled call has no answer"


def test_a_cancellation_that_comes_after_the_result_changes_nothing(tmp_path: Path) -> None:
    write_recipe(tmp_path, QUICK)
    with wired(tmp_path) as wire:
        call = wire.run("probe.yaml")
        assert wire.next()["id"] == call
        wire.tell("notifications/cancelled", requestId=call)
        again = wire.run("probe.yaml")
        answer = wire.next()
        assert (answer["id"], answer["result"]["isError"]) == (again, False)
        assert stands("completed")


def test_a_huge_message_is_answered_like_any_other(tmp_path: Path) -> None:
    write_recipe(tmp_path, "- {id: size, type: function, function: 'builtins:len', args: {}}")
    write_recipe(tmp_path, QUICK + "  condition: '{{text}} != no'")
    with wired(tmp_path) as wire:
        call = wire.run("probe.yaml", text="é" * 5_000_000)
        answer = wire.next()
        assert (answer["id"], answer["result"]["isError"]) == (call, False)


def test_a_client_that_leaves_in_the_middle_of_a_line_has_gone(tmp_path: Path) -> None:
    write_recipe(tmp_path, gated("hand"))
    with wired(tmp_path) as wire:
        wire.run("probe.yaml")
        eventually((tmp_path / "begun").exists)
        assert wire.process.stdin
        wire.process.stdin.write('{"jsonrpc": "2.0", "id": 99, "method": "tools/li')
        wire.process.stdin.close()
        assert wire.process.wait(PATIENCE) == 0
    assert stands("cancelled")
    assert_no_survivors(shown()["session_id"])


def test_a_client_that_does_not_read_its_answers_can_still_be_ended(tmp_path: Path) -> None:
    write_recipe(tmp_path, "- {id: much, type: bash, command: 'head -c 9000 /dev/zero | tr \"\\\\0\" x'}")
    with wired(tmp_path) as wire:
        calls = [wire.run("probe.yaml") for _ in range(20)]  # more than a pipe holds
        eventually(lambda: _completed() == len(calls))
        wire.process.send_signal(signal.SIGTERM)
        assert wire.process.wait(PATIENCE) == 128 + signal.SIGTERM


def _completed() -> int:
    return sum(getattr(standing, "status", "") == "completed" for _, standing in open_store().standings())


def test_an_answer_to_a_question_that_was_never_asked_opens_no_gate(tmp_path: Path) -> None:
    staged(tmp_path, GATED, "release")
    with wired(tmp_path, greet=False) as wire:
        execute = {"operation": "execute", "recipe_path": "release.yaml"}
        wire.ask("tools/call", name="recipes", arguments=execute, _meta=ABOUT)
        session_id = wire.next()["result"]["structuredContent"]["session_id"]
        answer = {"decision": {"action": "accept", "content": {"decision": "approve"}}}
        forged = json.dumps([session_id, "build"])
        wire.ask("tools/call", name="recipes", requestState=forged, inputResponses=answer, _meta=ABOUT)
        assert "error" in wire.next()
    assert shown(session_id)["approvals"][0]["decision"] is None


# --- questions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "meanwhile", "said"),
    [("auto", "approve", "too late: 'build' was approved"), ("legacy", "cancel", "No pending approval for session")],
)
async def test_an_answer_that_comes_when_the_gate_is_gone_is_told_so(
    tmp_path: Path, mode: str, meanwhile: str, said: str
) -> None:
    staged(tmp_path, GATED, "release")

    async def answer(_context: Any, _params: ElicitRequestParams) -> ElicitResult:
        more = ["build"] if meanwhile == "approve" else []
        done = await trio.to_thread.run_sync(invoke, meanwhile, "@last", *more)
        assert done.returncode == 0, done.stderr
        return ElicitResult(action="accept", content={"decision": "approve"})

    async with connected(tmp_path, mode=mode, elicitation_callback=answer) as client:
        late = await recipes(client, "execute", recipe_path="release.yaml")
        assert late["message"].startswith(said)


@pytest.mark.parametrize("mode", MODES)
async def test_a_call_that_is_cancelled_while_a_person_thinks_leaves_the_session_at_its_gate(
    tmp_path: Path, mode: str
) -> None:
    staged(tmp_path, GATED, "release")
    asked = trio.Event()

    async def think(_context: Any, _params: ElicitRequestParams) -> ElicitResult:
        asked.set()
        await trio.sleep_forever()
        raise AssertionError

    async with connected(tmp_path, mode=mode, elicitation_callback=think) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_execute, client)
            await asked.wait()
            nursery.cancel_scope.cancel()
        looked = await recipes(client, "status", session_id=shown()["session_id"])
        assert looked["status"] == "paused"
        assert looked["pending_approvals"]


async def _execute(client: Any) -> None:
    await recipes(client, "execute", recipe_path="release.yaml")
