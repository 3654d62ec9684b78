"""Guest runs: one for each thread, shared by all users of a loop, and gone with the last."""

import asyncio
import threading

import pytest
import trio

from tests.integrations.asyncio.loops import Host
from tests.integrations.asyncio.test_bridge import asyncio_add, trio_add
from trio_recipes.errors import ConfigurationError, InternalError
from trio_recipes.integrations.asyncio import guest_run, in_asyncio, in_trio


def test_all_users_of_a_loop_share_one_run_that_ends_with_the_last() -> None:
    async def main() -> None:
        async with guest_run():
            token = await in_trio(trio_token)
            async with guest_run():
                assert await in_trio(trio_token) is token
            assert await in_trio(trio_token) is token
        assert not trio.lowlevel.in_trio_run()
        async with guest_run(), guest_run():
            assert await in_trio(trio_token) is not token

    async def trio_token() -> object:  # noqa: ASYNC124
        return trio.lowlevel.current_trio_token()

    Host()(main)


def test_who_comes_while_the_last_one_leaves_gets_a_run_of_its_own() -> None:
    async def visit() -> int:
        async with guest_run():
            return await in_trio(trio_add, 1, 1)

    async def main() -> None:
        for _ in range(20):
            assert await asyncio.gather(*[visit() for _ in range(5)]) == [2] * 5

    Host()(main)


def test_each_thread_has_its_own() -> None:
    results: list[int] = []

    async def main() -> None:
        async with guest_run():
            results.append(await in_trio(in_asyncio, asyncio_add, 1, 1))

    threads = [threading.Thread(target=Host(), args=(main,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [2, 2, 2]


def test_where_there_is_no_run_that_is_said() -> None:
    async def main() -> None:
        with pytest.raises(ConfigurationError, match="no trio run is open"):
            await in_trio(trio_add, 1, 2)

    async def main_in_trio() -> None:
        with pytest.raises(ConfigurationError, match=r"asyncio_add is written for asyncio"):
            await in_asyncio(asyncio_add, 1, 2)
        with pytest.raises(ConfigurationError, match="no asyncio loop runs here"):
            async with guest_run():
                pass

    Host()(main)
    trio.run(main_in_trio)


def test_a_second_loop_in_the_thread_is_refused() -> None:
    async def other() -> None:
        with pytest.raises(ConfigurationError, match="another event loop of this thread"):
            async with guest_run():
                pass
        with pytest.raises(ConfigurationError, match="no trio run is open"):
            await in_trio(trio_add, 1, 2)

    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    run = guest_run()
    first.run_until_complete(run.__aenter__())
    second.run_until_complete(other())
    first.run_until_complete(run.__aexit__(None, None, None))
    first.close()
    second.close()


def test_a_run_that_breaks_down_is_told_to_those_who_wait() -> None:
    async def crash() -> None:  # noqa: ASYNC124
        raise AssertionError("a bug in somebody's system task")

    async def main() -> None:
        async with guest_run():
            trio.lowlevel.spawn_system_task(crash)
            with pytest.raises(InternalError, match="ended early") as told:
                await in_trio(trio.sleep_forever)
            assert isinstance(told.value.__cause__, trio.TrioInternalError)

    Host()(main)
