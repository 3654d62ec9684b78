"""Answers of agent programs that print JSON lines: ours, those of agents that people use, and nonsense."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from tests.steps.leaf import Told, leaf, process_trees
from trio_recipes.agents.backends.command import CommandBackend
from trio_recipes.agents.backends.printed import MAX_LINE, JsonLines, PlainText
from trio_recipes.agents.load import load_agents
from trio_recipes.errors import BackendError
from trio_recipes.events import AgentBrokeOff
from trio_recipes.language.model import AgentStep
from trio_recipes.language.template import Template
from trio_recipes.runtime.ports import AgentReply, AgentRequest
from trio_recipes.steps.agent import Conversation


def lines(*documents: Any) -> str:
    return "".join(f"{document if isinstance(document, str) else json.dumps(document)}\n" for document in documents)


def read(printed: str) -> AgentReply:
    reader = JsonLines()
    reader.feed(printed, last=True)
    return reader.reply("wished")


OURS = lines({"text": "a "}, {"text": "b"}, {"model": "m", "cost_usd": 0.5, "usage": {"output_tokens": 2, "x": "?"}})

CLAUDE = lines(
    {"type": "system", "subtype": "init", "model": "claude-x", "tools": ["Read"]},
    {"type": "assistant", "message": {"model": "claude-x", "content": [{"type": "text", "text": "Let me look."}]}},
    {"type": "assistant", "message": {"content": [{"type": "tool_use", "name": "Read", "input": {"text": "no"}}]}},
    {"type": "user", "message": {"content": [{"type": "tool_result", "content": "…"}]}},
    {"type": "assistant", "message": {"content": [{"type": "text", "text": "It is fine."}]}},
    {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "result": "It is fine.",
        "total_cost_usd": 0.01,
        "usage": {
            "input_tokens": 5,
            "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 0,
            "output_tokens": 7,
            "service_tier": "standard",
        },
    },
)

CODEX = lines(
    {"type": "thread.started", "thread_id": "t"},
    {"type": "item.completed", "item": {"type": "reasoning", "text": "hm"}},
    {"type": "item.completed", "item": {"type": "agent_message", "text": "Looking."}},
    {"type": "item.completed", "item": {"type": "agent_message", "text": "Done."}},
    {"type": "turn.completed", "usage": {"input_tokens": 9, "cached_input_tokens": 4, "output_tokens": 1}},
)


@pytest.mark.parametrize(
    ("printed", "reply"),
    [
        (OURS, AgentReply(text="a b", model="m", cost_usd=0.5, usage={"output_tokens": 2})),
        (
            CLAUDE,
            AgentReply(
                text="It is fine.",
                model="claude-x",
                cost_usd=0.01,
                usage={"input_tokens": 105, "cached_tokens": 100, "output_tokens": 7},
            ),
        ),
        (
            CODEX,
            AgentReply(text="Done.", model="wished", usage={"input_tokens": 9, "cached_tokens": 4, "output_tokens": 1}),
        ),
        (lines({"text": "thinking"}, {"output": {"n": [1]}}), AgentReply(value={"output": {"n": [1]}}, model="wished")),
        (lines({"output": None}), AgentReply(value={"output": None}, model="wished")),
        (lines("a banner", "[1]", {"text": "x"}, "", "NaN"), AgentReply(text="x", model="wished")),
        ('{"text": "no line end"}', AgentReply(text="no line end", model="wished")),
    ],
)
def test_answers(printed: str, reply: AgentReply) -> None:
    assert read(printed) == reply


@pytest.mark.parametrize(
    ("printed", "message"),
    [
        ("", "the agent printed no answer as JSON lines"),
        ("usage: agent …\n", "printed no answer as JSON lines; what it printed begins with 'usage: agent …'"),
        (lines({"text": "a"}, {"error": {"message": "no credit"}}), "the agent failed: no credit"),
        (lines({"type": "turn.failed", "error": {"message": "limit"}}), "the agent failed: limit"),
        (lines({"type": "error", "message": "gone"}), "the agent failed: gone"),
        (
            lines({"type": "result", "is_error": True, "subtype": "error_max_turns"}),
            "the agent failed: error_max_turns",
        ),
        ("x" * (MAX_LINE + 1), "a line of more than 16,000,000 characters"),
        (lines('{"output": NaN}'), "has no JSON form"),
        ("[" * 100_000 + "\n", "printed no answer"),
    ],
)
def test_what_is_no_answer(printed: str, message: str) -> None:
    reader = JsonLines()
    reader.feed(printed)
    reader.feed("", last=True)
    with pytest.raises(BackendError) as caught:
        reader.reply(None)
    assert message in str(caught.value)


@pytest.mark.parametrize("cost", ["1e999", "9" * 400, "-1", "true", '"1"'])
def test_a_cost_that_is_none(cost: str) -> None:
    assert read(f'{{"text": "a", "cost_usd": {cost}}}').cost_usd is None


@given(st.data())
def test_where_the_pipe_cuts_makes_no_difference(data: st.DataObject) -> None:
    printed = data.draw(st.sampled_from([OURS, CLAUDE, CODEX]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(printed)), max_size=8)))
    reader, streamed = JsonLines(), ""
    for start, end in zip([0, *cuts], [*cuts, len(printed)], strict=True):
        streamed += reader.feed(printed[start:end])
    streamed += reader.feed("", last=True)
    assert reader.reply("wished") == read(printed)
    assert streamed == JsonLines().feed(printed, last=True)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "type", "message", "item", "usage", "content", "model"]), inner)
    ),
    max_leaves=10,
)
kinds = st.sampled_from(["assistant", "result", "item.completed", "turn.failed", "error", "turn.completed", "x"])
fields = st.sampled_from(
    ["text", "output", "message", "item", "result", "usage", "error", "model", "cost_usd", "is_error"]
)


@given(st.lists(st.tuples(kinds, st.dictionaries(fields, junk))))
def test_nonsense_is_an_answer_or_a_failure_and_never_a_crash(documents: list[tuple[str, dict[str, Any]]]) -> None:
    try:
        reply = read(lines(*({"type": kind, **document} for kind, document in documents)))
    except BackendError:
        return
    assert isinstance(reply.text, str) or isinstance(reply.value, dict)


@given(st.lists(st.text(st.sampled_from("a\n"), max_size=4)))
def test_plain_text_loses_one_line_end(pieces: list[str]) -> None:
    reader = PlainText()
    streamed = "".join([*map(reader.feed, pieces), reader.feed("", last=True)])
    assert streamed == reader.reply(None).text == "".join(pieces).removesuffix("\n")


# --- as a program ------------------------------------------------------------------------------------------------


async def ask(entry: dict[str, Any], project: Path, prompt: str) -> tuple[AgentReply, Told]:
    pinned = load_agents({"a": {"backend": "command", **entry}}).entries["a"].pinned
    assert pinned is not None
    backend, log = pinned.backend, Told()
    assert isinstance(backend, CommandBackend)
    call = Conversation(leaf(AgentStep(id="step", agent="a", prompt=Template.parse("p")), log))
    async with process_trees() as trees:
        with trio.fail_after(20):
            reply = await backend.attached(trees).ask(
                AgentRequest(agent="a", prompt=prompt, project=str(project)), call
            )
    call.flush()
    return reply, log


@pytest.mark.parametrize("command", [["printf", "%s"], 'printf %s "$1"'])
async def test_the_prompt_as_an_argument(tmp_path: Path, command: Any) -> None:
    prompt = 'it\'s $HOME; `ls` "é"\n'
    reply, _ = await ask({"command": command, "prompt": "argument"}, tmp_path, prompt)
    assert reply.text == prompt.removesuffix("\n")


async def test_a_prompt_that_is_no_argument_fails_the_step(tmp_path: Path) -> None:
    entry = {"command": ["printf", "%s"], "prompt": "argument"}
    for prompt in ("\0", "x" * 200_000):
        with pytest.raises(BackendError, match="'printf' can't be run"):
            await ask(entry, tmp_path, prompt)


async def test_json_lines_of_a_program_are_streamed_and_recorded(tmp_path: Path) -> None:
    (tmp_path / "printed").write_text(CLAUDE)
    reply, log = await ask({"command": ["cat", "printed"], "output": "json-lines"}, tmp_path, "p")
    assert (reply.text, reply.cost_usd) == ("It is fine.", 0.01)
    assert log.output("text") == b"Let me look.It is fine."
    assert log.output("stdout").decode() == CLAUDE


# --- as the programs were seen to print --------------------------------------------------------------------------


def delta(text: str) -> dict[str, Any]:
    return {
        "type": "stream_event",
        "event": {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}},
    }


PARTIAL = (
    {
        "type": "stream_event",
        "event": {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 9}}},
    },
    delta("Hello "),
    delta("there"),
    {"type": "assistant", "message": {"model": "m", "content": [{"type": "text", "text": "Hello there"}]}},
)


def test_pieces_of_messages_are_told_once() -> None:
    reader = JsonLines()
    assert [reader.feed(lines(line)) for line in PARTIAL] == ["", "Hello ", "there", ""]
    so_far = reader.so_far()
    assert (so_far.usage, so_far.model) == ({"input_tokens": 9, "output_tokens": 3}, "m")
    assert so_far.estimated == ("output_tokens",)
    assert reader.reply(None).text == "Hello there"


def test_messages_add_up_until_the_agent_tells_of_them_all() -> None:
    start, told = PARTIAL[0], {"type": "message_delta", "usage": {"output_tokens": 7}}
    reader = JsonLines()
    reader.feed(lines(*PARTIAL, {"type": "stream_event", "event": told}, start, delta("more")))
    assert reader.so_far().usage == {"input_tokens": 18, "output_tokens": 8}
    reader.feed(lines({"type": "result", "result": "more", "usage": {"input_tokens": 20, "output_tokens": 9}}))
    assert reader.so_far().usage == {"input_tokens": 20, "output_tokens": 9}
    assert reader.so_far().estimated == ()


def test_what_was_told_of_messages_counts_where_the_end_tells_nothing() -> None:
    reply = read(lines(*PARTIAL, {"type": "result", "result": "Hello there"}))
    assert (reply.usage, reply.estimated) == ({"input_tokens": 9, "output_tokens": 3}, ("output_tokens",))


def failed(*documents: Any) -> BackendError:
    reader = JsonLines()
    reader.feed(lines(*documents), last=True)
    assert reader.failure is not None
    return reader.failure


@pytest.mark.parametrize(
    ("status", "retryable", "limited"),
    [(400, False, False), (401, False, False), (429, True, True), (529, True, True), (None, True, False)],
)
def test_errors_of_the_endpoint_behind_an_agent(status: int | None, retryable: bool, limited: bool) -> None:
    told = {"type": "assistant", "error": "unknown", "message": {"content": [{"type": "text", "text": "API Error"}]}}
    end = {
        "type": "result",
        "subtype": "success",
        "is_error": True,
        "api_error_status": status,
        "result": "API Error: no",
    }
    failure = failed(told, end)
    assert str(failure) == "the agent failed: API Error: no"
    assert (failure.retryable, failure.rate_limited) == (retryable, limited)


def test_a_connection_that_an_agent_found_again_is_no_failure() -> None:
    lost = {"type": "error", "message": "Reconnecting... 1/1 (stream disconnected)"}
    said = {"type": "item.completed", "item": {"type": "agent_message", "text": "Hello"}}
    usage = {"input_tokens": 100, "cached_input_tokens": 40, "cache_write_input_tokens": 0, "output_tokens": 7}
    reply = read(lines(lost, said, {"type": "turn.completed", "usage": usage}))
    assert reply.text == "Hello"
    assert reply.usage == {"input_tokens": 100, "cached_tokens": 40, "output_tokens": 7}
    with pytest.raises(BackendError, match="stream disconnected"):
        read(lines(said, lost))


async def test_a_program_that_fails_is_told_by_what_it_prints(tmp_path: Path) -> None:
    end = {
        "type": "result",
        "is_error": True,
        "api_error_status": 429,
        "result": "slow down",
        "usage": {"input_tokens": 5},
    }
    file = tmp_path / "printed"
    file.write_text(lines(end))
    backend = CommandBackend(("/bin/bash", "-c", f"cat {file}; exit 1"), output="json-lines")
    log = Told()
    call = Conversation(leaf(AgentStep(id="step", agent="a", prompt=Template.parse("p")), log))
    async with process_trees() as trees:
        with (
            trio.fail_after(20),
            pytest.raises(BackendError, match="exited with 1: the agent failed: slow down") as caught,
        ):
            await backend.attached(trees).ask(AgentRequest(agent="a", prompt="p", project=str(tmp_path)), call)
    call.end()
    assert (caught.value.exit_code, caught.value.rate_limited) == (1, True)
    assert [account.usage for account in log.events if isinstance(account, AgentBrokeOff)] == [{"input_tokens": 5}]
