"""What agents cost: recorded per answer, added up over runs, stopped at `limits` (recipe-language.md section 12)."""

from pathlib import Path
from typing import Any

import pytest

from trio_recipes import AgentReply, AgentRequest, Limits, Source, open_runtime
from trio_recipes.agents.prices import Price, Prices, load_prices
from trio_recipes.errors import ConfigurationError
from trio_recipes.events import AgentAnswered, SessionStatus
from trio_recipes.frontends.cli.tree import session_text
from trio_recipes.language.load import parse_recipe
from trio_recipes.progress.spending import Spending
from trio_recipes.sessions.history import read_history
from trio_recipes.sessions.view import session_view
from trio_recipes.store.base import open_store
from trio_recipes.testing import ScriptedAgent

RECIPE = """\
name: spender
description: d
version: 1.0.0
{limits}
context: {{items: [1, 2, 3, 4]}}
steps:
  - id: ask
    agent: any:one
    prompt: "ask {{{{item}}}}"
    foreach: "{{{{items}}}}"
    collect: answers
"""


def answering(**reply: Any) -> ScriptedAgent:
    def answer(request: AgentRequest) -> AgentReply:
        return AgentReply(text=f"answer to {request.prompt}", model="big", **reply)

    return ScriptedAgent(default=answer)


USAGE = {"input_tokens": 100, "output_tokens": 20}


async def run(tmp_path: Path, agent: ScriptedAgent, limits: str = "", **options: Any) -> Any:
    recipe = parse_recipe(RECIPE.format(limits=limits))
    async with open_runtime(store=str(tmp_path / "store"), agents=agent, project=tmp_path, **options) as runtime:
        return await (await runtime.start(recipe)).wait()


async def test_a_limit_on_tokens_stops_gracefully_and_a_higher_one_goes_on(tmp_path: Path) -> None:
    agent = answering(usage=USAGE)
    stopped = await run(tmp_path, agent, "limits: {tokens: 240}")
    assert stopped.status is SessionStatus.CANCELLED
    assert (stopped.cancellation.source, stopped.cancellation.level) == (Source.BUDGET, 1)
    assert "limits.tokens (240) is reached: 240 used" in stopped.cancellation.reason
    assert agent.finished == 2

    async with open_runtime(store=str(tmp_path / "store"), agents=agent) as runtime:
        again = await (await runtime.resume(stopped.session_id)).wait()
        assert again.status is SessionStatus.CANCELLED
        assert agent.finished == 2  # not one more question: the session had used up its limit before
        done = await (await runtime.resume(stopped.session_id, limits=Limits(tokens=10_000))).wait()
    assert done.context["answers"] == [f"answer to ask {n}" for n in (1, 2, 3, 4)]
    assert agent.finished == 4


async def test_a_limit_on_cost_counts_what_the_prices_say(tmp_path: Path) -> None:
    agent = answering(usage=USAGE)
    prices = {"b*": {"input": 10_000, "output": 50_000}}  # 1 + 1 dollars an answer
    stopped = await run(tmp_path, agent, "limits: {cost_usd: 5.5}", prices=prices)
    assert stopped.cancellation.source is Source.BUDGET
    assert "limits.cost_usd (5.5) is reached: 6 spent" in stopped.cancellation.reason
    assert agent.finished == 3


async def test_what_a_backend_says_it_cost_counts_before_prices(tmp_path: Path) -> None:
    stopped = await run(tmp_path, answering(usage=USAGE, cost_usd=3.0), "limits: {cost_usd: 5.5}", prices={})
    assert "6 spent" in stopped.cancellation.reason


async def test_what_can_not_be_counted_is_said_once(tmp_path: Path) -> None:
    told: list[str] = []

    def observe(_session: str, stamped: Any) -> None:
        if stamped.event.name == "warned":
            told.append(stamped.event.message)

    result = await run(tmp_path, answering(), "limits: {cost_usd: 1, tokens: 10}", observe=observe, prices={})
    assert result.status is SessionStatus.COMPLETED
    assert told == [
        "limits.cost_usd counts no answer without a price; ~/.config/trio_recipes/prices.toml has none for model 'big'",
        "limits.tokens does not count the answers of model 'big': it does not tell its usage",
    ]


