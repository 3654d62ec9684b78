"""``finally`` as a pure thing: what its steps see, where they stand, how a body and its clean-up end together."""

from typing import Any

import pytest

from tests.progress.driver import FACTS, recipe, said
from trio_recipes.events import (
    AttemptFailed,
    RunStarted,
    ScopeFinished,
    ScopeStarted,
    ScopeStatus,
    Stamped,
    WorkEnded,
)
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.language.model import Recipe
from trio_recipes.progress import path as paths
from trio_recipes.progress.asks import Answer, Ask, Decided, Enter, Fan, Guarded, NeedRecipe, Pass, Walk
from trio_recipes.progress.fold import Progress, fold
from trio_recipes.progress.frame import Frame, root_frame
from trio_recipes.progress.guard import together
from trio_recipes.progress.outcome import CANCELLED, Outcome, completed, failed, settle
from trio_recipes.progress.replay import Replay
from trio_recipes.progress.walk import walk_recipe

C, F, X = ScopeStatus.COMPLETED, ScopeStatus.FAILED, ScopeStatus.CANCELLED
OOPS = Failure(FailureKind.EXIT, "oops", "x")
LEVELS = """
finally: [{id: f, type: bash, command: "root {{_outcome}}"}]
stages:
- name: one
  finally: [{id: f, type: bash, command: "stage {{_outcome}}"}]
  steps:
  - id: loop
    foreach: "{{items}}"
    as: x
    finally: [{id: f, type: bash, command: "{{x}} {{_outcome}}"}]
    type: recipe
    recipe: sub
- {name: two, steps: [{id: b, type: bash, command: "{{_outcome}}"}]}
"""
SUB = "finally: [{id: f, type: bash, command: 'sub {{_outcome}}'}]\nsteps:\n- {id: a, type: bash, command: 'a'}"


class Guarding:
    """Answers asks depth first as the live driver does it, without time: leaves say their command."""

    def __init__(self, **recipes: Recipe) -> None:
        self.recipes = recipes
        self.said: list[tuple[str, Any]] = []

    def run(self, recipe: Recipe, **context: Any) -> tuple[Outcome, Frame]:
        frame = root_frame(recipe, context, FACTS)
        return self.drive(walk_recipe(frame, paths.ROOT)), frame

    def drive(self, walk: Walk) -> Outcome:
        answer: Answer = None
        while True:
            try:
                ask = walk.send(answer)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            answer = self.answer(ask)

    def answer(self, ask: Ask) -> Answer:
        match ask:
            case Guarded():
                body = self.drive(ask.body())
                return together(ask, body, self.drive(ask.cleanup(C if body.goes_on else body.status)))
            case Pass() | Enter() | Decided():
                return self.scope(ask)
            case Fan():
                return [self.child(ask, index) for index in ask.first]
            case NeedRecipe():
                return self.recipes[ask.name]
            case _:
                return None

    def scope(self, ask: Pass | Enter | Decided) -> Outcome:
        if isinstance(ask, Decided):
            return ask.outcome
        if isinstance(ask, Pass) and ask.inner is None:
            outcome = said(ask)
            self.said.append((ask.path, outcome.value))
        else:
            assert ask.inner is not None
            outcome = self.drive(ask.inner())
        return settle(ask.step, outcome) if ask.step else outcome

    def child(self, fan: Fan, index: int) -> Outcome:
        outcome = self.answer(fan.make(index))
        assert isinstance(outcome, Outcome)
        fan.ended(index, outcome)
        return outcome


def flat(body: str, finally_: str, **context: Any) -> tuple[Guarding, Outcome, Frame]:
    walker = Guarding()
    outcome, frame = walker.run(recipe(f"steps:\n{body}\nfinally:\n{finally_}"), **context)
    return walker, outcome, frame


# --- what it means -----------------------------------------------------------------------------------------------


def test_every_level_runs_inside_out_each_in_its_own_place() -> None:
    walker = Guarding(sub=recipe(SUB, "sub"))
    walker.run(recipe(LEVELS), items=["x", "y"], _outcome="none")
    assert walker.said == [
        ("one/loop[0]/a", "a"),
        ("one/loop[0]/~finally/f", "sub completed"),
        ("one/loop/~finally[0]/f", "x completed"),
        ("one/loop[1]/a", "a"),
        ("one/loop[1]/~finally/f", "sub completed"),
        ("one/loop/~finally[1]/f", "y completed"),
        ("one/~finally/f", "stage completed"),
        ("two/b", "none"),
        ("~finally/f", "root completed"),
    ]


