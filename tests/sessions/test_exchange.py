"""A session taken along: exported, imported elsewhere, resumed there (and as far as a damaged one can be read)."""

import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_recipes import open_runtime
from trio_recipes.errors import ArchiveError, SessionError, StoreUnusableError
from trio_recipes.sessions.exchange import export_session, import_session
from trio_recipes.sessions.history import read_history
from trio_recipes.sessions.view import session_view
from trio_recipes.store.base import open_store
from trio_recipes.store.sqlite import SqliteStore

RECIPE = """\
name: traveller
description: d
version: 1.0.0
context: {items: [a, b, c]}
steps:
  - {id: first, type: bash, command: "echo first >> ran; printf 'zero\\\\0byte'", output: first}
  - id: each
    type: bash
    foreach: "{{items}}"
    command: "echo {{item}} >> ran; [ {{item}} != b ] || [ -e fine ] && echo did {{item}}"
    collect: did
  - {id: last, type: bash, command: "echo last >> ran; echo over", output: last}
"""

SECRET = """\
name: keeper
description: d
version: 1.0.0
secrets: [TOKEN]
steps:
  - {id: tell, type: bash, command: 'echo tell >> ran; echo "it is $TOKEN"', env_from_context: [TOKEN], output: told}
  - {id: stop, type: bash, command: "echo stop >> ran; test -e fine"}
"""


async def began(folder: Path, text: str, name: str = "here", **context: Any) -> tuple[SqliteStore, str]:
    """A session in the store `name` that failed in the middle."""
    recipe = folder / "recipe.yaml"
    recipe.write_text(text)
    async with open_runtime(store=str(folder / name), project=folder) as runtime:
        session = await runtime.start(recipe, context)
        assert (await session.wait()).status.value == "failed"
    return open_store(str(folder / name)), session.id


def exported(store: SqliteStore, session_id: str) -> str:
    stream = io.StringIO()
    export_session(store, session_id, stream)
    return stream.getvalue()


async def resumed(store: SqliteStore, session_id: str, **options: Any) -> Any:
    async with open_runtime(store=store) as runtime:
        return await (await runtime.resume(session_id, **options)).wait()


def view(store: SqliteStore, session_id: str) -> Any:
    return session_view(read_history(store.file(session_id)))


async def test_a_session_goes_on_elsewhere(tmp_path: Path) -> None:
    store, session_id = await began(tmp_path, RECIPE)
    text = exported(store, session_id)
    there = tmp_path / "elsewhere"
    there.mkdir()
    other = open_store(str(tmp_path / "there"))
    imported = import_session(other, io.StringIO(text), project=there)
    assert imported.session_id == session_id
    assert (imported.ending.damage, imported.again) == (None, ())
    assert {**view(other, session_id), "project_path": ""} == {**view(store, session_id), "project_path": ""}

    (there / "fine").touch()
    result = await resumed(other, session_id)
    assert result.context["did"] == ["did a\n", "did b\n", "did c\n"]
    assert result.context["first"] == "zero\0byte"
    assert (there / "ran").read_text().split() == ["b", "c", "last"]  # what had finished did not run again
    assert view(store, session_id)["status"] == "failed"  # the one here stays as it was


async def test_it_is_here_already(tmp_path: Path) -> None:
    store, session_id = await began(tmp_path, RECIPE)
    with pytest.raises(SessionError, match="is in this store already"):
        import_session(store, io.StringIO(exported(store, session_id)))


async def test_no_secret_travels_and_what_held_one_runs_again(tmp_path: Path) -> None:
    store, session_id = await began(tmp_path, SECRET, TOKEN="very-secret-value")
    text = exported(store, session_id)
    assert "very-secret" not in text
    other = open_store(str(tmp_path / "there"))
    imported = import_session(other, io.StringIO(text), project=tmp_path)
    assert imported.again == ("tell",)
    (tmp_path / "fine").touch()
    result = await resumed(other, session_id, secrets={"TOKEN": "another-secret"})
    assert result.context["told"] == "it is another-secret\n"
    assert (tmp_path / "ran").read_text().split() == ["tell", "stop", "tell", "stop"]


async def test_a_session_that_was_killed_is_interrupted_elsewhere_too(tmp_path: Path) -> None:
    store, session_id = await began(tmp_path, RECIPE)
    lines = exported(store, session_id).splitlines(keepends=True)
    ended = next(n for n, line in enumerate(lines) if '"run_ended"' in line)
    other = open_store(str(tmp_path / "there"))
    imported = import_session(other, lines[:ended], project=tmp_path)
    assert imported.ending.damage == "the file was cut off"
    assert other.standing(session_id).status.value == "interrupted"
    (tmp_path / "fine").touch()
    assert (await resumed(other, session_id)).status.value == "completed"


