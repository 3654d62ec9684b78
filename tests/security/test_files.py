"""What lies on the disk is for its user alone; and no name from outside becomes a path unchecked."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.frontends.running import PROGRAM, QUICK, environment, eventually, gated, invoke, shown, write_recipe
from trio_recipes.errors import SessionNotFoundError
from trio_recipes.sessions.manager import SessionManager
from trio_recipes.store.base import open_store
from trio_recipes.store.layout import Layout

NO_IDS = [
    "../../etc",
    "/etc/passwd",
    "a/../../b",
    "..",
    ".",
    "",
    "a\0b",
    "A" * 20,
    "x" * 65,
    "abcd\n",
    "-abcd",
    "ab%2fcd",
]


@pytest.mark.parametrize("umask", ["000", "077"])
def test_store_files_are_for_their_user_alone_whatever_the_umask(tmp_path: Path, umask: str) -> None:
    """While a detached session runs: database, write-ahead log, FIFO, locks, log, and what `show --stuck` asks for."""
    store, recipe = tmp_path / "made" / "store", write_recipe(tmp_path, gated("wait"))
    script = f'umask {umask}; exec "$@"'
    command = ["bash", "-c", script, "bash", *PROGRAM]

    def runs(*arguments: str | Path) -> None:
        subprocess.run(
            [*command, *arguments], cwd=tmp_path, env=environment(), check=True, capture_output=True, timeout=30
        )

    runs("run", recipe, "--detach", "--store", store)
    try:
        eventually((tmp_path / "begun").exists)
        runs("show", "@last", "--stuck", "--store", store)
        found = {path: path.lstat().st_mode for path in [store, *store.rglob("*")]}
        names = {path.name for path in found}
        assert {"session.db", "session.db-wal", "wake", "detached.log", "doing.json", "VERSION"} <= names
        for path, mode in found.items():
            assert stat.S_IMODE(mode) == (0o700 if stat.S_ISDIR(mode) else 0o600), path
    finally:
        (tmp_path / "gate").touch()
        eventually(lambda: open_store(str(store)).standing(open_store(str(store)).resolve("@last")).ended)


@pytest.mark.parametrize("name", NO_IDS)
def test_what_is_no_id_becomes_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(SessionNotFoundError):
        Layout(tmp_path).session(name)


@pytest.mark.parametrize("name", [name for name in NO_IDS if "\0" not in name])
@pytest.mark.parametrize("command", [("show",), ("cancel",), ("resume",), ("approve", "stage")], ids=lambda c: c[0])
def test_no_command_takes_it(tmp_path: Path, name: str, command: tuple[str, ...]) -> None:
    from trio_recipes.frontends.cli.main import main  # noqa: PLC0415  in process: 48 times

    store = str(tmp_path / "store")
    assert main([command[0], "--store", store, "--", name, *command[1:]]) == 2
    assert not (tmp_path / "store").exists(), "nothing is made for it"


@pytest.mark.parametrize("name", NO_IDS)
def test_the_manager_knows_no_such_session(tmp_path: Path, name: str) -> None:
    manager = SessionManager(tmp_path / "store")
    assert not manager.session_exists(name, tmp_path)
    assert str(manager.get_cancellation_status(name, tmp_path)).endswith("none")
    accepted, _ = manager.request_cancellation(name, tmp_path)
    assert not accepted


def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    """Somebody who may write into the session's folder is its user; still, no link is followed out of it."""
    recipe = write_recipe(tmp_path, QUICK)
    assert invoke("run", recipe, cwd=tmp_path).returncode == 0
    store = open_store()
    folder = store.layout.session(shown()["session_id"])
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (folder / "doing.new").symlink_to(victim)
    from trio_recipes.runtime.scope import ScopeTree  # noqa: PLC0415
    from trio_recipes.sessions.describing import write_down  # noqa: PLC0415

    write_down(ScopeTree(), store.layout, folder.name)
    assert victim.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_another_user_can_not_wake_a_runner(tmp_path: Path) -> None:
    invoke("run", write_recipe(tmp_path, QUICK), cwd=tmp_path)
    fifo = open_store().layout.wake(shown()["session_id"])
    as_nobody = ["setpriv", "--reuid", "65534", "--clear-groups", "bash", "-c", 'echo ! > "$0"', str(fifo)]
    assert subprocess.run(as_nobody, capture_output=True, check=False).returncode != 0
