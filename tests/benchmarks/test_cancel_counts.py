"""What cancelling waiting steps must not come to take unnoticed, as counts of what the loop's thread does for it."""

import gc
import queue
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import attrs
import pytest
import trio

import trio_recipes
from benchmarks.recipes import parallel
from benchmarks.waiting import Waiting, settled
from trio_recipes.events import SessionStatus
from trio_recipes.runtime.scope import Scope
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.sessions.runtime import Runtime
from trio_recipes.sessions.session import Session
from trio_recipes.store.writer import Writer

LEAVES = 100
PACKAGE = str(Path(trio_recipes.__file__).parent)


class Counting(queue.SimpleQueue[Callable[[], object] | None]):
    """A writer's queue that knows how often it has woken the writer."""

    woken = 0

    def put(self, item: Callable[[], object] | None, *args: object, **named: object) -> None:
        """Count, and do it."""
        type(self).woken += 1
        super().put(item)


@attrs.define
class Count:
    """What happened in the loop's thread from ``Session.cancel`` until the last scope had ended.

    Args:
        calls: of functions of ours; each piece of a coroutine counts.
        collections: how often garbage was looked for.
        woken: how often the writer was.
    """

    calls: int = 0
    collections: int = 0
    woken: int = 0

    def note_call(self, frame: FrameType, event: str, _: object) -> None:
        self.calls += event == "call" and frame.f_code.co_filename.startswith(PACKAGE)

    def note_collection(self, phase: str, _: object) -> None:
        self.collections += phase == "start"

    @contextmanager
    def until_the_last_scope_ends(self, session: Session) -> Generator[None]:
        count, tree = self, session.engine.driver.run.tree

        class Open(dict[str, Scope]):
            def __delitem__(self, path: str) -> None:
                super().__delitem__(path)
                if not self:
                    count.stop()

        tree.open, Counting.woken = Open(tree.open), 0
        gc.callbacks.append(self.note_collection)
        sys.setprofile(self.note_call)
        try:
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        """Count no more; the first time counts."""
        if self.note_collection in gc.callbacks:
            sys.setprofile(None)
            gc.callbacks.remove(self.note_collection)
            self.woken = Counting.woken


async def cancelled(runtime: Runtime, waiting: Waiting, leaves: int) -> Count:
    """Cancel steps that all wait, everything about them durable."""
    count = Count()
    session = await parallel("wait", leaves).start(runtime)
    await settled(session, waiting, leaves)
    with count.until_the_last_scope_ends(session):
        session.cancel(immediate=True)
        result = await session.wait()
    assert result.status is SessionStatus.CANCELLED
    return count


async def in_new_runtime(folder: Path) -> Count:
    waiting = Waiting()
    async with open_runtime(store=folder, functions={"wait": waiting}, agents="echo") as runtime:
        return await cancelled(runtime, waiting, LEAVES)


@pytest.fixture(scope="module")
def count(tmp_path_factory: pytest.TempPathFactory) -> Count:
    start = Writer.start

    def counted(writer: Writer) -> None:
        writer._queue = Counting()  # pyright: ignore[reportPrivateUsage]
        start(writer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Writer, "start", counted)
        return trio.run(in_new_runtime, tmp_path_factory.mktemp("cancelled"))


def test_a_leaf_takes_few_calls(count: Count) -> None:
    assert count.calls / LEAVES < 36


def test_no_garbage_is_looked_for(count: Count) -> None:
    assert count.collections == 0


def test_the_writer_is_not_woken(count: Count) -> None:
    assert count.woken == 0


async def test_a_cancelled_leaf_leaves_nothing_for_the_collector(tmp_path: Path) -> None:
    """An exception that is part of a cycle keeps the frames that it has passed through, and all that they know."""
    waiting = Waiting()
    async with open_runtime(store=tmp_path / "store", functions={"wait": waiting}, agents="echo") as runtime:
        await cancelled(runtime, waiting, 1)
        gc.collect()
        gc.disable()
        try:
            await cancelled(runtime, waiting, LEAVES)
            garbage = gc.collect()
        finally:
            gc.enable()
    assert garbage / LEAVES < 10