async def test_a_damaged_session_is_exported_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    store, session_id = await began(tmp_path, RECIPE)
    whole = exported(store, session_id)
    database = store.layout.database(session_id)
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE events SET body = '{' WHERE seq = 9")
    connection.close()
    stream = io.StringIO()
    ending = export_session(store, session_id, stream)
    assert ending.events == 8
    assert ending.damage is not None
    assert stream.getvalue().splitlines()[:9] == whole.splitlines()[:9]
    other = open_store(str(tmp_path / "there"))
    import_session(other, io.StringIO(stream.getvalue()), project=tmp_path)
    (tmp_path / "fine").touch()
    assert (await resumed(other, session_id)).status.value == "completed"


async def test_what_can_be_read_of_a_damaged_session_takes_its_place(tmp_path: Path) -> None:
    store, session_id = await began(tmp_path, RECIPE)
    with sqlite3.connect(store.layout.database(session_id)) as connection:
        connection.execute("UPDATE events SET data = x'ff' WHERE event = 'output' AND path = 'each[0]'")
    connection.close()
    text = exported(store, session_id)
    with pytest.raises(ArchiveError):
        import_session(store, text.splitlines(keepends=True)[:1])
    assert store.is_damaged(session_id)  # who could not be imported has not taken its place
    imported = import_session(store, io.StringIO(text))
    assert imported.aside is not None
    assert (imported.aside / "session.db").exists()
    assert list(store.layout.ids()) == [session_id]
    (tmp_path / "fine").touch()
    assert (await resumed(store, session_id)).context["did"] == ["did a\n", "did b\n", "did c\n"]
    with pytest.raises(SessionError, match="in this store already"):
        import_session(store, io.StringIO(text))


async def test_a_letter_that_changed_in_an_exported_file_is_told(tmp_path: Path) -> None:
    store, session_id = await began(tmp_path, RECIPE)
    text = exported(store, session_id)
    other = open_store(str(tmp_path / "there"))
    with pytest.raises(ArchiveError, match="their sum differs"):
        import_session(other, io.StringIO(text.replace('"channel": "stdout"', '"channel": "stderr"', 1)))
    assert not other.exists(session_id)
    ending = text.splitlines()[-1]
    older = json.dumps({name: value for name, value in json.loads(ending).items() if name != "crc"})
    import_session(other, io.StringIO(text.replace(ending, older)))  # as older versions wrote it
    assert other.exists(session_id)


async def test_nothing_readable_is_said_to_be_so(tmp_path: Path) -> None:
    store, session_id = await began(tmp_path, RECIPE)
    store.layout.database(session_id).write_bytes(b"nothing" * 2000)
    with pytest.raises(StoreUnusableError, match="is damaged or no database"):
        exported(store, session_id)


# --- files that come from anywhere -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "line 1: this is not JSON"),
        (["{}"], "no session that trio-recipes exported"),
        (['{"trio_recipes_archive": 9, "session_id": "abcdef"}'], "newer trio_recipes"),
        (['{"trio_recipes_archive": 1, "session_id": "abcdef"}', "[1]"], "line 2"),
        (['{"trio_recipes_archive": 1, "session_id": "abcdef"}', '[1,0,0,"run_started","",{},null]'], "line 2"),
        (['{"trio_recipes_archive": 1, "session_id": "abcdef"}', '[1,0,0,"nonsense","",{},null]'], "line 2"),
        (['{"trio_recipes_archive": 1, "session_id": "abcdef"}', "[" * 100_000], "line 2: this is not JSON"),
        (['{"trio_recipes_archive": 1, "session_id": "abcdef"}', '{"events": 7, "masked": []}'], "line 2"),
    ],
)
def test_files_that_no_export_wrote(tmp_path: Path, lines: list[str], told: str) -> None:
    store = open_store(str(tmp_path / "store"))
    with pytest.raises(ArchiveError) as refused:
        import_session(store, [f"{line}\n" for line in lines])
    assert told in str(refused.value)
    assert list(store.layout.ids()) == []


@pytest.mark.parametrize("name", ["../../x", "a/b", "", "A" * 100, "x\0y", "."])
def test_an_id_never_becomes_a_path_unseen(tmp_path: Path, name: str) -> None:
    store = open_store(str(tmp_path / "store"))
    with pytest.raises(SessionError, match="is no session id"):
        import_session(store, [json.dumps({"trio_recipes_archive": 1, "session_id": name}) + "\n"])


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    import trio  # noqa: PLC0415  a module's fixture can't be async

    store, session_id = trio.run(began, tmp_path_factory.mktemp("archive"), RECIPE)
    return exported(store, session_id)


@given(data=st.data())
def test_any_change_is_refused_or_makes_another_session_that_can_be_read(
    archive: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(archive) - 1))
    size = data.draw(st.integers(0, 40))
    changed = archive[:at] + data.draw(st.text(max_size=10)) + archive[at + size :]
    store = open_store(str(tmp_path_factory.mktemp("other")))
    try:
        imported = import_session(store, changed.splitlines(keepends=True))
    except (ArchiveError, SessionError, StoreUnusableError):
        assert list(store.layout.ids()) == []
    else:
        assert list(store.layout.ids()) == [imported.session_id]
        store.standing(imported.session_id)
