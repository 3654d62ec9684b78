"""What programs that called the other engine's tool rely on: keys of results, beginnings of messages, the schema."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.frontends.running import QUICK
from tests.frontends.tool.calling import Caller, calling
from trio_recipes.frontends.tool.schema import PARAMETERS, input_schema

UNKNOWN = "0123456789abcdef-20260101-000000_recipe"
SUMMARY = {"session", "recipe_metadata", "last_step", "final_output", "available_outputs", "full_results_location"}
ROW = {"session_id", "recipe_name", "started", "current_step_index", "completed_steps"}
GATE = {
    "session_id",
    "recipe_name",
    "stage_name",
    "approval_prompt",
    "approval_timeout",
    "approval_requested_at",
    "approval_default",
}


def holds(found: Mapping[str, Any], *names: str, **values: Any) -> Mapping[str, Any]:
    """Check that a result succeeded, and has these keys, some with these values."""
    assert found["success"], found
    assert found.keys() >= {*names, *values}
    assert {name: found[name] for name in values} == values
    return found


async def test_results_have_the_keys_that_they_always_had(project: Path) -> None:
    async with calling(project) as call:
        path = call.recipe(QUICK + "\n- {id: never, type: bash, command: 'true', condition: '1 == 2'}")
        done = holds(await call("execute", recipe_path=path), "session_id", status="completed", recipe="probe")
        assert done["summary"].keys() >= SUMMARY
        assert done["summary"]["skipped_steps"] == ["never"]
        assert done["summary"]["session"].keys() == {"id", "started", "project"}
        assert done["summary"]["recipe_metadata"].keys() == {"name", "version", "description"}
        holds(await call("validate", recipe_path=path), status="valid", recipe="probe", version="1.0.0", warnings=[])
        await a_gate(call)
        listed = holds(await call("list"), count=3)
        assert all(row.keys() >= ROW for row in listed["sessions"])
        started = [row["started"] for row in listed["sessions"]]
        assert started == sorted(started, reverse=True), "newest first"


async def a_gate(call: Caller) -> None:
    """Approve one session and deny another."""
    paused = holds(
        await call("execute", recipe_path=call.staged()),
        "message",
        status="paused_for_approval",
        recipe="staged",
        stage_name="build",
        approval_prompt="Ship it?",
    )
    waiting = holds(await call("approvals"), count=1)
    assert waiting["pending_approvals"][0].keys() >= GATE
    gate = {"session_id": paused["session_id"], "stage_name": "build"}
    holds(await call("approve", **gate), "message", status="approved", approval_message="", **gate)
    done = holds(await call("resume", session_id=paused["session_id"]), status="completed", recipe="staged")
    assert done["summary"]["last_stage"]["name"] == "release"
    gate["session_id"] = (await call("execute", recipe_path="staged.yaml"))["session_id"]
    holds(await call("deny", **gate), "message", status="denied", reason="Denied by user", **gate)


async def test_a_cancellation_says_what_it_always_said(project: Path) -> None:
    async with calling(project) as call:
        for immediate, level in ((False, "graceful"), (True, "immediate")):
            session_id = (await call("execute", recipe_path=call.staged()))["session_id"]
            asked = await call("cancel", session_id=session_id, immediate=immediate)
            holds(asked, "message", "next_steps", "resume_info", status="cancellation_requested", level=level)
            again = await call("cancel", session_id=session_id)
            assert again["message"] == f"Session already cancelled: {session_id}. Use 'resume' to restart."


async def test_messages_begin_as_they_always_did(project: Path) -> None:
    async with calling(project) as call:
        (project / "bad.yaml").write_text("name: bad\nsteps: []\n")
        done = (await call("execute", recipe_path=call.recipe(QUICK)))["session_id"]
        waits = (await call("execute", recipe_path=call.staged()))["session_id"]
        fails = call.recipe("- {id: f, type: bash, command: exit 3}", name="fails")
        gate = {"stage_name": "build"}
        for message, operation, arguments in [
            ("recipe_path is required for execute operation", "execute", {}),
            ("Could not resolve @mention path: @no:such.yaml", "execute", {"recipe_path": "@no:such.yaml"}),
            ("Failed to load recipe: ", "execute", {"recipe_path": "nowhere.yaml"}),
            ("Recipe validation failed", "execute", {"recipe_path": "bad.yaml"}),
            ("Recipe execution failed: ", "execute", {"recipe_path": fails}),
            ("session_id is required", "resume", {}),
            (f"Session not found: {UNKNOWN}", "resume", {"session_id": UNKNOWN}),
            ("recipe_path is required for validate operation", "validate", {}),
            ("Recipe validation failed", "validate", {"recipe_path": "bad.yaml"}),
            ("session_id is required", "approve", gate),
            ("stage_name is required", "approve", {"session_id": waits}),
            (f"Session not found: {UNKNOWN}", "approve", {"session_id": UNKNOWN, **gate}),
            (f"No pending approval for session: {done}", "approve", {"session_id": done, **gate}),
            ("Stage mismatch: pending approval is for 'build', not 'other'", "deny", {"session_id": waits, **gate}),
            ("session_id is required", "cancel", {}),
            (f"Session not found: {UNKNOWN}", "cancel", {"session_id": UNKNOWN}),
            ("Unknown operation: explode", "explode", {}),
        ]:
            given = {**arguments, "stage_name": "other"} if operation == "deny" else arguments
            found = await call(operation, **given)
            assert not found["success"]
            assert found["message"].startswith(message), (operation, found)
            assert found["type"]
            if message == "Recipe validation failed":
                assert found["errors"]
                assert found["warnings"] == []


@pytest.mark.parametrize(
    ("name", "default"), [("context", None), ("message", ""), ("immediate", False), ("reason", None)]
)
def test_defaults(name: str, default: object) -> None:
    assert PARAMETERS[name].get("default") == default


def test_only_the_operation_is_required() -> None:
    assert input_schema(["execute", "cancel"])["required"] == ["operation"]
