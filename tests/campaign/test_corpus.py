"""Recipes that others wrote run to their end, and are stopped and resumed without a trace of it in their results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field

from tests.campaign.lab import Lab
from trio_recipes import AgentRequest, Session, SessionResult, SessionStatus
from trio_recipes.testing import ScriptedAgent, assert_no_survivors

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"

GIVEN: dict[str, dict[str, Any]] = {
    "bash-step-example": {"project_name": "corpus"},
    "code-review-recipe": {"file_path": "src/auth.py"},
    "comprehensive-review": {"file_path": "src/auth.py"},
    "conditional-workflow": {"input_data": "a complex dataset"},
    "multi-file-analysis": {"files": [f"src/{name}.py" for name in "abcdefg"]},
    "parallel-analysis-recipe": {"file_path": "src/auth.py"},
    "security-audit-recipe": {"file_path": "src/auth.py"},
    "simple-analysis-recipe": {"file_path": "src/auth.py"},
    "test-foreach": {},
    "test-generation-recipe": {"file_path": "src/auth.py"},
    "test-parse-json": {},
    "ultra-minimal-test": {},
}
"""The recipes without approval gates, and the variables that they require."""

ANSWERS = {
    "classify": "complex",
    "assess-severity": "high",
    "json-step": 'Here it is:\n```json\n{"input": "example", "length": 7, "type": "string"}\n```\nAs asked.',
}
"""What steps must answer for their recipe to go on; all others answer with the name of their scope."""

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is no part of the project")
recipes = pytest.mark.parametrize("name", GIVEN)


@define(eq=False)
class Script:
    """Answers every step; on request, stops the session from within the n-th answer.

    Args:
        stop_at: which answer stops it; 0 for none.
        immediate: how.
    """

    stop_at: int = 0
    immediate: bool = False
    session: Session | None = None
    paths: list[str] = field(factory=list)

    async def answer(self, request: AgentRequest) -> str:
        """An answer that depends on the request's place only."""
        self.paths.append(request.path)
        stops = len(self.paths) == self.stop_at
        await trio.lowlevel.checkpoint()
        if stops:
            assert self.session is not None
            self.session.cancel("in the middle", immediate=self.immediate)
            await trio.lowlevel.checkpoint()
        return ANSWERS.get(request.step_id, f"answer at {request.path}")


async def run(lab: Lab, name: str, script: Script, session_id: str = "") -> SessionResult:
    """Run one of the recipes, or resume it."""
    agents = ScriptedAgent(script.answer)
    async with lab.runtime(agents=agents) as runtime:
        start = runtime.resume(session_id) if session_id else runtime.start(CORPUS / f"{name}.yaml", GIVEN[name])
        script.session = await start
        result = await script.session.wait()
    assert_no_survivors(result.session_id)
    return result


@recipes
async def test_it_runs_to_its_end(lab: Lab, name: str) -> None:
    context = (await run(lab, name, Script())).unwrap()
    assert context.items() >= GIVEN[name].items()
    assert None not in context.values()


@recipes
@pytest.mark.parametrize("immediate", [False, True], ids=["graceful", "immediate"])
async def test_stopped_in_the_middle_and_resumed_it_gives_the_same(lab: Lab, name: str, immediate: bool) -> None:
    whole = Script()
    expected = (await run(lab, name, whole)).unwrap()
    if len(whole.paths) < 2:
        return  # one agent step, or bash only: there is no middle that an agent could stop
    script = Script(len(whole.paths) // 2, immediate)
    stopped = await run(lab, name, script)
    assert str(stopped.status) == "cancelled"
    rest = Script()
    resumed = await run(lab, name, rest, stopped.session_id)
    assert resumed.unwrap() == expected
    assert set(script.paths) | set(rest.paths) == set(whole.paths)
    again = set(script.paths) & set(rest.paths)
    assert bool(again) is immediate  # what was in flight, and never what had finished


async def test_a_recipe_of_bash_steps_is_stopped_and_resumed(lab: Lab) -> None:
    name = "bash-step-example"
    async with lab.runtime() as runtime:
        session = await runtime.start(CORPUS / f"{name}.yaml", GIVEN[name])
        async for stamped in session.events():
            if stamped.event.name == "scope_finished" and stamped.event.path == "simple-echo":
                session.cancel(immediate=True)
    assert str((await session.wait()).status) == "cancelled"
    context = (await run(lab, name, Script(), session.id)).unwrap()
    assert "Success: Directory check passed!" in str(context["final_summary"])


async def test_the_upgrade_recipe_is_approved_stage_by_stage(lab: Lab) -> None:
    agent = ScriptedAgent(lambda request: f"answer of {request.path}")
    async with lab.runtime(agents=agent) as runtime:
        session = await runtime.start(CORPUS / "dependency-upgrade-staged-recipe.yaml", {"project_path": "src"})
        result = await session.wait()
        passed = []
        while result.status is SessionStatus.PAUSED:
            assert result.gate is not None
            passed.append(result.gate.asked.stage)
            assert "answer of" in result.gate.asked.prompt
            await runtime.approve(result.session_id, passed[-1], f"to {passed[-1]}")
            result = await (await runtime.resume(result.session_id)).wait()
    assert result.status is SessionStatus.COMPLETED
    assert passed == ["validation", "phase-1-security", "phase-2-minor", "phase-3-major"]
    assert agent.started == 6
    assert result.final_output == "answer of phase-3-major/generate-phase3-commands"
