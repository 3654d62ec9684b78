"""Section 10, and what section 12 adds to it: approval."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.conformance.claims import bash, flat, staged
from trio_recipes import ApprovalGatePausedError, Runtime, SessionResult, open_runtime
from trio_recipes.errors import SessionError, SessionFinishedError


def gate(**approval: object) -> str:
    fields = {"required": "true", "prompt": "'ship {{built}}?'"} | approval
    rules = ", ".join(f"{key}: {value}" for key, value in fields.items())
    return (
        f"- name: build\n  approval: {{{rules}}}\n  steps:\n    {bash('b', 'echo it', output='built')}"
        "- name: ship\n  steps:\n"
        "    - {id: s, type: bash, command: \"echo '{{_approval_message}}' >> ran\", output: o}\n"
    )


@asynccontextmanager
async def paused(folder: Path, text: str) -> AsyncGenerator[tuple[Runtime, SessionResult]]:
    """A session that waits at a gate."""
    (folder / "claim.yaml").write_text(text)
    async with open_runtime(store=str(folder / ".store"), project=folder, durability="process") as runtime:
        result = await (await runtime.start(folder / "claim.yaml")).wait()
        assert str(result.status) == "paused", result
        yield runtime, result


def ran(folder: Path) -> list[str]:
    file = folder / "ran"
    return file.read_text().split() if file.exists() else []


async def test_it_pauses_after_the_last_step_and_tells_where_and_what_is_asked(tmp_path: Path) -> None:
    async with paused(tmp_path, staged(gate())) as (_, result):
        with pytest.raises(ApprovalGatePausedError) as told:
            result.unwrap()
        asked = (told.value.session_id, told.value.stage_name, told.value.approval_prompt)
        assert asked == (result.session_id, "build", "ship it\n?")
        assert ran(tmp_path) == []


async def test_approved_it_goes_on_with_the_message(tmp_path: Path) -> None:
    async with paused(tmp_path, staged(gate())) as (runtime, result):
        await runtime.approve(result.session_id, "build", "well-done")
        assert ran(tmp_path) == []  # approving does not continue the run
        assert str((await (await runtime.resume(result.session_id)).wait()).status) == "completed"
    assert ran(tmp_path) == ["well-done"]


async def test_denied_it_fails_for_good(tmp_path: Path) -> None:
    async with paused(tmp_path, staged(gate())) as (runtime, result):
        await runtime.deny(result.session_id, "build", "not yet")
        with pytest.raises(SessionFinishedError):
            await runtime.resume(result.session_id)
        (standing,) = [found for name, found in await runtime.list() if name == result.session_id]
        assert str(getattr(standing, "status")) == "denied"  # noqa: B009
    assert ran(tmp_path) == []


async def test_a_decision_that_comes_too_late_is_refused(tmp_path: Path) -> None:
    async with paused(tmp_path, staged(gate())) as (runtime, result):
        await runtime.approve(result.session_id, "build")
        with pytest.raises(SessionError):
            await runtime.deny(result.session_id, "build")
        with pytest.raises(SessionError):
            await runtime.approve(result.session_id, "nothing")


async def test_by_human_refuses_tools_and_what_was_decided_can_be_read(tmp_path: Path) -> None:
    text = staged(
        gate(by="human").replace("{{_approval_message}}", "{{_approval.decision}}-{{_approval.by}}-{{_approval.via}}")
    )
    async with paused(tmp_path, text) as (runtime, result):
        with pytest.raises(SessionError):
            await runtime.approve(result.session_id, "build", via="tool", by="a-model")
        await runtime.approve(result.session_id, "build", via="user", by="Ada")
        await (await runtime.resume(result.session_id)).wait()
    assert ran(tmp_path) == ["approved-Ada-user"]


@pytest.mark.parametrize(("default", "status"), [("approve", "completed"), ("deny", "denied")])
async def test_after_its_timeout_the_default_applies_at_the_next_look(
    tmp_path: Path, default: str, status: str
) -> None:
    async with paused(tmp_path, staged(gate(timeout="0.3", default=default))) as (runtime, result):
        await trio.sleep(0.3)
        try:
            again = str((await (await runtime.resume(result.session_id)).wait()).status)
        except SessionFinishedError:
            again = "denied"
        assert again == status


async def test_a_gate_in_a_sub_recipe_is_answered_at_the_root(tmp_path: Path) -> None:
    (tmp_path / "sub.yaml").write_text(staged(gate()))
    text = flat("- {id: first, type: bash, command: 'true'}\n- {id: call, type: recipe, recipe: sub.yaml, output: got}")
    async with paused(tmp_path, text) as (runtime, result):
        with pytest.raises(ApprovalGatePausedError) as told:
            result.unwrap()
        await runtime.approve(result.session_id, told.value.stage_name, "yes")
        done = await (await runtime.resume(result.session_id)).wait()
        got: Any = done.context["got"]
        assert got["built"] == "it\n"
    assert ran(tmp_path) == ["yes"]


async def test_a_path_tells_gates_of_the_same_name_apart(tmp_path: Path) -> None:
    (tmp_path / "sub.yaml").write_text(staged(gate()))
    call = "- {id: call, type: recipe, recipe: sub.yaml, foreach: '{{l}}', parallel: true}"
    text = flat(call, "context: {l: [1, 2]}")
    async with paused(tmp_path, text) as (runtime, result):
        with pytest.raises(SessionError, match=r"call\[0\]/build.*call\[1\]/build"):
            await runtime.approve(result.session_id, "build")
        await runtime.approve(result.session_id, "call[0]/build", "one")
        await runtime.approve(result.session_id, "call[1]/build", "two")
        await (await runtime.resume(result.session_id)).wait()
    assert sorted(ran(tmp_path)) == ["one", "two"]
