"""The campaigns, each at a size of its own; what they come to, and what went wrong."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import trio
from attrs import frozen

from tests.campaign.crash import Campaign
from tests.campaign.damage import Ruin
from tests.campaign.lab import Lab
from tests.campaign.load import Crowd
from tests.campaign.testimony import Verdict
from trio_recipes.testing import Forks, runners

SIZES: Final = (
    ("parallel", 1_000, 10_000, "iterations, all at once"),
    ("nested", 1_000, 4_000, "iterations, in loops in loops"),
    ("output", 5_000_000, 50_000_000, "bytes of output"),
    ("events", 10_000, 100_000, "events"),
)
"""Kind, two counts to compare, and what is counted."""


@frozen
class Outcome:
    """What a campaign has come to.

    Args:
        rows: figures by what they count; texts are shown as they are.
        problems: what should not have happened.
    """

    rows: Mapping[str, int | str]
    problems: list[str]


def crash(options: Namespace, folder: Path) -> Outcome:
    """Kill runners at every kind of moment, resume, and compare with a run that nobody disturbed."""
    with runners() as forks:
        campaign = Campaign(folder, forks, options.seed)
        if options.only is None:
            campaign.until(options.kills)
        else:
            campaign.trial(options.only)
    return Outcome(campaign.figures(), campaign.failures)


def damage(options: Namespace, folder: Path) -> Outcome:
    """Cut and overwrite session files, and run every command on each."""
    with runners() as forks:
        ruin = Ruin(Lab(folder / "ruin"), forks)
        numbers = range(options.files) if options.only is None else [options.only]
        problems = [problem for number in numbers for problem in ruin.damage(number, options.seed)]
    rows = {
        "session files cut or overwritten": len(numbers),
        "… and who read the session was told of it": ruin.verdicts[Verdict.REPORTED],
        "… and nothing had changed that the session says": ruin.verdicts[Verdict.HARMLESS],
        "… and the session was as some steps before, its log having lost its end": ruin.verdicts[Verdict.EARLIER],
        "… and who read the session was told something else than what was written": ruin.verdicts[Verdict.WRONG],
        "commands run on them": ruin.commands,
        "… that told of the damage": ruin.reported,
        "commands that crashed, or lost sight of another session": len(problems) - ruin.misled,
    }
    return Outcome(rows, problems)


def load(options: Namespace, folder: Path) -> Outcome:
    """Many sessions and runners on one store, stopped by many at random moments."""
    with Forks("trio_recipes.__main__:main") as commands:
        crowd = Crowd(folder, commands, options.sessions, options.runners, 24, random.Random(options.seed))
        trio.run(crowd.run, options.seconds)
        figures = crowd.judge()
    return Outcome({"seconds": f"{options.seconds:g}", **figures, "problems": len(crowd.errors)}, crowd.errors)


def sizes(options: Namespace, folder: Path) -> Outcome:
    """What large sessions need, at two sizes each: time and memory have to stay in proportion."""
    rows: dict[str, int | str] = {}
    for kind, *counts, what in SIZES:
        for count in counts if kind != "events" or not options.events else [counts[0], options.events]:
            found = _sized(kind, int(count), folder)
            rows[f"{count:,} {what}"] = (
                f"{found['seconds']:.1f} s, {found['memory']:.0f} MB more memory, {found['file']:.1f} MB on the disk; "
                f"`list` reads it in {found['standing'] * 1000:.0f} ms, `show` in {found['history']:.1f} s"
            )
    return Outcome(rows, [])


def _sized(kind: str, count: int, folder: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        command = [sys.executable, "-m", "benchmarks.reliability.sized", kind, str(count), place]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


Run: TypeAlias = Callable[[Namespace, Path], Outcome]

CAMPAIGNS: Final[Mapping[str, Run]] = {run.__name__: run for run in (crash, damage, load, sizes)}
