"""One session that is killed again and again, and what must hold of it between two runs and at its end."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

from tests.campaign import everything
from tests.campaign.lab import DEATH_SECONDS, Lab, eventually
from trio_recipes.statuses import ApprovalStatus, SessionStatus
from trio_recipes.store.base import open_store
from trio_recipes.store.sqlite import SqliteStore
from trio_recipes.testing import (
    Crash,
    CrashLab,
    Forks,
    Moment,
    Never,
    assert_no_survivors,
    kill_after,
    kill_at,
    kill_at_byte,
    kill_in_commit,
)

KINDS: Final = ("scope_started", "scope_finished", "output", "attempt_started", "run_started", "waiting", "work_ended")


@frozen
class Expected:
    """What a run gives that nobody disturbed, and how much of a run there is to die in.

    Args:
        context: at its end.
        seconds: that the longer of its two runs took.
        commits: about how many transactions it made.
        size: bytes of its files.
    """

    context: dict[str, Any]
    seconds: float
    commits: int
    size: int


def place_in(lab: Lab, forks: Forks | None) -> CrashLab:
    """The lab as a place for runners."""
    return CrashLab(lab.store, lab.root, lab.root / "agents.yaml", dict([everything.SECRET]), forks)


def undisturbed(lab: Lab, forks: Forks | None) -> Expected:
    """Run the recipe to its end, through its gate."""
    recipe, place, began = everything.write(lab), place_in(lab, forks), time.monotonic()
    session_id = place.run(recipe, Never()).session_id
    approve(lab, session_id)
    half = time.monotonic()
    crash = place.resume(session_id, Never())
    assert lab.status(session_id) == "completed", crash.output
    assert set(lab.executions()) == everything.NAMES
    seconds = max(half - began, time.monotonic() - half)
    size = (lab.store / "sessions" / session_id / "session.db").stat().st_size
    return Expected(lab.context(session_id), seconds, len(lab.finished(session_id)), size)


def approve(lab: Lab, session_id: str) -> None:
    """Let the session go on from its gate; once is enough."""
    if lab.manager.get_pending_approval(session_id, lab.root):
        lab.manager.set_stage_approval_status(session_id, lab.root, everything.GATE, ApprovalStatus.APPROVED)


def draw(chance: random.Random, expected: Expected, size: int) -> Moment:
    """A moment to die at.

    Args:
        chance: decides.
        expected: of the recipe.
        size: bytes of the session's largest file so far.
    """
    kind = chance.choice(("event", "event", "seconds", "seconds", "commit", "byte"))
    if kind == "event":
        return kill_at(chance.choice(KINDS), chance.randint(1, 9))
    if kind == "seconds":
        return kill_after(chance.uniform(0.0, expected.seconds))
    if kind == "commit":
        return kill_in_commit(chance.randint(1, expected.commits))
    return kill_at_byte(size + chance.randint(1, 4 * expected.size))


@define(eq=False)
class Trial:
    """One session, killed until chance or its number of kills lets it end.

    Args:
        lab: its place.
        place: the same, for runners.
        expected: what it has to come to.
        chance: of this trial alone, so that it can be had again.
        kills: how often it is killed at most.

    Attributes:
        killed: the moments at which it was.
        story: what was done, and what became of it.
        repeated: steps that were in flight when their runner died, and ran again.
    """

    lab: Lab
    place: CrashLab
    expected: Expected
    chance: random.Random
    kills: int
    killed: list[Moment] = field(factory=list, init=False)
    story: list[str] = field(factory=list, init=False)
    repeated: int = field(default=0, init=False)
    session_id: str = field(default="", init=False)
    _finished: set[str] = field(factory=set, init=False)

    def run(self, recipe: Path) -> None:
        """From the first start to the session's end, with all checks.

        Raises:
            AssertionError: if anything is lost, repeated, or left behind.
        """
        while not self.session_id:
            moment = self._moment()
            self._note(moment, self.place.run(recipe, moment))
            self._find()
        while self._stands() is not SessionStatus.COMPLETED:
            moment, before = self._moment(), len(self.lab.ledger())
            self._note(moment, self.place.resume(self.session_id, moment))
            self._check_repeats(before)
        self._check_end()

    def _moment(self) -> Moment:
        if len(self.killed) >= self.kills:
            return Never()
        files = [*(self.lab.store / "sessions").glob("*/session.db*")] if self.session_id else []
        return draw(self.chance, self.expected, max((file.stat().st_size for file in files), default=0))

    def _note(self, moment: Moment, crash: Crash) -> None:
        self.story.append(f"{moment}: {'killed' if crash.was_killed else 'ended'} {crash.output.strip()}")
        if crash.was_killed:
            self.killed.append(moment)
        else:
            assert not crash.output, crash.output

    @property
    def _store(self) -> SqliteStore:
        return open_store(str(self.lab.store))

    def _find(self) -> None:
        """The session, if its runner came so far as to make it. One that did not has left nothing to be seen."""
        found = [session_id for session_id, _ in self._store.standings()]
        assert len(found) <= 1, found
        self.session_id = found[0] if found else ""

    # --- between two runs ----------------------------------------------------------------------------------------

    def _stands(self) -> SessionStatus:
        """How it stands once nobody runs it any more; at a gate, it is let through."""
        assert_no_survivors(self.session_id, within=DEATH_SECONDS)
        standing = eventually(lambda: not (now := self._store.standing(self.session_id)).alive and now)
        self.story.append(str(standing.status))
        if standing.ended is None:
            assert standing.status is SessionStatus.INTERRUPTED, standing
        finished = self.lab.finished(self.session_id)
        assert self._finished <= finished, f"lost: {self._finished - finished}"
        self._finished = finished
        if standing.status is SessionStatus.PAUSED:
            approve(self.lab, self.session_id)
        else:
            assert standing.status in (SessionStatus.INTERRUPTED, SessionStatus.COMPLETED), standing
        return SessionStatus(standing.status)

    def _check_repeats(self, before: int) -> None:
        ledger = self.lab.ledger()
        again = {entry.key for entry in ledger[before:] if entry.name not in everything.RERUN}
        self.repeated += len(again & {entry.key for entry in ledger[:before]})
        assert not again & self._finished, f"finished, and run again: {again & self._finished}"

    # --- at the end ----------------------------------------------------------------------------------------------

    def _check_end(self) -> None:
        assert_no_survivors(self.session_id)
        context = self.lab.context(self.session_id)
        assert context == self.expected.context, context
        ledger = self.lab.ledger()
        ended = {entry.name for entry in ledger if entry.what == "end"}
        assert ended == everything.NAMES, ended ^ everything.NAMES
        begun = Counter(entry.name for entry in ledger if entry.what == "begin" and entry.name not in everything.RERUN)
        runs = len(self.killed) + 1
        often = {name: count for name, count in begun.items() if count > runs * (1 + (name == "flaky"))}
        assert not often, f"more often than it was killed: {often}"
