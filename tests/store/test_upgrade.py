"""Sessions of the first release: upgraded in one transaction, shown, resumed; and those of a newer one, refused.

`first_release/*.sql` are dumps of sessions that its code made and left: one that failed, one that waits at a gate, one
whose runner was killed, one that something resisted. `@PROJECT@` is the folder that they ran in.
"""

import io
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from trio_recipes import open_runtime
from trio_recipes.errors import StoreError, StoreTooNewError
from trio_recipes.sessions.exchange import export_session
from trio_recipes.sessions.history import read_history
from trio_recipes.sessions.policy import Policy
from trio_recipes.sessions.view import session_view
from trio_recipes.store import database
from trio_recipes.store.base import open_store
from trio_recipes.store.sqlite import SqliteStore

DUMPS = Path(__file__).parent / "first_release"
SESSION = "0123456789abcdef-20260101-000000_recipe"
BLOCKING = "def block():\n    return 2\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "fine").touch()
    (tmp_path / "project" / "blocking.py").write_text(BLOCKING)
    return tmp_path / "project"


def old(name: str, project: Path) -> SqliteStore:
    """A store with one session of the first release."""
    store = open_store(str(project.parent / "store"))
    folder = store.layout.session(SESSION)
    folder.mkdir()
    (folder / "wake").touch()
    text = (DUMPS / f"{name}.sql").read_text().replace("@PROJECT@", str(project))
    connection = sqlite3.connect(folder / "session.db")
    connection.executescript(text)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    return store


def version(store: SqliteStore) -> int:
    connection = sqlite3.connect(store.layout.database(SESSION))
    try:
        return database.version_of(connection)
    finally:
        connection.close()


def view(store: SqliteStore) -> Any:
    return session_view(read_history(store.file(SESSION)))


@pytest.mark.parametrize(
    ("name", "status"),
    [("failed", "failed"), ("paused", "paused"), ("killed", "interrupted"), ("resists", "cancelled")],
)
async def test_a_session_of_the_first_release_is_shown_and_goes_on(project: Path, name: str, status: str) -> None:
    store = old(name, project)
    assert version(store) == 1
    assert view(store)["status"] == status
    assert version(store) == 1  # who only looks changes nothing
    functions = {"blocking:block": lambda: 2}
    async with open_runtime(
        store=store, project=project, functions=functions, policy=Policy(functions="any")
    ) as runtime:
        if name == "paused":
            await runtime.approve(SESSION, "build", "go")
        done = await (await runtime.resume(SESSION)).wait()
    assert str(done.status) == "completed", done
    assert version(store) == database.SCHEMA_VERSION
    assert done.context in (
        {"items": ["a", "b"], "one": "one\n", "all": ["a\n", "b\n"], "last": "over\n"},
        {"built": "built\n", "shipped": "built\n go\n"},
        {"one": "one\n", "two": "two\n"},
        {"one": "one\n", "two": 2},
    )


def test_what_resisted_then_is_still_told(project: Path) -> None:
    (held,) = view(old("resists", project))["still_running"]
    assert "thread 'function blocking:block' runs on" in held["what"]


def test_the_standing_of_an_upgraded_session_comes_from_the_index(project: Path) -> None:
    store = old("failed", project)
    store.file(SESSION).connect().close()
    connection = sqlite3.connect(store.layout.database(SESSION))
    plan = connection.execute(
        f"EXPLAIN QUERY PLAN SELECT seq FROM events WHERE {database.LIFE} ORDER BY seq"
    ).fetchall()
    made = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'lifecycle'").fetchone()[0]
    connection.close()
    assert "USING INDEX lifecycle" in plan[0][-1] or "COVERING INDEX lifecycle" in plan[0][-1]
    assert "NOT IN" in made


def test_an_upgrade_that_fails_changes_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = old("failed", project)
    broken = {1: (*database._UPGRADES[1], "INSERT INTO nowhere VALUES (1)")}  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(database, "_UPGRADES", broken)
    with pytest.raises(StoreError):
        store.file(SESSION).connect()
    assert version(store) == 1
    connection = sqlite3.connect(store.layout.database(SESSION))
    assert "NOT IN" not in connection.execute("SELECT sql FROM sqlite_master WHERE name = 'lifecycle'").fetchone()[0]
    connection.close()
    monkeypatch.undo()
    store.file(SESSION).connect().close()
    assert version(store) == database.SCHEMA_VERSION


def test_a_session_that_somebody_runs_is_left_as_it_is(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = old("killed", project)
    monkeypatch.setattr("trio_recipes.store.session_file.is_alive", lambda *_: True)
    store.file(SESSION).connect().close()
    assert str(store.standing(SESSION).status) == "running"
    assert version(store) == 1


def test_a_session_of_a_newer_version_is_refused(project: Path) -> None:
    store = old("failed", project)
    connection = sqlite3.connect(store.layout.database(SESSION))
    connection.execute(f"PRAGMA user_version = {database.SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(StoreTooNewError, match="upgrade"):
        store.standing(SESSION)
    with pytest.raises(StoreTooNewError):
        export_session(store, SESSION, io.StringIO())
