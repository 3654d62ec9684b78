"""``list``, ``show``, ``watch``, ``validate`` and ``clean``: they look, and change nothing they should not."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.frontends.running import PROGRAM, QUICK, gated, invoke, running, shown, spawned, write_recipe
from trio_recipes.frontends.cli.main import main
from trio_recipes.store.base import open_store

NESTED = """
- id: loop
  foreach: "{{items}}"
  type: bash
  command: echo {{item}}
  collect: results
- id: flaky
  type: bash
  command: echo oops >&2; exit 3
  on_error: continue
- id: never
  condition: "false"
  type: bash
  command: exit 1
- id: final
  type: bash
  command: echo '{"answer":42}'
  output: final_output
"""


@pytest.fixture
def finished(tmp_path: Path) -> str:
    """A session that completed."""
    recipe = write_recipe(tmp_path, NESTED, head="context: {items: [a, b]}")
    assert invoke("run", recipe, cwd=tmp_path).returncode == 0
    return next(iter(open_store().layout.ids()))


# --- show --------------------------------------------------------------------------------------------------------


def test_show_json_tells_everything(finished: str, tmp_path: Path) -> None:
    view = json.loads(invoke("show", finished, "--json").stdout)
    assert (view["session_id"], view["recipe"], view["status"]) == (finished, "probe", "completed")
    assert view["cancellation"]["status"] == "none"
    assert view["context"] == {"items": ["a", "b"], "results": ["a\n", "b\n"], "final_output": {"answer": 42}}
    assert view["final_output"] == {"answer": 42}
    assert view["project_path"] == str(tmp_path)
    nodes = {node["path"]: node for node in view["nodes"]}
    assert list(nodes) == ["loop", "loop[0]", "loop[1]", "flaky", "never", "final"]
    assert {path: node["status"] for path, node in nodes.items()} == {
        "loop": "completed",
        "loop[0]": "completed",
        "loop[1]": "completed",
        "flaky": "failed",
        "never": "skipped",
        "final": "completed",
    }
    assert (nodes["loop"]["kind"], nodes["final"]["kind"], nodes["final"]["attempts"]) == ("foreach", "bash", 1)
    assert nodes["flaky"]["failure"]["exit_code"] == 3
    assert nodes["final"]["started_at"] < nodes["final"]["finished_at"]


def test_show_draws_the_tree(finished: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["show", finished]) == 0
    text = capfd.readouterr().out
    assert f"session   {finished}\n" in text
    assert "\n✓ loop  (foreach" in text
    assert "\n  ✓ [1]  (bash" in text
    assert "\n✗ flaky  (bash, failed" in text
    assert "handled by on_error" in text
    assert "\n↷ never  (bash, skipped)" in text


def test_show_has_the_passes_of_a_loop_in_their_order(tmp_path: Path) -> None:
    """In which order those of a parallel loop begin is left to chance."""
    steps = "- {id: loop, foreach: '{{items}}', parallel: true, type: bash, command: 'true'}"
    recipe = write_recipe(tmp_path, steps, head=f"context: {{items: {list(range(12))}}}")
    assert invoke("run", recipe, cwd=tmp_path).returncode == 0
    lines = invoke("show", "@last").stdout.splitlines()
    numbers = [line.split()[1] for line in lines if "[" in line]
    assert numbers == [f"[{number}]" for number in range(12)]


def test_show_prints_one_output(finished: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["show", finished, "--output", "loop[1]"]) == 0
    assert capfd.readouterr().out == "b\n"
    assert main(["show", finished, "--output", "nowhere"]) == 2
    assert "nothing is known of 'nowhere'" in capfd.readouterr().err


def test_what_a_stopped_step_had_printed_stays_readable(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, "- {id: talks, type: bash, command: 'echo so far; sleep 60'}\n")
    with running("run", recipe, cwd=tmp_path) as run:
        run.until("output", path="talks")
        invoke("cancel", run.session_id, "--immediate", "--wait")
    assert invoke("show", run.session_id, "--output", "talks").stdout == "so far\n"


# --- list --------------------------------------------------------------------------------------------------------


def test_list_names_the_sessions_of_a_project(
    finished: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["list", "--json"]) == 0
    assert main(["list"]) == 0
    row, header, line = capfd.readouterr().out.splitlines()
    assert json.loads(row)["session_id"] == finished
    assert header.split() == ["SESSION", "RECIPE", "STATUS", "STARTED", "STOPPED", "AT"]
    assert line.split()[:3] == [finished, "probe", "completed"]
    assert main(["list", "--project", "/"]) == 0
    assert "no sessions of /" in capfd.readouterr().out


def test_a_damaged_session_hides_no_other(finished: str, capfd: pytest.CaptureFixture[str]) -> None:
    store = open_store()
    damaged = store.layout.sessions / "0000000000000000-20990101-000000_recipe"
    damaged.mkdir()
    (damaged / "session.db").write_bytes(b"this is no database, whatever its name says" * 100)
    assert main(["list", "--all"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert "damaged" in lines[1]
    assert finished in lines[2]
    assert main(["show", damaged.name]) == 2
    assert "is damaged or no database" in capfd.readouterr().err


# --- watch -------------------------------------------------------------------------------------------------------


def test_watch_follows_from_elsewhere(tmp_path: Path) -> None:
    with running("run", write_recipe(tmp_path, gated("wait")), cwd=tmp_path) as run:
        run.until("scope_started", path="wait")
        with spawned([*PROGRAM, "watch", run.session_id], stdout=subprocess.PIPE) as watching:
            assert watching.stdout
            assert watching.stdout.readline() == "▶ wait\n"
            (tmp_path / "gate").touch()
            rest = watching.stdout.read()
        assert "✓ wait" in rest
        assert rest.endswith(f"{run.session_id} is completed\n")
        assert watching.returncode == run.code == 0


def test_ctrl_c_ends_the_watching_only(tmp_path: Path) -> None:
    with running("run", write_recipe(tmp_path, gated("wait")), cwd=tmp_path) as run:
        run.until("scope_started", path="wait")
        with running("watch", run.session_id, cwd=tmp_path) as watching:
            watching.until("scope_started", path="wait")
            watching.process.send_signal(signal.SIGINT)
            assert watching.code == -signal.SIGINT
            assert watching.said() == ""
        (tmp_path / "gate").touch()
        assert run.end()["status"] == "completed"


# --- validate ----------------------------------------------------------------------------------------------------


def test_validate_tells_every_problem_of_every_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    good, bad = write_recipe(tmp_path, QUICK), tmp_path / "bad.yaml"
    bad.write_text(
        "name: bad\ndescription: d\nversion: 1.0.0\nsteps:\n  - {id: a, type: bash}\n  - {id: a, type: dance}\n"
    )
    assert main(["validate", str(good)]) == 0
    assert capfd.readouterr().out == f"{good}: ok\n"
    assert main(["validate", str(good), str(bad)]) == 2
    text = capfd.readouterr().out
    assert f"{bad}:5:" in text
    assert f"{bad}:6:" in text
    assert main(["validate", str(bad), "--json"]) == 2
    problems = json.loads(capfd.readouterr().out)
    assert {problem["line"] for problem in problems} >= {5, 6}
    assert set(problems[0]) == {"message", "file", "line", "column", "field", "warning"}


def test_validate_imports_and_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')\n")
    recipe = write_recipe(
        tmp_path, "- {id: f, type: function, function: 'evil:run'}\n- {id: a, agent: nobody, prompt: x}\n"
    )
    assert invoke("validate", recipe, cwd=tmp_path).returncode == 0


# --- clean -------------------------------------------------------------------------------------------------------


def test_clean_takes_what_completed_long_ago(finished: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["clean"]) == 0
    assert capfd.readouterr().out == "no sessions deleted\n"
    assert main(["clean", "--older-than", "0", "--status", "failed"]) == 0
    assert open_store().exists(finished)
    assert main(["clean", "--older-than", "0"]) == 0
    assert f"deleted {finished} (completed)" in capfd.readouterr().out
    assert not open_store().exists(finished)


def test_clean_leaves_what_can_go_on(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, "- {id: broken, type: bash, command: exit 1}\n")
    assert invoke("run", recipe, cwd=tmp_path).returncode == 1
    with running("run", write_recipe(tmp_path, gated("wait"), name="live"), cwd=tmp_path) as run:
        run.until("scope_started", path="wait")
        assert invoke("clean", "--older-than", "0").stdout == "no sessions deleted\n"
        assert main(["clean", "--older-than", "0", "--status", "running"]) == 2
        told = invoke("clean", "--older-than", "0", "--status", "failed,cancelled,interrupted")
        assert told.stdout.count("deleted ") == 1
        assert shown(run.session_id)["status"] == "running"


# --- stores ------------------------------------------------------------------------------------------------------


def test_stores_that_are_none(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "VERSION").write_text("trio_recipes store 99\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "VERSION").write_text("1.2.3\n")
    recipe = write_recipe(tmp_path, QUICK)
    for store, problem in (("file", "not a folder"), ("newer", "has version 99"), ("other", "holds something else")):
        for command in (["list"], ["cancel", "@last"], ["show", "@last"]):
            assert main([*command, "--store", str(tmp_path / store)]) == 2
            assert problem in capfd.readouterr().err
    done = invoke("--store", tmp_path / "newer", "run", recipe, cwd=tmp_path)
    assert done.returncode == 2
    assert "upgrade trio_recipes" in done.stderr


def test_looking_at_a_store_that_is_not_there_makes_none(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--all", "--store", str(tmp_path / "nowhere")]) == 0
    assert capfd.readouterr().out == "no sessions\n"
    assert not (tmp_path / "nowhere").exists()