def test_a_parallel_loop_cleans_up_behind_each_pass() -> None:
    walker = Guarding(sub=recipe(SUB, "sub"))
    walker.run(recipe(LEVELS.replace("as: x", "as: x\n    parallel: true")), items=["x", "y"], _outcome="none")
    assert ("one/loop/~finally[1]/f", "y completed") in walker.said


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("- {id: a, type: bash, command: A}", "completed"),
        ("- {id: a, type: bash, command: fail}", "failed"),
        ("- {id: a, type: bash, command: fail, on_error: continue}", "completed"),
        ("- {id: a, type: bash, command: fail, on_error: skip_remaining}", "completed"),
        ("- {id: a, type: bash, command: A, condition: 1 == 2}", "completed"),
    ],
)
def test_the_outcome_that_its_steps_are_told(body: str, outcome: str) -> None:
    walker, ended, _ = flat(body, "- {id: f, type: bash, command: 'it {{_outcome}}'}")
    assert walker.said[-1] == ("~finally/f", f"it {outcome}")
    assert str(ended.status) == outcome


def test_its_steps_see_what_the_body_left_and_leave_nothing() -> None:
    walker, _, frame = flat(
        "- {id: a, type: bash, command: A, output: a}",
        "- {id: f, type: bash, command: '{{a}}!', output: a}\n- {id: g, type: bash, command: '{{a}}', output: g}",
    )
    assert walker.said[1:] == [("~finally/f", "A!"), ("~finally/g", "A!")]
    assert frame.variables["a"] == "A"
    assert not {"g", "_outcome"} & set(frame.variables)


def test_a_loop_body_sees_its_own_pass() -> None:
    loop = "- {id: l, foreach: '{{items}}', as: x, type: bash, command: '{{x}}', output: last, finally: [%s]}"
    step = "{id: f, type: bash, command: '{{x}} {{last}} {{_loop_index}}'}"
    walker = Guarding()
    walker.run(recipe("steps:\n" + loop % step), items=["x", "y"], last="-")
    assert [value for path, value in walker.said if "~finally" in path] == ["x - 0", "y x 1"]


def test_a_failed_clean_up_fails_a_body_that_had_not_failed() -> None:
    _, ended, _ = flat("- {id: a, type: bash, command: A}", "- {id: f, type: bash, command: fail late}")
    assert ended.failure is not None
    assert (ended.status, ended.failure.path) == (F, "~finally/f")
    _, ended, _ = flat("- {id: a, type: bash, command: fail}", "- {id: f, type: bash, command: fail late}")
    assert ended.failure is not None
    assert ended.failure.path == "a"


def test_a_loop_handles_a_failed_clean_up_as_it_does_a_failed_pass() -> None:
    loop = "- {id: l, foreach: '{{items}}', as: x, type: bash, command: '{{x}}', on_error: continue, collect: all, %s}"
    cleanup = "finally: [{id: f, type: bash, command: '{{x}} late'}]"
    walker = Guarding()
    outcome, frame = walker.run(recipe("steps:\n" + loop % cleanup), items=["a", "fail", "b"])
    assert outcome.goes_on
    assert frame.variables["all"] == ["a", None, "b"]
    step = recipe("steps:\n" + loop % cleanup).steps[0]
    ask = Guarded("l[0]", "l/~finally[0]", lambda: iter(()), lambda _: iter(()), 30, step)  # type: ignore[arg-type, return-value]
    assert together(ask, completed("a"), failed(OOPS)).handled


@pytest.mark.parametrize("body", [completed(1), failed(OOPS), CANCELLED])
def test_how_a_body_and_its_clean_up_end_together(body: Outcome) -> None:
    ask = Guarded("", "~finally", lambda: iter(()), lambda _: iter(()), 30)  # type: ignore[arg-type, return-value]
    late = failed(Failure(FailureKind.EXIT, "late"))
    assert together(ask, body, completed()) is body
    assert together(ask, body, late) is (late if body.goes_on else body)


# --- records -----------------------------------------------------------------------------------------------------


def story(*events: Any) -> Progress:
    """What is known after these events; a string is a leaf that completed."""
    told: list[Any] = [RunStarted(runner="r", host="h", pid=1)]
    for event in events:
        leaf = isinstance(event, str)
        told += [ScopeStarted(path=event, kind="bash"), done(event, value=event)] if leaf else [event]
    return fold(Stamped(n, 1, n, event) for n, event in enumerate(told, 1))


def begun(path: str, kind: str = "finally") -> ScopeStarted:
    return ScopeStarted(path=path, kind=kind)


def done(path: str, status: ScopeStatus = C, **more: Any) -> ScopeFinished:
    return ScopeFinished(path=path, status=status, **more)


CLEANED = ("a", WorkEnded(path="~finally", outcome=X), begun("~finally"), "~finally/f", done("~finally"))


