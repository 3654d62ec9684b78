"""``show --stuck`` tells, from another process, what each running scope waits for."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from tests.campaign.lab import Lab, Runner, eventually
from tests.campaign.test_resists import stays
from trio_recipes.frontends.cli.waits import stuck_text
from trio_recipes.sessions.stuck import as_json, look_closely

HANGING = """
import threading, trio
async def awaits():
    await trio.sleep_forever()
def blocks():
    threading.Event().wait()
"""


def stuck(lab: Lab, run: Runner) -> dict[str, Any]:
    """What ``show --stuck --json`` prints; without a process for it, but still from another one than the runner's."""
    found: dict[str, Any] = json.loads(
        json.dumps(as_json(look_closely(lab.file(run.session_id), lab.history(run.session_id))))
    )
    return found | {"at": {wait["path"]: wait for wait in found["waits"]}}


def test_every_kind_of_wait_is_told(lab: Lab) -> None:
    """Side by side: a process, a thread, a task, a back-off; and what asked them to stop."""
    (lab.root / "ours.py").write_text(HANGING)
    retry = {"max_attempts": 2, "initial_delay": 600}
    steps: list[dict[str, Any]] = [
        {"id": "process", "type": "bash", "command": "echo hello; kill -STOP $$; sleep 100"},
        {"id": "thread", "type": "function", "function": "ours:blocks"},
        {"id": "task", "type": "function", "function": "ours:awaits"},
        {"id": "backoff", "type": "bash", "command": "exit 1", "retry": retry},
    ]
    run = lab.run(lab.write("waits", steps=steps, schedule="graph"), "--stop-timeout", "0.2")
    eventually(lambda: run.saw("waiting", path="backoff", what="backoff") and run.saw("output", path="process"))
    eventually(lambda: stuck(lab, run)["at"]["process"]["processes"][0]["state"] == "stopped")
    found = stuck(lab, run)
    assert (found["status"], found["answers"]) == ("running", True)
    assert found["runner"]["pid"] == run.process.pid
    at = found["at"]
    assert set(at) == {"process", "thread", "task", "backoff"}

    assert at["process"]["waits_for"] == "its process to end"
    assert "kill -STOP" in at["process"]["processes"][0]["command"]
    assert at["process"]["last_output_at"]
    assert at["thread"]["stack"][-1].endswith("in blocks")
    assert at["thread"]["waits_for"].startswith("the thread of function ours:blocks to end, at ")
    assert at["task"]["stack"][-1].endswith("in awaits")
    assert at["task"]["waits_for"].startswith("function ours:awaits to end, at ")
    assert at["backoff"]["waits_for"] == "its next attempt"
    assert {wait["level"] for wait in found["waits"]} == {"none"}

    printed = json.loads(lab.command("show", run.session_id, "--stuck", "--json").stdout)
    assert [wait["path"] for wait in printed["waits"]] == [wait["path"] for wait in found["waits"]]
    text = lab.command("show", run.session_id, "--stuck").stdout
    assert "process (bash): for " in text
    assert ", stopped: " in text
    lab.cancel(run.session_id)
    eventually(lambda: run.saw("cancel_requested"))
    found = stuck(lab, run)
    assert {wait["level"] for wait in found["waits"]} == {"graceful"}
    assert "backoff" not in found["at"], "a wait that is no work has ended"
    lab.cancel(run.session_id, "--immediate")
    assert run.ended()["status"] == "cancelled"


def test_gates_and_what_is_in_them(lab: Lab) -> None:
    stage = {"name": "ship", "steps": [lab.step("a")], "approval": {"required": True, "prompt": "Go?"}}
    run = lab.run(lab.write("gated", stages=[stage]), "--wait-approval")
    eventually(lambda: run.saw("approval_requested"))
    found = stuck(lab, run)
    assert [wait["waits_for"] for wait in found["waits"]] == ["a person's approval"]
    run.interrupt()
    assert run.ended()["status"] == "cancelled"


@pytest.mark.parametrize("how", ["loop", "stopped"])
def test_a_runner_that_does_not_answer(lab: Lab, how: str) -> None:
    run = lab.run(stays(lab, "keeps_the_loop" if how == "loop" else "shields"))
    eventually((lab.root / "begun").exists)
    if how == "stopped":
        run.signal(signal.SIGSTOP)
    found = stuck(lab, run)
    assert not found["answers"]
    assert found["at"]["stays"]["waits_for"] == "nothing that can be seen from here"
    run.kill()


def test_a_session_that_nobody_runs(lab: Lab) -> None:
    run = lab.run(lab.write("quick", steps=[lab.step("a")]))
    run.ended()
    found = stuck(lab, run)
    assert (found["status"], found["runner"], found["waits"]) == ("completed", None, [])
    assert "nobody runs it" in stuck_text(look_closely(lab.file(run.session_id), lab.history(run.session_id)))
