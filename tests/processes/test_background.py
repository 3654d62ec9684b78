"""What a command leaves running when it ends well: listed, listened to, stopped with its session."""

import signal
from pathlib import Path

import trio

from tests.processes.helpers import Lab, eventually, is_alive, is_zombie, takes
from trio_recipes.processes import Background, ProcessTrees
from trio_recipes.processes.platform import Portable


async def test_a_background_process_does_not_delay_its_step(any_lab: Lab) -> None:
    async with any_lab.trees:
        with takes(less_than=2):
            ended = await any_lab.bash("sleep 100 & echo $!")
        assert (ended.code, ended.background) == (0, True)
        (left,) = any_lab.trees.background("session")
        assert (left.key, left.attempt) == ("step", 1)
        assert any_lab.trees.background("other") == ()
        with takes(less_than=10):
            (report,) = await any_lab.trees.stop_background("session")
        assert not is_alive(any_lab.pids()[0])
        assert (report.cause, report.survivors) == ("background", ())
        assert any_lab.trees.background("session") == ()


async def test_silent_background_processes_are_noticed_in_their_group(lab: Lab) -> None:
    async with lab.trees:
        await lab.bash("sleep 100 >/dev/null 2>&1 & echo $!; disown")
        assert lab.trees.background("session") == (
            Background(
                ("/bin/bash", "-c", "sleep 100 >/dev/null 2>&1 & echo $!; disown"), "step", 1, tuple(lab.pids())
            ),
        )
        assert await lab.trees.stop_background("session", grace=30)
        assert not is_alive(lab.pids()[0])


async def test_silent_daemons_are_found_by_their_mark(lab: Lab) -> None:
    async with lab.trees:
        await lab.bash("echo $$; (setsid bash -c 'echo $$; exec sleep 100 </dev/null >/dev/null 2>&1' &)")
        await eventually(lambda: len(lab.pids()) == 2)
        await lab.trees.stop_background("session", grace=30)
        assert not is_alive(lab.pids()[1])
        assert lab.trees.background("session") == ()


async def test_late_output_is_marked_as_such(lab: Lab, tmp_path: Path) -> None:
    wait = "until [ -e {0} ]; do sleep 0.02; done"
    said, ended = tmp_path / "said", tmp_path / "ended"
    background = f"echo soon; touch {said}; {wait.format(ended)}; echo late; sleep 100"
    async with lab.trees:
        await lab.bash(f"({background}) & {wait.format(said)}; echo early")
        ended.touch()
        await eventually(lambda: b"late" in lab.late["stdout"])
    assert sorted(lab.stdout.split()) == ["early", "soon"]


async def test_a_chatty_background_process_does_not_hold_up_its_step(lab: Lab) -> None:
    async with lab.trees:
        with takes(less_than=5):
            await lab.bash("yes & echo early")
        await eventually(lambda: lab.late["stdout"])
        await lab.trees.stop_background("session")


async def test_background_kill(any_lab: Lab) -> None:
    async with any_lab.trees:
        with takes(less_than=10):
            ended = await any_lab.bash("sleep 100 & echo $!", background="kill", kill_grace=30)
        assert (ended.code, ended.background) == (0, False)
        assert not is_alive(any_lab.pids()[0])


async def test_background_kill_finds_daemons(lab: Lab) -> None:
    async with lab.trees:
        script = "setsid bash -c 'exec sleep 100 </dev/null >/dev/null 2>&1' & echo $!; sleep 0.1"
        await lab.bash(script, background="kill", kill_grace=30)
        assert not is_alive(lab.pids()[0])


async def test_it_may_end_by_itself(lab: Lab) -> None:
    async with lab.trees:
        await lab.bash("sleep 0.3 & echo $$")
        assert lab.trees.background("session")
        assert not is_zombie(lab.pids()[0])
        await eventually(lambda: not lab.trees.background("session"))
        assert await lab.trees.stop_background("session") == []
    assert lab.signals == []


async def test_running_commands_are_spared(lab: Lab) -> None:
    async with lab.trees, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: lab.bash("setsid sleep 0.6 & echo ready; wait; echo fine"))
        await eventually(lambda: "ready" in lab.stdout)
        await lab.trees.stop_background("session")
        await eventually(lambda: "fine" in lab.stdout)
    assert lab.signals == []


async def test_a_stubborn_one_is_killed_after_the_shorter_grace(lab: Lab) -> None:
    async with lab.trees:
        await lab.bash("bash -c 'trap \"\" TERM; while :; do sleep 100; done' & sleep 0.2", kill_grace=60)
        with takes(at_least=0.3, less_than=10):
            (report,) = await lab.trees.stop_background("session", grace=0.3)
    assert {sent.signal for sent in report.signals} == {signal.SIGTERM, signal.SIGKILL}


async def test_two_callers_share_one_stop(lab: Lab) -> None:
    async with lab.trees:
        await lab.bash("sleep 100 &")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lab.trees.stop_background, "session")
            nursery.start_soon(lab.trees.stop_background, "session")
    assert len(lab.reports) == 1


async def test_closing_stops_them(any_lab: Lab) -> None:
    async with any_lab.trees:
        await any_lab.bash("sleep 100 & echo $!")
    assert not is_alive(any_lab.pids()[0])
    assert [report.cause for report in any_lab.reports] == ["closed"]


async def test_a_failing_callback_ends_only_the_listening(lab: Lab) -> None:
    def on_output(channel: str, data: bytes, /, *, background: bool) -> None:
        if background:
            raise RuntimeError("full")

    lab.on_output = on_output  # type: ignore[method-assign]
    async with lab.trees:
        await lab.bash("(sleep 0.3; echo late; sleep 100) &")
        await trio.sleep(0.5)
        assert lab.trees.background("session")


async def test_without_proc_an_empty_group_is_recognised(runner_id: str) -> None:
    lab = Lab(ProcessTrees(runner_id, platform=Portable()))
    async with lab.trees:
        assert not (await lab.bash("true")).background
        await lab.bash("sleep 0.2 &")
        await eventually(lambda: not lab.trees.background("session"))
