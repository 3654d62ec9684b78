"""The crash campaign: trials, one after the other (``python -m benchmarks.reliability crash --kills 500``).

Each trial runs the recipe with everything in it, kills its runner again and again at moments drawn by chance, resumes,
and compares with a run that nobody disturbed. One that fails tells its number and its story: the same seed and number
have it again, with the same moments, though what the machine does in between is not always the same.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Final

from attrs import define, field

from tests.campaign import everything
from tests.campaign.lab import Lab
from tests.campaign.trial import Expected, Trial, place_in, undisturbed
from trio_recipes.testing import Forks

KILLS_A_SESSION: Final = 6


@define(eq=False)
class Campaign:
    """Trials, one after the other, until there have been enough kills.

    Args:
        folder: where the labs are made; those of failed trials are left there.
        forks: for the runners.
        seed: decides everything that chance decides.
    """

    folder: Path
    forks: Forks
    seed: int
    trials: int = field(default=0, init=False)
    kills: Counter[str] = field(factory=Counter, init=False)
    repeated: int = field(default=0, init=False)
    begun: int = field(default=0, init=False)
    failures: list[str] = field(factory=list, init=False)
    _expected: Expected | None = field(default=None, init=False)

    @property
    def killed(self) -> int:
        """How many runners were killed."""
        return self.kills.total()

    def until(self, kills: int) -> None:
        """Run trials until runners have been killed so often, or one trial in ten has failed."""
        number = 0
        while self.killed < kills and len(self.failures) <= 2 + self.trials // 10:
            self.trial(number)
            number += 1

    def trial(self, number: int) -> None:
        """Run one trial, and note what came of it."""
        chance = random.Random(f"{self.seed}/{number}")
        lab = Lab(self.folder / f"trial-{number}")
        trial = Trial(lab, place_in(lab, self.forks), self.expected, chance, chance.randint(1, KILLS_A_SESSION))
        try:
            trial.run(everything.write(lab))
        except Exception as error:
            story = "\n  ".join(trial.story)
            self.failures.append(f"trial {number} in {lab.root}: {type(error).__name__}: {error}\n  {story}")
        self.trials += 1
        self.kills.update(str(moment).partition(":")[0] for moment in trial.killed)
        self.repeated += trial.repeated
        self.begun += sum(entry.what == "begin" for entry in lab.ledger())
        lab.close()

    @property
    def expected(self) -> Expected:
        """What every trial has to come to."""
        if self._expected is None:
            self._expected = undisturbed(Lab(self.folder / "undisturbed"), self.forks)
        return self._expected

    def figures(self) -> dict[str, int]:
        """What is told of it."""
        elsewhere = {"by a timer": self.kills["seconds"], "inside a transaction": self.kills["commit"]}
        elsewhere["in the middle of a write"] = self.kills["byte"]
        after_event = self.killed - sum(elsewhere.values())
        return {
            "sessions": self.trials,
            "runners killed": self.killed,
            **{f"… {where}": count for where, count in elsewhere.items()},
            "… right after an event": after_event,
            "steps begun": self.begun,
            "… finished before a kill, and run again": sum("run again" in failure for failure in self.failures),
            "sessions that lost anything, left anything behind, or came to another end": len(self.failures),
            "… in flight at a kill, and run again, as they should": self.repeated,
        }
