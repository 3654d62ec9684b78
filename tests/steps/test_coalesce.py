"""Output made into few records; and what is kept of it."""

import pytest
import trio
from trio.testing import MockClock

from trio_recipes.steps.coalesce import CHUNK, HELD, PATIENCE, Coalescer
from trio_recipes.steps.kept import Kept


async def test_small_pieces_leave_together_after_a_moment(autojump_clock: MockClock) -> None:
    chunks: list[bytes] = []
    writer = Coalescer(chunks.append)
    writer.write(b"a")
    await trio.sleep(PATIENCE * 0.9)
    writer.write(b"b")
    assert chunks == []
    await trio.sleep(PATIENCE * 0.2)
    assert chunks == [b"ab"]
    writer.write(b"c")
    await trio.sleep(PATIENCE * 0.9)
    assert chunks == [b"ab"]
    await trio.sleep(PATIENCE * 0.2)
    assert chunks == [b"ab", b"c"]


async def test_the_moment_is_counted_from_the_first_byte_that_is_held(autojump_clock: MockClock) -> None:
    chunks: list[bytes] = []
    writer = Coalescer(chunks.append)
    writer.write(b"a")
    await trio.sleep(PATIENCE / 2)
    writer.flush()
    writer.write(b"b")
    await trio.sleep(PATIENCE * 0.6)  # the first timer has fired, in vain
    assert chunks == [b"a"]
    await trio.sleep(PATIENCE / 2)
    assert chunks == [b"a", b"b"]


async def test_much_leaves_at_once_in_chunks_of_a_megabyte() -> None:
    chunks: list[bytes] = []
    writer = Coalescer(chunks.append)
    writer.write(b"x" * (HELD - 1))
    assert chunks == []
    writer.write(b"y" * (2 * CHUNK))
    assert [len(chunk) for chunk in chunks] == [CHUNK, CHUNK, HELD - 1]
    writer.flush()
    await trio.lowlevel.checkpoint()
    assert len(chunks) == 3


async def test_an_error_of_the_receiver_reaches_who_writes(autojump_clock: MockClock) -> None:
    def refuse(_: bytes) -> None:
        raise OSError("no room")

    writer = Coalescer(refuse)
    writer.write(b"a")
    await trio.sleep(1)  # the timer has met the error, and trio still runs
    with pytest.raises(OSError, match="no room"):
        writer.flush()


async def test_bytes_are_kept_in_memory_then_in_a_file() -> None:
    with Kept(limit=4) as kept:
        kept.write("aé".encode())
        assert (kept.is_spilled, await kept.text()) == (False, "aé")
        kept.write(b"\xff!")
        assert (kept.is_spilled, await kept.text()) == (True, "aé\ufffd!")
        kept.write(b"more")
        assert await kept.text() == "aé\ufffd!more"
