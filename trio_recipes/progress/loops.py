"""What ``foreach`` and ``while`` mean (recipe-language.md section 7), as generators.

Each iteration is: bind the loop variables, one pass of the body, ``output``, ``update_context``, ``break_when``. What
an iteration binds for its body only is put back afterwards, whatever it shadowed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from attrs import evolve, field

from trio_recipes.classes import define, frozen
from trio_recipes.errors import ExpressionError, TemplateError
from trio_recipes.events import ScopeStatus
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.language.model import Foreach, While
from trio_recipes.progress import path as paths
from trio_recipes.progress.asks import Answer, Ask, Decided, Fan, Guarded, Next, Pass, Walk, Warn, answered
from trio_recipes.progress.outcome import CANCELLED, PAUSED, SKIPPED, Outcome, failed, gravest

if TYPE_CHECKING:
    from trio_recipes.language.model import Step
    from trio_recipes.progress.frame import Frame
    from trio_recipes.values import Value

MakePass: TypeAlias = "Callable[[Step, Frame, str], Pass | Decided | Guarded]"

_MISSING = object()


def walk_loop(step: Step, loop: Foreach | While, frame: Frame, path: str, make: MakePass) -> Walk:
    """All iterations of a loop, which binds ``collect`` and ``output`` itself.

    Its value is the list of results; or the last of them, where it has ``output`` and no ``collect``.
    """
    work = _Loop(step, loop, frame, path, make)
    if isinstance(loop, While):
        return (yield from _walk_while(work, loop))
    try:
        items = loop.items.value(frame.variables)
    except TemplateError as error:
        return work.failure(f"foreach: {error}")
    problem = _not_loopable(items, loop)
    if problem:
        return work.failure(problem)
    assert isinstance(items, list)
    if not items:
        return work.empty()
    return (yield from (_walk_items if loop.parallel == 1 else _walk_parallel)(work, loop, items))


def _not_loopable(items: Value, loop: Foreach) -> str:
    source = loop.items.source
    if not isinstance(items, list):
        hint = "; the step that makes it may need parse_json: true" if isinstance(items, str) else ""
        return f"foreach: {source} is a {type(items).__name__}, not a list{hint}"
    if len(items) > loop.max_iterations:
        return f"foreach: {source} has {len(items)} items, more than max_iterations: {loop.max_iterations}"
    return ""


@define(eq=False)
class _Loop:
    """One loop at work."""

    step: Step
    loop: Foreach | While
    frame: Frame
    path: str
    make: MakePass
    results: list[Value] = field(factory=list)

    def failure(self, message: str) -> Outcome:
        text = f"step '{self.step.id}': {message}"
        return failed(Failure(FailureKind.TEMPLATE, text, self.path, retryable=False))

    def pass_at(self, index: int, frame: Frame) -> Pass | Decided | Guarded:
        return self.make(self.step, frame, paths.iteration(self.path, index))

    def empty(self) -> Outcome:
        if self.loop.collect:
            self.frame.variables[self.loop.collect] = []
        return SKIPPED

    def done(self, *, ends_block: bool = False) -> Outcome:
        if self.loop.collect:
            self.frame.variables[self.loop.collect] = self.results
        if self.step.output and self.results:
            self.frame.variables[self.step.output] = self.results[-1]
        only_last = self.step.output and self.results and not self.loop.collect
        value = self.results[-1] if only_last else self.results
        return Outcome(ScopeStatus.COMPLETED, value=value, ends_block=ends_block)

    def after(self, outcome: Outcome, frame: Frame) -> _After:
        """``output``, ``update_context``, ``break_when``, on the variables that the iteration saw."""
        frame.bind_result(self.step, outcome)
        try:
            for name, template in self.loop.update_context.items():
                frame.variables[name] = template.render(frame.variables)
        except TemplateError as error:
            return _After(failure=self.failure(f"update_context: {error}"))
        return self._break(frame)

    def _break(self, frame: Frame) -> _After:
        if self.loop.break_when is None:
            return _After()
        try:
            return _After(stop=self.loop.break_when.test(frame.variables))
        except (ExpressionError, TemplateError) as error:
            return _After(warning=f"step '{self.step.id}': break_when ignored: {error}")


@frozen
class _After:
    """What is to be done after an iteration."""

    stop: bool = False
    failure: Outcome | None = None
    warning: str = ""


@contextmanager
def _bound(frame: Frame, bindings: Mapping[str, Value]) -> Generator[None]:
    before = {name: frame.variables.get(name, _MISSING) for name in bindings}
    frame.variables.update(bindings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is _MISSING:
                frame.variables.pop(name, None)
            else:
                frame.variables[name] = value  # type: ignore[assignment]


def _counters(index: int) -> dict[str, Value]:
    return {"_loop_index": index, "_loop_iteration": index + 1}


# --- one at a time -----------------------------------------------------------------------------------------------


def _walk_while(work: _Loop, loop: While) -> Walk:
    for index in range(loop.max_iterations):
        try:
            if not loop.condition.test(work.frame.variables):
                break
        except (ExpressionError, TemplateError) as error:
            return work.failure(f"while_condition: {error}")
        end = yield from _iterate(work, index, _counters(index))
        if end is not None:
            return end
    return work.done()


def _walk_items(work: _Loop, loop: Foreach, items: list[Value]) -> Walk:
    for index, item in enumerate(items):
        end = yield from _iterate(work, index, {loop.variable: item, **_counters(index)})
        if end is not None:
            return end
    return work.done()


def _iterate(work: _Loop, index: int, bindings: Mapping[str, Value]) -> Generator[Ask, Answer, Outcome | None]:
    """One iteration; an outcome if the loop is over with it, else None."""
    with _bound(work.frame, bindings):
        outcome = answered((yield work.pass_at(index, work.frame)))
        if not outcome.goes_on:
            return outcome
        if outcome.ends_block:
            return Outcome(ScopeStatus.COMPLETED, value=work.results, ends_block=True)
        work.results.append(outcome.value)
        after = work.after(outcome, work.frame)
        if after.warning:
            yield Warn(work.path, after.warning)
        if after.failure:
            return after.failure
    return work.done() if after.stop else None


# --- at once -----------------------------------------------------------------------------------------------------


def _walk_parallel(work: _Loop, loop: Foreach, items: list[Value]) -> Walk:
    fan = _Parallel(work, loop, items)
    indices = range(len(items))
    path_of = partial(paths.iteration, work.path)
    answer = yield Fan(work.path, len(items), path_of, fan.make, fan.ended, indices, limit=loop.parallel)
    for warning in fan.warnings:
        yield Warn(work.path, warning)
    assert isinstance(answer, list)
    return fan.result(answer)


@define(eq=False)
class _Parallel:
    """The iterations of a parallel loop: each on its own copy of the variables, their results in input order."""

    work: _Loop
    loop: Foreach
    items: list[Value]
    frames: dict[int, Frame] = field(factory=dict)
    upto: int | None = None
    failure: Outcome | None = None
    warnings: list[str] = field(factory=list)

    def make(self, index: int) -> Pass | Decided | Guarded:
        frame = self.work.frame.copy({self.loop.variable: self.items[index], **_counters(index)})
        self.frames[index] = frame
        return self.work.pass_at(index, frame)

    def ended(self, index: int, outcome: Outcome) -> Next:
        """Decide what follows; called in the order of ending, so it must not depend on that order."""
        frame = self.frames.pop(index)
        if outcome.status is ScopeStatus.WAITING:
            return Next.GO_ON  # a person is asked in this one; the others go on meanwhile
        if not outcome.goes_on:
            return Next.STOP_OTHERS if outcome.failure else Next.START_NO_MORE
        if outcome.ends_block:
            return Next.START_NO_MORE
        return self._apply(index, self.work.after(outcome, frame))

    def _apply(self, index: int, after: _After) -> Next:
        if after.warning and after.warning not in self.warnings:
            self.warnings.append(after.warning)
        if after.failure:
            self.failure = after.failure
            return Next.STOP_OTHERS
        if not after.stop:
            return Next.GO_ON
        self.upto = min(index + 1, self.upto or len(self.items))
        return Next.START_NO_MORE

    def result(self, outcomes: list[Outcome | None]) -> Outcome:
        failures = [o.failure for o in outcomes if o and o.failure and not o.handled]
        if self.failure and not any(failure.kind is FailureKind.DENIED for failure in failures):
            return self.failure
        if failures:
            return failed(self._summary(failures))
        counted = outcomes[: self.upto]
        stopped = [o for o in counted if o is not None and not o.goes_on]
        if stopped:  # nothing outvotes a cancellation, not even a person who is being asked
            return PAUSED if all(o.status is ScopeStatus.WAITING for o in stopped) else CANCELLED
        if any(o is not None and o.ends_block for o in outcomes):
            return Outcome(ScopeStatus.COMPLETED, ends_block=True)
        if None in counted:
            return CANCELLED
        self.work.results = [o.value for o in counted if o]
        return self.work.done()

    def _summary(self, failures: list[Failure]) -> Failure:
        first = gravest(failures)
        text = f"step '{self.work.step.id}': {len(failures)} of {len(self.items)} iterations failed: {first.message}"
        return evolve(first, message=text)