async def test_show_tells_what_each_step_and_the_session_took(tmp_path: Path) -> None:
    result = await run(tmp_path, answering(usage=USAGE, cost_usd=0.5, stop_reason="end"))
    history = read_history(open_store(str(tmp_path / "store")).file(result.session_id))
    assert "4 answers, 480 tokens (400 read, 80 written), 2.0000 USD\n" in session_text(history)
    view = session_view(history)
    assert view["usage"] == {
        "answers": 4,
        "broken_off": 0,
        "input_tokens": 400,
        "output_tokens": 80,
        "estimated_tokens": 0,
        "cost_usd": 2.0,
        "unpriced": 0,
        "tokens": 480,
    }
    (node,) = [node for node in view["nodes"] if node["path"] == "ask[2]"]
    answered = node["answered"]
    assert (answered["model"], answered["usage"], answered["stop_reason"]) == ("big", USAGE, "end")
    assert answered["seconds"] >= 0


async def test_a_limit_that_is_reached_by_the_last_answer_changes_nothing(tmp_path: Path) -> None:
    result = await run(tmp_path, answering(usage=USAGE), "limits: {tokens: 480}")
    assert result.status is SessionStatus.COMPLETED


async def test_an_answer_that_makes_its_step_fail_is_paid_for_all_the_same(tmp_path: Path) -> None:
    agent = ScriptedAgent(default=lambda _: AgentReply(value={"x": float("nan")}, usage=USAGE, cost_usd=1.0))
    result = await run(tmp_path, agent)
    assert result.status is SessionStatus.FAILED
    view = session_view(read_history(open_store(str(tmp_path / "store")).file(result.session_id)))
    assert view["usage"]["cost_usd"] == 1.0


def test_limits_over_those_of_the_recipe() -> None:
    spent = Spending()
    spent.add(AgentAnswered(agent="a", usage=USAGE, cost_usd=1.0))
    assert spent.reached(Limits()) is None
    assert spent.reached(Limits(tokens=121, cost_usd=1.01)) is None
    assert spent.reached(Limits(tokens=120)) is not None
    assert spent.reached(Limits(cost_usd=1.0)) is not None


# --- prices ------------------------------------------------------------------------------------------------------


def test_exact_names_come_before_globs_and_globs_in_order() -> None:
    prices = Prices({"m*": Price(input=1), "*": Price(input=2), "mini": Price(input=3)})
    usage = {"input_tokens": 1_000_000}
    assert [prices.cost(name, usage) for name in ("mini", "maxi", "other")] == [3, 1, 2]
    assert (prices.cost(None, usage), prices.cost("mini", {})) == (None, None)


def test_cached_tokens_are_a_part_of_those_read() -> None:
    price = Price(input=10, output=20, cached_input=1)
    assert price.of({"input_tokens": 1_000_000, "cached_tokens": 400_000, "output_tokens": 500_000}) == 6 + 0.4 + 10
    assert Price(input=10).of({"input_tokens": 1_000_000, "cached_tokens": 400_000}) == 10


def test_the_users_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert load_prices() == Prices()
    (tmp_path / "trio_recipes").mkdir()
    (tmp_path / "trio_recipes" / "prices.toml").write_text('[models."gpt-*"]\ninput = 2.5\noutput = 10\n')
    assert load_prices() == Prices({"gpt-*": Price(2.5, 10)})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model = 1", "unknown key 'model'"),
        ("models = 1", "must be a table from models to prices"),
        ("[models]\nx = 1", "models.x: must be a table"),
        ("[models.x]\ninputs = 1", "unknown key 'inputs'; did you mean 'input'?"),
        ("[models.x]\ninput = -1\noutput = true", "input must be US dollars"),
        ("[[", "can't be read as TOML"),
    ],
)
def test_a_file_of_prices_that_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        load_prices(file)
    assert told in str(refused.value)
    assert str(file) in str(refused.value)


def test_a_file_of_prices_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such file of prices"):
        load_prices(tmp_path / "none.toml")
