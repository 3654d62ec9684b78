"""Stops from outside: by an init system, in a container, at the wrong moment, with nobody to read the output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.campaign.containers import NAMESPACES, control_group, init_of, why_no_namespaces, zombie_children
from tests.campaign.lab import Lab, Runner, eventually, takes_less_than
from tests.processes.helpers import is_alive
from trio_recipes.testing import assert_no_survivors, survivors

PROGRAM = [sys.executable, "-m", "trio_recipes"]
needs_namespaces = pytest.mark.skipif(bool(why_no_namespaces()), reason=f"no pid namespaces: {why_no_namespaces()}")


def held(lab: Lab) -> Path:
    """Three steps; the first waits with a daemon of its own."""
    lab.hold("a")
    step = lab.step("a", kill_grace=0.3)
    step["command"] = f"setsid sleep 100 & {step['command']}"
    return lab.write("held", steps=[step, lab.step("b")], **{"finally": [lab.step("tidy")]})


def program(lab: Lab, *prefix: str, arguments: tuple[str, ...]) -> Runner:
    """The command line, started by another program."""
    as_json = ["--json"] if arguments[0] in ("run", "resume") else []
    command = [*prefix, *PROGRAM, *arguments, *as_json, "--store", str(lab.store)]
    return lab.add(Runner.of(command, lab.root, len(lab.runners), {}))


def begins(lab: Lab, run: Runner) -> Runner:
    run.started()
    eventually(lambda: lab.begun("a"), "the first step")
    return run


def goes_on(lab: Lab, session_id: str) -> None:
    """What was stopped completes when it is resumed."""
    lab.release()
    assert lab.resume(session_id).started().ended()["status"] == "completed"
    assert lab.executions()["b"] == 1


# --- everything in a cgroup --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "backwards"),
    [(signal.SIGHUP, False), (signal.SIGTERM, True)],
    ids=["HUP-runner-first", "TERM-steps-first"],
)
def test_everything_in_a_cgroup_is_signalled_as_systemd_does(lab: Lab, number: signal.Signals, backwards: bool) -> None:
    with control_group() as group:
        if group is None:
            pytest.skip("no cgroup can be made here")
        run = lab.spawn("run", str(held(lab)), "--json", "--grace", "0")
        group.take(run.process.pid)
        begins(lab, run)
        eventually(lambda: len(group.pids()) >= 4, "the runner, its watchman, the step and its daemon")
        group.signal(number, backwards=backwards)
        last = run.ended()
        eventually(lambda: not group.pids(), "an empty cgroup")
    assert (last["status"], run.code) == ("cancelled", 143)
    assert lab.executions() == {"a": 1, "tidy": 1}
    goes_on(lab, run.session_id)


def test_a_cgroup_that_is_killed_is_an_interruption(lab: Lab) -> None:
    """``SendSIGKILL`` after ``TimeoutStopSec``, or the out-of-memory killer of a container."""
    with control_group() as group:
        if group is None:
            pytest.skip("no cgroup can be made here")
        run = lab.spawn("run", str(held(lab)), "--json")
        group.take(run.process.pid)
        begins(lab, run)
        while group.signal(signal.SIGKILL):
            time.sleep(0.01)
    run.wait()
    assert lab.status(run.session_id) == "interrupted"
    assert_no_survivors(run.session_id)
    goes_on(lab, run.session_id)


def test_the_runners_whole_process_group(lab: Lab) -> None:
    """As a terminal's Ctrl+C or a shell's ``kill %1``: steps are in groups of their own and finish."""
    run = begins(lab, lab.spawn("run", str(held(lab)), "--json"))
    os.killpg(run.process.pid, signal.SIGINT)
    eventually(lambda: run.saw("cancel_requested"))
    lab.release()
    assert run.ended()["status"] == "cancelled"
    assert run.code == -signal.SIGINT
    assert lab.executions() == {"a": 1, "tidy": 1}


# --- process 1 ---------------------------------------------------------------------------------------------------


@needs_namespaces
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"])
def test_process_1_obeys(lab: Lab, number: signal.Signals, code: int) -> None:
    run = begins(lab, program(lab, *NAMESPACES, arguments=("run", str(held(lab)), "--grace", "0")))
    first = init_of(run.process.pid)
    os.kill(first, number)
    if number is signal.SIGINT:
        eventually(lambda: run.saw("cancel_requested"))
        os.kill(first, number)
    last = run.ended()
    assert (last["status"], run.code) == ("cancelled", code)
    goes_on(lab, run.session_id)


@needs_namespaces
def test_process_1_dies_and_takes_everything_with_it(lab: Lab) -> None:
    run = begins(lab, program(lab, *NAMESPACES, arguments=("run", str(held(lab)))))
    os.kill(init_of(run.process.pid), signal.SIGKILL)
    run.wait()
    eventually(lambda: lab.status(run.session_id) == "interrupted")
    assert_no_survivors(run.session_id)
    goes_on(lab, run.session_id)


@needs_namespaces
def test_process_1_reaps_orphans_while_it_runs(lab: Lab) -> None:
    lab.hold("a")
    orphans = {"id": "orphans", "type": "bash", "command": "for i in {1..30}; do ( sleep 0.05 & ); done; sleep 0.2"}
    recipe = lab.write("orphans", steps=[orphans, lab.step("a")])
    run = begins(lab, program(lab, *NAMESPACES, arguments=("run", str(recipe))))
    first = init_of(run.process.pid)
    eventually(lambda: not zombie_children(first), "no zombies")
    lab.release()
    assert run.ended()["status"] == "completed"


@needs_namespaces
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_process_1_obeys_while_it_starts(lab: Lab, number: signal.Signals) -> None:
    """The kernel drops signals to process 1 that it has no handler for."""
    os.mkfifo(lab.root / "given.yaml")
    run = program(lab, *NAMESPACES, arguments=("run", str(held(lab)), "--context", "given.yaml"))
    writer = eventually(lambda: _writer(lab.root / "given.yaml"), "the runner to read its variables")
    os.kill(init_of(run.process.pid), number)
    assert run.wait() == 128 + number
    os.close(writer)
    assert run.stderr == ""


def _writer(fifo: Path) -> int:
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return 0


# --- two containers, one store -----------------------------------------------------------------------------------


def container(lab: Lab, name: str, *arguments: str) -> Runner:
    """The command line as process 1 of a container with this host name."""
    script = f'hostname {name}; exec "$@"'
    return program(lab, *NAMESPACES, "bash", "-c", script, "container", arguments=arguments)


@needs_namespaces
def test_two_containers_share_a_store(lab: Lab) -> None:
    """Both runners are process 1: who is alive is told by a lock, and by no pid."""
    run = begins(lab, container(lab, "first", "run", str(held(lab))))
    second = container(lab, "second", "resume", run.session_id)
    assert second.wait() == 2
    assert "process 1 on first" in second.stderr

    assert container(lab, "second", "cancel", run.session_id, "--immediate", "--wait").wait() == 0
    assert run.ended()["status"] == "cancelled"

    os.kill(init_of(begins(lab, container(lab, "first", "resume", run.session_id)).process.pid), signal.SIGKILL)
    eventually(lambda: lab.status(run.session_id) == "interrupted")
    lab.release()
    assert container(lab, "second", "resume", run.session_id).started().ended()["status"] == "completed"


# --- at the wrong moment -----------------------------------------------------------------------------------------


def is_over(lab: Lab, session_id: str) -> bool:
    """Whether nothing of it runs, and it says so."""
    return lab.status(session_id) in ("cancelled", "interrupted", "created") and not survivors(session_id)


@pytest.mark.parametrize("after", [0.0, 0.15, 0.3, 0.5])
def test_sigterm_at_any_moment_of_the_start(lab: Lab, after: float) -> None:
    """No traceback, no session that says it runs, nothing left behind."""
    run = lab.spawn("run", str(held(lab)), "--json", "--grace", "0")
    time.sleep(after)
    run.signal(signal.SIGTERM)
    assert run.wait() in (143, -signal.SIGTERM), run.stderr
    assert "Traceback" not in run.stderr
    if lab.store.exists():
        for session_id in [entry.name for entry in (lab.store / "sessions").iterdir()]:
            eventually(partial(is_over, lab, session_id))


def test_sigterm_while_it_shuts_down(lab: Lab) -> None:
    """A signal that comes when the session has ended changes nothing about how it ended."""
    run = lab.spawn("run", str(lab.write("quick", steps=[lab.step("a")])), "--json").started()
    eventually(lambda: run.saw("run_ended") or run.saw("session_finished"))
    run.signal(signal.SIGTERM)
    assert run.wait() in (0, 143, -signal.SIGTERM)
    assert "Traceback" not in run.stderr
    assert lab.status(run.session_id) == "completed"


def test_a_closed_stdout_does_not_keep_it_from_stopping(lab: Lab) -> None:
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        [*PROGRAM, "run", str(held(lab)), "--json", "--grace", "0", "--store", str(lab.store)],
        cwd=lab.root,
        stdout=write_end,
        stderr=write_end,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    os.close(write_end)
    with os.fdopen(read_end) as output:
        session_id = json.loads(output.readline())["session_id"]
    eventually(lambda: lab.begun("a"))
    with takes_less_than(10):
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
    assert lab.status(session_id) == "cancelled"
    assert_no_survivors(session_id)
    assert not is_alive(process.pid)
