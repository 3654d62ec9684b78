"""Who is alive; where things lie; what an id from outside may name."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.store.helpers import ID, a_session, created, lock_in
from trio_recipes.errors import SessionError, SessionNotFoundError, StoreTooNewError, StoreUnusableError
from trio_recipes.store.layout import folder_of, new_session_id
from trio_recipes.store.owner import RunnerLock, is_alive
from trio_recipes.store.runs import create
from trio_recipes.store.sqlite import SqliteStore

# --- who is alive ------------------------------------------------------------------------------------------------


def test_a_runner_lives_from_acquire_to_release(store: SqliteStore) -> None:
    lock = RunnerLock(store.layout)
    assert not is_alive(store.layout, lock.runner_id)
    lock.acquire()
    assert is_alive(store.layout, lock.runner_id)
    lock.release()
    assert not is_alive(store.layout, lock.runner_id)


def test_two_that_ask_do_not_take_each_other_for_the_owner(store: SqliteStore) -> None:
    import fcntl  # noqa: PLC0415

    lock = lock_in(store)
    os.close(lock.fd)  # died: the file is still there
    with store.layout.lock(lock.runner_id).open() as asker:
        fcntl.flock(asker, fcntl.LOCK_SH)
        assert not is_alive(store.layout, lock.runner_id)


def test_a_child_that_inherited_the_lock_keeps_its_runner_alive(store: SqliteStore) -> None:
    lock = lock_in(store)
    child = subprocess.Popen([sys.executable, "-c", "input()"], pass_fds=[lock.fd], stdin=subprocess.PIPE)
    os.close(lock.fd)
    assert is_alive(store.layout, lock.runner_id)
    child.communicate(b"\n", timeout=30)
    assert not is_alive(store.layout, lock.runner_id)


def test_what_can_not_be_looked_at_is_not_declared_dead(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = lock_in(store)

    def no_descriptors(*_args: object) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", no_descriptors)
        assert is_alive(store.layout, lock.runner_id)


def test_the_lock_is_not_inherited_by_programs_that_steps_run(store: SqliteStore) -> None:
    assert not os.get_inheritable(lock_in(store).fd)


# --- where things lie --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "A" * 10, "x", "", "a" * 65, "ab\n12", "-abc", "é" * 5])
def test_what_is_no_id_never_becomes_a_path(store: SqliteStore, name: str) -> None:
    for ask in (store.layout.session, store.layout.database, store.layout.wake):
        with pytest.raises(SessionNotFoundError):
            ask(name)
    assert not store.exists(name)


def test_fresh_ids_are_ids(store: SqliteStore) -> None:
    assert store.layout.session(new_session_id()).parent == store.layout.sessions


def test_folders_and_marker_are_for_their_user_only(store: SqliteStore) -> None:
    for folder in (store.layout.root, store.layout.sessions, store.layout.runners):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((store.layout.root / "VERSION").stat().st_mode) == 0o600
    assert sorted(file.name for file in store.layout.root.iterdir()) == ["VERSION", "runners", "sessions"]


@pytest.mark.parametrize(
    ("text", "error"),
    [("trio_recipes store 2\n", StoreTooNewError), ("something else", StoreUnusableError), ("", StoreUnusableError)],
)
@pytest.mark.parametrize("create", [True, False])
def test_a_store_that_is_not_for_us_is_refused(tmp_path: Path, text: str, error: type, create: bool) -> None:
    (tmp_path / "VERSION").write_text(text)
    with pytest.raises(error, match=str(tmp_path)):
        SqliteStore.open(str(tmp_path), create=create)


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for create_it in (True, False):
        with pytest.raises(StoreUnusableError):
            SqliteStore.open(str(tmp_path / "file"), create=create_it)


def test_an_absent_store_is_an_empty_one_and_stays_absent(tmp_path: Path) -> None:
    store = SqliteStore.open(str(tmp_path / "absent"), create=False)
    assert list(store.standings()) == []
    assert not (tmp_path / "absent").exists()


def test_addresses(tmp_path: Path) -> None:
    assert folder_of(f"sqlite:///{tmp_path}") == folder_of(str(tmp_path)) == tmp_path
    with pytest.raises(StoreUnusableError, match="postgresql"):
        folder_of("postgresql://host/db")


# --- which session is meant --------------------------------------------------------------------------------------

OLDER = "aaaa456789abcdef-20250101-120000_recipe"
TWIN = "0123999999abcdef-20260101-120000_recipe"


def test_an_id_a_prefix_or_the_last(store: SqliteStore) -> None:
    create(store.file(ID), created(ID), [], None)
    a_session(store, OLDER)
    assert [store.resolve(text) for text in (OLDER, "aaaa", "0", "@last")] == [OLDER, OLDER, ID, ID]


def test_an_ambiguous_prefix_names_the_candidates(store: SqliteStore) -> None:
    a_session(store, ID)
    a_session(store, TWIN)
    with pytest.raises(SessionError, match=r"0123\w+-\S+, 0123\w+-"):
        store.resolve("0123")


def test_the_last_of_one_second_is_the_one_that_was_made_last(store: SqliteStore) -> None:
    a_session(store, TWIN)
    a_session(store, ID)
    assert store.resolve("@last") == ID


@pytest.mark.parametrize("text", ["", "@last", "nothing", "../.."])
def test_nothing_is_meant(store: SqliteStore, text: str) -> None:
    with pytest.raises(SessionNotFoundError):
        store.resolve(text)
