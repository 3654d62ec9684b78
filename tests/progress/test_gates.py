"""What gates mean: who is asked when, what a decision does to what follows, and what the records say of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.progress.driver import Walker, recipe
from trio_recipes.events import (
    ApprovalDecided,
    ApprovalRequested,
    ApprovalWithdrawn,
    AttemptFailed,
    Event,
    RunEnded,
    RunStarted,
    ScopeStarted,
    ScopeStatus,
    SessionStatus,
    Stamped,
)
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.language.model import Approval
from trio_recipes.progress.asks import Answer, Ask, Gate
from trio_recipes.progress.decisions import label, means
from trio_recipes.progress.fold import Progress, fold
from trio_recipes.progress.gates import decision_of, default_of, outcome_at
from trio_recipes.progress.outcome import PAUSED, completed, failed

STAGED = """
stages:
- name: build
  steps: [{id: make, type: bash, command: made, output: made}]
  approval: {required: true, prompt: "Ship {{made}}?"}
- name: ship
  steps: [{id: send, type: bash, command: "sent {{_approval_message}} {{_approval.by}}", output: sent}]
"""
SUB = STAGED.replace("make", "sub_make")
NO = Failure(FailureKind.DENIED, "no", "build", retryable=False)
YES = {"decision": "approved", "by": "ada", "via": "user", "at": "", "message": "fine"}


class Approver(Walker):
    """Answers gates by a script of paths; what is not in it waits."""

    def __init__(self, decisions: Mapping[str, bool], recipes: Mapping[str, str] | None = None) -> None:
        super().__init__(recipes={name: recipe(text, name) for name, text in (recipes or {}).items()})
        self.decisions = decisions
        self.gates: list[Gate] = []

    def answer(self, ask: Ask) -> Answer:
        if not isinstance(ask, Gate):
            return super().answer(ask)
        self.gates.append(ask)
        if ask.path not in self.decisions:
            return PAUSED
        return completed(dict(YES)) if self.decisions[ask.path] else failed(NO)


def approver(
    decisions: Mapping[str, bool], body: str = STAGED, head: str = "", recipes: Mapping[str, str] | None = None
) -> Approver:
    walker = Approver(decisions, recipes)
    walker.run(recipe(body, head=head))
    return walker


# --- the walk ----------------------------------------------------------------------------------------------------


def test_a_gate_asks_after_its_stage_with_what_the_stage_made() -> None:
    walker = approver({})
    assert [(gate.path, gate.stage, gate.prompt) for gate in walker.gates] == [("build", "build", "Ship made?")]
    assert walker.outcome == PAUSED
    assert walker.leaves == ["build/make"]


def test_what_follows_an_approval_sees_it() -> None:
    walker = approver({"build": True})
    assert walker.variables["sent"] == "sent fine ada"
    assert walker.outcome.value == "sent fine ada"


def test_a_gate_after_the_last_stage_keeps_the_value_of_the_stage() -> None:
    walker = approver({"only": True}, STAGED.split("- name: ship", maxsplit=1)[0].replace("name: build", "name: only"))
    assert walker.outcome.value == "made"


def test_a_denial_ends_it() -> None:
    walker = approver({"build": False})
    assert walker.outcome.failure is NO
    assert walker.leaves == ["build/make"]


@pytest.mark.parametrize("step", ["on_error: skip_remaining, command: fail", "condition: '1 == 2', command: x"])
def test_a_stage_that_ended_early_or_did_nothing_is_asked_about_all_the_same(step: str) -> None:
    body = f"""
stages:
- name: build
  steps: [{{id: a, type: bash, {step}}}]
  approval: {{required: true, prompt: "Ship?"}}
