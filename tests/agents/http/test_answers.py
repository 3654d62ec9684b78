"""Answers of both backends, through a real server: pieces, usage, settings, structured output, lists of models."""

from typing import Any

import pytest

from tests.agents.http.asking import BACKENDS, client
from trio_recipes.agents.backends.anthropic import SAMPLING_VERSION, VERSION
from trio_recipes.agents.backends.openai import ANY_JSON
from trio_recipes.agents.http.endpoint import EnvironmentKey
from trio_recipes.errors import InternalError
from trio_recipes.language.output import interpret
from trio_recipes.runtime.ports import AgentBackend, AgentRequest, ListsModels
from trio_recipes.testing.model_server import Answer, Asked, Say, Stream, Think, in_turn, refuses, says

both = pytest.mark.parametrize("dialect", BACKENDS)


@both
async def test_an_answer_comes_in_pieces_and_with_its_account(dialect: str) -> None:
    async with client(dialect, says("Frogs ", "jump", " high.", every=0.02)) as it:
        reply = await it.ask("tell me about frogs")
    assert reply.text == "Frogs jump high."
    assert reply.usage == {"input_tokens": 4, "output_tokens": 3}
    assert (reply.model, reply.stop_reason) == ("m", {"openai": "stop", "anthropic": "end_turn"}[dialect])
    assert it.log.output("text").decode() == reply.text
    assert it.body["messages"] == [{"role": "user", "content": "tell me about frogs"}]


@both
async def test_pieces_are_told_before_the_answer_has_ended(dialect: str) -> None:
    async with client(dialect, says("first ", "second ", "third", every=0.1)) as it:
        await it.ask()
    assert len(it.log.chunks("text")) > 1


