"""The options of ``resume``: what they are read as, and what ``--plan`` prints."""

import argparse
from pathlib import Path

import pytest

from tests.frontends.running import invoke, write_recipe
from trio_recipes.frontends.cli.parsing import duration, parse
from trio_recipes.frontends.cli.planning import as_text
from trio_recipes.progress.plan import Plan, Planned
from trio_recipes.progress.verdicts import Fate


def test_the_options_of_resume() -> None:
    line = "resume @last --plan --recipe r.yaml --set a=1 --set b=2 --from a/b[1] --deadline 1h30m --json"
    _, options = parse(line.split())
    assert (options.session, options.plan, options.recipe, options.since) == ("@last", True, "r.yaml", "a/b[1]")
    assert (options.set, options.deadline, options.json) == (["a=1", "b=2"], 5400.0, True)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1.5m", 90), ("2h", 7200), ("12", 12), ("0.5", 0.5)])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "1w", "inf", "nan"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        duration(text)


def test_a_plan_is_a_tree_without_the_inside_of_what_is_reused() -> None:
    scopes = [
        Planned("one", "stage", Fate.REUSED),
        Planned("one/a", "bash", Fate.REUSED),
        Planned("one", "gate", Fate.REUSED),
        Planned("two", "foreach", Fate.CONTINUES, "interrupted"),
        *(Planned(f"two[{n}]", "bash", Fate.REUSED) for n in range(3)),
        Planned("two[3]", "bash", Fate.AGAIN, "interrupted"),
        Planned("rude\x1b", "bash", Fate.RUNS, "has not begun"),
    ]
    lines = [" ".join(line.split()) for line in as_text(Plan("s", tuple(scopes))).splitlines()]
    assert lines == [
        "✓ one reused",
        "✓ approval of one reused",
        "▷ two continues (interrupted)",
        "✓ [0] … [2] reused",
        "↻ [3] runs again (interrupted)",
        "· rude\\x1b runs (has not begun)",
    ]


def test_a_secret_is_refused_on_the_command_line(tmp_path: Path) -> None:
    steps = "- {id: a, type: bash, command: 'exit 1', env_from_context: [TOKEN]}\n"
    recipe = write_recipe(tmp_path, steps, head="secrets: [TOKEN]")
    assert invoke("run", recipe, cwd=tmp_path, TOKEN="very-secret").returncode == 1
    refused = invoke("resume", "@last", "--set", "TOKEN=very-secret", cwd=tmp_path)
    assert (refused.returncode, "environment variable TOKEN" in refused.stderr) == (2, True)
    plan = invoke("resume", "@last", "--plan", cwd=tmp_path)
    assert (plan.returncode, "runs again (failed)" in plan.stdout) == (0, True)
