"""Answers from a recording: what is the same, what is a miss, and what is said about it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.steps.leaf import Told, leaf
from trio_recipes.agents.backends.echo import EchoBackend
from trio_recipes.agents.backends.replay import (
    MAX_LINES,
    MAX_WIDTH,
    Recorded,
    Recording,
    ReplayBackend,
    difference,
    is_same,
)
from trio_recipes.agents.load import load_agents
from trio_recipes.errors import BackendError, InternalError
from trio_recipes.language.model import AgentStep
from trio_recipes.language.template import Template
from trio_recipes.runtime.ports import AgentReply, AgentRequest
from trio_recipes.steps.agent import Conversation

RECORDING = Recording(
    "s1",
    {
        "a": Recorded(agent="critic", prompt="look at x", text="fine", model="m-1"),
        "b[0]": Recorded(agent="critic", prompt="count", value={"n": [1]}),
        "c": Recorded(agent="critic", prompt="fail", failure="it was tired"),
        "d": Recorded(agent="critic", prompt="key ***, twice ***", text="ok"),
        "e": Recorded(agent="critic", prompt="value", value={"output": 1}),
    },
)


async def ask(path: str, prompt: str, agent: str = "critic", backend: ReplayBackend | None = None) -> AgentReply:
    call = Conversation(leaf(AgentStep(id="step", agent="a", prompt=Template.parse("p")), Told()))
    request = AgentRequest(agent=agent, prompt=prompt, path=path)
    return await (backend or ReplayBackend("s1", recording=RECORDING)).ask(request, call)


async def test_the_same_request_at_the_same_place_is_answered_as_before() -> None:
    assert await ask("a", "look at x") == AgentReply(text="fine", model="m-1")
    assert (await ask("b[0]", "count")).value == {"output": {"n": [1]}}
    assert (await ask("e", "value")).value == {"output": {"output": 1}}


async def test_what_failed_before_fails_again() -> None:
    with pytest.raises(BackendError, match="it failed in s1, too: it was tired") as caught:
        await ask("c", "fail")
    assert not caught.value.retryable


async def test_where_a_secret_was_masked_there_may_be_any() -> None:
    assert (await ask("d", "key s3cret, twice s3cret")).text == "ok"
    with pytest.raises(BackendError, match="the prompt is another one"):
        await ask("d", "key s3cret, thrice s3cret")


@pytest.mark.parametrize(
    ("path", "prompt", "agent", "message"),
    [
        ("z", "look at x", "critic", "s1 has no answer for this request at 'z': nothing was asked there"),
        ("a", "look at x", "cook", "agent 'critic' was asked there, not 'cook'"),
        ("a", "look at y", "critic", "(- recorded, + now):\n-look at x\n+look at y"),
    ],
)
async def test_a_miss_says_what_is_different(path: str, prompt: str, agent: str, message: str) -> None:
    with pytest.raises(BackendError) as caught:
        await ask(path, prompt, agent)
    assert message in str(caught.value)
    assert not caught.value.retryable


async def test_a_miss_may_go_to_another_backend() -> None:
    backend = ReplayBackend("s1", EchoBackend(), RECORDING)
    assert (await ask("a", "look at x", backend=backend)).text == "fine"
    assert (await ask("a", "look at y", backend=backend)).text == "look at y"


async def test_a_replay_without_its_recording_is_a_bug() -> None:
    with pytest.raises(InternalError):
        await ask("a", "look at x", backend=ReplayBackend("s1"))


def test_a_recording_is_read_for_each_replay_and_for_those_behind_it() -> None:
    inner = {"backend": "replay", "session": "old"}
    source = {"a": {"backend": "replay", "session": "new", "otherwise": inner}, "b": "echo"}
    asked: list[str] = []

    def recall(name: str) -> Recording:
        asked.append(name)
        return Recording(f"real-{name}", {})

    agents = load_agents(source).recalled(recall)
    entry = agents.entry("a")
    assert entry is not None
    assert entry.pinned is not None
    backend = entry.pinned.backend
    assert isinstance(backend, ReplayBackend)
    assert isinstance(backend.otherwise, ReplayBackend)
    assert sorted(asked) == ["new", "old"]
    assert (backend.recording, backend.otherwise.recording) == (Recording("real-new", {}), Recording("real-old", {}))


texts = st.lists(st.text(st.sampled_from("ab"), max_size=3), max_size=60).map("\n".join)


@given(texts, texts)
def test_a_difference_is_bounded_and_there_if_there_is_one(before: str, after: str) -> None:
    lines = difference(before, after).splitlines()
    assert len(lines) <= MAX_LINES + 1
    if before.splitlines() != after.splitlines():
        assert any(line[:1] in "+-" for line in lines)


def test_a_difference_in_enormous_texts_is_found_in_no_time() -> None:
    text = "\n".join(f"line {number} {'x' * 1000}" for number in range(50_000))
    shown = difference(text, text.replace("line 40000 ", "line forty thousand "))
    assert "+line forty thousand" in shown
    assert shown.endswith("… from line 39999 on")
    assert all(len(line) <= MAX_WIDTH + 2 for line in shown.splitlines())


@given(st.text(), st.text(max_size=5), st.text())
def test_masked_prompts_are_the_same_for_any_secret(before: str, secret: str, after: str) -> None:
    assert is_same(f"{before}***{after}", f"{before}{secret}{after}")
