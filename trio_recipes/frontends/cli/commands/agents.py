"""``agents``: what answers the agents of a recipe, or all that are configured; connects to it only if told to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trio_recipes.frontends.cli.exits import FAILED, OK, REFUSED
from trio_recipes.frontends.cli.outlet import STDERR, STDOUT
from trio_recipes.frontends.cli.parsing import check_project
from trio_recipes.frontends.printable import in_one_line, printable

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping

    from trio_recipes.agents.checks import Finding
    from trio_recipes.agents.listing import Seat
    from trio_recipes.agents.provider import Provider
    from trio_recipes.agents.registry import Agents


def add_options(parser: ArgumentParser) -> None:
    """The options of ``agents``."""
    parser.add_argument("recipe", metavar="RECIPE", nargs="?", help="a recipe's file; without it: all there are")
    parser.add_argument("--agents", metavar="FILE", help="as for `run`")
    parser.add_argument("--project", metavar="DIR", help="the project's folder (default: here)")
    parser.add_argument("--check", action="store_true", help="connect, and tell what can be reached")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def main(options: Namespace) -> int:
    """Print who answers; fails if nobody does, or (with ``--check``) can be reached."""
    from trio_recipes.agents.listing import seats_configured  # noqa: PLC0415  not for --help
    from trio_recipes.agents.load import configured_agents  # noqa: PLC0415

    check_project(options.project)
    project = str(Path(options.project or ".").resolve())
    known = configured_agents(options.agents, project)
    seats = _seats(options.recipe, project, known) if options.recipe else [*seats_configured(known)]
    findings = _checked(seats, known, options.recipe) if options.check else {}
    if options.json:
        STDOUT.line(json.dumps(_as_json(seats, known, findings)))
    else:
        _print(seats, findings)
        if not options.recipe:
            _print_rest(known)
    if any(finding.error for finding in findings.values()):
        return FAILED
    return REFUSED if options.recipe and any(seat.problem for seat in seats) else OK


def _seats(recipe: str, project: str, known: Agents) -> list[Seat]:
    from trio_recipes.agents.listing import seats_of  # noqa: PLC0415
    from trio_recipes.language.model import RecipeStep  # noqa: PLC0415
    from trio_recipes.sessions.recipes import agent_steps, gather  # noqa: PLC0415
    from trio_recipes.sessions.sources import Sources, project_bundles  # noqa: PLC0415

    prepared, problems = gather(recipe, project, Sources(bundles=project_bundles(project)))
    for problem in problems:
        STDERR.line(printable(str(problem)))
    steps = [*prepared.steps()]
    unknown = [step.id for step in steps if isinstance(step, RecipeStep) and step.recipe.references]
    if unknown:
        STDERR.line(f"not looked at: the recipes of {', '.join(unknown)}, whose paths are known only when they run")
    return seats_of(agent_steps(steps), known)


def _checked(seats: list[Seat], known: Agents, recipe: str | None) -> Mapping[str, Finding]:
    """What the providers of these seats say, by label; without a recipe, all there are."""
    import trio  # noqa: PLC0415  to connect, only

    from trio_recipes.agents.checks import check_all  # noqa: PLC0415

    named = [seat.provider for seat in seats if seat.provider is not None]
    return trio.run(check_all, named if recipe else [*named, *known.all_providers().values()])


def _refused(known: Agents) -> dict[str, str]:
    """Why definitions can't be used, by the names of their agents."""
    return {name: why for each in known.all_definitions() for name, why in each.broken.items()}


# --- as JSON -----------------------------------------------------------------------------------------------------


def _as_json(seats: list[Seat], known: Agents, findings: Mapping[str, Finding]) -> dict[str, Any]:
    return {
        "agents": [_seat_as_json(seat, findings) for seat in seats],
        "providers": [_provider_as_json(provider, findings) for provider in known.all_providers().values()],
        "definitions_refused": _refused(known),
    }


def _seat_as_json(seat: Seat, findings: Mapping[str, Finding]) -> dict[str, Any]:
    provider = seat.provider
    finding = findings.get(provider.label) if provider else None
    return {
        "agent": seat.agent,
        "steps": list(seat.steps),
        "provider": _provider_as_json(provider, findings) if provider else None,
        "model": finding.model(seat.model) if finding else seat.model,
        "configured_in": seat.said_in,
        "definition": seat.definition,
        "instead": list(seat.instead),
        "problem": seat.problem or None,
    }


def _provider_as_json(provider: Provider, findings: Mapping[str, Finding]) -> dict[str, Any]:
    finding = findings.get(provider.label)
    return {
        "name": provider.name,
        "backend": provider.kind or None,
        "target": provider.target or None,
        "key_variable": provider.key,
        "key_is_set": provider.has_key if provider.key else None,
        "configured_in": provider.origin or None,
        "reachable": None if finding is None else not finding.error,
        "problem": (finding.error if finding else provider.lacks()) or None,
        "models": None if finding is None or not finding.asked else list(finding.models),
    }


# --- as text -----------------------------------------------------------------------------------------------------

_HEADS = ("AGENT", "ANSWERED BY", "MODEL", "KEY", "CONFIGURED IN")
_PROVIDER_HEADS = ("PROVIDER", "BACKEND", "AT", "KEY", "CONFIGURED IN")


def _print(seats: list[Seat], findings: Mapping[str, Finding]) -> None:
    if not seats:
        STDOUT.line("no agents: none is configured by name, and the recipe (if you named one) asks none")
    else:
        _print_table([_HEADS, *(_cells(seat, findings) for seat in seats)])
    for seat in seats:
        if seat.problem:
            STDOUT.line(printable(f"{seat.agent}: {seat.problem}"))
    for label, finding in findings.items():
        STDOUT.line(printable(f"{label}: {finding.words}"))


def _print_rest(known: Agents) -> None:
    providers = known.all_providers().values()
    if providers:
        STDOUT.line("")
        _print_table([_PROVIDER_HEADS, *map(_provider_cells, providers)])
    for why in _refused(known).values():
        STDOUT.line(printable(f"not usable: {why}"))


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        STDOUT.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cells(seat: Seat, findings: Mapping[str, Finding]) -> tuple[str, ...]:
    provider = seat.provider
    if provider is None:
        return _printable(seat.agent, "nobody", seat.model or "", "", seat.said_in or "")
    finding = findings.get(provider.label)
    model = finding.model(seat.model) if finding else seat.model
    kind = f" ({provider.kind})" if provider.kind not in ("", provider.name) else ""
    who = f"{provider.name or 'a backend'}{kind}"
    return _printable(seat.agent, who, model or "its own", _key(provider), provider.origin or "the caller")


def _provider_cells(provider: Provider) -> tuple[str, ...]:
    return _printable(provider.name, provider.kind, provider.target, _key(provider), provider.origin or "the caller")


def _printable(*cells: str) -> tuple[str, ...]:
    return tuple(in_one_line(cell, 60) for cell in cells)


def _key(provider: Provider) -> str:
    return "none" if provider.key is None else f"{provider.key}: {'set' if provider.has_key else 'missing'}"
