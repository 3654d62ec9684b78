"""``run`` and ``resume``: what they print, what they return, what they refuse."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.frontends.running import (
    DEAF,
    PATIENCE,
    PROGRAM,
    QUICK,
    environment,
    eventually,
    gated,
    invoke,
    running,
    shown,
    stands,
    write_recipe,
)
from trio_recipes.testing import assert_no_survivors


def test_a_run_says_what_happens_and_what_came_of_it(tmp_path: Path) -> None:
    done = invoke("run", write_recipe(tmp_path, QUICK), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    session, start, output, end, status, result = done.stdout.splitlines()
    assert session.startswith("session ")
    assert start == "▶ quick"
    assert output == "    quick | quickly"
    assert end.startswith("✓ quick  0.")
    assert status == f"completed: {session.removeprefix('session ')}"
    assert result == "quickly"


def test_each_attempt_has_lines_of_its_own(tmp_path: Path) -> None:
    command = "'printf half; test -e again || { touch again; exit 1; }'"
    retry = "{max_attempts: 2, initial_delay: 0.01}"
    recipe = write_recipe(tmp_path, f"- {{id: a, type: bash, command: {command}, retry: {retry}}}")
    done = invoke("run", recipe, cwd=tmp_path)
    assert [line.partition(",")[0] for line in done.stdout.splitlines()[1:5]] == [
        "▶ a",
        "    a | half",
        "↻ a failed",
        "    a | half",
    ]


def test_quiet_leaves_out_what_steps_print(tmp_path: Path) -> None:
    done = invoke("run", write_recipe(tmp_path, QUICK), "--quiet", cwd=tmp_path)
    assert "quick | quickly" not in done.stdout


def test_json_lines_begin_and_end_with_the_session(tmp_path: Path) -> None:
    done = invoke("run", write_recipe(tmp_path, QUICK), "--json", cwd=tmp_path)
    first, *events, last = map(json.loads, done.stdout.splitlines())
    assert first == {"event": "session_started", "session_id": first["session_id"]}
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert {event["session_id"] for event in events} == {first["session_id"]}
    assert events[-1]["event"] == "run_ended"
    assert last["event"] == "session_finished"
    assert (last["session_id"], last["status"], last["final_output"]) == (first["session_id"], "completed", "quickly\n")


def test_a_failure_is_exit_code_1_and_told_how_to_go_on(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, "- {id: broken, type: bash, command: 'echo because >&2; exit 7'}\n")
    done = invoke("run", recipe, cwd=tmp_path)
    assert done.returncode == 1
    assert "failed at broken" in done.stdout
    assert "because" in done.stdout
    assert "go on with: trio-recipes resume " in done.stdout


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("steps: [", "probe.yaml:2:1: this is not YAML"),
        ("name: probe\nstepz: 1\n", "probe.yaml:2:1: "),
        ("- 1\n", "probe.yaml"),
    ],
)
def test_a_wrong_recipe_is_refused_and_nothing_is_created(
    text: str, problem: str, tmp_path: Path, private_home: Path
) -> None:
    (tmp_path / "probe.yaml").write_text(text)
    done = invoke("run", "probe.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert problem in done.stderr
    assert not done.stdout
    assert not list(private_home.glob("store/sessions/*"))


REFUSED = [
    (["run", "nowhere.yaml"], "nowhere.yaml"),
    (["run", "probe.yaml", "--set", "novalue"], "NAME=VALUE"),
    (["run", "probe.yaml", "--context", "list.json"], "must be a mapping"),
    (["run", "probe.yaml", "--agents", "nowhere.yaml"], "no such agents file"),
    (["run", "probe.yaml", "--grace", "-1"], "--grace"),
    (["run", "probe.yaml", "--project", "nowhere"], "no such folder"),
    (["run", "probe.yaml", "--plan"], "--plan"),
    (["run"], "RECIPE"),
    (["rum"], "did you mean 'run'?"),
    ([], "commands:"),
    (["run", "ask.yaml"], "agent"),
    (["resume", "@last"], "no session"),
    (["--store", "postgres://x", "run", "probe.yaml"], "sqlite"),
]


@pytest.mark.parametrize(("arguments", "problem"), REFUSED, ids=lambda value: " ".join(value) if value else None)
def test_what_is_refused_before_anything_runs(arguments: list[str], problem: str, tmp_path: Path) -> None:
    write_recipe(tmp_path, QUICK)
    write_recipe(tmp_path, "- {id: a, agent: someone, prompt: hello}\n", name="ask")
    (tmp_path / "list.json").write_text("[1]")
    done = invoke(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_where(tmp_path: Path) -> None:
    assert "Traceback" in invoke("--debug", "run", "nowhere.yaml", cwd=tmp_path).stderr


def test_variables_are_read_as_yaml(tmp_path: Path) -> None:
    (tmp_path / "given.yaml").write_text("n: 1\nfile: [x]\n")
    recipe = write_recipe(tmp_path, QUICK, head="context: {n: 0, items: [], text: '', file: null}")
    settings = ["--set", "n=3", "--set", "items=[a, b]", "--set", 'text="3"']
    assert invoke("run", recipe, "--context", tmp_path / "given.yaml", *settings, cwd=tmp_path).returncode == 0
    assert shown()["context"] == {"n": 3, "items": ["a", "b"], "text": "3", "file": ["x"]}


def test_functions_of_the_project_are_found(tmp_path: Path) -> None:
    (tmp_path / "functions_of_ours.py").write_text("def run():\n    return 'called'\n")
    recipe = write_recipe(tmp_path, "- {id: f, type: function, function: 'functions_of_ours:run'}\n")
    done = invoke("run", recipe, "--project", tmp_path, cwd=tmp_path.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("called\n")


def test_control_characters_reach_no_terminal(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, r"- {id: rude, type: bash, command: 'printf \\033[31mred\\007'}" + "\n")
    done = invoke("run", recipe, cwd=tmp_path)
    assert "\x1b" not in done.stdout
    assert r"rude | \x1b[31mred\x07" in done.stdout
    assert r"\x1b[31mred" in invoke("show", "@last", "--output", "rude").stdout
    assert invoke("show", "@last", "--output", "rude", "--raw").stdout == "\x1b[31mred\x07"


def test_a_reader_that_leaves_does_not_harm_the_run(tmp_path: Path) -> None:
    with running("run", write_recipe(tmp_path, gated("wait") + QUICK), cwd=tmp_path) as run:
        run.until("scope_started", path="wait")
        assert run.process.stdout
        run.process.stdout.close()
        (tmp_path / "gate").touch()
        assert run.code == 0
    assert shown(run.session_id)["status"] == "completed"


def test_a_reader_that_does_not_read_neither_slows_the_run_nor_its_end(tmp_path: Path) -> None:
    much = "- {id: much, type: bash, command: 'head -c 500000 /dev/zero | tr \\\\0 x; touch written'}\n"
    with running("run", write_recipe(tmp_path, much + gated("wait")), cwd=tmp_path) as run:
        session_id = run.session_id
        eventually((tmp_path / "written").exists)
        eventually(lambda: any(node["path"] == "wait" for node in shown(session_id)["nodes"]))
        run.press(signal.SIGINT)
        run.press(signal.SIGINT)
        assert run.code == -signal.SIGINT
    assert shown(session_id)["status"] == "cancelled"


def test_detached_it_returns_once_the_session_has_an_owner(tmp_path: Path, private_home: Path) -> None:
    recipe = write_recipe(tmp_path, gated("wait"))
    started = invoke("run", recipe, "--detach", "--json", cwd=tmp_path, TRIO_RECIPES_SESSION="of-an-outer-run")
    assert started.returncode == 0, started.stderr
    session_id = json.loads(started.stdout)["session_id"]
    assert shown(session_id)["status"] == "running"
    assert_no_survivors("of-an-outer-run")
    (tmp_path / "gate").touch()
    assert invoke("watch", session_id).returncode == 0
    log = private_home / "store" / "sessions" / session_id / "detached.log"
    assert json.loads(eventually(lambda: log.read_text().splitlines()[-1:])[0])["session_id"] == session_id


def test_detached_it_refuses_what_can_not_begin(tmp_path: Path) -> None:
    done = invoke("run", "nowhere.yaml", "--detach", cwd=tmp_path)
    assert done.returncode == 2
    assert "nowhere.yaml" in done.stderr


# --- resume ------------------------------------------------------------------------------------------------------


def test_resume_goes_on_with_what_had_not_finished(tmp_path: Path) -> None:
    steps = QUICK + "- {id: picky, type: bash, command: test -e gate}\n"
    assert invoke("run", write_recipe(tmp_path, steps), cwd=tmp_path).returncode == 1
    (tmp_path / "gate").touch()
    done = invoke("resume", "@last", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "reusing 1 finished step\n" in done.stdout
    assert "▶ quick" not in done.stdout
    assert "✓ picky" in done.stdout
    again = invoke("resume", "@last", cwd=tmp_path)
    assert again.returncode == 2
    assert "is completed: that is final" in again.stderr


def test_a_live_owner_is_named_and_a_dead_one_taken_over(tmp_path: Path) -> None:
    with running("run", write_recipe(tmp_path, QUICK + gated("wait")), cwd=tmp_path) as run:
        run.until("scope_started", path="wait")
        busy = invoke("resume", run.session_id)
        assert busy.returncode == 2
        assert f"process {run.process.pid} on " in busy.stderr
        run.process.kill()
        run.process.wait()
    assert_no_survivors(run.session_id, within=5)
    eventually(lambda: stands("interrupted", run.session_id))
    (tmp_path / "gate").touch()
    done = invoke("resume", run.session_id)
    assert done.returncode == 0, done.stderr
    assert "its former process has died" in done.stdout


SLOW_READER = """
import sys, trio
from trio_recipes.frontends.cli.main import main
from trio_recipes.frontends.cli.outlet import Outlet

