"""``resume --plan``: what would run again, and why, as lines or as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from trio_recipes.frontends.cli.exits import OK
from trio_recipes.frontends.cli.outlet import STDOUT
from trio_recipes.frontends.printable import in_one_line, printable
from trio_recipes.progress import path as paths
from trio_recipes.progress.plan import Plan, Planned
from trio_recipes.progress.verdicts import Fate
from trio_recipes.sessions.revising import plan_resume
from trio_recipes.sessions.sources import Sources, project_bundles

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Mapping

    from trio_recipes.store.session_file import SessionFile
    from trio_recipes.values import Value

MARKS = {
    Fate.REUSED: "✓",
    Fate.CONTINUES: "▷",
    Fate.AGAIN: "↻",
    Fate.RUNS: "·",
    Fate.NEW: "+",
    Fate.GONE: "-",
    Fate.DECIDED: "↷",
}
_COLUMN = 44


def show_plan(file: SessionFile, context: Mapping[str, Value], options: Namespace) -> int:
    """Print the plan; nothing is changed."""
    sources = Sources(bundles=project_bundles(options.project or Path.cwd()))
    plan = plan_resume(file, sources, options.recipe, context, options.since)
    STDOUT.write(as_json(plan) if options.json else as_text(plan))
    return OK


def as_json(plan: Plan) -> str:
    """One object."""
    scopes = [attrs.asdict(planned) for planned in plan.scopes]
    return json.dumps({"session_id": plan.session_id, "scopes": scopes}) + "\n"


def as_text(plan: Plan) -> str:
    """A line for each scope, as a tree; what stands inside of something that is reused goes without saying."""
    lines = [_line(names, planned) for names, planned in _gathered(_shown(plan))]
    return "".join(f"{line}\n" for line in lines) or "nothing has begun, and nothing would run\n"


def _shown(plan: Plan) -> Iterator[Planned]:
    inside = ""
    for planned in plan.scopes:
        if inside and planned.kind != "gate" and paths.contains(inside, planned.path):
            continue
        inside = planned.path if planned.fate is Fate.REUSED else ""
        yield planned


def _gathered(scopes: Iterator[Planned]) -> Iterator[tuple[str, Planned]]:
    """Iterations of one loop that share a fate in one line: ``[0] … [41]``."""
    first: Planned | None = None
    last: Planned | None = None
    for planned in scopes:
        if first is not None and last is not None and not _alike(last, planned):
            yield _names(first, last), first
            first = None
        first, last = first or planned, planned
    if first is not None and last is not None:
        yield _names(first, last), first


def _alike(one: Planned, other: Planned) -> bool:
    iterations = one.path.endswith("]") and other.path.endswith("]")
    same = (paths.outer(one.path), one.fate, one.why) == (paths.outer(other.path), other.fate, other.why)
    return iterations and same


def _names(first: Planned, last: Planned) -> str:
    depth = sum(1 for _ in paths.around(first.path)) - 1
    name = _name(first) if first is last else f"{_name(first)} … {_name(last)}"
    return "  " * depth + name


def _name(planned: Planned) -> str:
    name = planned.path[len(paths.outer(planned.path)) :].lstrip("/")
    return f"approval of {name}" if planned.kind == "gate" else name


def _line(names: str, planned: Planned) -> str:
    why = f" ({in_one_line(planned.why)})" if planned.why else ""
    return f"{MARKS[planned.fate]} {printable(names):{_COLUMN}} {planned.fate}{why}"
