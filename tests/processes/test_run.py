"""Commands that end by themselves: output, codes, input, errors."""

import signal

import pytest
import trio

from tests.processes.helpers import (
    PYTHON,
    Lab,
    eventually,
    is_alive,
    is_zombie,
    open_descriptors,
    read,
    takes,
)
from trio_recipes.processes import Command, Exit


async def test_output_and_code(any_lab: Lab) -> None:
    async with any_lab.trees:
        ended = await any_lab.bash("echo out; echo err >&2; exit 3")
    assert ended == Exit(3)
    assert any_lab.early == {"stdout": bytearray(b"out\n"), "stderr": bytearray(b"err\n")}
    assert any_lab.reports == []
    assert any_lab.signals == []


async def test_success_without_leftovers_costs_no_scan(lab: Lab) -> None:
    async with lab.trees:
        assert await lab.bash("true | cat") == Exit(0)
        assert lab.trees.scans == 0


async def test_killed_by_a_signal(any_lab: Lab) -> None:
    async with any_lab.trees:
        assert (await any_lab.bash("kill -KILL $$")).code == -signal.SIGKILL


async def test_what_the_leader_wrote_last_is_never_lost(lab: Lab) -> None:
    script = "import sys; sys.stdout.buffer.write(b'x' * 60_000); sys.stdout.flush(); import os; os._exit(0)"
    async with lab.trees:
        for _ in range(5):
            lab.early["stdout"].clear()
            await lab.run(PYTHON, "-S", "-c", script)
            assert len(lab.stdout) == 60_000


async def test_much_output_in_small_pieces(lab: Lab) -> None:
    async with lab.trees:
        await lab.bash("head -c 30000000 /dev/zero")
    assert len(lab.early["stdout"]) == 30_000_000


async def test_marks_and_environment(lab: Lab) -> None:
    async with lab.trees:
        await lab.bash(
            "echo $TRIO_RECIPES_RUN,$TRIO_RECIPES_SESSION,$TRIO_RECIPES_STEP_KEY,$TRIO_RECIPES_ATTEMPT,$A",
            env={"A": "a", "TRIO_RECIPES_RUN": "outer"},
            attempt=2,
        )
    assert lab.stdout == f"{lab.trees.runner_id},session,step,2,a\n"


async def test_standard_input(lab: Lab) -> None:
    async with lab.trees:
        await lab.run("/bin/cat")
        assert lab.stdout == ""
        await lab.run("/usr/bin/wc", "-c", stdin=b"x" * 300_000)
    assert lab.stdout.strip() == "300000"


async def test_a_command_that_does_not_read_its_input(lab: Lab) -> None:
    async with lab.trees:
        assert (await lab.run("/bin/true", stdin=b"x" * 1_000_000)).code == 0
        assert (await lab.bash("exec <&-; echo done", stdin=b"x" * 1_000_000)).code == 0
    assert lab.stdout == "done\n"


async def test_a_command_without_terminal(lab: Lab) -> None:
    async with lab.trees:
        await lab.bash("tty; [ -t 0 ] || [ -t 1 ] || echo none")
    assert "none" in lab.stdout


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"argv": ("/no/such/program",)}, FileNotFoundError),
        ({"argv": ("/bin/true",), "cwd": "/no/such/folder"}, FileNotFoundError),
        ({"argv": ("/etc/passwd",)}, PermissionError),
    ],
)
async def test_what_cannot_be_started(lab: Lab, settings: dict[str, object], error: type[Exception]) -> None:
    before = open_descriptors()
    async with lab.trees:
        with pytest.raises(error):
            await lab.run(*settings.pop("argv"), stdin=b"x", **settings)  # type: ignore[misc]
        assert (await lab.bash("exit 4")).code == 4
    assert open_descriptors() == before


async def test_no_descriptor_and_no_zombie_is_left(lab: Lab) -> None:
    before = open_descriptors()
    async with lab.trees:
        for _ in range(5):
            await lab.bash("echo $$; sleep 100 >/dev/null 2>&1 &", stdin=b"x")
        await lab.cancel("sleep 100 & echo $$ ready; wait")
        watchman = lab.trees.watchman_pid
    assert open_descriptors() == before
    assert watchman is not None
    assert read(watchman, "stat") == b""
    assert not any(is_zombie(pid) for pid in lab.pids())


async def test_an_error_in_a_callback_stops_the_command_and_is_raised(lab: Lab) -> None:
    def on_output(channel: str, data: bytes, /, *, background: bool) -> None:
        raise RuntimeError("full")

    command = Command(argv=("/bin/bash", "-c", "echo x; sleep 100"), cwd="/", env={}, session_id="s", key="k")
    async with lab.trees:
        with takes(less_than=5), pytest.raises(RuntimeError, match="full"):
            await lab.trees.run(command, on_output=on_output, on_stopped=lab.reports.append)


async def test_errors_of_the_body_pass_through_as_they_are(lab: Lab) -> None:
    async def body() -> None:
        async with lab.trees:
            await lab.bash("true")
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await body()


async def test_leaving_by_an_error_stops_what_runs(lab: Lab) -> None:
    async def keep_running() -> None:
        await lab.bash("echo $$; sleep 100")

    async with trio.open_nursery() as nursery:
        async with lab.trees:
            nursery.start_soon(keep_running)
            await eventually(lab.pids)
        assert not is_alive(lab.pids()[0])
        with pytest.raises(trio.ClosedResourceError):
            await lab.bash("true")
    assert [report.cause for report in lab.reports] == ["closed"]


def test_grace_is_limited() -> None:
    with pytest.raises(ValueError, match="kill_grace"):
        Command(argv=("x",), cwd="/", env={}, session_id="s", key="k", kill_grace=61)