def test_a_clean_up_is_over_for_the_outcome_that_it_was_made_for() -> None:
    progress = story(*CLEANED)
    assert progress.cleanup_over("~finally", X)
    assert not progress.cleanup_over("~finally", C)
    assert not story(*CLEANED[:-1]).cleanup_over("~finally", X)


def test_a_body_that_goes_on_makes_it_due_again() -> None:
    progress = story(*CLEANED, "b")
    assert progress.bodies == {}
    assert set(progress.records) == {"a", "b"}


def test_its_own_steps_are_no_part_of_the_body() -> None:
    assert story(*CLEANED, "~finally/g").bodies == {"~finally": X}


def test_a_crash_inside_keeps_what_had_finished() -> None:
    progress = story(*CLEANED[:-1], WorkEnded(path="~finally", outcome=X))
    assert progress.finished("~finally/f")
    assert not story(*CLEANED[:-1], WorkEnded(path="~finally", outcome=C)).finished("~finally/f")


def test_the_body_of_a_loop_over_recipes_and_that_of_the_recipe_are_two() -> None:
    inner, outer = "l[0]/~finally", "l/~finally[0]"
    both = ("l[0]/a", WorkEnded(path=inner, outcome=C), begun(inner), done(inner), WorkEnded(path=outer, outcome=X))
    assert story(*both).bodies == {inner: C, outer: X}
    assert story(*both, f"{inner}/g").bodies == {inner: C}  # part of what the loop's body did
    assert story(*both, f"{outer}/g").bodies == {inner: C, outer: X}
    assert story(*both, "l[0]/b").bodies == {}
    assert story(*both, "l[1]/b").bodies == {inner: C, outer: X}


def test_a_new_attempt_of_a_sub_recipe_forgets_its_clean_up_but_not_that_of_the_loop_around() -> None:
    ended = (WorkEnded(path="l[0]/~finally", outcome=F), WorkEnded(path="l/~finally[1]", outcome=C))
    progress = story("l[0]/a", *ended, AttemptFailed(path="l[0]", failure=OOPS, delay=0))
    assert progress.bodies == {"l/~finally[1]": C}


def replayed(text: str, progress: Progress, **context: Any) -> tuple[Outcome, Frame]:
    frame = root_frame(recipe(text), context, FACTS)
    return Replay(progress, lambda _ask: None).scope(Enter("", "session", lambda: walk_recipe(frame, ""))), frame


FLAT = "steps: [{id: a, type: bash, command: A, output: a}]\nfinally: [{id: f, type: bash, command: F, output: a}]"


def test_replay_gives_what_the_body_gave() -> None:
    root = begun("", "session")
    outcome, frame = replayed(FLAT, story(root, *CLEANED, done("")))
    assert (outcome.status, outcome.value, frame.variables["a"]) == (C, "a", "a")


def test_replay_of_a_finished_body_with_a_failed_clean_up() -> None:
    loop = "steps:\n- {id: l, foreach: '{{items}}', type: bash, command: A, collect: all, on_error: %s, finally: [%s]}"
    text = loop % ("continue", "{id: f, type: bash, command: F}")
    late = WorkEnded(path="l/~finally[0]", outcome=C), begun("l/~finally[0]"), done("l/~finally[0]", F, failure=OOPS)
    scopes = (begun("", "session"), begun("l", "foreach"))
    ended = (done("l"), done(""))
    outcome, frame = replayed(text, story(*scopes, "l[0]", *late, "l[1]", *ended), items=[1, 2])
    assert outcome.status is C
    assert frame.variables["all"] == [None, "l[1]"]


@pytest.mark.parametrize(
    ("path", "places"),
    [
        ("", ["~finally"]),
        (
            "a/b[3]/c",
            ["a/b[3]/c/~finally", "a/b/~finally[3]", "a/b[3]/~finally", "a/b/~finally", "a/~finally", "~finally"],
        ),
        (
            "a/~finally[2]/c",
            ["a/~finally[2]/c/~finally", "a/~finally/~finally[2]", "a/~finally[2]/~finally", "a/~finally", "~finally"],
        ),
        ("a/~finally/c", ["a/~finally/c/~finally", "a/~finally/~finally", "~finally"]),
    ],
)
def test_the_bodies_that_a_path_belongs_to(path: str, places: list[str]) -> None:
    assert list(paths.cleanups_behind(path)) == places
    assert all(paths.is_valid(place) for place in places)


@pytest.mark.parametrize(
    ("outer", "inner", "reached"),
    [("", "a/b", True), ("a", "a/~finally/x", False), ("a/~finally", "a/~finally/x", True), ("a", "b", False)],
)
def test_a_request_does_not_reach_into_a_clean_up(outer: str, inner: str, reached: bool) -> None:
    assert paths.reaches(outer, inner) is reached