"""
    assert [gate.path for gate in approver({}, body).gates] == ["build"]


def test_a_stage_that_failed_is_not_asked_about() -> None:
    walker = approver({}, STAGED.replace("command: made,", "command: fail,"))
    assert walker.gates == []
    assert walker.outcome.status is ScopeStatus.FAILED


CALL = "steps:\n- {id: call, type: recipe, recipe: sub, on_error: continue, output: called}\n"
NESTED = "steps:\n- {id: deep, type: recipe, recipe: middle, output: called}\n"


def test_a_gate_of_a_sub_recipe_pauses_what_stands_around_it() -> None:
    walker = approver({}, NESTED, recipes={"middle": CALL, "sub": SUB})
    assert [gate.path for gate in walker.gates] == ["deep/call/build"]
    assert walker.outcome == PAUSED


def test_nothing_handles_a_denial() -> None:
    walker = approver({"call/build": False}, CALL, recipes={"sub": SUB})
    assert walker.outcome.failure is NO


LOOP = """
steps:
- {{id: each, type: recipe, recipe: sub, foreach: "{{{{items}}}}", parallel: {parallel}, collect: all{more}}}
- {{id: last, type: bash, command: last}}
"""
ITEMS = "context: {items: [a, b, c]}"


def test_a_parallel_loop_asks_in_every_iteration() -> None:
    walker = approver({"each[1]/build": True}, LOOP.format(parallel="true", more=""), ITEMS, {"sub": SUB})
    assert [gate.path for gate in walker.gates] == ["each[0]/build", "each[1]/build", "each[2]/build"]
    assert walker.outcome == PAUSED
    assert walker.leaves[-1] == "each[2]/build/sub_make"
    assert "each[1]/ship/send" in walker.leaves


def test_a_sequential_loop_waits_at_the_first() -> None:
    walker = approver({"each[0]/build": True}, LOOP.format(parallel="false", more=""), ITEMS, {"sub": SUB})
    assert [gate.path for gate in walker.gates] == ["each[0]/build", "each[1]/build"]
    assert walker.outcome == PAUSED


@pytest.mark.parametrize("on_error", ["continue", "skip_remaining"])
def test_a_denial_counts_for_more_than_failures_beside_it(on_error: str) -> None:
    sub = SUB.replace("command: made,", 'command: "{{what}}",').replace("stages:", "context: {what: x}\nstages:", 1)
    body = LOOP.format(parallel="true", more=f', context: {{what: "{{{{item}}}}"}}, on_error: {on_error}')
    walker = Approver({"each[2]/build": False}, {"sub": sub})
    walker.run(recipe(body, head="context: {items: [fail, fail, c]}"))
    assert walker.outcome.failure is not None
    assert walker.outcome.failure.kind is FailureKind.DENIED


# --- the records -------------------------------------------------------------------------------------------------

ASKED = ApprovalRequested(path="audit/build", stage="build", prompt="Ship?", timeout=5)
APPROVED = ApprovalDecided(path="audit/build", approved=True, by="ada", via="user", message="fine")
DENIED = ApprovalDecided(path="audit/build", approved=False, by="bob", via="web", message="too early")
STARTED = RunStarted(runner="r", host="h", pid=1)
GATE = Gate("audit/build", "build", "Ship?", Approval(required=True))


def known(*events: Event) -> Progress:
    return fold(Stamped(seq, 1, seq * 1_000_000, event) for seq, event in enumerate((STARTED, *events), 1))


def test_the_first_decision_counts() -> None:
    progress = known(ASKED, APPROVED, DENIED)
    decision = decision_of(progress.gates["audit/build"])
    assert decision == YES | {"at": "1970-01-01T00:00:03.000000Z"}
    assert outcome_at(progress, GATE).value == decision


def test_a_denial_says_who_and_why() -> None:
    failure = outcome_at(known(ASKED, DENIED), GATE).failure
    assert failure is not None
    assert failure.message == "stage 'build' was denied by bob: too early"
    assert not failure.may_retry


@pytest.mark.parametrize(
    ("after", "asks"),
    [
        ([], True),
        ([RunEnded(status=SessionStatus.PAUSED)], True),
        ([RunEnded(status=SessionStatus.PAUSED), STARTED], True),
        ([STARTED], True),  # the runner was killed
        ([RunEnded(status=SessionStatus.CANCELLED)], False),
        ([RunEnded(status=SessionStatus.FAILED)], False),
        ([ApprovalWithdrawn(path="audit/build")], False),
        ([AttemptFailed(path="audit", failure=NO, delay=0)], False),
        ([APPROVED], False),
    ],
)
def test_until_when_a_gate_asks(after: list[Event], asks: bool) -> None:
    assert bool(known(ASKED, *after).open_gates) is asks


@pytest.mark.parametrize("after", [RunEnded(status=SessionStatus.CANCELLED), ApprovalWithdrawn(path="audit/build")])
def test_a_decision_outlives_what_ends_the_asking(after: Event) -> None:
    assert outcome_at(known(ASKED, APPROVED, after), GATE).goes_on


def test_another_attempt_asks_again() -> None:
    progress = known(ASKED, APPROVED, AttemptFailed(path="audit", failure=NO, delay=0), ASKED)
    assert [gate.seq for gate in progress.open_gates] == [5]


def test_whether_to_run_a_step_again_is_asked_each_time() -> None:
    again = ApprovalRequested(path="deploy", stage="deploy", prompt="Again?")
    decided = ApprovalDecided(path="deploy", approved=True)
    assert not known(again, decided, ScopeStarted(path="deploy", kind="bash")).gates


def test_a_request_decides_on_what_was_asked_once() -> None:
    (gate,) = known(ASKED).open_gates
    assert (gate.takes("gate-2"), gate.takes("gate-1")) == (True, False)
    (decided,) = known(ASKED, APPROVED).gates.values()
    assert not decided.takes("gate-2")


@pytest.mark.parametrize(("default", "approved"), [("approve", True), ("deny", False)])
def test_the_default_is_a_decision(default: str, approved: bool) -> None:
    decision = default_of(ApprovalRequested(path="a", stage="a", prompt="", timeout=90, default=default))
    assert (decision.approved, decision.via, decision.message) == (approved, "timeout", "nobody decided within 90 s")


# --- names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"), [("build", "build"), ("audit/build", "audit/build"), ("a/b[2]/c/build it", "a/build it")]
)
def test_what_a_gate_is_called_at_the_root(path: str, name: str) -> None:
    assert label(path) == name
    assert means(name, path)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("build", True),
        ("audit[3]/call/build", True),
        ("audit/build", True),
        ("call/build", True),
        ("audit/call", False),
        ("call/audit/build", False),
        ("other/build", False),
        ("audit[2]/build", False),
        ("uild", False),
        ("", False),
    ],
)
def test_which_names_mean_a_gate(text: str, meant: bool) -> None:
    assert means(text, "audit[3]/call/build") is meant
