"""``python -m benchmarks [--quick] [--json FILE] [--write PAGE] [NAME …]``."""

from __future__ import annotations

import json
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import machine, page, table
from benchmarks.case import Bench, Group
from benchmarks.cases import GROUPS
from benchmarks.harness import run_group
from benchmarks.result import GroupResult

ROOT = Path(__file__).parents[1]


def main(arguments: Sequence[str]) -> None:
    """Measure, print, and write where asked. A target that is missed is printed; it is no failure of the command."""
    options = _parse(arguments)
    with tempfile.TemporaryDirectory(
        prefix="trio_recipes-bench-", dir=options.folder, ignore_cleanup_errors=True
    ) as at:
        bench = Bench(options.quick, Path(at), ROOT, options.peers)
        facts = machine.facts(bench.folder, ROOT) | {"run": "quick" if options.quick else "full"}
        print("\n".join(f"{name}: {value}" for name, value in facts.items()), flush=True)
        chosen = _chosen(options)
        groups = [_measure(group, bench) for group in chosen]
    print(f"\n{table.summary(groups)}")
    if options.json:
        options.json.write_text(_json(facts, groups), encoding="utf-8")
    if options.write:
        measured = list(zip(chosen, groups, strict=True))
        _write(options.write, page.FIGURES, facts, [result for group, result in measured if not group.peers])
        _write(options.write, page.PEERS, facts, [result for group, result in measured if group.peers])


def _write(file: Path, block: page.Block, facts: Mapping[str, str], groups: Sequence[GroupResult]) -> None:
    """Replace a block of the page, if any of its groups was measured."""
    if groups:
        pictures = [figure for group in groups for figure in group.figures]
        page.write(file, block, table.as_markdown(groups, facts, file.stem), pictures)


def _parse(arguments: Sequence[str]) -> Namespace:
    parser = ArgumentParser("python -m benchmarks", description="Measure trio_recipes beside baselines.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(group.name for group in GROUPS)}")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer repetitions: less than a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there too")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="replace the figures in this Markdown page")
    parser.add_argument(
        "--folder", type=Path, help="measure the disk that this folder is on (default: the temporary one)"
    )
    parser.add_argument(
        "--peers", type=Path, metavar="FOLDER", help="measure others too, whose environments it holds (`nox -s peers`)"
    )
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - {group.name for group in GROUPS})
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}")
    return options


def _chosen(options: Namespace) -> list[Group]:
    """Those that are named; without names all, others only where they are."""
    if options.names:
        return [group for group in GROUPS if group.name in options.names]
    return [group for group in GROUPS if options.peers or not group.peers]


def _measure(group: Group, bench: Bench) -> GroupResult:
    result = run_group(group, bench)
    print(f"\n{table.as_text(result)}", flush=True)
    return result


def _json(facts: Mapping[str, str], groups: Sequence[GroupResult]) -> str:
    content = {"machine": dict(facts), "groups": [group.as_json() for group in groups]}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
