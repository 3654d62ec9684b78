"""The nine situations in which the other engine fails, each through real processes."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.campaign.lab import Lab, eventually, takes_less_than
from trio_recipes.events import CancellationStatus, ScopeFinished
from trio_recipes.store.requests import wake
from trio_recipes.testing import assert_no_survivors, survivors

pytestmark = pytest.mark.slow


def test_a_graceful_cancel_from_another_process_while_a_plain_step_runs(lab: Lab) -> None:
    recipe = lab.write("plain", steps=[lab.step("a"), lab.step("b")])
    lab.hold("a")
    runner = lab.run(recipe)
    eventually(lambda: lab.begun("a"))

    lab.cancel(runner.session_id, "--reason", "no more")
    eventually(lambda: runner.saw("cancel_requested"))
    lab.release("a")

    assert runner.ended()["status"] == "cancelled"
    assert runner.code == 4
    assert lab.executions() == {"a": 1}
    assert lab.context(runner.session_id)["a"] == "value of a\n"  # the step in hand has finished, and counts
    assert lab.answers(runner.session_id) == [(1, "applied")]


def test_b_immediate_cancel_stops_a_long_step_now(lab: Lab) -> None:
    recipe = lab.write("long", steps=[lab.step("a"), {"id": "nap", "type": "bash", "command": "sleep 30"}])
    runner = lab.run(recipe)
    eventually(lambda: runner.saw("scope_started", path="nap"))
    eventually(lambda: survivors(runner.session_id))

    with takes_less_than(1.5):
        lab.cancel(runner.session_id, "--immediate", "--wait")
    assert_no_survivors(runner.session_id)
    assert runner.ended()["status"] == "cancelled"


def test_c_ctrl_c_is_what_the_stored_status_says(lab: Lab) -> None:
    lab.hold("a")
    runner = lab.run(lab.write("plain", steps=[lab.step("a"), lab.step("b")]))
    eventually(lambda: lab.begun("a"))

    runner.interrupt()
    assert lab.manager.get_cancellation_status(runner.session_id, lab.root) is CancellationStatus.REQUESTED
    lab.release("a")

    assert runner.ended()["status"] == "cancelled"
    assert runner.code == -signal.SIGINT
    shown = lab.show(runner.session_id)
    assert shown["status"] == "cancelled"
    assert shown["cancellation"]["status"] == "cancelled"
    assert not shown["cancellation"]["was_immediate"]
    assert shown["cancellation"]["cancelled_at_step"] == "b"


def test_d_cancelling_the_parent_reaches_its_running_sub_recipe(lab: Lab) -> None:
    lab.write("sub", steps=[lab.step("a"), lab.step("b")])
    recipe = lab.write("parent", steps=[{"id": "call", "type": "recipe", "recipe": "sub.yaml"}, lab.step("c")])
    lab.hold("a")
    runner = lab.run(recipe)
    eventually(lambda: lab.begun("a"))

    lab.cancel(runner.session_id)
    eventually(lambda: runner.saw("cancel_requested"))
    lab.release("a")

    assert runner.ended()["status"] == "cancelled"
    assert lab.executions() == {"a": 1}
    assert lab.show(runner.session_id)["cancellation"]["cancelled_at_step"] == "call/b"


@pytest.mark.parametrize("on_error", ["fail", "continue"])
def test_e_ctrl_c_in_a_parallel_loop_of_sub_recipes(lab: Lab, on_error: str) -> None:
    work = lab.step("{{name}}")
    lab.write("sub", context={"name": ""}, steps=[work, lab.step("later-{{name}}", id="later", output="later")])
    call = {"id": "call", "type": "recipe", "recipe": "sub.yaml", "context": {"name": "{{item}}"}}
    loop = {"foreach": "{{names}}", "parallel": True, "collect": "results", "on_error": on_error}
    recipe = lab.write("loop", context={"names": ["x", "y", "z"]}, steps=[{**call, **loop}, lab.step("after")])
    lab.hold("x", "y", "z")
    runner = lab.run(recipe)
    eventually(lambda: lab.begun("x", "y", "z"))

    runner.interrupt()
    lab.release()

    assert runner.ended()["status"] == "cancelled"
    assert lab.executions() == {"x": 1, "y": 1, "z": 1}
    assert lab.resume(runner.session_id).ended()["status"] == "completed"
    assert set(lab.executions().values()) == {1}
    results = lab.context(runner.session_id)["results"]
    assert [result["later"] for result in results] == [f"value of later-{name}\n" for name in "xyz"]


def test_f_a_timeout_takes_the_background_child_along(lab: Lab) -> None:
    command = "sleep 300 & echo $!; sleep 300"
    recipe = lab.write("slow", steps=[{"id": "nap", "type": "bash", "command": command, "timeout": 1}])
    runner = lab.run(recipe)

    assert runner.ended()["status"] == "failed"  # and `ended` has seen that the child is dead
    (finished,) = [e for e in lab.events(runner.session_id) if isinstance(e, ScopeFinished) and e.path == "nap"]
    assert finished.failure is not None
    assert finished.failure.kind == "timeout"
    assert finished.seconds < 2.5


def test_g_a_host_whose_task_is_cancelled_leaves_no_child(lab: Lab) -> None:
    recipe = lab.write("long", steps=[{"id": "nap", "type": "bash", "command": "echo up; sleep 300 & sleep 300"}])
    host = lab.python("-m", "tests.campaign.host", "cancelled", str(lab.store), str(recipe)).started()
    eventually(lambda: len(survivors(host.session_id)) >= 3)

    with takes_less_than(3):
        host.signal(signal.SIGUSR1)  # the host's own scope around the runtime is cancelled
        assert host.wait() == 0, host.stderr
    assert_no_survivors(host.session_id)
    assert host.saw("host", cancelled_caught=True)
    shown = lab.show(host.session_id)
    assert shown["status"] == "cancelled"
    assert shown["cancellation"]["was_immediate"]
    assert shown["cancellation"]["reason"] == "host scope cancelled"


def test_h_the_status_is_true_while_state_is_being_written(lab: Lab) -> None:
    """A step floods the records with output; whoever reads the status meanwhile never reads 'none'."""
    flood = f'echo up > {lab.root}/up; while [ ! -e {lab.root}/done ]; do printf "%05000d\\n" 1; done'
    runner = lab.run(lab.write("flood", steps=[{"id": "flood", "type": "bash", "command": flood}, lab.step("b")]))
    eventually((lab.root / "up").exists)
    lab.cancel(runner.session_id)

    ask = (
        "from trio_recipes import SessionManager\n"
        f"manager = SessionManager({str(lab.store)!r})\n"
        f"for _ in range(300): print(manager.get_cancellation_status({runner.session_id!r}, {str(lab.root)!r}))"
    )
    with ThreadPoolExecutor() as readers:
        command = [sys.executable, "-c", ask]
        reads = list(readers.map(lambda _: subprocess.check_output(command, text=True).split(), range(2)))
    assert {status for read in reads for status in read} == {"requested"}

    (lab.root / "done").touch()
    assert runner.ended()["status"] == "cancelled"
    assert lab.manager.get_cancellation_status(runner.session_id, lab.root) is CancellationStatus.CANCELLED
    assert lab.executions() == {}


def test_i_one_ctrl_c_noticed_twice_stays_graceful(lab: Lab) -> None:
    lab.hold("a")
    runner = lab.run(lab.write("plain", steps=[lab.step("a"), lab.step("b")]))
    eventually(lambda: lab.begun("a"))

    runner.interrupt()
    looks = 0
    while looks < 50:  # the owner looks again and again at what it was asked
        wake(lab.file(runner.session_id))
        looks += 1
        assert lab.manager.get_cancellation_status(runner.session_id, lab.root) is CancellationStatus.REQUESTED
    lab.release("a")

    assert runner.ended()["status"] == "cancelled"
    assert not lab.show(runner.session_id)["cancellation"]["was_immediate"]
    assert [entry.what for entry in lab.ledger()] == ["begin", "end"]
