"""Function steps: async, in threads, imported; and what resists."""

import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.steps.leaf import Told, leaf
from trio_recipes.errors import TemplateError
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.language.model import FunctionStep
from trio_recipes.steps.apart import Apart
from trio_recipes.steps.function import FunctionRunner
from trio_recipes.steps.named import check
from trio_recipes.steps.thread import Threads


def step(function: str = "f", **fields: Any) -> FunctionStep:
    return FunctionStep(id="step", function=function, **fields)


async def value_of(function: Callable[..., Any], args: dict[str, Any] | None = None, **variables: Any) -> Any:
    reply = await FunctionRunner({"f": function})(leaf(step(args=args or {}), Told(), **variables))
    assert reply.failure is None
    return reply.value


async def failure_of(function: Callable[..., Any], **fields: Any) -> Failure:
    reply = await FunctionRunner({"f": function})(leaf(step(**fields), Told()))
    assert reply.failure is not None
    assert reply.failure.kind is FailureKind.FUNCTION
    return reply.failure


async def double(x: int) -> int:
    await trio.lowlevel.checkpoint()
    return 2 * x


def deferring(x: int) -> Awaitable[int]:
    return double(x)


class Doubler:
    async def __call__(self, x: int) -> int:
        return await double(x)


@pytest.mark.parametrize(
    "function",
    [double, partial(double), Doubler(), lambda x: 2 * x, deferring],
    ids=["async", "partial", "async object", "plain", "plain that returns a coroutine"],
)
async def test_each_sort_of_function_is_called_with_its_arguments(function: Callable[..., Any]) -> None:
    assert await value_of(function, {"x": "{{n}}"}, n=21) == 42


async def test_results_become_json_values_and_stay_what_they_are() -> None:
    assert await value_of(lambda: (1, {"a": ("b",)})) == [1, {"a": ["b"]}]
    assert await value_of(lambda: "42") == "42"
    assert await value_of(lambda: None) is None


async def test_parse_json_reads_texts() -> None:
    runner = FunctionRunner({"f": lambda: 'so: {"a": 1}'})
    assert (await runner(leaf(step(parse_json=True), Told()))).value == {"a": 1}


async def test_a_function_can_not_change_the_variables() -> None:
    call = leaf(step(args={"items": "{{items}}"}), Told(), items=[2, 1])
    reply = await FunctionRunner({"f": lambda items: items.sort()})(call)
    assert reply.failure is None
    assert call.frame.variables["items"] == [2, 1]


async def test_plain_functions_do_not_block_trio() -> None:
    assert await value_of(threading.get_ident) != threading.get_ident()


def wrong() -> None:
    raise ValueError("no good" * 1000)


async def test_an_exception_is_a_failure() -> None:
    failure = await failure_of(wrong)
    assert failure.message.startswith("step 'step': ValueError: no good")
    assert len(failure.message) < 2100
    assert (failure.cause, failure.may_retry) == ("ValueError", True)


async def test_an_exit_ends_the_step_only() -> None:
    def leave() -> None:
        raise SystemExit(3)

    assert (await failure_of(leave)).message == "step 'step': SystemExit: 3"


async def test_what_no_variable_can_hold_is_refused() -> None:
    failure = await failure_of(lambda: {1, 2})
    assert "the result of function 'f': a value of type set" in failure.message
    assert not failure.may_retry


async def test_a_group_is_described_by_its_first_exception() -> None:
    async def fails() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise KeyError("k")

    assert (await failure_of(fails)).message == "step 'step': KeyError: 'k'"


async def test_an_unknown_variable_is_the_callers_to_report() -> None:
    with pytest.raises(TemplateError, match="nobody"):
        await value_of(double, {"x": "{{nobody}}"})


# --- stopping ----------------------------------------------------------------------------------------------------


async def test_a_cancelled_function_that_fails_in_its_cleanup_was_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    async def messy() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("clean-up")

    with trio.CancelScope() as scope:
        scope.cancel()
        await FunctionRunner({"f": messy})(leaf(step(), Told()))
    assert scope.cancelled_caught
    assert "function 'f' failed while it was stopped" in caplog.text


