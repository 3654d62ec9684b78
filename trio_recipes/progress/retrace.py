"""Which records of a session a resume keeps: a walk of the recipe as it is now, over records as they were made.

The walk asks for one scope after the other, as a run would. As long as the records answer in the same order, for steps
of the same definition that refer to nothing that has changed, they are kept. At the first one that does not, that part
of the walk ends; what it has not come to by then follows from what has changed. So "the first step whose definition
differs, everything after it in its scope, and everything after each ancestor" is nowhere spelled out: in a sequence
that is what a walk does not reach, and in a graph the steps that depend on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from attrs import field

from trio_recipes.classes import define, frozen
from trio_recipes.events import RecordsVoided, ScopeStatus
from trio_recipes.language.model import Recipe
from trio_recipes.progress import path as paths
from trio_recipes.progress.asks import Answer, Ask, Decided, Enter, Fan, Gate, Guarded, NeedRecipe, Pass
from trio_recipes.progress.differences import NONE, Differences, differences
from trio_recipes.progress.gates import outcome_at
from trio_recipes.progress.guard import together
from trio_recipes.progress.outcome import CANCELLED, GOES_ON, PAUSED, SKIPPED, Outcome, completed
from trio_recipes.progress.repeated import comes_again
from trio_recipes.progress.replay import RecipeLookup, Replay, as_recorded
from trio_recipes.progress.subject import mismatch
from trio_recipes.progress.verdicts import INSIDE, ON_RESUME, Fate, Verdict, again, rerun_on_resume, unfinished
from trio_recipes.progress.walk import walk_recipe

if TYPE_CHECKING:
    from trio_recipes.progress.fold import Progress
    from trio_recipes.progress.frame import Frame
    from trio_recipes.progress.record import Record
    from trio_recipes.values import Variables


@define(eq=False)
class Trail:
    """What a retrace has found.

    Args:
        below: the scopes directly below each path, in the order in which they began; no ``finally`` among them.
        repeated: what a resume runs again or enters for that, although it has finished (``on_resume: rerun``).
        verdicts: on the scopes that it came to, by path.
        kept: the paths of records that stay.
        reopened: finished composites with something below them that runs again.
        gates: what becomes of the gates that it came to, by path; those with ``REUSED`` stay.
        called: the recipe of each call that it came to, as it is now and as it was.
        stops: where it met something that is not as it was.
    """

    below: dict[str, list[str]]
    repeated: frozenset[str] = frozenset()
    verdicts: dict[str, Verdict] = field(factory=dict)
    kept: set[str] = field(factory=set)
    reopened: list[str] = field(factory=list)
    gates: dict[str, Verdict] = field(factory=dict)
    called: dict[str, tuple[Recipe, Recipe | None]] = field(factory=dict)
    stops: list[str] = field(factory=list)
    # Where the walk is just now.
    given: Iterable[str] = ()
    differences: Differences = NONE
    settled: bool = False
    loose: list[Pass | Enter | Decided] = field(factory=list)
    unordered: set[str] = field(factory=set)
    reached: dict[str, int] = field(factory=dict)

    def voiding(self, progress: Progress) -> RecordsVoided:
        """The event that makes void what does not stay."""
        gone = {path for path in progress.records if path not in self.kept}
        tops = [path for path in progress.records if path in gone and gone.isdisjoint(paths.around(path))]
        gates = [path for path in progress.gates if not self._stays(path) and path not in gone]
        return RecordsVoided(voided=tuple(tops), reopened=tuple(self.reopened), gates=tuple(gates))

    def _stays(self, gate: str) -> bool:
        """A gate is a stage's, or asks whether an interrupted step may run again."""
        found = self.gates.get(gate)
        asked_here = self.verdicts.get(gate, again("")).fate is Fate.AGAIN and gate in self.kept
        return asked_here or (found is not None and found.fate is Fate.REUSED)


def retrace(
    progress: Progress, frame: Frame, before: tuple[Recipe, Variables], recipes: Recipes, since: str | None = None
) -> Trail:
    """Find out which records stay.

    Args:
        progress: what is known of the session.
        frame: of the recipe as it is now, with the variables as they are now.
        before: the recipe and the caller's variables as they were.
        recipes: finds sub-recipes as they are and as they were.
        since: this path and everything after it, in document order, does not stay.
    """
    trail = Trail(_below(progress.records), comes_again(progress))
    given = {name: frame.variables[name] for name in frame.given}
    trail.differences = differences(before[0], frame.recipe, before[1], given)
    trail.called[paths.ROOT] = (frame.recipe, before[0])
    tracer = Retrace(progress, recipes.now, recipes.before, since, trail)
    tracer.scope(Enter(paths.ROOT, "session", partial(walk_recipe, frame, paths.ROOT)))
    return trail


@frozen
class Recipes:
    """Finds the sub-recipe that a call names.

    Args:
        now: as it is.
        before: as it was when the records were made.
    """

    now: RecipeLookup
    before: RecipeLookup


