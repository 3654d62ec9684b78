"""Stopping: willing and stubborn trees, escapees, force, patience, and what resists."""

import os
import signal
from pathlib import Path

import pytest
import trio

from tests.processes.helpers import PYTHON, STUBBORN, Lab, eventually, is_alive, takes
from trio_recipes.processes import StopReport, platform, sweep
from trio_recipes.processes.platform import Linux
from trio_recipes.processes.procfs import Proc, read_process

TERM, KILL = signal.SIGTERM, signal.SIGKILL


def only(reports: list[StopReport]) -> StopReport:
    (report,) = reports
    assert report.survivors == ()
    return report


async def test_a_willing_tree_is_gone_at_once_and_its_output_kept(any_lab: Lab) -> None:
    async with any_lab.trees:
        with takes(less_than=5):
            await any_lab.cancel("sleep 100 & echo partial; echo ready; wait", kill_grace=30)
        assert only(any_lab.reports).cause == "cancelled"
    assert "partial" in any_lab.stdout
    assert {sent.signal for sent in any_lab.signals} == {TERM}


async def test_last_words_are_heard(lab: Lab) -> None:
    async with lab.trees:
        await lab.cancel("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done")
    assert lab.stdout.endswith("bye\n")


async def test_cleanup_commands_are_not_disturbed(lab: Lab) -> None:
    """What a trap starts after the stop signal has its grace, and no signal of its own."""
    script = "trap 'sleep 0.3; echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.01; done"
    async with lab.trees:
        await lab.cancel(script, kill_grace=20)
    assert lab.stdout.endswith("cleaned\n")
    assert KILL not in [sent.signal for sent in lab.signals]


async def test_timeout_is_the_same_path(lab: Lab) -> None:
    async with lab.trees:
        with takes(less_than=5), trio.move_on_after(0.2) as scope:
            await lab.bash("echo partial; sleep 100")
    assert scope.cancelled_caught
    assert lab.stdout == "partial\n"


async def test_the_stop_signal_is_the_commands_own(lab: Lab) -> None:
    script = "trap 'echo int; exit 0' INT; trap '' TERM; echo ready; while :; do sleep 0.01; done"
    async with lab.trees:
        await lab.cancel(script, stop_signal=signal.SIGINT, kill_grace=20)
    assert lab.stdout.endswith("int\n")


async def test_a_stubborn_leader_is_killed_after_its_grace(any_lab: Lab) -> None:
    async with any_lab.trees:
        with takes(at_least=0.3, less_than=5):
            await any_lab.cancel(STUBBORN, kill_grace=0.3)
    assert any_lab.signals[0].signal == TERM
    assert any_lab.signals[-1].signal == KILL
    only(any_lab.reports)


async def test_a_stubborn_grandchild_outlives_its_leader_by_the_grace(any_lab: Lab) -> None:
    script = "bash -c 'trap \"\" TERM; echo $$ ready; while :; do sleep 100; done' & wait"
    async with any_lab.trees:
        with takes(at_least=0.3, less_than=5):
            await any_lab.cancel(script, kill_grace=0.3)
        assert not is_alive(any_lab.pids()[0])


ESCAPES = {
    "setsid": "setsid bash -c 'echo $$ ready; exec sleep 100' & wait",
    "stubborn setsid": "setsid bash -c 'trap \"\" TERM; echo $$ ready; while :; do sleep 100; done' & wait",
    "env -i": "env -i bash -c 'echo $$ ready; sleep 100' & wait",
    "env -i setsid": "env -i setsid bash -c 'echo $$ ready; sleep 100' & wait",
    "double fork": "( setsid bash -c 'echo $$ ready; exec sleep 100' & ) ; sleep 100",
    "double fork, leader gone": "( setsid bash -c 'echo $$ ready; sleep 100' & ) ; trap 'exit' TERM; sleep 100 & wait",
    "job control": "set -m; sleep 100 & echo $! ready; wait",
    "stopped": "bash -c 'echo $$ ready; kill -STOP $$; sleep 100' & wait",
    "closed stdio": "bash -c 'echo $$ ready; exec <&- >&- 2>&-; exec sleep 100' & wait",
    "endless output": "bash -c 'echo $$ ready; exec yes' & wait",
    "forks while it is stopped": (
        "bash -c 'trap \"setsid sleep 100 & echo \\$! ready\" TERM; echo $$ ready; while :; do sleep 0.05; done' & wait"
    ),
    "nested": 'bash -c \'setsid bash -c "env -i setsid bash -c \\"echo \\\\$\\\\$ ready; sleep 100\\" & wait" & wait\'',
}


@pytest.mark.parametrize("script", ESCAPES.values(), ids=ESCAPES.keys())
async def test_who_runs_away_is_caught(lab: Lab, script: str) -> None:
    async with lab.trees:
        await lab.cancel(script, kill_grace=0.3)
        assert lab.pids()
        assert not any(is_alive(pid) for pid in lab.pids())
        only(lab.reports)


async def test_each_process_gets_one_stop_signal_then_sigkill(lab: Lab) -> None:
    script = "setsid bash -c 'trap \"\" TERM; echo $$ ready; while :; do sleep 100; done' & wait"
    async with lab.trees:
        await lab.cancel(script, kill_grace=0.3)
    assert lab.told(lab.pids()[0]) == [TERM, KILL]
    assert lab.reports[0].signals == tuple(lab.signals)


async def test_a_stopped_tree_obeys_before_its_grace_is_over(lab: Lab) -> None:
    async with lab.trees:
        with takes(less_than=10):
            await lab.cancel("echo ready; kill -STOP $$; sleep 100", kill_grace=30)
    assert KILL not in [sent.signal for sent in lab.signals]


