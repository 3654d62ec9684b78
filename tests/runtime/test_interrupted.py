"""Steps that had started and not finished, and steps that a resume repeats: ``on_interrupt``, ``on_resume``."""

import pytest
from trio.testing import MockClock

from tests.runtime.harness import World, immediate, recipe
from trio_recipes.events import ApprovalDecided, ApprovalRequested, RunEnded, SessionStatus


def deploy(how: str) -> World:
    return World(
        recipe(f"""
steps:
- {{id: build, type: bash, command: b}}
- {{id: deploy, type: bash, command: d, on_interrupt: {how}}}
- {{id: tell, type: bash, command: t}}
""")
    )


async def stopped_in_deploy(how: str) -> World:
    world = deploy(how)
    await world.run((1.5, immediate()))
    return world


@pytest.mark.parametrize(
    ("how", "begun", "status"),
    [
        ("rerun", ["deploy", "tell"], SessionStatus.COMPLETED),
        ("skip", ["tell"], SessionStatus.COMPLETED),
        ("fail", [], SessionStatus.FAILED),
        ("ask", [], SessionStatus.PAUSED),
    ],
)
async def test_what_a_resume_does(how: str, begun: list[str], status: SessionStatus, autojump_clock: MockClock) -> None:
    world = await stopped_in_deploy(how)
    ended = await world.run()
    assert [path for _, path in world.leaves.begun] == begun
    assert ended.status is status


async def test_a_step_that_had_not_started_just_runs(autojump_clock: MockClock) -> None:
    world = deploy("fail")
    await world.run((0.5, immediate()))
    ended = await world.run()
    assert ended.status is SessionStatus.COMPLETED


@pytest.mark.parametrize(("approved", "status"), [(True, SessionStatus.COMPLETED), (False, SessionStatus.DENIED)])
async def test_ask_runs_again_if_approved_and_is_final_if_denied(
    approved: bool, status: SessionStatus, autojump_clock: MockClock
) -> None:
    world = await stopped_in_deploy("ask")
    await world.run()
    (asked,) = world.of(ApprovalRequested)
    assert asked.path == "deploy"
    assert "may have had effects" in asked.prompt
    world.log.emit(ApprovalDecided(path="deploy", approved=approved))
    ended = await world.run()
    assert ended.status is status
    assert ("deploy" in world.leaves.returned) is approved


async def test_each_interruption_is_asked_about_anew(autojump_clock: MockClock) -> None:
    world = await stopped_in_deploy("ask")
    await world.run()
    world.log.emit(ApprovalDecided(path="deploy", approved=True))
    await world.run((0.5, immediate()))
    ended = await world.run()
    assert ended.status is SessionStatus.PAUSED


async def test_on_resume_rerun_repeats_a_finished_step_and_no_other(autojump_clock: MockClock) -> None:
    world = World(
        recipe(
            """
steps:
- {id: once, type: bash, command: o}
- {id: server, type: bash, command: s, on_resume: rerun}
- {id: each, type: bash, command: "{{item}}", foreach: "{{n}}", on_resume: rerun}
- {id: work, type: bash, command: w}
""",
            head="context: {n: [1, 2]}",
        )
    )
    await world.run((4.5, immediate()))
    await world.run()
    assert [path for _, path in world.leaves.begun] == ["server", "each[0]", "each[1]", "work"]
    (ended,) = world.of(RunEnded)
    assert ended.status is SessionStatus.COMPLETED
