"""Each target is met at its limit and missed just beyond it."""

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.interval import IntervalScore
from benchmarks.scoring import CaseScore, Part, ScanScore
from benchmarks.sections import targets_table
from benchmarks.solids import Apart
from benchmarks.summary import Summary
from benchmarks.targets import COLUMNS, TARGETS, Columns, missed, short_of

GOOD = Summary(
    scans=10,
    refused=1,
    dice_mean=0.5,
    dice_min=0.1,
    big_dice_mean=0.93,
    big_dice_min=0.85,
    surface_mm=1.0,
    hd95_mm=9.0,
    volume_mae_ml=9.0,
    margin_mae_mm=1.0,
    margin_p95_mm=2.5,
    margin_worst_mm=4.9,
    hilum_mae_mm=1.0,
    hilum_p95_mm=2.5,
    hilum_worst_mm=4.9,
    coverage=0.9,
    margin_coverage=0.8,
    hilum_coverage=1.0,
    width_mm=5.0,
    confidently_wrong=0,
    registration_mm=2.0,
    registration_p95_mm=2.0,
    registered=0.95,
    forecast_mae_mm=1.5,
)
"""At every limit; what is no target is bad."""

WORSE: dict[str, Any] = {
    "big_dice_mean": 0.9299,
    "big_dice_min": 0.8499,
    "surface_mm": 1.001,
    "margin_mae_mm": 1.001,
    "margin_p95_mm": 2.501,
    "hilum_mae_mm": 1.001,
    "hilum_p95_mm": 2.501,
    "coverage": 0.8999,
    "width_mm": 5.001,
    "refused": 2,
    "registered": 0.9499,
    "forecast_mae_mm": 1.501,
    "confidently_wrong": 1,
}


def test_all_are_met_at_their_limits() -> None:
    assert [target.name for target in TARGETS if target.met(GOOD) is not True] == []


@pytest.mark.parametrize("field", WORSE)
def test_each_is_missed_beyond_its_limit_and_no_other_is(field: str) -> None:
    found = replace(GOOD, **{field: WORSE[field]})
    assert sum(target.met(found) is False for target in TARGETS) == 1


def test_there_is_a_test_for_each() -> None:
    assert len(WORSE) == len(TARGETS)


def test_nothing_measured_meets_nothing_and_misses_nothing() -> None:
    empty = Summary.of([])
    assert {target.met(empty) for target in TARGETS} == {None}


def _case(part: Part, margin_error_mm: float, volume_ml: float = 20.0) -> CaseScore:
    scan = ScanScore(
        "freeze 1",
        "1.2",
        volume_ml,
        None,
        0.95 if volume_ml > 8 else 0.2,
        Apart(0.5, 1.0),
        IntervalScore(0, margin_error_mm, -2, 2),
        IntervalScore(0, 0, -1, 1),
    )
    return CaseScore(part, "", (scan,), (), part)


def test_columns_are_the_parts() -> None:
    columns = Columns.of([_case("tuning", 1), _case("test", 3), _case("fresh", 5)])
    found = [getattr(columns, name).margin_mae_mm for name in COLUMNS]
    assert found == [3, 1, 3, 5]


def test_the_table_tells_met_from_missed_and_where() -> None:
    good, bad = [_case("tuning", 0.2), _case("test", 0.4)], [_case("tuning", 0), _case("test", 1.5)]

    def row(cases: list[CaseScore]) -> list[str]:
        line = next(r for r in targets_table(cases).splitlines() if "Margin, mean" in r)
        return [cell.strip() for cell in line.strip("|").split("|")][1:]

    assert row(good) == ["≤ 1.00", "0.30", "0.20", "0.40", "–", "yes"]
    assert row(bad) == ["≤ 1.00", "0.75", "0.00", "1.50", "–", "**no**"]
    assert missed(good) == []
    assert missed(bad) == ["Margin, mean absolute error, mm: 1.50 (test), ≤ 1.00."]


def test_overlap_is_asked_of_more_ice_than_eight_millilitres() -> None:
    assert missed([_case("tuning", 0, volume_ml=8.0)]) == []
    small = [text for text in missed([_case("tuning", 0, volume_ml=8.1)]) if "Dice" in text]
    assert small == []


def test_a_case_without_any_figure_is_missed() -> None:
    refused = ScanScore("thaw", "1.3", 9.0, "leak: It leaks.")
    found = missed([CaseScore("cyst", "", (refused,))])
    assert "cyst: not one of 1 scans was measured." in found
    assert "Scans refused: 100.0% (all), ≤ 10.0%." in found


def test_too_few_cases_are_told() -> None:
    case = _case("tuning", 0)
    real = replace(case, source="ct")
    assert short_of([*[case] * 9, *[real] * 3]) == ["12 scans, at least 60."]
    enough = replace(case, scans=case.scans * 7)
    assert short_of([*[enough] * 9, *[replace(enough, source="ct")] * 3]) == []
    assert short_of([*[enough] * 11])[0] == "11 cases, at least 12."
    assert short_of([*[enough] * 12]) == ["0 cases with a real CT as anatomy, at least 3."]
