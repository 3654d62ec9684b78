"""Group commit: everything emitted becomes durable, in order, many at a time; a failure claims nothing more."""

import sqlite3
import threading
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.lowlevel
from trio.testing import wait_all_tasks_blocked

from tests.store.helpers import ID, ask, lock_in, open_store, output, run_by
from trio_recipes.errors import OwnershipLostError, StoreError, StoreWriteError
from trio_recipes.events import Event, RequestAnswered, RunEnded, SessionStatus, Stamped
from trio_recipes.store import records
from trio_recipes.store.journal import Journal, SessionLog
from trio_recipes.store.records import RequestRow
from trio_recipes.store.requests import answer_of
from trio_recipes.store.session_file import Claim, SessionFile
from trio_recipes.store.sqlite import SqliteStore
from trio_recipes.store.sums import EventRow
from trio_recipes.store.writer import LAZY_SECONDS


class CountingFile(SessionFile):
    """Counts commits, and fails those it is told to fail."""

    commits = 0
    fail_at = -1
    failure: Exception = StoreWriteError("disk full")

    def append(self, connection: sqlite3.Connection, claim: Claim, rows: Sequence[EventRow]) -> None:
        self.commits += 1
        if self.commits == self.fail_at:
            raise self.failure
        super().append(connection, claim, rows)


@attrs.frozen
class World:
    log: SessionLog
    file: CountingFile
    journal: Journal


@asynccontextmanager
async def a_log(tmp_path: Path, store: SqliteStore | None = None) -> AsyncGenerator[World]:
    store = store or open_store(tmp_path)
    opening = run_by(store, lock_in(store))
    file = CountingFile(store.layout, ID, "process")
    async with Journal() as journal:
        log = SessionLog(journal, file, opening.claim, 1, opening.last_seq, opening.connection)
        yield World(log, file, journal)


def seqs(file: SessionFile) -> list[int]:
    with file.reading() as connection:
        return [row[0] for row in file.rows(connection)]


def conclude(*events: Event) -> Any:
    return lambda _requests: [*events, RunEnded(status=SessionStatus.COMPLETED)]


def answer(_row: RequestRow) -> str:
    return "applied"


async def emit_and_wait(log: SessionLog) -> None:
    await log.durable(log.emit(output()))


async def test_an_event_that_was_waited_for_is_on_the_disk(tmp_path: Path) -> None:
    async with a_log(tmp_path) as world:
        log, file = world.log, world.file
        seq = log.emit(output("hello"))
        await log.durable(seq)
        with file.reading() as connection:
            assert file.rows(connection, seq - 1)[0][6] == b"hello"


async def test_many_that_wait_at_once_share_commits(tmp_path: Path) -> None:
    async with a_log(tmp_path) as world:
        log, file = world.log, world.file
        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(emit_and_wait, log)
        assert file.commits < 20
        assert seqs(file) == list(range(1, log.committed + 1))


async def test_numbers_have_no_gaps_whatever_rides_with_what(tmp_path: Path) -> None:
    async with a_log(tmp_path) as world:
        log, file = world.log, world.file

        async def emitter(n: int) -> None:
            for _ in range(50):
                log.emit(output())
                if n % 2:
                    await emit_and_wait(log)
                else:
                    await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            for n in range(8):
                nursery.start_soon(emitter, n)
        await emit_and_wait(log)
        assert seqs(file) == list(range(1, log.committed + 1))


async def test_what_nobody_waits_for_is_durable_a_moment_later(tmp_path: Path) -> None:
    async with a_log(tmp_path) as world:
        log = world.log
        committed = trio.Event()
        log.on_commit.append(lambda _events: committed.set())
        seq, start = log.emit(output()), trio.current_time()
        with trio.fail_after(20 * LAZY_SECONDS):
            await committed.wait()
        assert log.committed == seq
        assert trio.current_time() - start >= LAZY_SECONDS / 2


async def test_observers_are_told_of_events_in_order_and_can_not_hurt(tmp_path: Path) -> None:
    async with a_log(tmp_path) as world:
        log = world.log
        told: list[int] = []

        def bad(_events: list[Stamped]) -> None:
            raise ZeroDivisionError

        log.on_commit += [bad, lambda events: told.extend(stamped.seq for stamped in events)]
        first = log.emit(output())
        await emit_and_wait(log)
        assert told == [first, first + 1]


async def test_a_cancelled_wait_leaves_the_others_alone(tmp_path: Path) -> None:
    async with a_log(tmp_path) as world:
        log, file = world.log, world.file
        with trio.CancelScope() as scope:
            scope.cancel()
            await emit_and_wait(log)
        await emit_and_wait(log)
        assert seqs(file)[-1] == log.committed


# --- failures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [StoreWriteError("disk full"), ZeroDivisionError("a bug")])
async def test_a_failed_commit_releases_all_who_wait(tmp_path: Path, error: Exception) -> None:
    async with a_log(tmp_path) as world:
        log, file = world.log, world.file
        file.fail_at, file.failure = 1, error
        raised: list[StoreError] = []

        async def wait() -> None:
            try:
                await emit_and_wait(log)
            except StoreError as failure:
                raised.append(failure)

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(wait)
        assert len(raised) == 10
        with pytest.raises(StoreError):
            await emit_and_wait(log)


