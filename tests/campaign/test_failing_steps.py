"""``timeout``, ``retry`` and ``on_error`` on every kind of step, through real processes."""

from __future__ import annotations

import pytest

from tests.campaign.lab import Lab, bash, takes_less_than
from trio_recipes.events import ScopeFinished

pytestmark = pytest.mark.slow


def test_continue_covers_a_timeout(lab: Lab) -> None:
    late = bash("late", "sleep 300 & sleep 300", timeout=1, on_error="continue", output="late")
    runner = lab.run(lab.write("late", steps=[late, lab.step("b")]))
    with takes_less_than(8):
        assert runner.ended()["status"] == "completed"
    assert lab.context(runner.session_id)["late"] is None


def test_retry_holds_for_bash_steps(lab: Lab) -> None:
    flaky = lab.step("flaky", retry={"max_attempts": 3, "initial_delay": 0.01})
    flaky["command"] += '; [ "$TRIO_RECIPES_ATTEMPT" = 3 ]'
    assert lab.run(lab.write("flaky", steps=[flaky])).ended()["status"] == "completed"
    assert lab.executions() == {"flaky": 3}
    assert len({entry.key for entry in lab.ledger()}) == 1  # one idempotency key for all attempts


def test_retry_holds_for_recipe_steps(lab: Lab) -> None:
    flaky = lab.step("a")
    flaky["command"] += f"; [ -e {lab.root}/second ] || {{ touch {lab.root}/second; exit 1; }}"
    lab.write("sub", steps=[flaky])
    retry = {"max_attempts": 2, "initial_delay": 0.01}
    call = {"id": "call", "type": "recipe", "recipe": "sub.yaml", "retry": retry}
    assert lab.run(lab.write("caller", steps=[call])).ended()["status"] == "completed"
    assert lab.executions() == {"a": 2}


@pytest.mark.parametrize("on_error", ["fail", "continue"])
def test_a_timeout_holds_for_recipe_steps(lab: Lab, on_error: str) -> None:
    lab.write("sub", steps=[bash("nap", "sleep 300")])
    call = {
        "id": "call",
        "type": "recipe",
        "recipe": "sub.yaml",
        "timeout": 1,
        "on_error": on_error,
        "output": "called",
    }
    runner = lab.run(lab.write("caller", steps=[call, lab.step("after")]))
    last = runner.ended()
    assert last["status"] == ("completed" if on_error == "continue" else "failed")
    timeouts = [e.failure for e in lab.events(runner.session_id) if isinstance(e, ScopeFinished) and e.path == "call"]
    assert [str(failure.kind) for failure in timeouts if failure] == ["timeout"]
