"""Medians, ratios and verdicts are computed right. Nothing here measures time."""

from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.case import Cannot, Case
from benchmarks.cases import GROUPS
from benchmarks.harness import results_of, run_case
from benchmarks.result import GroupResult, Result
from benchmarks.row import Row
from benchmarks.series import Series
from benchmarks.table import as_markdown, as_text, summary
from benchmarks.target import More, Times, Verdict, Within, judge
from benchmarks.unit import BYTES, PAGES, SECONDS


def result(ours: float, baseline: float | None, *targets: Times | More | Within) -> Result:
    theirs = None if baseline is None else Series((baseline,))
    return Result(Row("this", "ours", "that", "bare", targets), Series((ours,)), theirs)


def test_median_p95_and_maximum_of_a_series() -> None:
    series = Series(tuple(float(n) for n in range(100, 0, -1)))
    assert (series.median, series.p95, series.maximum) == (50.5, 95.0, 100.0)


def test_one_measurement_is_its_own_p95() -> None:
    assert Series((3.0,)).p95 == 3.0


def test_the_ratio_is_that_of_the_medians() -> None:
    row = Row("this", "ours", "that", "bare", (Times(2),))
    [found] = results_of([row], {"ours": [4.0, 100.0, 2.0], "bare": [2.0, 1.0, 50.0]})
    assert found.ratio == 2.0
    assert found.verdict is Verdict.MET


@pytest.mark.parametrize(
    ("ours", "baseline", "targets", "verdict"),
    [
        (2.0, 1.0, (Times(2),), Verdict.MET),
        (2.01, 1.0, (Times(2),), Verdict.MISSED),
        (0.006, 0.001, (More(0.005), Within(0.010)), Verdict.MET),
        (0.011, 0.007, (More(0.005), Within(0.010)), Verdict.MISSED),
        (0.007, 0.001, (More(0.005), Within(0.010)), Verdict.MISSED),
        (3.0, None, (Within(3),), Verdict.MET),
        (3.0, None, (Times(3),), Verdict.MISSED),
        (3.0, 1.0, (), Verdict.NO_TARGET),
    ],
)
def test_every_target_has_to_be_met(
    ours: float, baseline: float | None, targets: tuple[Times | More | Within, ...], verdict: Verdict
) -> None:
    assert judge(targets, ours, baseline) is verdict
    assert result(ours, baseline, *targets).verdict is verdict


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (SECONDS.show(1.5), "1.50 s"),
        (SECONDS.show(0.00999), "9.99 ms"),
        (SECONDS.show(0.0123), "12.3 ms"),
        (SECONDS.show(0.000_123), "123 µs"),
        (SECONDS.show(0.0), "0.00 µs"),
        (BYTES.show(258_048), "258 kB"),
        (PAGES.show(1.2), "1.20 pages"),
    ],
)
def test_values_have_three_digits(shown: str, text: str) -> None:
    assert shown == text


async def test_probes_take_turns_and_warm_ups_are_not_recorded() -> None:
    calls: list[str] = []

    async def ours() -> dict[str, float]:  # noqa: ASYNC124  its place is async
        calls.append("ours")
        return {"ours": float(len(calls))}

    async def bare() -> dict[str, float]:  # noqa: ASYNC124  its place is async
        calls.append("bare")
        return {"bare": 1.0}

    row = Row("this", "ours", "that", "bare")
    [found] = await run_case(Case((row,), ours, bare, repetitions=2, warm_ups=1))
    assert calls == ["ours", "bare"] * 3
    assert found.ours == Series((3.0, 5.0))


def test_what_is_missed_is_said() -> None:
    group = GroupResult("g", "Group", (result(3.0, 1.0, Times(2)), result(1.0, 1.0, Times(2))), 0.1, 0.2, 1.0)
    assert summary([group]).splitlines() == [
        "1 met, 1 missed, 0 could not be measured, 2 rows",
        "  missed: this: 3.00 s, 3.00× (target ≤ 2×)",
    ]
    assert "MISSED" in as_text(group)


def test_what_cannot_be_measured_has_its_reason_in_the_table() -> None:
    group = GroupResult("g", "Group", (Result(Row("this", "ours"), problem="no pidfds"),), 0.1, 0.2, 1.0)
    assert "this: no pidfds" in as_markdown([group], {"cores": "2"}, "performance")
    assert group.results[0].verdict is Verdict.CANNOT


def test_figures_are_replaced_between_the_markers() -> None:
    begin, end = page.FIGURES.begin, page.FIGURES.end
    once = page.replaced(f"before\n{begin}\nold\n{end}\nafter\n", page.FIGURES, "new")
    assert once == f"before\n{begin}\n\nnew\n\n{end}\nafter\n"
    assert page.replaced(once, page.FIGURES, "new") == once


def test_the_figures_of_others_are_replaced_alone() -> None:
    text = "".join(f"{block.begin}\nold\n{block.end}\n" for block in (page.FIGURES, page.PEERS))
    found = page.replaced(text, page.PEERS, "new")
    assert f"{page.FIGURES.begin}\nold\n{page.FIGURES.end}" in found
    assert f"{page.PEERS.begin}\n\nnew\n\n{page.PEERS.end}" in found


@pytest.mark.parametrize("block", [page.FIGURES, page.PEERS])
def test_the_page_has_a_place_for_each_block(block: page.Block) -> None:
    text = (Path(__file__).parents[2] / "docs" / "performance.md").read_text(encoding="utf-8")
    assert text.count(block.begin) == text.count(block.end) == 1


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="figures: begin"):
        page.replaced("nothing here", page.FIGURES, "new")


def test_groups_have_names_of_their_own() -> None:
    assert len({group.name for group in GROUPS}) == len(GROUPS)


async def test_what_one_of_several_cannot_has_its_reason_beside_it() -> None:
    async def ours() -> dict[str, float]:  # noqa: ASYNC124  its place is async
        return {"ours": 1.0}

    async def others() -> dict[str, float | Cannot]:  # noqa: ASYNC124  its place is async
        return {"one": 2.0, "two": Cannot("it has no such thing")}

    rows = (Row("this", "ours", "One", "one", (Times(0.5),)), Row("this", "ours", "Two", "two", (Times(0.5),)))
    one, two = await run_case(Case(rows, ours, others, repetitions=2))
    assert (one.verdict, one.ratio) == (Verdict.MET, 0.5)
    assert (two.verdict, two.ours) == (Verdict.CANNOT, Series((1.0, 1.0)))
    assert "Two: it has no such thing" in as_text(GroupResult("g", "Group", (two,), 0.1, 0.2, 1.0))
