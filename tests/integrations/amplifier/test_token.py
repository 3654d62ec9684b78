"""The coordinator's cancellation token, and every session under it."""

import asyncio
from pathlib import Path
from typing import Any

from amplifier_core.cancellation import CancellationToken

from tests.integrations.amplifier.hosting import SLOW, hosting, recipe
from trio_recipes.integrations.amplifier.token import TokenWatch
from trio_recipes.testing import assert_no_survivors


def test_graceful_there_is_graceful_here(tmp_path: Path) -> None:
    async def main() -> None:
        async with hosting(tmp_path) as app:
            call = app.begin("execute", recipe_path=recipe(tmp_path, SLOW))
            session_id = await app.at_slow()
            app.coordinator.cancellation.request_graceful()
            await app.until(lambda: _status(app) == "cancelling")
            app.open_gate()
            ended = await call
            assert ended["type"] == "CancellationRequestedError"
            looked = await app("status", session_id=session_id)
            assert looked["cancellation"]["was_immediate"] is False
            assert looked["cancellation"]["source"] == "host"
            assert looked["cancellation"]["requested_by"] == "Amplifier session test-session"
            assert looked["steps"] == {"completed": 2}
            assert app.data("recipe:cancelled")[0]["level"] == "graceful"

    asyncio.run(main())


def _status(app: object) -> str:
    (session,) = app.tool.host.running()  # type: ignore[attr-defined]
    return str(session.status)


def test_immediate_there_is_immediate_here(tmp_path: Path) -> None:
    async def main() -> None:
        async with hosting(tmp_path) as app:
            call = app.begin("execute", recipe_path=recipe(tmp_path, SLOW))
            session_id = await app.at_slow()
            await app.coordinator.request_cancel(immediate=True)
            assert (await call)["current_step"] == "slow"
            assert_no_survivors(session_id)

    asyncio.run(main())


def test_graceful_and_then_immediate(tmp_path: Path) -> None:
    async def main() -> None:
        async with hosting(tmp_path) as app:
            call = app.begin("execute", recipe_path=recipe(tmp_path, SLOW))
            await app.at_slow()
            token = app.coordinator.cancellation
            token.request_graceful()
            await app.until(lambda: _status(app) == "cancelling")
            token.request_immediate()
            assert "immediate cancellation" in (await call)["message"]

    asyncio.run(main())


def test_every_session_under_the_coordinator(tmp_path: Path) -> None:
    async def main() -> None:
        async with hosting(tmp_path) as app:
            path = recipe(tmp_path, SLOW)
            ids = [(await app("execute", recipe_path=path, background=True))["session_id"] for _ in range(3)]
            app.coordinator.cancellation.request_immediate()
            await app.until(lambda: not list(app.tool.host.running()))
            assert {(await app("status", session_id=each))["status"] for each in ids} == {"cancelled"}

    asyncio.run(main())


def test_a_session_that_begins_under_a_cancelled_token_runs_no_step(tmp_path: Path) -> None:
    async def main() -> None:
        async with hosting(tmp_path) as app:
            app.coordinator.cancellation.request_graceful()
            ended = await app("execute", recipe_path=recipe(tmp_path, SLOW))
            assert ended["type"] == "CancellationRequestedError"
            assert not (tmp_path / "begun").exists()
            app.coordinator.cancellation.reset()
            app.open_gate()
            assert (await app("resume", session_id=ended["session_id"]))["status"] == "completed"

    asyncio.run(main())


class Recorded:
    """A session that notes what it is asked."""

    def __init__(self, name: str) -> None:
        self.id, self.asked = name, list[tuple[bool, str]]()

    def cancel(self, _reason: str, *, immediate: bool, request_id: str, **_who: object) -> None:
        self.asked.append((immediate, request_id))


async def _trigger(token: Any) -> None:
    await token.trigger_callbacks()


def test_noticed_twice_is_one_request_and_a_reset_begins_anew() -> None:
    token, one, other = CancellationToken(), Recorded("one"), Recorded("other")
    running = [one]
    watch = TokenWatch(token, lambda: running, "test")  # type: ignore[arg-type, return-value]
    for _ in range(3):
        watch.look()
    assert one.asked == []
    token.request_graceful()
    asyncio.run(_trigger(token))
    watch.look()
    running.append(other)
    watch.look()
    assert [immediate for immediate, _ in one.asked] == [False]
    assert one.asked == other.asked
    token.request_immediate()
    for _ in range(3):
        watch.look()
    assert [immediate for immediate, _ in one.asked] == [False, True]
    token.reset()
    watch.look()
    token.request_graceful()
    watch.look()
    assert [immediate for immediate, _ in one.asked] == [False, True, False]
    assert len({name for _, name in one.asked}) == 3


def test_the_callback_is_at_once() -> None:
    token, one = CancellationToken(), Recorded("one")
    TokenWatch(token, lambda: [one], "test")  # type: ignore[list-item]
    token.request_immediate()
    assert one.asked == []
    asyncio.run(_trigger(token))
    assert [immediate for immediate, _ in one.asked] == [True]
