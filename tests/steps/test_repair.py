"""An answer without the JSON that its step wants: one more attempt, if the backend allows it."""

from typing import Any

import pytest

from tests.steps.leaf import Told, leaf
from trio_recipes.failure import FailureKind
from trio_recipes.language.model import AgentStep, Retry
from trio_recipes.language.template import Template
from trio_recipes.runtime.ports import AgentReply, AgentRequest, Reply
from trio_recipes.steps.repair import Repairs


def request(**fields: Any) -> AgentRequest:
    return AgentRequest(agent="a", prompt="p", path="step", parse_json=True, **fields)


def checked(
    repairs: Repairs, text: str | None, *, attempt: int = 1, attempts: int = 2, repairable: bool = True, **asked: Any
) -> Reply:
    step = AgentStep(id="step", agent="a", prompt=Template.parse("p"), retry=Retry(max_attempts=attempts))
    answer = AgentReply(text=text, repairable=repairable)
    call = leaf(step, Told(), attempt=attempt)
    return repairs.checked(call, AgentRequest(**{**vars_of(request()), **asked}), answer, Reply(text=text))


def vars_of(asked: AgentRequest) -> dict[str, Any]:
    return {"agent": asked.agent, "prompt": asked.prompt, "path": asked.path, "parse_json": asked.parse_json}


def test_the_next_attempt_mends_it_and_the_one_after_that_does_not() -> None:
    repairs = Repairs()
    reply = checked(repairs, "sorry")
    failure = reply.failure
    assert reply.mend
    assert failure is not None
    assert (failure.kind, failure.may_retry) == (FailureKind.BACKEND, True)
    assert repairs.asked(request()).unreadable == "sorry"
    assert repairs.asked(request()).unreadable is None


@pytest.mark.parametrize(
    "case",
    [
        {"text": "[1, 2]"},
        {"text": 'Sure: {"a": 1}'},
        {"text": None},
        {"text": "sorry", "repairable": False},
        {"text": "sorry", "attempts": 5, "unreadable": "sorry before"},
        {"text": "sorry", "parse_json": False},
    ],
)
def test_what_is_not_mended(case: dict[str, Any]) -> None:
    repairs = Repairs()
    assert checked(repairs, **case) == Reply(text=case["text"])
    assert repairs.asked(request()).unreadable is None
