"""The Ctrl+C ladder, with real signals to real processes."""

import os
import signal
import subprocess
from contextlib import suppress
from functools import partial
from pathlib import Path

from tests.frontends.running import (
    DEAF,
    PATIENCE,
    PROGRAM,
    QUICK,
    eventually,
    gated,
    running,
    spawned,
    stands,
    write_recipe,
    writing_to,
)
from trio_recipes.store.base import open_store
from trio_recipes.testing import assert_no_survivors


def test_ctrl_c_finishes_the_step_in_hand_and_resume_goes_on(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, gated("wait") + QUICK)
    with running("run", recipe, cwd=tmp_path) as run:
        run.until("scope_started", path="wait")
        assert run.press(signal.SIGINT) == "finishing the steps in hand; Ctrl+C again to stop now\n"
        eventually(lambda: stands("cancelling"))
        (tmp_path / "gate").touch()
        last = run.end()
        assert (last["status"], last["current_step"]) == ("cancelled", "quick")
        assert last["cancellation"]["source"] == "signal"
        assert last["cancellation"]["requester"] == "Ctrl+C"
        assert last["cancellation"]["level"] == "graceful"
        assert run.code == -signal.SIGINT, "it ends by the signal, so that a shell loop around it stops too"
    with running("resume", run.session_id, cwd=tmp_path) as resumed:
        assert resumed.end()["final_output"] == "quickly\n"
        assert not [event for event in resumed.events if event.get("path") == "wait"]


def test_the_second_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    with running("run", write_recipe(tmp_path, DEAF.rstrip() + "\n  kill_grace: 0.2\n"), cwd=tmp_path) as run:
        run.until("output", path="deaf")
        run.press(signal.SIGINT)
        assert run.press(signal.SIGINT).startswith("stopping now")
        last = run.end()
        assert_no_survivors(run.session_id)
        assert (last["status"], last["cancellation"]["level"], last["current_step"]) == (
            "cancelled",
            "immediate",
            "deaf",
        )
        assert run.code == -signal.SIGINT


def test_the_third_ctrl_c_waits_for_no_kill_grace(tmp_path: Path) -> None:
    with running("run", write_recipe(tmp_path, DEAF.rstrip() + "\n  kill_grace: 60\n"), cwd=tmp_path) as run:
        run.until("output", path="deaf")
        run.press(signal.SIGINT)
        run.press(signal.SIGINT)
        assert run.press(signal.SIGINT).startswith("cutting clean-up short")
        assert run.end()["status"] == "cancelled"
        assert_no_survivors(run.session_id)
        assert run.code == -signal.SIGINT


SHIELDED = """
import pathlib, trio

async def run():
    with trio.CancelScope(shield=True):
        pathlib.Path("begun").touch()
        await trio.sleep(60)
"""


def test_when_even_force_does_not_help_it_leaves(tmp_path: Path) -> None:
    (tmp_path / "functions_of_ours.py").write_text(SHIELDED)
    steps = "- {id: stays, type: function, function: 'functions_of_ours:run'}\n"
    with running("run", write_recipe(tmp_path, steps), cwd=tmp_path) as run:
        session_id = run.session_id
        eventually((tmp_path / "begun").exists)
        for _ in range(3):
            run.press(signal.SIGINT)
        run.process.send_signal(signal.SIGINT)  # who presses again does not wait
        assert run.code == -signal.SIGINT
        assert "clean-up does not end" in run.said() + run.said()
    # Which of the two depends on whether the fourth press came before the session had ended without the function.
    eventually(lambda: stands("interrupted", session_id) or stands("cancelled", session_id))


def test_ctrl_c_in_the_last_step_comes_too_late(tmp_path: Path) -> None:
    with running("run", write_recipe(tmp_path, gated("wait")), cwd=tmp_path) as run:
        run.until("scope_started", path="wait")
        run.press(signal.SIGINT)
        (tmp_path / "gate").touch()
        assert run.end()["status"] == "completed"
        assert run.code == 0


def test_sigterm_gives_the_step_in_hand_its_grace(tmp_path: Path) -> None:
    with running("run", write_recipe(tmp_path, gated("wait")), "--grace", "0.2", cwd=tmp_path) as run:
        run.until("scope_started", path="wait")
        assert run.press(signal.SIGTERM) == "SIGTERM: finishing the steps in hand, for at most 0.2 s\n"
        last = run.end()
        assert (last["status"], last["current_step"]) == ("cancelled", "wait")
        assert last["cancellation"]["source"] == "deadline"
        assert_no_survivors(run.session_id)
        assert run.code == 143


def test_sighup_acts_as_sigterm_and_a_second_signal_is_immediate(tmp_path: Path) -> None:
    with running("run", write_recipe(tmp_path, gated("wait")), "--grace", "60", cwd=tmp_path) as run:
        run.until("scope_started", path="wait")
        assert run.press(signal.SIGHUP).startswith("SIGHUP: ")
        assert run.press(signal.SIGTERM).startswith("stopping now")
        assert run.end()["status"] == "cancelled"
        assert run.code == 143


def test_nohup_is_respected(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, gated("wait"))
    with spawned(["nohup", *PROGRAM, "run", recipe], cwd=tmp_path) as process:
        eventually((tmp_path / "begun").exists)
        process.send_signal(signal.SIGHUP)
        (tmp_path / "gate").touch()
        assert process.wait(PATIENCE) == 0


def test_a_signal_before_the_session_begins_leaves_no_session(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "agents.yaml")
    with running("run", write_recipe(tmp_path, QUICK), "--agents", "agents.yaml", cwd=tmp_path) as run:
        with writing_to(tmp_path / "agents.yaml") as agents:
            assert run.press(signal.SIGINT) == "stopping before anything has begun\n"
            agents.write("agents: {}\n")
        assert run.code == -signal.SIGINT
    assert not _sessions()


def test_a_signal_while_it_starts_leaves_no_traceback(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "given.yaml")
    recipe = write_recipe(tmp_path, QUICK)
    for number, code in ((signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)):
        with running("run", recipe, "--context", "given.yaml", cwd=tmp_path) as run:
            with writing_to(tmp_path / "given.yaml"):
                eventually(partial(_ended_by, run.process, number))
                assert run.code == code
            assert run.said() == ""
    assert not _sessions()


def test_a_shell_loop_around_it_stops_too(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, gated("wait", "never"))
    loop = f"for i in 1 2; do echo $i >> turns; {' '.join(PROGRAM)} run {recipe}; done; echo more >> turns"
    with spawned(["bash", "-c", loop], cwd=tmp_path) as shell:
        eventually((tmp_path / "begun").exists)
        os.killpg(shell.pid, signal.SIGINT)  # as a terminal does
        eventually(lambda: stands("cancelling"))
        os.killpg(shell.pid, signal.SIGINT)
        shell.wait(PATIENCE)
    assert (tmp_path / "turns").read_text() == "1\n"


def _ended_by(process: subprocess.Popen[str], number: signal.Signals) -> bool:
    """Press once; whether that ended it. Python hears of a signal late that comes just before a read that blocks."""
    process.send_signal(number)
    with suppress(subprocess.TimeoutExpired):
        process.wait(2)
    return process.returncode is not None


def _sessions() -> list[str]:
    return list(open_store(create=False).layout.ids())