def _below(records: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in records:
        if path and not path.rpartition("/")[2].startswith(paths.FINALLY):
            found.setdefault(paths.outer(path), []).append(path)
    return found


@frozen(eq=False)
class Retrace(Replay):
    """A replay that looks twice.

    Composites that had finished are walked with the outcomes of their steps as they are recorded, failures included:
    what happened in there is final. Everywhere else the walk ends at a step that had not finished.

    Args:
        before: finds a sub-recipe as it was.
        since: where the caller wants to begin again, or None.
        trail: receives what is found.
    """

    before: Callable[[NeedRecipe], Recipe | None]
    since: str | None
    trail: Trail

    def scope(self, ask: Pass | Enter | Decided) -> Outcome:
        """What a run would find at this scope; CANCELLED where it would have to work."""
        record = self.progress.records.get(ask.path)
        if record is None:
            return CANCELLED
        objection = self._objection(ask, record)
        if objection:
            return self._stop(ask, objection)
        self.trail.kept.add(ask.path)
        if isinstance(ask, Decided) or ask.inner is None:
            return self._at_leaf(ask, record)
        return self._at_composite(ask, record)

    # --- objections ----------------------------------------------------------------------------------------------

    def _objection(self, ask: Pass | Enter | Decided, record: Record) -> str:
        found = self.trail.differences
        if ask.path == self.since:
            return "asked for"
        if ask.step is None:
            is_changed_stage = ask.kind == "stage" and ask.path.rpartition("/")[2] in found.stages
            changed = is_changed_stage or (found.all_steps and ask.path != paths.ROOT)
            return "schedule changed" if changed else ""
        if found.all_steps:
            return "schedule changed"
        if record.digest != ask.step.digest:
            return "changed"
        names = found.concerning(ask.step)
        if names:
            return f"variable changed: {', '.join(names)}"
        return mismatch(record, ask) if isinstance(ask, Pass) else ""

    def _stop(self, ask: Pass | Enter | Decided, why: str) -> Outcome:
        self.trail.stops.append(ask.path)
        self.trail.verdicts[ask.path] = again(why)
        record = self.progress.records[ask.path]
        if isinstance(ask, Pass) and ask.step.on_interrupt != "rerun" and not record.final:
            self.trail.kept.add(ask.path)  # what it began may have had effects: whatever it does now, its author asks
        return CANCELLED

    def _follows(self, path: str) -> bool:
        """Whether the records have something else at this place of a sequence: a step that is gone, or moved."""
        parent = paths.outer(path)
        if parent in self.trail.unordered or path not in self.progress.records:
            return False
        siblings, place = self.trail.below[parent], self.trail.reached.get(parent, 0)
        self.trail.reached[parent] = place + 1
        if siblings[place] != path:
            return True
        return place > 0 and self._lost_gate(siblings[place - 1])

    def _lost_gate(self, stage: str) -> bool:
        record = self.progress.records[stage]
        return record.kind == "stage" and stage in self.progress.gates and stage not in self.trail.gates

    # --- scopes --------------------------------------------------------------------------------------------------

    def _at_leaf(self, ask: Pass | Enter | Decided, record: Record) -> Outcome:
        assert ask.step is not None
        if record.final or self.trail.settled:
            self.trail.verdicts[ask.path] = self._reused(ask)
            return self._leaf(ask.step, record)
        self.trail.verdicts[ask.path] = verdict = unfinished(ask.step, record)
        if verdict.fate is Fate.DECIDED and ask.step.on_interrupt == "skip":
            return SKIPPED
        return completed() if rerun_on_resume(ask) else CANCELLED  # what follows such a step is reused all the same

    def _reused(self, ask: Pass | Enter | Decided) -> Verdict:
        """Inside of what had finished, nothing runs; it would if something else there has to."""
        final = self.progress.finished(ask.path) is not None
        if self.trail.settled and (not final or rerun_on_resume(ask)):
            self.trail.loose.append(ask)
        rerun = rerun_on_resume(ask) and not self.trail.settled and not self.progress.work_is_done
        return ON_RESUME if rerun else Verdict(Fate.REUSED)

    def _at_composite(self, ask: Pass | Enter | Decided, record: Record) -> Outcome:
        trail = self.trail
        stops, loose = len(trail.stops), len(trail.loose)
        outcome = self._inside(ask, record)
        if record.status in GOES_ON and not outcome.goes_on and len(trail.stops) == stops:
            trail.stops.append(ask.path)  # a step is new in there, and nothing else
        if len(trail.stops) > stops:
            return self._reopen(ask, record, loose)
        if record.final:
            del trail.loose[loose:]  # they stay as they ended, whatever changes around
            trail.verdicts[ask.path] = INSIDE if self._is_entered(ask) else self._reused(ask)
            return as_recorded(record, outcome, ask.step)
        return self._at_unfinished(ask, record, outcome)

    def _inside(self, ask: Pass | Enter | Decided, record: Record) -> Outcome:
        assert not isinstance(ask, Decided)
        assert ask.inner
        trail = self.trail
        around = trail.settled, trail.differences
        trail.settled = trail.settled or (record.final and not self._is_entered(ask))
        trail.given = getattr(ask.step, "context", ())
        outcome = self._walk(ask.inner()) if self._was_walked(record) else CANCELLED
        if (trail.settled or record.final) and not self._is_complete(ask.path):
            trail.stops.append(ask.path)
        trail.settled, trail.differences = around
        return outcome

    def _is_entered(self, ask: Pass | Enter | Decided) -> bool:
        """Whether a finished composite is entered for something inside that runs again."""
        return ask.path in self.trail.repeated and not rerun_on_resume(ask)

    def _is_complete(self, path: str) -> bool:
        """Whether the walk came to every record directly below: what it did not come to is of a step that is gone."""
        below = self.trail.below.get(path, ())
        return all(child in self.trail.verdicts for child in below) and not any(map(self._lost_gate, below[-1:]))

    def _reopen(self, ask: Pass | Enter | Decided, record: Record, loose: int) -> Outcome:
        trail = self.trail
        if record.final:
            trail.reopened.append(ask.path)
        if record.final and not trail.settled:
            trail.verdicts.update({one.path: self._rerun(one) for one in trail.loose[loose:]})
            del trail.loose[loose:]
        trail.verdicts[ask.path] = Verdict(Fate.CONTINUES, "changed inside")
        return CANCELLED

    def _rerun(self, ask: Pass | Enter | Decided) -> Verdict:
        record = self.progress.records[ask.path]
        if not (isinstance(ask, Decided) or ask.inner is None or record.final):
            return Verdict(Fate.CONTINUES, str(record.status))
        return ON_RESUME if record.final else again(str(record.status))

    def _at_unfinished(self, ask: Pass | Enter | Decided, record: Record, outcome: Outcome) -> Outcome:
        why = str(ScopeStatus.INTERRUPTED if record.status is ScopeStatus.RUNNING else record.status)
        self.trail.verdicts[ask.path] = Verdict(Fate.CONTINUES, why)
        if self.trail.settled:
            self.trail.loose.append(ask)
            return as_recorded(record, outcome, ask.step)
        if rerun_on_resume(ask):
            return completed()
        return outcome if outcome.goes_on else CANCELLED

    # --- what is no scope ----------------------------------------------------------------------------------------

    def _answer(self, ask: Ask) -> Answer:
        if isinstance(ask, (Pass, Enter, Decided)) and self._follows(ask.path):
            return self._stop(ask, "follows a change")
        if isinstance(ask, Gate):
            return self._at_gate(ask)
        if isinstance(ask, NeedRecipe):
            return self._call(ask)
        return Replay._answer(self, ask)

    def _at_gate(self, ask: Gate) -> Outcome:
        gate, gates = self.progress.gates.get(ask.path), self.trail.gates
        if gate is None:
            return PAUSED
        if gate.asked.prompt != ask.prompt or (gate.decided is not None and not gate.decided.approved):
            gates[ask.path] = again("asks again")
            self.trail.stops.append(ask.path)
            return CANCELLED
        gates[ask.path] = Verdict(Fate.REUSED, "" if gate.decided else "waits for approval")
        return outcome_at(self.progress, ask)

    def _call(self, ask: NeedRecipe) -> Recipe | Outcome:
        """The sub-recipe as it is now; from here on, what is different in it counts, and nothing of its caller's."""
        now, before, trail = self.recipe_for(ask), self.before(ask), self.trail
        if now is not None:
            trail.called[ask.path] = (now, before)
        if now is None or before is None:
            trail.stops.append(ask.path)
            return CANCELLED
        given: Variables = dict.fromkeys(trail.given)
        trail.differences = differences(before, now, given, given)
        return now

    def _guarded(self, ask: Guarded) -> Outcome:
        stops = len(self.trail.stops)
        outcome = self._walk(ask.body())
        goes_on = any(paths.reaches(ask.path, path) for path in self.trail.repeated) and not self.trail.settled
        if len(self.trail.stops) > stops or goes_on or not (outcome.goes_on or self.trail.settled):
            return outcome  # the body goes on: whatever was cleaned up behind it counts no more
        record = self.progress.records.get(ask.place)
        if record is None:
            return CANCELLED if self.trail.settled and outcome.goes_on else outcome
        status = self.progress.bodies.get(ask.place, outcome.status)
        cleanup = self.scope(Enter(ask.place, "finally", partial(ask.cleanup, status)))
        return cleanup if len(self.trail.stops) > stops else together(ask, outcome, cleanup)

    def _fan(self, fan: Fan) -> list[Outcome | None]:
        self.trail.unordered.add(fan.path)
        outcomes: list[Outcome | None] = [None] * fan.count
        last = self._last(fan)
        ready = deque(fan.first)
        while ready:
            index = ready.popleft()
            if index <= last and fan.path_of(index) in self.progress.records:
                outcome = outcomes[index] = self.answer(fan.make(index))
                fan.ended(index, outcome)
                ready.extend(fan.released(index))
        return outcomes

    def _last(self, fan: Fan) -> int:
        """The last child that the caller's wish leaves: the one around ``since``, if it stands below this block."""
        if self.since is None or not paths.contains(fan.path, self.since):
            return fan.count
        around: Sequence[int] = [i for i in range(fan.count) if paths.contains(fan.path_of(i), self.since)]
        return around[0] if around else fan.count