async def test_a_thread_that_asks_is_stopped_at_once() -> None:
    began, ended = trio.Event(), threading.Event()

    def asks() -> None:
        trio.from_thread.run_sync(began.set)
        try:
            while True:
                trio.from_thread.check_cancelled()
        finally:
            ended.set()

    log = Told()
    with trio.fail_after(20), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(FunctionRunner({"f": asks}), leaf(step(), log))
            await began.wait()
            scope.cancel()
    assert ended.is_set()
    assert log.resisted == []


@pytest.mark.parametrize("forced", [False, True])
async def test_a_thread_that_resists_is_reported_by_name(forced: bool) -> None:
    began, release = trio.Event(), threading.Event()

    def resists() -> None:
        trio.from_thread.run_sync(began.set)
        release.wait(20)

    log = Told()
    call = leaf(step(), log)
    runner = FunctionRunner({"f": resists}, apart=Apart(stop_timeout=60 if forced else 0.05))
    with trio.fail_after(20), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runner, call)
            await began.wait()
            scope.cancel()
            if forced:
                call.forcible.force()
    assert scope.cancelled_caught
    assert len(log.resisted) == 1
    assert log.resisted[0].startswith("thread 'function f' runs on at ")
    assert call.forcible.callbacks == {}
    release.set()


async def test_a_thread_that_has_not_begun_is_not_waited_for() -> None:
    began, release = trio.Event(), threading.Event()

    def occupies() -> None:
        trio.from_thread.run_sync(began.set)
        release.wait(20)

    log = Told()
    threads = Threads(stop_timeout=60, limiter=trio.CapacityLimiter(1))
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(threads.run, occupies, "first", leaf(step(), log))
            await began.wait()
            with trio.move_on_after(0.01) as limit:
                await threads.run(began.is_set, "second", leaf(step(), log))
            release.set()
    assert limit.cancelled_caught
    assert log.events == []


# --- names -------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


async def test_a_function_is_imported_with_its_attributes(project: Path) -> None:
    (project / "shop_of_tests.py").write_text("class Till:\n    @staticmethod\n    def add(a, b): return a + b\n")
    runner = FunctionRunner({}, allow_import=True)
    call = leaf(step("shop_of_tests:Till.add", args={"a": 1, "b": 2}), Told())
    assert (await runner(call)).value == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken_of_tests:f", "'broken_of_tests:f' can't be imported: RuntimeError: at import"),
        ("json:nothing", "can't be imported: AttributeError"),
        ("json:__name__", "which can't be called"),
        ("json.nothing:f", "ModuleNotFoundError"),
    ],
)
async def test_what_can_not_be_imported_is_no_use_to_retry(project: Path, name: str, message: str) -> None:
    (project / "broken_of_tests.py").write_text("raise RuntimeError('at import')\n")
    reply = await FunctionRunner({}, allow_import=True)(leaf(step(name), Told()))
    assert reply.failure is not None
    assert message in reply.failure.message
    assert not reply.failure.may_retry


@pytest.mark.parametrize(
    ("name", "allow_import", "problem"),
    [
        ("send", False, None),
        ("sned", False, "no function is registered as 'sned'; did you mean 'send'? (registered: send)"),
        ("json:loads", False, "'json:loads' must be registered"),
        ("json:loads", True, None),
        ("not_yet_imported_of_tests:f", True, None),
        ("json:", True, "no name of the form package.module:callable"),
        ("gone_of_tests.x:f", True, "there is no module 'gone_of_tests'"),
    ],
)
def test_names_are_checked_without_importing(project: Path, name: str, allow_import: bool, problem: str | None) -> None:
    (project / "not_yet_imported_of_tests.py").write_text("raise SystemExit('imported')\n")
    found = check({"send": print}, name, allow_import)
    if problem is None:
        assert found is None
    else:
        assert found is not None
        assert problem in found


async def test_imports_are_refused_unless_allowed() -> None:
    reply = await FunctionRunner({})(leaf(step("json:loads", args={"s": "1"}), Told()))
    assert reply.failure is not None
    assert "must be registered" in reply.failure.message