async def test_nothing_is_written_after_a_lost_event(tmp_path: Path) -> None:
    async with a_log(tmp_path) as world:
        log, file = world.log, world.file
        await emit_and_wait(log)
        last = log.committed
        file.fail_at = 2

        def two_commits() -> None:  # one right after the other: the loop has not heard of the first
            for _ in range(2):
                log.emit(output())
                log.commit()

        world.log.writer.put(two_commits)
        with pytest.raises(StoreError):
            await emit_and_wait(log)
        with pytest.raises(StoreError):
            await log.end(conclude(), answer)
        assert seqs(file) == list(range(1, last + 1))


async def test_a_real_full_disk(tmp_path: Path) -> None:
    async with a_log(tmp_path) as world:
        log, file = world.log, world.file
        pages = log.connection.execute("PRAGMA page_count").fetchone()[0]
        log.connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreWriteError, match="full"):
            await log.durable(log.emit(output("x" * 1_000_000)))
        assert seqs(file) == [1, 2]


async def test_a_session_taken_over_is_noticed(tmp_path: Path) -> None:
    async with a_log(tmp_path) as world:
        log, file = world.log, world.file
        connection = file.connect()
        known = records.head(connection, ID)
        records.write_head(connection, ID, known._replace(epoch=known.epoch + 1, runner="somebody else"))
        connection.close()
        with pytest.raises(OwnershipLostError):
            await emit_and_wait(log)


async def test_an_end_that_fails_releases_who_waits(tmp_path: Path) -> None:
    async with a_log(tmp_path) as world:
        log = world.log
        busy, released = threading.Event(), 0

        def broken(_requests: list[RequestRow]) -> list[Event]:
            raise StoreWriteError("disk full")

        async def expect_failure(work: Awaitable[None]) -> None:
            nonlocal released
            with pytest.raises(StoreError):
                await work
            released += 1

        seq = log.emit(output())
        world.log.writer.put(busy.wait)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_failure, log.end(broken, answer))
            await wait_all_tasks_blocked()
            nursery.start_soon(expect_failure, log.durable(seq))
            await wait_all_tasks_blocked()
            busy.set()
        assert released == 2


# --- the end of a run --------------------------------------------------------------------------------------------


async def test_the_end_comes_after_everything_and_nothing_after_it(tmp_path: Path) -> None:
    async with a_log(tmp_path) as world:
        log, file = world.log, world.file
        log.emit(output())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(log.end, conclude(), answer)
            await trio.lowlevel.checkpoint()
            late = log.emit(output("too late"))
        await log.durable(late)
        with file.reading() as connection:
            names = [row[3] for row in file.rows(connection)]
        assert names[-2:] == ["output", "run_ended"]


async def test_what_comes_after_the_end_is_dropped_and_harms_nobody(tmp_path: Path) -> None:
    async with a_log(tmp_path) as world:
        log, file = world.log, world.file
        await log.end(conclude(), answer)
        await log.durable(log.emit(output("too late")))
        assert log.failure is None
        assert seqs(file) == list(range(1, log.committed + 1))


async def test_a_closed_log_has_written_what_had_gathered(tmp_path: Path) -> None:
    async with a_log(tmp_path) as world:
        log, file = world.log, world.file
        world.journal.watch(log)
        seq = log.emit(output())
        world.journal.forget(log)
        await log.writer.call(lambda: None)  # of several threads, the one that writes this log
        assert seqs(file)[-1] == seq


async def test_leaving_the_journal_writes_what_had_gathered(tmp_path: Path) -> None:
    async with a_log(tmp_path) as world:
        log, file = world.log, world.file
        seq = log.emit(output())
    assert seqs(file)[-1] == seq


# --- requests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("poke", [True, False])
async def test_requests_are_seen_once_with_and_without_a_poke(tmp_path: Path, poke: bool) -> None:
    store = open_store(tmp_path)
    async with a_log(tmp_path, store) as world:
        log = world.log
        seen: list[str] = []
        came = trio.Event()

        def on_requests(found: list[RequestRow]) -> None:
            seen.extend(row.id for row in found)
            came.set()

        log.on_requests.append(on_requests)
        world.journal.watch(log)
        await trio.to_thread.run_sync(ask, store.file(ID), "a")
        if poke:
            log.poke()
        with trio.fail_after(5):
            await came.wait()
        log.poke()
        await world.journal.call(lambda: None)
        await trio.lowlevel.checkpoint()
        assert seen == ["a"]


async def test_an_answer_among_the_events_answers_the_request(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    async with a_log(tmp_path, store) as world:
        log, file = world.log, world.file
        number = (await trio.to_thread.run_sync(ask, store.file(ID), "a")).number
        await log.durable(log.emit(RequestAnswered(request_id="a", answer="applied")))
        assert answer_of(file, number or 0) == "applied"
