"""The parts that decide: progress, questions, the door; and what is said when the SDK is missing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing
from mcp.types import ClientCapabilities, ElicitationCapability, ElicitResult, UrlElicitationCapability

from tests.frontends.running import environment, write_recipe
from trio_recipes.errors import ConfigurationError
from trio_recipes.events import Event, Level, ScopeFinished, ScopeStarted, ScopeStatus, SessionStatus
from trio_recipes.frontends.mcp.ending import Ending
from trio_recipes.frontends.mcp.gates import Question, can_ask
from trio_recipes.frontends.mcp.guard import LOOPBACK, Doorkeeper
from trio_recipes.frontends.mcp.http import Address
from trio_recipes.frontends.mcp.progress import Notices, Tally
from trio_recipes.frontends.mcp.wire import Received, Sent, without_lone_surrogates
from trio_recipes.frontends.mcp.work import Work
from trio_recipes.frontends.tool.tool import RecipesTool
from trio_recipes.sessions.opening import open_runtime


def started(path: str, kind: str = "bash") -> Event:
    return ScopeStarted(path=path, kind=kind)


def finished(path: str, status: ScopeStatus = ScopeStatus.COMPLETED) -> Event:
    return ScopeFinished(path=path, status=status)


def test_a_loop_counts_as_one_step_until_it_unfolds() -> None:
    tally = Tally({"first", "scan", "last"})
    seen = []
    for event in (
        started("first"),
        finished("first"),
        started("scan", "loop"),
        started("scan[0]"),
        started("scan[1]"),
        finished("scan[1]", ScopeStatus.FAILED),
        finished("scan[0]"),
        finished("scan"),
        finished("last", ScopeStatus.SKIPPED),
        finished(""),
    ):
        tally.take(event)
        seen.append((tally.done, tally.total))
    assert seen == [(0, 3), (1, 3), (1, 3), (1, 3), (1, 4), (2, 4), (3, 4), (3, 4), (4, 4), (4, 4)]
    assert tally.message == "last skipped"


def test_a_step_that_runs_again_counts_once() -> None:
    tally = Tally({"a"})
    for event in (started("a"), finished("a", ScopeStatus.CANCELLED), started("a"), finished("a")):
        tally.take(event)
    assert (tally.done, tally.total) == (1, 1)


async def test_notices_only_go_forward() -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def send(done: float, total: float | None, message: str | None) -> None:
        await trio.lowlevel.checkpoint()
        told.append((done, total, message))

    notices, first, again = Notices(send), Tally({"a", "b"}), Tally({"a", "b"})
    await notices.tell(first)
    first.take(started("a"))
    await notices.tell(first)
    first.take(finished("a"))
    await notices.tell(first)
    await notices.tell(again)  # a resume begins to count from nothing
    assert [done for done, _, _ in told] == [0, 1]


@pytest.mark.parametrize(
    ("answer", "operation"),
    [
        (ElicitResult(action="accept", content={"decision": "approve"}), "approve"),
        (ElicitResult(action="accept", content={"decision": "deny", "message": None}), "deny"),
        (ElicitResult(action="accept", content={"decision": "execute"}), None),
        (ElicitResult(action="accept"), None),
        (ElicitResult(action="decline", content={"decision": "approve"}), None),
        (ElicitResult(action="cancel"), None),
        (None, None),
    ],
)
def test_only_words_decide(answer: object, operation: str | None) -> None:
    question = Question.from_state(Question("0123-x", "audit[3]/release", "ok?").state())
    decision = question.decision(answer)
    assert (decision or {}).get("operation") == operation
    if decision is not None:
        assert (decision["session_id"], decision["stage_name"]) == ("0123-x", "audit[3]/release")


def test_who_can_be_asked() -> None:
    by_url = ElicitationCapability(url=UrlElicitationCapability())
    assert can_ask(ClientCapabilities(elicitation=ElicitationCapability()))
    assert not can_ask(ClientCapabilities(elicitation=by_url))
    assert not can_ask(ClientCapabilities())
    assert not can_ask(None)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "127.0.0.1:8766"}, None),
        ({"host": "localhost"}, None),
        ({"host": "[::1]:8766"}, None),
        ({"host": "127.0.0.1:8766", "origin": "http://localhost:3000"}, None),
        ({}, 421),
        ({"host": "rebound.example:8766"}, 421),
        ({"host": "localhost.example"}, 421),
        ({"host": "["}, 421),
        ({"host": "localhost", "origin": "http://rebound.example"}, 403),
        ({"host": "localhost", "origin": "http://localhost.example"}, 403),
        ({"host": "localhost", "origin": ""}, 403),
    ],
)
def test_a_page_from_elsewhere_does_not_get_in(headers: dict[str, str], status: int | None) -> None:
    refusal = Doorkeeper(LOOPBACK, None).refusal(headers)
    assert (refusal.status if refusal else None) == status


@pytest.mark.parametrize(
    ("authorization", "let_in"), [("Bearer t0ken", True), ("bearer  t0ken ", True), ("Bearer", False), ("t0ken", False)]
)
def test_the_token_is_asked_for(authorization: str, let_in: bool) -> None:
    headers = {"host": "localhost", "authorization": authorization}
    assert (Doorkeeper(LOOPBACK, "t0ken").refusal(headers) is None) == let_in


def test_an_open_address_needs_a_token_and_may_have_names() -> None:
    with pytest.raises(ConfigurationError, match="SOME_TOKEN"):
        Address("0.0.0.0", 0, token_variable="SOME_TOKEN")
    anywhere = Address("0.0.0.0", 0, token="t")
    assert anywhere.doorkeeper.refusal({"host": "10.0.0.7:1", "authorization": "Bearer t"}) is None
    named = Address("10.0.0.7", 0, frozenset({"build.example"}), "t").doorkeeper
    assert named.refusal({"host": "build.example", "authorization": "Bearer t"}) is None
    assert named.refusal({"host": "10.0.0.7", "authorization": "Bearer t"}) is None
    assert named.refusal({"host": "other.example", "authorization": "Bearer t"})


# --- the wire --------------------------------------------------------------------------------------------------------


async def test_lines_come_whole_however_they_are_cut() -> None:
    reading, writing = os.pipe()
    ended = []

    async def farewell() -> None:
        await trio.lowlevel.checkpoint()
        ended.append(True)

    async with trio.lowlevel.FdStream(reading) as source:
        lines = Received(source, farewell)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_write_slowly, writing, [b"on", b"e\ntw", b"", b"o\n\nthr\xffee\nbegun"])
            assert [line async for line in lines] == ["one", "two", "", "thr\N{REPLACEMENT CHARACTER}ee"]
    assert ended == [True]


async def _write_slowly(fd: int, chunks: list[bytes]) -> None:
    async with trio.lowlevel.FdStream(fd) as stream:
        for chunk in chunks:
            await stream.send_all(chunk)
            await trio.testing.wait_all_tasks_blocked()


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        (r'"plain \u00e9 \uD83D\uDE00 \ud83d\ude00"', r'"plain \u00e9 \uD83D\uDE00 \ud83d\ude00"'),
        (r'"cut \ud83d"', r'"cut \ufffd"'),
        (r'"\uDE00 rest"', r'"\ufffd rest"'),
        (r'"\ud83d\ud83d\ude00"', r'"\ufffd\ud83d\ude00"'),
        (r'"a path: C:\\ud83d"', r'"a path: C:\\ud83d"'),
        (r'"C:\\\ud83d\n"', r'"C:\\\ufffd\n"'),
    ],
)
def test_halves_of_characters_are_replaced(sent: str, taken: str) -> None:
    assert without_lone_surrogates(sent.encode()).decode() == taken
    json.loads(taken).encode()


async def test_a_client_that_reads_no_more_has_gone() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    gone: list[bool] = []
    async with trio.lowlevel.FdStream(writing) as sink:
        await Sent(sink, lambda: gone.append(True)).write("{}\n")
    assert gone == [True]


# --- what a call began -----------------------------------------------------------------------------------------------


async def test_a_call_that_is_cancelled_before_its_session_begins_runs_nothing(tmp_path: Path) -> None:
    write_recipe(tmp_path, "- {id: a, type: bash, command: touch ran}")
    async with open_runtime(project=tmp_path) as runtime:
        work = Work(RecipesTool(runtime), Ending(runtime, close_streams=lambda: None), grace=None)
        work.leave()
        await work.run({"operation": "execute", "recipe_path": "probe.yaml"})
        assert_cancelled(work, Level.GRACEFUL)
    assert not (tmp_path / "ran").exists()


async def test_a_session_that_begins_while_the_server_ends_stops_at_once(tmp_path: Path) -> None:
    write_recipe(tmp_path, "- {id: a, type: bash, command: touch ran}")
    async with open_runtime(project=tmp_path) as runtime:
        ending = Ending(runtime, close_streams=lambda: None)
        work = Work(RecipesTool(runtime), ending, grace=None)
        ending.client_gone()
        await work.run({"operation": "execute", "recipe_path": "probe.yaml"})
        assert_cancelled(work, Level.IMMEDIATE)
        work.leave()  # too late: it means nothing any more
    assert not (tmp_path / "ran").exists()


def assert_cancelled(work: Work, level: Level) -> None:
    """The session of a call was cancelled."""
    assert work.session is not None
    assert work.session.result is not None
    assert work.session.result.cancellation is not None
    assert (work.session.result.status, work.session.result.cancellation.level) == (SessionStatus.CANCELLED, level)


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("package", "options"), [("mcp", []), ("hypercorn", ["--http"])])
def test_a_missing_package_is_named_with_the_extra_to_install(package: str, options: list[str]) -> None:
    program = (
        f"import sys; sys.modules['{package}'] = None\n"
        f"from trio_recipes.frontends.cli.main import main; sys.exit(main(['mcp', *{options}]))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        f"trio-recipes: the package '{package}' is missing: pip install 'trio-recipes[mcp]'\n",
    )
