"""What everything in one run shares."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from attrs import Factory, field

from trio_recipes.classes import define
from trio_recipes.events import ScopeStatus
from trio_recipes.progress.asks import Enter, Guarded, Pass
from trio_recipes.progress.fold import LEAVES
from trio_recipes.progress.outcome import GOES_ON
from trio_recipes.progress.path import cleanups_behind, in_cleanup
from trio_recipes.progress.repeated import comes_again
from trio_recipes.progress.subject import mismatch
from trio_recipes.progress.verdicts import rerun_on_resume
from trio_recipes.runtime.budget import Budget
from trio_recipes.runtime.collector import Collector
from trio_recipes.runtime.gates import Gatekeeper
from trio_recipes.runtime.limits import Pacer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_recipes.progress.asks import Child
    from trio_recipes.progress.fold import Progress
    from trio_recipes.progress.frame import Frame, Pace
    from trio_recipes.progress.record import Record
    from trio_recipes.progress.replay import Replay
    from trio_recipes.runtime.ports import LeafRunner, Log, RecipeSource
    from trio_recipes.runtime.scope import Scope, ScopeTree


@define(eq=False)
class RunContext:
    """The surroundings of one run.

    Args:
        session_id: the session.
        project: the project's folder.
        tree: its scopes.
        log: where events go.
        progress: what earlier runs have finished.
        replay: answers for that.
        recipes: where sub-recipes come from.
        leaves: who performs which kind of leaf.
        gates: asks people.
        finishing: whether only ``finally`` steps run: the session was cancelled or denied while nobody ran it.
        cleans_up: whether a ``finally`` may come to be due.
        unproven: the ``finally`` of each body in hand of which no step is known, durably, to have begun.
        pacer: paces all agent steps, if the root recipe asks for that.
        budget: counts what they cost.
        collector: spares thousands of tasks the search for garbage.
        reran: whether a finished step has been run again in this run.
        comes_again: what this run, being a resume, runs again although it has finished, or enters for that.
        reruns: whether a step has begun that each resume runs again: what follows may be about something else then.
    """

    session_id: str
    project: str
    tree: ScopeTree
    log: Log
    progress: Progress
    replay: Replay
    recipes: RecipeSource
    leaves: Mapping[str, LeafRunner]
    gates: Gatekeeper = Factory(lambda self: Gatekeeper(self.progress, self.log), takes_self=True)
    finishing: bool = False
    cleans_up: bool = True
    unproven: set[str] = Factory(set)
    pacer: Pacer | None = None
    budget: Budget = Factory(Budget)
    collector: Collector = Factory(Collector)
    reran: bool = False
    comes_again: frozenset[str] = Factory(lambda self: comes_again(self.progress), takes_self=True)
    reruns: bool = Factory(lambda self: _has_reruns(self.progress), takes_self=True)
    _begun: set[str] | None = field(default=None, init=False)
    _pacers: WeakKeyDictionary[Pace, Pacer] = field(factory=WeakKeyDictionary, init=False)

    def pacer_of(self, frame: Frame) -> Pacer | None:
        """What paces the agent steps of a recipe on the stack: the root's rules, or else those of a called one."""
        if self.pacer is not None or frame.pace is None:
            return self.pacer
        return self._pacers.get(frame.pace) or self._pacers.setdefault(frame.pace, Pacer.of(frame.pace.rules))

    def starts_nothing(self, parent: Scope, path: str) -> bool:
        """The checkpoint of graceful cancellation, before ``path`` begins below ``parent``; of a run that finishes."""
        return parent.draining or (self.finishing and not in_cleanup(path))

    def repeats(self, ask: Child, record: Record, parent: Scope) -> bool:
        """Whether a scope that has finished is entered all the same (recipe-language.md section 12, ``on_resume``).

        Because it runs again, because something inside does, or because something before it has: what is finished in
        there is reused, but with other values a loop may have more to do, or be about something else.
        """
        if self.starts_nothing(parent, ask.path) or self.progress.work_is_done:
            return False
        if not isinstance(ask, Guarded) and rerun_on_resume(ask):
            return True
        if isinstance(ask, Pass) and (mismatch(record, ask) or (self.reran and _was_skipped(record, ask))):
            return True
        if isinstance(ask, (Enter, Guarded)) and self.reran and record.status in GOES_ON:
            return True  # of a loop that was skipped, the record is like its step's
        return self.enters(record)

    def enters(self, record: Record) -> bool:
        """Whether this run comes to what has finished: it runs again, or something in there or before it does."""
        is_walked = self.reran and record.kind not in LEAVES and record.status in GOES_ON
        return is_walked or record.path in self.comes_again

    def run_again(self, path: str) -> None:
        """A step with ``on_resume: rerun`` begins once more; if it had finished, what stood below it is void."""
        if self.progress.finished(path):
            self.progress.void_below(path)
        self.reran = self.progress.reran = True

    def begin_anew(self, ask: Pass) -> None:
        """A step begins for something else than what is recorded there, and below it: that counts no more."""
        del self.progress.records[ask.path]
        if ask.inner is not None:
            self.progress.void_below(ask.path)
        self.reran = self.progress.reran = True

    async def prove(self, leaf: str, seq: int) -> None:
        """Make it durable that ``leaf`` began, if it is the first of a body: a crash then leaves a ``finally`` due."""
        if self.unproven:
            places = self.unproven.intersection(cleanups_behind(leaf))
            if places:
                await self.log.durable(seq)
                self.unproven -= places

    def had_begun(self, path: str) -> bool:
        """Whether an earlier run began steps of ``path``: it is entered then, since a ``finally`` may be due."""
        if not self.cleans_up or path not in self.progress.records:
            return False
        if self._begun is None:
            self._begun = self.progress.begun()
        return path in self._begun


def _was_skipped(record: Record, ask: Pass) -> bool:
    """Whether its condition had it skipped, and does no more: nothing was done yet, so there is nothing to reuse."""
    return record.status is ScopeStatus.SKIPPED and ask.step.on_interrupt != "skip"


def _has_reruns(progress: Progress) -> bool:
    return any(record.reruns or record.item for record in progress.records.values())
