"""A log that is laid out beforehand: it grows seldom, and whatever becomes of the zeros in it, no commit is lost."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.store.helpers import ID, ask, lock_in, open_store, output, resumed, rows, run_by
from trio_recipes.events import SessionStatus
from trio_recipes.store import runway as runways
from trio_recipes.store.journal import Journal, SessionLog
from trio_recipes.store.runs import Opening
from trio_recipes.store.runway import ENOUGH, FIRST, MOST, Runway
from trio_recipes.store.sqlite import SqliteStore

FRAME = 4096 + 24
HEAD = 32


class Run:
    """A session that is being run: one commit an event."""

    def __init__(self, opening: Opening) -> None:
        self.opening, self.file = opening, opening.file
        self.database = self.file.layout.database(ID)
        self.log = self.database.with_name("session.db-wal")
        self.runway = Runway(self.database, opening.connection, "power")
        self.seq = opening.last_seq

    def commit(self, text: str = "x") -> None:
        self.runway.extend()
        self.file.append(
            self.opening.connection, self.opening.claim, rows(self.seq, output(text), run=self.opening.run)
        )
        self.seq += 1

    def sizes(self, commits: int) -> list[int]:
        """Those that the log has after each of some commits."""
        found = []
        for _ in range(commits):
            self.commit()
            found.append(self.log.stat().st_size)
        return found

    def until_laid_out(self) -> int:
        """Commit until more has been laid out; returns the size of the log."""
        while not self._has_zeros():
            self.commit()
        return self.log.stat().st_size

    def _has_zeros(self) -> bool:
        return not any(self.log.read_bytes()[-FRAME:])


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return open_store(tmp_path, "power")


@pytest.fixture
def run(store: SqliteStore) -> Iterator[Run]:
    lock = lock_in(store)
    yield Run(run_by(store, lock))
    lock.release()


def seqs(database: Path) -> list[int]:
    with closing(sqlite3.connect(database)) as connection:
        return [seq for (seq,) in connection.execute("SELECT seq FROM events ORDER BY seq")]


def copy(run: Run, folder: Path) -> Path:
    """What a crash of the machine at this moment would leave: all that was synced."""
    folder.mkdir()
    shutil.copy(run.database, folder)
    shutil.copy(run.log, folder)
    return folder / run.database.name


def test_a_small_session_lays_nothing_out(run: Run) -> None:
    sizes = run.sizes(5)
    assert sizes[-1] < FIRST
    assert all((size - HEAD) % FRAME == 0 for size in sizes)


def test_the_log_of_a_longer_session_grows_seldom(run: Run) -> None:
    sizes = run.sizes(400)
    assert len(set(sizes)) < 40
    written = HEAD + FRAME * 400
    assert written < sizes[-1] < written + 2 * MOST


def test_a_log_that_is_about_to_begin_anew_is_left_alone(run: Run) -> None:
    run.commit("x" * ENOUGH)
    assert run.sizes(1)[0] % FRAME == HEAD
    assert len(set(run.sizes(20))) == 1  # SQLite has begun it anew: nothing to lay out


def test_a_crash_of_the_machine_loses_no_commit(run: Run, tmp_path: Path) -> None:
    run.until_laid_out()
    for n in range(3):
        run.commit()
        database = copy(run, tmp_path / f"copy {n}")
        assert seqs(database) == list(range(1, run.seq + 1))


@pytest.mark.parametrize("kept", [0, 1, 23, 24, 4095, 4096, FRAME, FRAME + 1, 3 * FRAME - 1])
def test_zeros_that_reached_the_disk_in_part_are_no_commits(run: Run, tmp_path: Path, kept: int) -> None:
    """The zeros go to the disk with the commit that follows them, in any order; here it is not there at all."""
    run.until_laid_out()
    database = copy(run, tmp_path / "copy")
    log = database.with_name(run.log.name)
    whole = log.read_bytes()
    end = len(whole.rstrip(b"\0"))
    end += -(end - HEAD) % FRAME  # a page may end with zeros of its own
    log.write_bytes(whole[: end + kept])
    assert seqs(database) == list(range(1, run.seq + 1))


def test_what_follows_a_crash_goes_into_the_log(store: SqliteStore, tmp_path: Path) -> None:
    """A process killed when its log is laid out leaves zeros behind; the next one commits over them."""
    code = (
        "import os, sys; from pathlib import Path; from tests.store.helpers import lock_in, run_by\n"
        "from tests.store.test_runway import Run; from trio_recipes.store.sqlite import SqliteStore\n"
        "store = SqliteStore.open(sys.argv[1]); run = Run(run_by(store, lock_in(store))); run.until_laid_out()\n"
        "run.commit(); print(run.seq, flush=True); os.kill(os.getpid(), 9)"
    )
    died = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "store")],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert died.returncode == -9
    assert store.standing(ID).status is SessionStatus.INTERRUPTED
    lock = lock_in(store)
    again = Run(resumed(store.file(ID), lock))
    assert again.seq > int(died.stdout)
    again.until_laid_out()
    again.commit()
    assert seqs(again.database) == list(range(1, again.seq + 1))
    lock.release()


def test_others_may_write_in_the_meantime(run: Run) -> None:
    run.until_laid_out()
    for n in range(30):
        ask(run.file, f"request {n}")
        run.commit()
    with run.file.reading() as connection:
        assert len(run.file.unanswered(connection)) == 30
        assert [row[0] for row in run.file.rows(connection)] == list(range(1, run.seq + 1))


class Challenged(Runway):
    """Laid out while somebody else would like to append to the log, too."""

    refused = 0

    def _lay_out(self) -> int:
        with closing(sqlite3.connect(self._log.removesuffix("-wal"), timeout=0)) as other:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            self.refused += 1
        return super()._lay_out()


def test_nobody_else_can_append_while_it_is_laid_out(run: Run) -> None:
    run.runway = challenged = Challenged(run.database, run.opening.connection, "power")
    run.until_laid_out()
    assert challenged.refused == 1


ASKER = """
import sys
from tests.store.helpers import ID, ask
from trio_recipes.store.sqlite import SqliteStore
file = SqliteStore.open(sys.argv[1]).file(ID)
for n in range(100):
    ask(file, f"request {n}")
