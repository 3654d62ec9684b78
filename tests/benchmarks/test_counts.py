"""What must not grow unnoticed, as counts that are the same on every machine: the regression guard of the benchmarks.

The limits stand a little above what was counted when they were written.
"""

import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
import trio

from benchmarks.recipes import Job, flat, parallel, sequential
from trio_recipes.events import SessionStatus
from trio_recipes.processes import watchman
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.store.session_file import SessionFile

STEPS = 40


async def _nothing() -> None:
    await trio.lowlevel.checkpoint()


async def completed(folder: Path, job: Job, nothing: Callable[[], Awaitable[None]] = _nothing) -> Path:
    """Run a job; returns its database, closed and checkpointed."""
    async with open_runtime(store=folder, functions={"nothing": nothing}, agents="echo") as runtime:
        session = await job.start(runtime)
        result = await session.wait()
        assert result.status is SessionStatus.COMPLETED
        return runtime.store.layout.database(session.id)


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Transactions that write a session, by id."""
    ids: list[str] = []
    transaction = SessionFile.transaction

    def noted(file: SessionFile, connection: sqlite3.Connection) -> object:
        ids.append(file.session_id)
        return transaction(file, connection)

    monkeypatch.setattr(SessionFile, "transaction", noted)
    return ids


async def test_a_sequential_step_is_one_commit(tmp_path: Path, commits: list[str]) -> None:
    await completed(tmp_path / "store", flat("nothing", 1))
    alone = len(commits)
    commits.clear()
    await completed(tmp_path / "store", flat("nothing", 1 + STEPS))
    assert len(commits) - alone <= STEPS + 5  # a lazy commit may come in between


async def test_parallel_iterations_share_their_commits(tmp_path: Path, commits: list[str]) -> None:
    await completed(tmp_path / "store", parallel("nothing", 1_000))
    assert len(commits) < 100


async def test_a_small_step_takes_few_bytes(tmp_path: Path) -> None:
    few = await completed(tmp_path / "store", sequential("nothing", 100))
    many = await completed(tmp_path / "store", sequential("nothing", 500))
    assert (many.stat().st_size - few.stat().st_size) / 400 < 400


async def test_the_log_grows_in_few_commits(tmp_path: Path) -> None:
    """A sync of a file that has grown costs more: see store/runway.py."""
    sizes: list[int] = []

    async def look() -> None:
        await trio.lowlevel.checkpoint()
        sizes.extend(log.stat().st_size for log in (tmp_path / "store").rglob("session.db-wal"))

    await completed(tmp_path / "store", flat("nothing", 10 * STEPS), look)
    assert len(sizes) == 10 * STEPS
    assert len(set(sizes)) < STEPS


async def test_a_step_writes_as_much_as_the_first_one(tmp_path: Path) -> None:
    file = await completed(tmp_path / "store", sequential("nothing", 300))
    with closing(sqlite3.connect(file)) as connection:
        sizes = [size for (size,) in connection.execute("SELECT length(body) + length(path) FROM events ORDER BY seq")]
    early, late = sizes[50:150], sizes[-150:-50]
    assert sum(late) <= 1.1 * sum(early)


def modules(*arguments: str) -> set[str]:
    """Modules that a command has imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


async def test_cancel_imports_little(tmp_path: Path) -> None:
    file = await completed(tmp_path / "store", flat("nothing", 1))
    command = ("-m", "trio_recipes", "cancel", file.parent.name, "--store", str(tmp_path / "store"))
    found = modules(*command) - modules("-c", "import sqlite3, json")
    assert "trio_recipes.store.requests" in found
    # Python 3.14's own brings dataclasses and inspect along.
    found -= modules("-c", "import argparse; argparse.ArgumentParser().add_argument('x')")
    assert not found & {"trio", "attr", "attrs", "cattrs", "yaml", "inspect", "dataclasses", "logging", "subprocess"}
    assert len(found) < 75


def test_the_smallest_run_imports_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("name: r\ndescription: d\nversion: 1.0.0\nsteps: [{id: s, type: bash, command: ':'}]\n")
    found = modules("-m", "trio_recipes", "run", str(recipe), "--store", str(tmp_path / "store"))
    assert "trio_recipes.runtime.engine" in found
    unneeded = {
        "httpx2",
        "mcp",
        "rich",
        "anthropic",
        "hypercorn",
        "tomllib",
        "asyncio",
        "trio_recipes.sessions.revising",
    }
    assert not found & unneeded


def test_a_runtime_makes_no_class_before_it_is_used() -> None:
    """What attrs generates takes longer for our classes than the interpreter for all the rest of them."""
    code = (
        "import sys; from trio_recipes import open_runtime; import trio_recipes.store.sqlite\n"
        "known = [vars(module) for name, module in sys.modules.items() if name.startswith('trio_recipes.')]\n"
        "classes = {each for names in known for each in names.values() if isinstance(each, type)}\n"
        "members = [vars(each).get('__attrs_attrs__') for each in classes]\n"
        "makers = [type(member).__name__ for member in members if member is not None]\n"
        "print(makers.count('_Later'), len(makers))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    later, of_all = map(int, done.stdout.split())
    assert later > 100
    assert of_all - later < 20


def test_the_watchman_imports_little() -> None:
    found = modules("-I", "-S", watchman.__file__, "nobody", "1") - modules("-I", "-S", "-c", "")
    assert "select" in found
    assert not found & {"typing", "re", "contextlib", "inspect", "subprocess"}
