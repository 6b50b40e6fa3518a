"""Targets, tables and the JSON that commits are compared by."""

import json

import pytest

from benchmarks.accuracy import missed_targets, named_cases
from benchmarks.report import Accuracy, as_json, as_markdown, changes, summary_table
from benchmarks.scoring import CaseScore, DistanceScore, ScanScore


def _scan(overlap: float, margin_error_mm: float, hilum_error_mm: float) -> ScanScore:
    margin = DistanceScore(1.0, 1.0 + margin_error_mm, -9.0, 9.0)
    hilum = DistanceScore(5.0, 5.0 + hilum_error_mm, 4.0 + hilum_error_mm, 6.0 + hilum_error_mm)
    return ScanScore("freeze 1", "1.2", 20.0, None, overlap, margin, hilum, 0.5)


REFUSED = ScanScore("thaw", "1.3", 9.0, "leak: It leaks | here.")


def _case(*scans: ScanScore) -> CaseScore:
    return CaseScore("standard", "three probes", scans)


def _accuracy(*scans: ScanScore) -> Accuracy:
    return Accuracy("0.1.0", 1, "abc", (_case(*scans),), (("real-ct-left", "no CT"),), ())


@pytest.mark.parametrize(
    ("scan", "missed"),
    [
        (_scan(0.85, 2.0, -2.0), None),
        (_scan(0.849, 0, 0), "mean Dice 0.849"),
        (_scan(0.9, -2.01, 0), "of the margin 2.01 mm"),
        (_scan(0.9, 0, 2.01), "of the hilum 2.01 mm"),
        (REFUSED, "not one of 1 scans"),
    ],
)
def test_targets(scan: ScanScore, missed: str | None) -> None:
    found = missed_targets(_case(scan))
    assert len(found) == (missed is not None)
    assert missed is None or missed in found[0]


def test_table_has_a_row_a_case_and_one_over_all() -> None:
    rows = summary_table(_accuracy(_scan(0.9, 1, -1), _scan(0.8, -3, 0), REFUSED)).splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    figures = ["3", "1", "0.850", "0.800", "2.00", "-3.00", "0.50", "-1.00", "100%", "10.0"]
    assert cells[2:] == [["standard", *figures], ["all", *figures]]
    assert len({len(row) for row in rows}) == 1


def test_document_names_every_scan_refusals_and_what_was_not_run() -> None:
    text = as_markdown(_accuracy(_scan(0.9, 1, 7.5), REFUSED))
    lines = [line for line in text.splitlines() if line.startswith(("| freeze", "| thaw"))]
    measured, refused = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    assert measured[4] == "2.0 (-9.0 to 9.0)"
    assert measured[7] == "12.5 (11.5 to 13.5) †"
    assert refused[3] == "refused: leak: It leaks / here."
    assert len(measured) == len(refused) == 10
    assert "wrong by more than 5 mm: 1." in text
    assert "Not run: `real-ct-left`, no CT." in text


def test_json_is_the_same_for_the_same_figures() -> None:
    first = as_json(_accuracy(_scan(0.90004, 1, -1), REFUSED))
    assert first == as_json(_accuracy(_scan(0.90001, 1, -1), REFUSED))
    document = json.loads(first)
    assert document["overall"] == document["cases"]["standard"]["summary"]
    assert document["overall"]["dice_mean"] == 0.9
    assert document["overall"]["scans"] == 2
    assert document["cases"]["standard"]["scans"][1]["refused"] == "leak: It leaks | here."


def test_changes_against_an_earlier_run() -> None:
    before = as_json(_accuracy(_scan(0.9, 1, -1)))
    assert changes(before, _accuracy(_scan(0.9, 1, -1))) == ""
    moved = changes(before, _accuracy(_scan(0.95, 1, -1)))
    assert "  standard: dice_mean 0.9 -> 0.95, dice_min 0.9 -> 0.95" in moved.splitlines()
    assert changes("no json", _accuracy(_scan(0.9, 1, -1))) == ""
    assert changes("[]", _accuracy(_scan(0.9, 1, -1))) == ""


def test_cases_for_the_projects_own_tests_are_left_out() -> None:
    assert "standard" in named_cases()
    assert "quick" not in named_cases()
