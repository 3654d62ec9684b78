"""Sessions of older versions: upgraded in one transaction, shown, resumed; and those of a newer one, refused.

`first_release/*.sql` and `second_schema/*.sql` are dumps of sessions that such code made and left: one that failed, one
that waits at a gate, one whose runner was killed, one that something resisted. `@PROJECT@` is the folder that they ran
in. `failed.jsonl` is what it exported.
"""

import io
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from trio_recipes import open_runtime
from trio_recipes.errors import StoreError, StoreTooNewError
from trio_recipes.sessions.exchange import export_session, import_session
from trio_recipes.sessions.history import read_history
from trio_recipes.sessions.policy import Policy
from trio_recipes.sessions.view import session_view
from trio_recipes.store import database, records
from trio_recipes.store.base import open_store
from trio_recipes.store.requests import submit
from trio_recipes.store.sqlite import SqliteStore

DUMPS = {1: Path(__file__).parent / "first_release", 2: Path(__file__).parent / "second_schema"}
SESSION = "0123456789abcdef-20260101-000000_recipe"
BLOCKING = "def block():\n    return 2\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "fine").touch()
    (tmp_path / "project" / "blocking.py").write_text(BLOCKING)
    return tmp_path / "project"


@pytest.fixture(params=[1, 2])
def was(request: pytest.FixtureRequest) -> int:
    """The version of an older session's schema."""
    found: int = request.param
    return found


def old(name: str, project: Path, was: int) -> SqliteStore:
    """A store with one session of an older version."""
    store = open_store(str(project.parent / "store"))
    folder = store.layout.session(SESSION)
    folder.mkdir()
    (folder / "wake").touch()
    text = (DUMPS[was] / f"{name}.sql").read_text().replace("@PROJECT@", str(project))
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


def dump(store: SqliteStore) -> list[str]:
    connection = sqlite3.connect(store.layout.database(SESSION))
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def view(store: SqliteStore) -> Any:
    return session_view(read_history(store.file(SESSION)))


@pytest.mark.parametrize(
    ("name", "status"),
    [("failed", "failed"), ("paused", "paused"), ("killed", "interrupted"), ("resists", "cancelled")],
)
async def test_an_older_session_is_shown_and_goes_on(project: Path, was: int, name: str, status: str) -> None:
    store = old(name, project, was)
    assert version(store) == was
    assert view(store)["status"] == status
    assert export_session(store, SESSION, io.StringIO()).damage is None
    assert version(store) == was  # who only looks changes nothing
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


def test_what_resisted_then_is_still_told(project: Path, was: int) -> None:
    (held,) = view(old("resists", project, was))["still_running"]
    assert "thread 'function blocking:block' runs on" in held["what"]


def test_the_standing_of_an_upgraded_session_comes_from_the_index(project: Path, was: int) -> None:
    store = old("failed", project, was)
    store.file(SESSION).connect().close()
    connection = sqlite3.connect(store.layout.database(SESSION))
    plan = connection.execute(
        f"EXPLAIN QUERY PLAN SELECT seq FROM events WHERE {database.LIFE} ORDER BY seq"
    ).fetchall()
    made = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'lifecycle'").fetchone()[0]
    connection.close()
    assert "USING INDEX lifecycle" in plan[0][-1] or "COVERING INDEX lifecycle" in plan[0][-1]
    assert "NOT IN" in made


def test_an_upgrade_that_fails_changes_nothing(project: Path, was: int, monkeypatch: pytest.MonkeyPatch) -> None:
    store = old("failed", project, was)
    known = database._UPGRADES  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(database, "_UPGRADES", {**known, 2: (*known[2], "INSERT INTO nowhere VALUES (1)")})
    before = dump(store)
    with pytest.raises(StoreError):
        store.file(SESSION).connect()
    assert (version(store), dump(store)) == (was, before)
    monkeypatch.undo()
    store.file(SESSION).connect().close()
    assert version(store) == database.SCHEMA_VERSION