send = Outlet.send

async def sent(self, text):
    await trio.sleep(0.5)
    await send(self, text)

Outlet.send = sent
sys.exit(main(sys.argv[1:]))
"""


def test_a_slow_reader_is_told_of_a_resume_from_its_beginning(tmp_path: Path) -> None:
    """Even if the steps have ended by the time that the first line is out."""
    recipe = write_recipe(tmp_path, f"{QUICK}- {{id: picky, type: bash, command: test -e mended}}\n")
    assert invoke("run", recipe, cwd=tmp_path).returncode == 1
    (tmp_path / "mended").touch()
    command = [sys.executable, "-c", SLOW_READER, "resume", "@last", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True)
    told = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert told[:3] == ["session_started", "run_started", "scope_started"]


# --- the process itself ------------------------------------------------------------------------------------------


def test_its_version() -> None:
    done = invoke("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "trio-recipes")


def test_closed_standard_streams_get_no_database(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, QUICK)
    command = " ".join(PROGRAM) + f" run {recipe} <&- >&- 2>&-"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment(), timeout=PATIENCE, check=False)
    assert done.returncode == 0
    assert shown()["final_output"] == "quickly\n"


def test_a_stubborn_command_is_gone_when_cancel_returns(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, DEAF.rstrip() + "\n  kill_grace: 0.2\n")
    with running("run", recipe, cwd=tmp_path) as run:
        run.until("output", path="deaf")
        done = invoke("cancel", run.session_id, "--immediate", "--wait")
        assert done.returncode == 0
        assert_no_survivors(run.session_id)
        assert run.end()["status"] == "cancelled"
        assert run.code == 4
