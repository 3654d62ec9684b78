"""``cancel`` from another terminal: every level, every answer, and how light it is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.frontends.running import (
    PATIENCE,
    PROGRAM,
    QUICK,
    environment,
    eventually,
    gated,
    invoke,
    running,
    shown,
    spawned,
    stands,
    write_recipe,
)
from trio_recipes.frontends.cli.main import main
from trio_recipes.testing import assert_no_survivors

BRANCHES = """
- id: fan
  foreach: "{{items}}"
  parallel: true
  on_error: continue
  type: bash
  command: until test -e gate-{{item}}; do sleep 0.02; done; echo {{item}}
  collect: results
"""
ITEMS = "context: {items: [a, b]}"


def test_gracefully_it_finishes_the_step_in_hand(tmp_path: Path) -> None:
    with running("run", write_recipe(tmp_path, gated("wait") + QUICK), cwd=tmp_path) as run:
        run.until("scope_started", path="wait")
        done = invoke("cancel", run.session_id, "--reason", "lunch")
        assert done.returncode == 0
        assert "steps in hand are finished" in done.stdout
        assert f"trio-recipes resume {run.session_id}" in done.stdout
        run.until("cancel_requested")
        view = shown(run.session_id)
        assert (view["status"], view["cancellation"]["status"]) == ("cancelling", "requested")
        (tmp_path / "gate").touch()
        assert run.end()["status"] == "cancelled"
        assert run.code == 4
    cancellation = shown(run.session_id)["cancellation"]
    assert (cancellation["status"], cancellation["was_immediate"]) == ("cancelled", False)
    assert (cancellation["reason"], cancellation["source"]) == ("lunch", "user")
    assert cancellation["cancelled_at_step"] == "quick"
    again = invoke("cancel", run.session_id)
    assert again.returncode == 0
    assert "is cancelled already" in again.stdout


def test_immediately_it_stops_what_is_in_flight(tmp_path: Path) -> None:
    with running("run", write_recipe(tmp_path, gated("wait")), cwd=tmp_path) as run:
        run.until("scope_started", path="wait")
        done = invoke("cancel", run.session_id[:6], "--immediate", "--wait")
        assert done.returncode == 0
        assert f"{run.session_id} is cancelled at wait after " in done.stdout
        assert_no_survivors(run.session_id)
        assert run.code == 4


def test_asked_twice_it_means_now(tmp_path: Path) -> None:
    with running("run", write_recipe(tmp_path, gated("wait")), cwd=tmp_path) as run:
        run.until("scope_started", path="wait")
        assert "cancel again to stop now" in invoke("cancel", "@last").stdout
        assert "stopping now" in invoke("cancel", "@last").stdout
        assert run.end()["cancellation"]["level"] == "immediate"


def test_a_grace_period_ends_what_takes_longer(tmp_path: Path) -> None:
    with running("run", write_recipe(tmp_path, gated("wait")), cwd=tmp_path) as run:
        run.until("scope_started", path="wait")
        done = invoke("cancel", "@last", "--grace", "0.1", "--wait")
        assert "for at most 0.1 s" in done.stdout
        assert "is cancelled at wait" in done.stdout
        assert run.code == 4


def test_a_part_stops_and_the_rest_lives_on(tmp_path: Path) -> None:
    with running("run", write_recipe(tmp_path, BRANCHES, head=ITEMS), cwd=tmp_path) as run:
        run.until("scope_started", path="fan[1]")
        done = invoke("cancel", "@last", "--at", "fan[0]", "--immediate", "--wait")
        assert done.returncode == 0
        assert "fan[0] has stopped after " in done.stdout
        (tmp_path / "gate-b").touch()
        assert run.end()["status"] == "completed"
        assert run.code == 0
    assert shown()["context"]["results"] == [None, "b\n"]


IMPOSSIBLE = {
    "qiuck": "did you mean 'quick'?",
    "quick/below": "nothing stands below",
    "quick[0]": "'quick' is no loop",
    "../x": "no path",
}


def test_a_part_that_can_not_be_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with running("run", write_recipe(tmp_path, gated("wait") + QUICK), cwd=tmp_path) as run:
        run.until("scope_started", path="wait")
        for path, problem in IMPOSSIBLE.items():
            assert main(["cancel", run.session_id, "--at", path]) == 2
            assert problem in capfd.readouterr().err
        assert shown(run.session_id)["status"] == "running"


def test_a_part_that_has_not_begun_never_runs(tmp_path: Path) -> None:
    steps = gated("wait") + "- {id: later, type: bash, command: touch ran, on_error: continue}\n" + QUICK
    with running("run", write_recipe(tmp_path, steps), cwd=tmp_path) as run:
        run.until("scope_started", path="wait")
        assert invoke("cancel", run.session_id, "--at", "later").returncode == 0
        run.until("cancel_requested")
        (tmp_path / "gate").touch()
        assert run.end()["status"] == "completed"
    assert not (tmp_path / "ran").exists()


def test_too_late_is_exit_code_5(tmp_path: Path) -> None:
    assert invoke("run", write_recipe(tmp_path, QUICK), cwd=tmp_path).returncode == 0
    done = invoke("cancel", "@last")
    assert done.returncode == 5
    assert "too late" in done.stdout


def test_waiting_tells_when_the_request_came_too_late(tmp_path: Path) -> None:
    with running("run", write_recipe(tmp_path, gated("wait")), cwd=tmp_path) as run:
        run.until("scope_started", path="wait")
        with spawned([*PROGRAM, "cancel", "@last", "--wait"], stdout=subprocess.PIPE) as waiting:
            run.until("cancel_requested")
            (tmp_path / "gate").touch()
            said, _ = waiting.communicate(timeout=PATIENCE)
        assert waiting.returncode == 5
        assert "is completed" in said
        assert run.code == 0


def test_an_unknown_session_is_exit_code_2() -> None:
    done = invoke("cancel", "0123456789abcdef-20260101-000000_recipe")
    assert done.returncode == 2
    assert "no session" in done.stderr


def test_what_nobody_runs_is_cancelled_at_once(tmp_path: Path) -> None:
    with running("run", write_recipe(tmp_path, gated("wait")), cwd=tmp_path) as run:
        run.until("scope_started", path="wait")
        run.process.kill()
        run.process.wait()
    eventually(lambda: stands("interrupted", run.session_id))
    assert "nothing of it was running" in invoke("cancel", run.session_id).stdout
    assert shown(run.session_id)["status"] == "cancelled"


HEAVY = ("trio.", "cattrs.", "yaml.", "asyncio.", "trio_recipes.language.", "trio_recipes.runtime.")

DUMP = """
import json, sys
from trio_recipes.frontends.cli.main import main
code = main(sys.argv[1:])
print(json.dumps(sorted(sys.modules)))
"""


def test_it_imports_nothing_heavy(tmp_path: Path) -> None:
    with running("run", write_recipe(tmp_path, gated("wait")), cwd=tmp_path) as run:
        run.until("scope_started", path="wait")
        command = [sys.executable, "-c", DUMP, "cancel", run.session_id, "--at", "wait", "--immediate", "--wait"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert "trio_recipes.store.requests" in loaded
    assert [name for name in loaded if f"{name}.".startswith(HEAVY)] == []


def test_a_request_is_made_by_somebody(tmp_path: Path) -> None:
    with running("run", write_recipe(tmp_path, gated("wait")), cwd=tmp_path) as run:
        run.until("scope_started", path="wait")
        invoke("cancel", run.session_id, "--immediate", "--reason", "\x1b[31m" + "x" * 600)
        asked = run.end()["cancellation"]
    assert "cancel command, pid " in asked["requester"]
    assert len(asked["reason"]) == 512
    assert "\x1b" not in invoke("show", run.session_id).stdout