def test_a_session_that_somebody_runs_is_left_as_it_is(
    project: Path, was: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = old("killed", project, was)
    monkeypatch.setattr("trio_recipes.store.session_file.is_alive", lambda *_: True)
    store.file(SESSION).connect().close()
    assert str(store.standing(SESSION).status) == "running"
    request = {"level": 1, "request_id": "a", "requested_at": 0}
    asked = [submit(store.file(SESSION), request, escalates=False) for _ in "ab"]
    assert [ack.number for ack in asked] == [1, 1]
    assert str(store.standing(SESSION).status) == "cancelling"
    assert version(store) == was


def test_a_session_of_a_newer_version_is_refused(project: Path, was: int) -> None:
    store = old("failed", project, was)
    connection = sqlite3.connect(store.layout.database(SESSION))
    connection.execute(f"PRAGMA user_version = {database.SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(StoreTooNewError, match="upgrade"):
        store.standing(SESSION)
    with pytest.raises(StoreTooNewError):
        export_session(store, SESSION, io.StringIO())


def test_an_older_session_gets_sums_and_counts_with_its_first_write(project: Path, was: int) -> None:
    store = old("resists", project, was)
    store.file(SESSION).connect().close()
    with store.file(SESSION).reading() as connection:
        head = records.head(connection, SESSION)
        assert (head.events, head.requests, head.answers) == (15, 2, 2)
        assert [row[0] for row in records.events(connection, SESSION)] == [*range(1, 16)]
    connection = sqlite3.connect(store.layout.database(SESSION))
    connection.execute("UPDATE events SET path = 'two' WHERE seq = 5")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="event 5 is not what was written"):
        view(store)


def test_text_that_can_not_be_decoded_is_no_hindrance_to_an_upgrade(project: Path, was: int) -> None:
    """It is damage that was there before; whoever reads it is told."""
    store = old("failed", project, was)
    connection = sqlite3.connect(store.layout.database(SESSION))
    connection.execute("UPDATE events SET body = CAST(x'7bff7d' AS TEXT) WHERE seq = 6")
    connection.commit()
    connection.close()
    store.file(SESSION).connect().close()
    assert version(store) == database.SCHEMA_VERSION
    with pytest.raises(StoreError, match="damaged"):
        view(store)


def test_who_opened_an_older_session_before_its_upgrade_writes_nothing_into_it_after(project: Path) -> None:
    store = old("paused", project, 2)
    connection = sqlite3.connect(store.layout.database(SESSION))
    connection.execute("SELECT 1 FROM events").fetchone()
    store.file(SESSION).connect().close()
    with pytest.raises(sqlite3.Error):
        connection.execute("INSERT INTO requests (id, at, body) VALUES ('a', 1, '{}')")
    with pytest.raises(sqlite3.Error):
        connection.execute("INSERT INTO events VALUES (14, 1, 1, 'warned', '', '{}', NULL)")
    connection.close()
    assert view(store)["status"] == "paused"


def test_a_runner_of_an_older_version_that_dies_just_now_is_taken_over(
    project: Path, was: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alive when the session is opened, dead when it is written to: the upgrade is part of that write."""
    store = old("killed", project, was)
    with monkeypatch.context() as context:
        context.setattr("trio_recipes.store.session_file.is_alive", lambda *_: True)
        connection = store.file(SESSION).connect()
    file, runner = store.file(SESSION), "somebody"
    with file.transaction(connection):
        claim, _ = file.take(connection, runner, {}, lambda _standing: None)
    file.append(connection, claim, [(9, 2, 1, "run_started", "", "{}", None)])
    connection.close()
    assert version(store) == database.SCHEMA_VERSION
    assert store.standing(SESSION).run == 2


@pytest.mark.parametrize("claimed", [0, 1, 2, -1])
def test_a_session_is_not_of_the_version_that_its_header_says(project: Path, claimed: int) -> None:
    """Or one bit would take its check sums away."""
    store = old("failed", project, 2)
    store.file(SESSION).connect().close()
    connection = sqlite3.connect(store.layout.database(SESSION))
    connection.execute(f"PRAGMA user_version = {claimed}")
    connection.close()
    with pytest.raises(StoreError, match="damaged"):
        view(store)
    with pytest.raises(StoreError, match="damaged"):
        store.file(SESSION).connect()


def test_what_an_older_version_exported_is_imported_and_goes_on(project: Path) -> None:
    store = open_store(str(project.parent / "store"))
    text = (DUMPS[2] / "failed.jsonl").read_text().replace("@PROJECT@", str(project))
    imported = import_session(store, text.splitlines(keepends=True))
    assert imported.ending.damage is None
    assert str(store.standing(imported.session_id).status) == "failed"


def test_the_kinds_that_are_counted_are_this_versions_for_good() -> None:
    """A session that was written with other ones would seem to lack some: change them, and the schema is another."""
    assert database.SCHEMA_VERSION == 3
    assert sorted(database.COUNTED) == [
        *("approval_decided", "approval_requested", "approval_withdrawn", "cancel_requested", "cancellation_cleared"),
        *("recipe_replaced", "run_ended", "run_started", "session_created"),
    ]