"""


def test_others_write_while_it_is_laid_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process appends to the log whenever it can, and each commit of ours would lay out a little."""
    monkeypatch.setattr(runways, "MOST", 4096)
    asker = subprocess.Popen([sys.executable, "-c", ASKER, str(run.file.layout.root)])
    while asker.poll() is None:
        run.commit()
        assert seqs(run.database)[-1] == run.seq  # which also lets the other one have its turn
    assert asker.returncode == 0
    with run.file.reading() as connection:
        assert len(run.file.unanswered(connection)) == 100
        assert [row[0] for row in run.file.rows(connection)] == list(range(1, run.seq + 1))
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_who_looks_at_it_from_before_sees_what_was_there(run: Run) -> None:
    run.commit()
    with run.file.reading() as connection:
        before = run.file.last_seq(connection)
        run.until_laid_out()
        assert run.file.last_seq(connection) == before
    with run.file.reading() as connection:
        assert run.file.last_seq(connection) == run.seq


def test_the_log_is_gone_when_the_last_one_closes(run: Run) -> None:
    run.until_laid_out()
    run.commit()
    run.opening.connection.close()
    assert not run.log.exists()
    assert seqs(run.database) == list(range(1, run.seq + 1))


def test_a_file_that_may_not_grow_costs_no_commit(store: SqliteStore) -> None:
    """A limit for the size of files, as a full disk or a quota would be: what fits is committed, as if nothing was."""
    code = (
        "import resource, sys; from tests.store.helpers import lock_in, run_by\n"
        "from tests.store.test_runway import FRAME, HEAD, Run; from trio_recipes.store.sqlite import SqliteStore\n"
        "store = SqliteStore.open(sys.argv[1]); run = Run(run_by(store, lock_in(store)))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "sizes = run.sizes(10); assert sizes[-1] > 65536, sizes\n"
        "assert all((size - HEAD) % FRAME == 0 for size in sizes), sizes; print(run.seq)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(store.layout.root)], stdout=subprocess.PIPE, text=True, check=True, timeout=60
    )
    assert seqs(store.layout.database(ID)) == list(range(1, int(done.stdout) + 1))


def test_a_disk_that_is_nearly_full_is_left_as_it_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runways, "SPARE", 1 << 62)
    assert all((size - HEAD) % FRAME == 0 for size in run.sizes(40))


@pytest.mark.parametrize(("durability", "laid_out"), [("power", True), ("process", False)])
async def test_only_commits_that_are_synced_need_it(tmp_path: Path, durability: str, laid_out: bool) -> None:
    store = open_store(tmp_path, durability)
    lock = lock_in(store)
    opening = run_by(store, lock)
    async with Journal() as journal:
        log = SessionLog(journal, opening.file, opening.claim, 1, opening.last_seq, opening.connection)
        for _ in range(20):
            await log.durable(log.emit(output()))
        size = store.layout.database(ID).with_name("session.db-wal").stat().st_size
        assert ((size - HEAD) % FRAME != 0) is laid_out
    lock.release()
