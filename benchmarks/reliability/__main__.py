"""``python -m benchmarks.reliability [--quick] [--seed N] [--write PAGE] [crash|damage|load|sizes …]``.

Everything that chance decides follows from the seed, which is printed. Exits with 1 if anything happened that must not.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.reliability.campaigns import CAMPAIGNS, Outcome

ROOT = Path(__file__).parents[2]
FACTS = ("cores", "kernel", "python", "sqlite", "file system", "a commit (WAL, FULL)")


def main(arguments: Sequence[str]) -> int:
    """Run campaigns, print what they come to, and write it where asked; returns the exit code."""
    options = _parse(arguments)
    failed = False
    print(f"seed {options.seed}", flush=True)
    for name in options.names or CAMPAIGNS:
        began = time.monotonic()
        folder = Path(tempfile.mkdtemp(prefix=f"trio-recipes-{name}-"))
        outcome = CAMPAIGNS[name](options, folder)
        took = time.monotonic() - began
        print(f"\n{name}, {took:.0f} s\n\n{as_table(outcome)}", flush=True)
        for problem in outcome.problems:
            print(f"\nPROBLEM {problem}\nin {folder}", flush=True)
        failed = failed or bool(outcome.problems)
        if options.write:
            facts = machine.facts(folder, ROOT)
            text = (
                f"{as_table(outcome)}\n\n{took:.0f} s; " + "; ".join(f"{name}: {facts[name]}" for name in FACTS) + "."
            )
            options.write.write_text(replaced(options.write.read_text(encoding="utf-8"), name, text), encoding="utf-8")
    return int(failed)


def as_table(outcome: Outcome) -> str:
    """As Markdown."""
    rows = [f"| {what} | {f'{count:,}' if isinstance(count, int) else count} |" for what, count in outcome.rows.items()]
    return "\n".join(["| what | |", "| --- | ---: |", *rows])


def replaced(page: str, name: str, text: str) -> str:
    """The page with new figures between a campaign's markers.

    Raises:
        ValueError: if it has none.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    head, found, rest = page.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"there is no {begin!r} followed by {end!r}")
    return f"{head}{begin}\n\n{text}\n\n{end}{tail}"


def _parse(arguments: Sequence[str]) -> Namespace:
    parser = ArgumentParser("python -m benchmarks.reliability", description="Try to break it, and count.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CAMPAIGNS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="a minute or two in all")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--only", type=int, metavar="NUMBER", help="of crash or damage: this one of the seed's trials")
    parser.add_argument("--kills", type=int, help="crash: until so many runners were killed (500)")
    parser.add_argument("--files", type=int, help="damage: so many files (2000)")
    parser.add_argument("--sessions", type=int, help="load: so many at once in one runtime (200)")
    parser.add_argument("--runners", type=int, help="load: so many processes besides (20)")
    parser.add_argument("--seconds", type=float, help="load: for so long (60)")
    parser.add_argument("--events", type=int, help="sizes: events of the larger session (100000)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="replace the figures in this Markdown page")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(CAMPAIGNS))
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}")
    full = {"kills": 500, "files": 2000, "sessions": 200, "runners": 20, "seconds": 60.0, "events": 0}
    quick = {"kills": 25, "files": 100, "sessions": 40, "runners": 5, "seconds": 6.0, "events": 20_000}
    for name, value in (quick if options.quick else full).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