@both
async def test_tokens_of_the_cache_are_counted_among_the_input(dialect: str) -> None:
    counts: dict[str, Any] = {
        "openai": {"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 60}},
        "anthropic": {"input_tokens": 30, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 10},
    }
    async with client(dialect, says("x", **counts[dialect])) as it:
        usage = dict((await it.ask()).usage)
    assert usage.pop("cache_creation_tokens", 10) == 10
    assert usage == {"input_tokens": 100, "cached_tokens": 60, "output_tokens": 1}


@both
async def test_thoughts_are_kept_apart_from_the_answer(dialect: str) -> None:
    async with client(dialect, Stream((Think("hm "), Think("hm"), Say("yes")))) as it:
        assert (await it.ask()).text == "yes"
    assert it.log.output("thinking") == b"hm hm"
    assert it.log.output("text") == b"yes"


@both
async def test_settings_reach_the_model(dialect: str) -> None:
    async with client(dialect, says("x")) as it:
        it.change(system="Be brief.", temperature=0.5, max_tokens=7, extra={"top_p": 0.9})
        await it.ask(model="other")
    body = it.body
    assert (body["model"], body["temperature"], body["max_tokens"], body["top_p"]) == ("other", 0.5, 7, 0.9)
    system = body["messages"][0]["content"] if dialect == "openai" else body["system"]
    assert system == "Be brief."


async def test_the_version_of_the_api_is_one_that_takes_what_is_set() -> None:
    async with client("anthropic", says("x")) as it:
        await it.ask()
        it.change(temperature=0.5)
        await it.ask()
        it.change(temperature=None, extra={"top_p": 0.5})
        await it.ask()
        versions = [visit.asked.headers["anthropic-version"] for visit in it.server.visits]
    assert versions == [VERSION, SAMPLING_VERSION, SAMPLING_VERSION]


@both
async def test_what_is_not_set_is_left_to_the_endpoint(dialect: str) -> None:
    async with client(dialect, says("x")) as it:
        await it.ask()
    assert {"temperature", "system", "response_format"}.isdisjoint(it.body)


@both
async def test_the_models_of_an_endpoint(dialect: str) -> None:
    async with client(dialect) as it:
        assert isinstance(it.backend, ListsModels)
        assert await it.backend.models() == ("test-large-2", "test-small-1", "test-small-2")


@both
async def test_the_key_goes_where_its_api_wants_it(dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", " s3cret-key\n")
    async with client(dialect, says("x"), server_key="s3cret-key", key=EnvironmentKey("SOME_KEY")) as it:
        assert (await it.ask()).text == "x"
        assert len(await it.backend.models()) == 3
        assert "s3cret" not in repr(it.backend)


@both
async def test_half_a_surrogate_pair_is_asked_as_a_question_mark(dialect: str) -> None:
    async with client(dialect, says("x")) as it:
        await it.ask("hé\ud800😀")
    assert it.body["messages"][0]["content"] == "hé?😀"


@both
async def test_a_model_must_be_named(dialect: str) -> None:
    async with client(dialect) as it:
        it.change(model=None)
        failure = await it.failure()
    assert "no model is named" in str(failure)
    assert not failure.retryable
    assert it.server.visits == []


@both
async def test_a_backend_that_is_not_connected_is_a_bug(dialect: str) -> None:
    async with client(dialect) as it:
        loose = BACKENDS[dialect](it.backend.endpoint, it.backend.settings)
        with pytest.raises(InternalError, match="connections"):
            await ask_nobody(loose)


async def ask_nobody(backend: AgentBackend) -> None:
    await backend.ask(AgentRequest(agent="a", prompt="p"), None)  # type: ignore[arg-type]


# --- structured output -------------------------------------------------------------------------------------------


async def test_a_step_that_wants_json_holds_the_endpoint_to_it() -> None:
    async with client(script=says('["a"]')) as it:
        reply = await it.ask(parse_json=True)
        assert it.body["response_format"] == ANY_JSON
        it.change(structured=False)
        await it.ask(parse_json=True)
        assert "response_format" not in it.body
    assert interpret(reply.text or "", parse_json=True) == ["a"]


OLD = ("stream_options", "response_format")


def of_an_old_server(asked: Asked) -> Answer:
    """Refuses what it doesn't know, one field at a time."""
    unknown = next((name for name in OLD if name in asked.body), None)
    return refuses(400, f"unknown field: '{unknown}'", param=unknown) if unknown else says("[1]")


async def test_what_an_endpoint_refuses_is_left_out_from_then_on() -> None:
    async with client(script=of_an_old_server) as it:
        for _ in range(3):
            assert (await it.ask(parse_json=True)).text == "[1]"
        fields = [[name for name in OLD if name in visit.asked.body] for visit in it.server.visits]
    assert fields == [[*OLD], ["response_format"], [], [], []]


async def test_what_the_user_adds_is_not_left_out() -> None:
    async with client(script=refuses(400, "no response_format")) as it:
        it.change(extra={"response_format": {"type": "json_object"}})
        assert "no response_format" in str(await it.failure(parse_json=True))
        assert len(it.server.visits) == 1


async def test_newer_models_have_their_limit_by_another_name() -> None:
    def answer(asked: Asked) -> Answer:
        if "max_tokens" in asked.body:
            return refuses(400, "'max_tokens' is not supported; use 'max_completion_tokens' instead.")
        return says("x")

    async with client(script=answer) as it:
        it.change(max_tokens=99)
        await it.ask()
        assert it.body["max_completion_tokens"] == 99


async def test_a_refusal_of_what_the_user_asks_for_is_one() -> None:
    async with client(script=refuses(400, "temperature: this model has none", param="temperature")) as it:
        it.change(temperature=1.0)
        assert "temperature" in str(await it.failure())
        assert len(it.server.visits) == 1


@both
async def test_an_answer_to_be_mended_is_part_of_the_conversation(dialect: str) -> None:
    async with client(dialect, in_turn(says("sorry"), says("[1]"))) as it:
        assert (await it.ask(parse_json=True)).repairable
        assert (await it.ask(parse_json=True, unreadable="sorry")).text == "[1]"
    assert [message["role"] for message in it.body["messages"]] == ["user", "assistant", "user"]
    assert it.body["messages"][1]["content"] == "sorry"
    assert "JSON" in it.body["messages"][2]["content"]
