"""The platform file: identities, signals that can't hit strangers, orphans."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
import trio
from attrs import evolve

from tests.processes.helpers import PYTHON, eventually_sync, is_alive, is_zombie
from trio_recipes.processes import family, kill_marked, platform
from trio_recipes.processes.platform import Linux, LinuxWithoutPidfd, Platform, Portable
from trio_recipes.processes.procfs import Proc, read_process
from trio_recipes.processes.snapshot import Snapshot

WITH_PROC = [Linux(), LinuxWithoutPidfd()]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["/bin/sleep", "100"], start_new_session=True) as process:
        yield process
        process.kill()


def seen(pid: int) -> Proc:
    proc = read_process(pid)
    assert proc is not None
    return proc


@pytest.mark.parametrize("system", WITH_PROC)
def test_a_recycled_pid_is_never_signalled(system: Platform, sleeper: subprocess.Popen[bytes]) -> None:
    proc = seen(sleeper.pid)
    assert not system.send(evolve(proc, start=proc.start - 1), signal.SIGKILL)
    assert is_alive(sleeper.pid)
    assert system.send(proc, signal.SIGKILL)
    sleeper.wait()
    assert not system.send(proc, signal.SIGKILL)


@pytest.mark.parametrize("system", WITH_PROC)
async def test_a_recycled_pid_is_not_waited_for(system: Platform, sleeper: subprocess.Popen[bytes]) -> None:
    proc = seen(sleeper.pid)
    with trio.fail_after(5):
        await system.gone(evolve(proc, start=proc.start - 1))


@pytest.mark.parametrize("system", [*WITH_PROC, Portable()])
def test_our_own_group_is_never_signalled(system: Platform) -> None:
    for pid in (os.getpid(), 1):
        with pytest.raises(PermissionError):
            system.send(seen(pid), 0)
    with subprocess.Popen(["/bin/sleep", "100"]) as neighbour:
        with pytest.raises(PermissionError):
            system.send(seen(neighbour.pid), signal.SIGKILL)
        neighbour.kill()


def test_a_zombie_does_not_run(sleeper: subprocess.Popen[bytes]) -> None:
    assert seen(sleeper.pid).is_running
    os.kill(sleeper.pid, signal.SIGSTOP)
    eventually_sync(lambda: seen(sleeper.pid).is_stopped)
    sleeper.kill()
    eventually_sync(lambda: is_zombie(sleeper.pid))
    assert not seen(sleeper.pid).is_running


def test_names_with_parentheses() -> None:
    with subprocess.Popen(
        ["/bin/bash", "-c", "echo -n ') S 1 (x' > /proc/self/comm; cat"], stdin=subprocess.PIPE
    ) as odd:
        assert seen(odd.pid).ppid == os.getpid()


def test_descendants() -> None:
    with subprocess.Popen(["/bin/bash", "-c", "bash -c 'sleep 100; true' & wait"], start_new_session=True) as parent:
        eventually_sync(lambda: len(Linux().descendants(parent.pid)) == 3)
        os.killpg(parent.pid, signal.SIGKILL)


def test_what_is_known_of_a_process_does_not_bring_it_back() -> None:
    with subprocess.Popen(["sleep", "100"]) as gone:
        known = {proc.pid: proc for proc in Linux().scan((), 0, {})}
        gone.kill()
    with subprocess.Popen(["sleep", "100"]) as fresh:
        found = {proc.pid for proc in Linux().scan((), 0, known)}
        fresh.kill()
    assert gone.pid in known
    assert gone.pid not in found
    assert fresh.pid in found


async def test_running_out_of_descriptors_is_an_error_and_not_an_empty_list() -> None:
    script = (
        "import resource; from trio_recipes.processes.platform import Linux\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "try: Linux().scan((), 0, {})\n"
        "except OSError as error: print(error.errno)"
    )
    ran = await trio.run_process([PYTHON, "-c", script], capture_stdout=True)
    assert ran.stdout == b"24\n"


def test_a_group_is_trusted_only_if_it_has_existed_all_the_time() -> None:
    """After the leader was reaped, its number may be a stranger's."""
    tree = family.Family(lambda _: [], group=50)
    member = Proc(51, 1, ppid=1, pgid=50, sid=50, state="S")
    assert tree.running(Snapshot.of([member])) == [member]
    tree.is_pinned = False
    young = Proc(52, 2, ppid=1, pgid=50, sid=50, state="S")
    assert tree.running(Snapshot.of([member, young])) == [young, member]
    stranger = Proc(50, 9, ppid=1, pgid=50, sid=50, state="S")
    assert tree.running(Snapshot.of([stranger])) == []


async def test_sweeping_spares_the_sweeper_and_its_ancestors(runner_id: str) -> None:
    script = f"import trio; from trio_recipes.processes import kill_marked; print(trio.run(kill_marked, {runner_id!r}))"
    environment = {**os.environ, "TRIO_RECIPES_RUN": runner_id, "PYTHONPATH": "."}
    command = ["/bin/bash", "-c", f'"{PYTHON}" -c "$0"; echo alive', script]
    ran = await trio.run_process(command, capture_stdout=True, env=environment, start_new_session=True)
    assert ran.stdout == b"[]\nalive\n"


async def test_nothing_to_sweep() -> None:
    assert await kill_marked("nobody") == []
    assert await kill_marked("nobody", platform=Portable()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl")
async def test_a_subreaper_catches_who_cleared_everything(runner_id: str) -> None:
    """An orphan without mark, group, session and parent; and its zombie is reaped."""
    script = f"""
import os, trio
from trio_recipes.processes import Command, ProcessTrees, become_subreaper
assert become_subreaper()
found = []
async def main():
    async with ProcessTrees({runner_id!r}) as trees:
        escape = "env -i setsid bash -c 'echo $$; exec sleep 100 >/dev/null 2>&1' & true"
        command = Command(argv=("/bin/bash", "-c", escape), cwd="/", env=dict(os.environ), session_id="s", key="k")
        await trees.run(command, on_output=lambda channel, data, background: found.append(data))
        while not found: await trio.sleep(0.01)
trio.run(main)
(orphan,) = map(int, found)
print(os.path.exists(f"/proc/{{orphan}}"))
"""
    ran = await trio.run_process([PYTHON, "-c", script], capture_stdout=True)
    assert ran.stdout == b"False\n"


def test_the_native_platform_is_the_best_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(platform.native()) is Linux
    monkeypatch.delattr(os, "pidfd_open")
    assert type(platform.native()) is LinuxWithoutPidfd


def test_what_outlives_us_on_purpose_is_spared_with_all_that_it_started() -> None:
    tree = family.Family(lambda _: [], group=50)
    leader = Proc(50, 1, ppid=1, pgid=50, sid=50, state="S")
    detached = Proc(60, 2, ppid=50, pgid=60, sid=60, state="S", marks={"TRIO_RECIPES_DETACHED": "1"})
    its_child = Proc(70, 3, ppid=60, pgid=70, sid=70, state="S")
    assert tree.running(Snapshot.of([leader, detached, its_child])) == [leader]
