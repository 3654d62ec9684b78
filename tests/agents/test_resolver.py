"""Who answers when it comes to it: lists of models, what can't be reached, what a backend is told."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, field

from trio_recipes.agents.backends.openai import OpenAIBackend
from trio_recipes.agents.entry import Entry
from trio_recipes.agents.http.endpoint import Endpoint
from trio_recipes.agents.http.exchange import RefusedError
from trio_recipes.agents.http.refusals import Complaint
from trio_recipes.agents.provider import Provider
from trio_recipes.agents.registry import Agents
from trio_recipes.agents.resolver import FAILED, FRESH, NO_LIST, PATIENCE, StandardResolver, told
from trio_recipes.errors import BackendError, ConfigurationError
from trio_recipes.language.model import AgentStep
from trio_recipes.language.template import Template
from trio_recipes.runtime.ports import AgentCall, AgentReply, AgentRequest, Choice
from trio_recipes.values import Value


@define(eq=False)
class Endpointed:
    """An endpoint on the mock clock."""

    offered: Sequence[str] = ("m-1", "m-2")
    after: float = 1.0
    error: BackendError | None = None
    asked: int = field(default=0, init=False)

    async def ask(self, request: AgentRequest, call: AgentCall) -> AgentReply:
        raise AssertionError("choosing who answers asks nobody")

    async def models(self) -> Sequence[str]:
        self.asked += 1
        await trio.sleep(self.after)
        if self.error is not None:
            raise self.error
        return self.offered


def down(retryable: bool = True) -> BackendError:
    return BackendError("can't be reached", retryable=retryable)


def known(**backends: Any) -> Agents:
    return Agents(providers={name: Provider(name, backend, "openai") for name, backend in backends.items()})


async def resolve(agents: Agents, resolver: StandardResolver | None = None, **wishes: Any) -> Choice:
    request = AgentRequest(agent="a", prompt="p", **wishes)
    return await (resolver or StandardResolver()).resolve(request, agents)


ONE_OR_TWO = ({"provider": "one", "model": "m-*"}, {"provider": "two", "model": "exact"})


async def test_an_exact_model_of_the_only_provider_is_asked_of_nobody(autojump_clock: trio.testing.MockClock) -> None:
    one = Endpointed(error=down())
    choice = await resolve(known(one=one), model="m-7")
    assert (choice.backend, choice.request.provider, choice.request.model) == (one, "one", "m-7")
    assert one.asked == 0


async def test_a_glob_is_settled_by_the_endpoints_list(autojump_clock: trio.testing.MockClock) -> None:
    choice = await resolve(known(one=Endpointed(("m-1", "m-3", "m-20"))), model="m-*")
    assert choice.request.model == "m-3"


async def test_an_endpoint_that_keeps_no_list_gets_the_glob_as_it_is(autojump_clock: trio.testing.MockClock) -> None:
    assert (await resolve(known(one=Endpointed(())), model="m-*")).request.model == "m-*"


@pytest.mark.parametrize("status", NO_LIST)
async def test_an_endpoint_without_a_list_is_there_all_the_same(
    status: int, autojump_clock: trio.testing.MockClock
) -> None:
    nothing = RefusedError(BackendError(f"there is nothing (HTTP {status})"), status, Complaint())
    one, two = Endpointed(error=nothing), Endpointed()
    preferences = ({"provider": "one", "model": "exact"}, {"provider": "two", "model": "exact"})
    choice = await resolve(known(one=one, two=two), provider_preferences=preferences)
    assert (choice.request.provider, choice.request.model) == ("one", "exact")


@pytest.mark.parametrize("fault", [down, lambda: down(retryable=False), None])
async def test_the_next_one_answers_when_one_is_unavailable(
    fault: Callable[[], BackendError] | None, autojump_clock: trio.testing.MockClock
) -> None:
    one, two = Endpointed(after=1.0 if fault else 1e9, error=fault() if fault else None), Endpointed()
    choice = await resolve(known(one=one, two=two), provider_preferences=ONE_OR_TWO)
    assert (choice.request.provider, choice.request.model, choice.backend) == ("two", "exact", two)
    assert trio.current_time() == pytest.approx(2.0 if fault else PATIENCE + 1.0)


async def test_nobody_is_left(autojump_clock: trio.testing.MockClock) -> None:
    agents = known(one=Endpointed(error=down()), two=Endpointed(error=down(retryable=False)))
    wishes = ({"provider": "gone"}, *ONE_OR_TWO)
    with pytest.raises(BackendError, match=r"gone: no provider .*; one: can't be reached; two: can't be") as caught:
        await resolve(agents, provider_preferences=wishes)
    assert caught.value.retryable
    with pytest.raises(BackendError, match="gone: no provider") as caught:
        await resolve(agents, provider_preferences=wishes[:1])
    assert not caught.value.retryable
    with pytest.raises(ConfigurationError, match="nothing answers the agent 'a'"):
        await resolve(Agents())


async def test_an_endpoint_is_asked_once_by_all_who_want_to_know(autojump_clock: trio.testing.MockClock) -> None:
    one, resolver = Endpointed(), StandardResolver()
    agents = known(one=one)
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(lambda: resolve(agents, resolver, model="m-*"))
    assert one.asked == 1
    assert trio.current_time() == pytest.approx(1.0)
    await trio.sleep(FRESH)
    await resolve(agents, resolver, model="m-*")
    assert one.asked == 2


async def test_what_was_down_is_asked_again_sooner(autojump_clock: trio.testing.MockClock) -> None:
    one, resolver = Endpointed(error=down()), StandardResolver()
    for _ in range(2):
        with pytest.raises(BackendError):
            await resolve(known(one=one), resolver, model="m-*")
    assert one.asked == 1
    one.error = None
    await trio.sleep(FAILED)
    assert (await resolve(known(one=one), resolver, model="m-*")).request.model == "m-2"


async def test_who_is_cancelled_while_asking_leaves_it_to_the_next(autojump_clock: trio.testing.MockClock) -> None:
    one, resolver = Endpointed(after=5.0), StandardResolver()
    agents = known(one=one)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: resolve(agents, resolver, model="m-*"))
        with trio.move_on_after(1.0) as scope:
            await resolve(agents, resolver, model="m-*")
        assert scope.cancelled_caught
        nursery.cancel_scope.cancel()
    assert (await resolve(agents, resolver, model="m-*")).request.model == "m-2"


# --- what a backend is told --------------------------------------------------------------------------------------


def test_a_model_is_told_what_its_agent_is() -> None:
    backend = OpenAIBackend(Endpoint(base_url="http://127.0.0.1:9/v1"))
    settings: dict[str, Value] = {"system": "s", "temperature": 0, "max_tokens": 5, "tools": ["Read"], "other": 1}
    changed = told(backend, settings, "agent 'a'")
    assert isinstance(changed, OpenAIBackend)
    assert (changed.settings.system, changed.settings.temperature, changed.settings.max_tokens) == ("s", 0, 5)
    assert backend.settings.system is None


@pytest.mark.parametrize(
    ("name", "value"), [("temperature", "hot"), ("max_tokens", 1.5), ("max_tokens", True), ("system", 1)]
)
def test_settings_that_no_model_takes(name: str, value: object) -> None:
    backend = OpenAIBackend(Endpoint(base_url="http://127.0.0.1:9/v1"))
    with pytest.raises(ConfigurationError, match=f"agent 'a': {name} can't be"):
        told(backend, {name: value}, "agent 'a'")  # type: ignore[dict-item]


async def test_an_applications_backend_gets_the_settings_in_the_request() -> None:
    agents = Agents({"a": Entry(Provider("", Endpointed()), {"system": "s", "extra": {"x": 1}})})
    choice = await resolve(agents, agent_config={"extra": {"y": 2}})
    assert choice.request.agent_config == {"system": "s", "extra": {"x": 1, "y": 2}}


async def test_an_endpoint_with_one_model_needs_none_named(autojump_clock: trio.testing.MockClock) -> None:
    assert (await resolve(known(one=Endpointed(("only",))))).request.model == "only"
    assert (await resolve(known(one=Endpointed(("first", "second"))))).request.model is None  # its backend complains


def test_an_endpoint_with_a_key_has_many_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "k")
    agents = Agents(providers={"one": Provider("one", Endpointed(), "openai", key="SOME_KEY")})
    step = AgentStep(id="s", agent="a", prompt=Template.parse("p"))
    (problem,) = StandardResolver().problems([step], agents)
    assert problem.endswith("(one: no model is named: set 'model' there, for the agent, or on the step)")
