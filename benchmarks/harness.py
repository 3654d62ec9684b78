"""The harness: runs the probes of each case in turns, ours, baseline, ours, baseline …, and gathers what they measure.

Turns, because other people use the machine: what slows one probe slows the other. Garbage is collected before each
measurement: a collection in its middle would measure what others have left.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterable, Mapping, Sequence

import trio

from benchmarks.case import Bench, Cannot, CannotMeasureError, Case, Group, Probe
from benchmarks.result import GroupResult, Result
from benchmarks.row import Row
from benchmarks.series import Series

Pool = dict[str, list[float]]
Reasons = dict[str, str]
"""Of measurements that can't be had."""
CASE_SECONDS = 180.0
"""A case that takes longer has got stuck."""


def run_group(group: Group, bench: Bench) -> GroupResult:
    """Measure a group of cases, in a trio loop of its own."""
    before, began = os.getloadavg()[0], time.monotonic()
    results = trio.run(_run_cases, group, bench)
    seconds, after = time.monotonic() - began, os.getloadavg()[0]
    return GroupResult(group.name, group.title, tuple(results), before, after, seconds, tuple(group.draw(results)))


async def _run_cases(group: Group, bench: Bench) -> list[Result]:
    results: list[Result] = []
    try:
        async with group.open(bench) as cases:
            for case in cases:
                results += await run_case(case)
    except CannotMeasureError as error:
        results.append(Result(Row(group.title, "ours"), problem=str(error)))
    return results


async def run_case(case: Case) -> list[Result]:
    """Measure one case; what can't be measured says so in its rows, and stops nothing else."""
    try:
        with trio.fail_after(CASE_SECONDS):
            pool, reasons = await _measure(case)
    except CannotMeasureError as error:
        return [Result(row, problem=str(error)) for row in case.rows]
    except trio.TooSlowError:
        return [Result(row, problem=f"no end after {CASE_SECONDS:g} s") for row in case.rows]
    return results_of(case.rows, pool, reasons)


async def _measure(case: Case) -> tuple[Pool, Reasons]:
    probes = [case.ours] if case.baseline is None else [case.ours, case.baseline]
    for _ in range(case.warm_ups):
        await _take_turns(probes, {}, {})
    pool: Pool = {}
    reasons: Reasons = {}
    for _ in range(case.repetitions):
        await _take_turns(probes, pool, reasons)
    return pool, reasons


async def _take_turns(probes: Sequence[Probe], pool: Pool, reasons: Reasons) -> None:
    for probe in probes:
        gc.collect()
        for name, value in (await probe()).items():
            if isinstance(value, Cannot):
                reasons[name] = value.why
            else:
                pool.setdefault(name, []).append(value)


def results_of(rows: Iterable[Row], pool: Pool, reasons: Mapping[str, str] | None = None) -> list[Result]:
    """The rows with their series out of a pool of measurements.

    Args:
        rows: what is reported.
        pool: what was measured.
        reasons: why something was not.
    """
    return [_result(row, pool, reasons or {}) for row in rows]


def _result(row: Row, pool: Pool, reasons: Mapping[str, str]) -> Result:
    ours = Series(tuple(pool[row.ours]))
    if row.baseline is not None and row.baseline in reasons:
        return Result(row, ours, problem=reasons[row.baseline])
    return Result(row, ours, Series(tuple(pool[row.baseline])) if row.baseline else None)
