"""Results as tables: ratios first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.result import GroupResult, Result
from benchmarks.unit import three_digits

HEADINGS = ("ratio", "target", "", "what", "ours: median", "p95", "p99", "max", "against", "median", "p95", "n")


def cells(result: Result) -> tuple[str, ...]:
    """One row of the table, as texts under :data:`HEADINGS`."""
    row, ours, baseline, show = result.row, result.ours, result.baseline, result.row.unit.show
    ratio = f"{three_digits(result.ratio)}×" if result.ratio is not None else ""
    target = " and ".join(target.text(show) for target in row.targets)
    mine = tuple(show(value) for value in (ours.median, ours.p95, ours.p99, ours.maximum)) if ours else ("",) * 4
    theirs = (show(baseline.median), show(baseline.p95)) if baseline else ("", "")
    what = f"{row.what}: {result.problem}" if result.problem and not ours else row.what
    against = f"{row.against}: {result.problem}" if result.problem and ours else row.against
    return (
        ratio,
        target,
        str(result.verdict),
        what,
        *mine,
        against,
        *theirs,
        str(len(ours.values)) if ours else "",
    )


def as_text(group: GroupResult) -> str:
    """A group for a terminal."""
    rows = [HEADINGS, *(cells(result) for result in group.results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    load = f"load {group.load_before:.2f} → {group.load_after:.2f}, {group.seconds:.0f} s"
    return "\n".join([f"{group.name}: {group.title} ({load})", *lines])


def as_markdown(groups: Iterable[GroupResult], facts: Mapping[str, str], pictures: str) -> str:
    """All groups for docs/performance.md; their figures lie in the folder ``pictures`` beside it."""
    parts = ["\n".join(f"- {name}: {value}" for name, value in facts.items())]
    for group in groups:
        load = f"Load average {group.load_before:.2f} before, {group.load_after:.2f} after."
        parts += [f"#### {group.title}", load, _markdown_table([cells(result) for result in group.results])]
        parts += [f"![{figure.title}]({pictures}/{figure.name}.svg)" for figure in group.figures]
    return "\n\n".join(parts)


def _markdown_table(rows: Sequence[tuple[str, ...]]) -> str:
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def summary(groups: Iterable[GroupResult]) -> str:
    """How many targets were met, and which were not."""
    results = [result for group in groups for result in group.results]
    missed = [result for result in results if result.verdict == "MISSED"]
    met = sum(result.verdict == "met" for result in results)
    cannot = sum(result.verdict == "cannot" for result in results)
    head = f"{met} met, {len(missed)} missed, {cannot} could not be measured, {len(results)} rows"
    return "\n".join([head, *(f"  missed: {result.row.what}: {_how_far(result)}" for result in missed)])


def _how_far(result: Result) -> str:
    ratio, target, _, _, median, *_ = cells(result)
    return f"{median}{f', {ratio}' if ratio else ''} (target {target})"