async def test_force_drops_the_grace(any_lab: Lab) -> None:
    async def force_when_it_has_begun() -> None:
        await eventually(lambda: any_lab.signals)
        any_lab.stopper.force()

    async with any_lab.trees, trio.open_nursery() as nursery:
        nursery.start_soon(force_when_it_has_begun)
        with takes(less_than=10):
            await any_lab.cancel(STUBBORN, kill_grace=60)


async def test_force_before_the_stop(lab: Lab) -> None:
    lab.stopper.force()
    async with lab.trees:
        with takes(less_than=10):
            await lab.cancel(STUBBORN, kill_grace=60)


async def test_a_failed_command_takes_its_tree_with_it(lab: Lab) -> None:
    async with lab.trees:
        with takes(less_than=10):
            ended = await lab.bash("setsid sleep 100 & sleep 100 & echo $!; exit 5", kill_grace=30)
        assert ended.code == 5
        assert not is_alive(lab.pids()[0])
        assert lab.trees.background("session") == ()
    assert only(lab.reports).cause == "failed"
    assert ended.signals == tuple(lab.signals)


async def test_a_tree_that_forks_while_it_is_killed(lab: Lab) -> None:
    """Each process starts the next, in a session of its own, and dies: nobody stays long enough to be seen."""
    script = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
for _ in range(100000):
    time.sleep(0.005)
    if os.fork():
        os._exit(0)
    os.setsid()
"""
    async with lab.trees:
        await lab.cancel(f"{PYTHON} -S -c '{script}' & wait", kill_grace=0.1)
        only(lab.reports)


async def test_a_process_of_another_user_is_reported_and_not_waited_for(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger: list[Proc] = []
    send = Linux.send

    def refuse(self: Linux, proc: Proc, number: int) -> bool:
        if proc.pid in lab.pids():
            stranger.append(proc)
            raise PermissionError
        return send(self, proc, number)

    with monkeypatch.context() as patched:
        patched.setattr(Linux, "send", refuse)
        with takes(less_than=5):
            async with lab.trees:
                await lab.cancel("setsid bash -c 'echo $$ ready; exec sleep 100' & wait", kill_grace=0.1)
                (report,) = lab.reports
                assert [survivor.pid for survivor in report.survivors] == lab.pids()
                assert "not permitted" in report.survivors[0].reason
                patched.undo()
                send(Linux(), stranger[0], KILL)
                await eventually(lambda: not is_alive(stranger[0].pid))


async def test_two_hundred_at_once_share_their_scans(lab: Lab) -> None:
    before = 0
    async with lab.trees:
        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(lambda: lab.bash("echo ready; sleep 100 & wait", kill_grace=30))
            await eventually(lambda: lab.stdout.count("ready") == 200, within=60)
            before = lab.trees.scans
            nursery.cancel_scope.cancel()
        assert len(lab.reports) == 200
        assert lab.trees.scans - before <= 60


async def test_scans_in_a_row_read_about_strangers_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a machine's processes are looked through, but for those that can't be ours."""
    read: list[int] = []

    def noted(pid: int, since: int | None = None) -> Proc | None:
        read.append(pid)
        return read_process(pid, since)

    monkeypatch.setattr(platform, "read_process", noted)
    monkeypatch.setattr(sweep, "MEMORY", 60)
    async with lab.trees:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: lab.bash("echo ready; sleep 100 & wait"))
            await eventually(lambda: lab.stdout == "ready\n")
            nursery.cancel_scope.cancel()
        assert lab.trees.scans >= 2
    assert read.count(1) == 1


async def test_cancelling_while_the_command_starts(lab: Lab) -> None:
    async with lab.trees:
        for _ in range(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: lab.bash("sleep 100"))
                await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()


async def test_siblings_of_the_same_step_live_on(lab: Lab) -> None:
    """Two commands with one key, as an agent step has them: stopping one spares the other."""
    other = Lab(lab.trees)
    async with lab.trees, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: other.bash("setsid sleep 0.5 & wait; echo fine"))
        await lab.cancel("echo ready; sleep 100")
        await eventually(lambda: "fine" in other.stdout)
    assert other.signals == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
async def test_marks_are_found_on_processes_that_changed_their_user(lab: Lab) -> None:
    script = "setsid setpriv --reuid 65534 --clear-groups bash -c 'echo $$ ready; exec sleep 100' & wait"
    async with lab.trees:
        await lab.cancel(script)
        assert not is_alive(lab.pids()[0])


async def test_nested_runners_clean_up_after_themselves(lab: Lab, tmp_path: Path) -> None:
    """The inner runner's watchman is spared by the outer stop, and does its work when both are killed."""
    program = tmp_path / "inner.py"
    program.write_text(
        "import os, signal, trio\n"
        "from trio_recipes.processes import Command, ProcessTrees\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "async def main():\n"
        "    async with ProcessTrees('inner-' + os.environ['TRIO_RECIPES_RUN']) as trees:\n"
        "        await trees.run(Command(argv=('/bin/bash', '-c', '(setsid bash -c \"echo \\\\$\\\\$ ready;"
        " exec sleep 100\" &) ; sleep 100'), cwd='/', env=dict(os.environ), session_id='s', key='k'),\n"
        "            on_output=lambda channel, data, background: os.write(1, data))\n"
        "trio.run(main)\n"
    )
    async with lab.trees:
        await lab.cancel(
            f"{PYTHON} {program}", kill_grace=0.1, cwd=str(Path.cwd()), env={**os.environ, "PYTHONPATH": "."}
        )
        await eventually(lambda: not is_alive(lab.pids()[0]), within=5)
