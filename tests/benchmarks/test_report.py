"""Tables, the document, and the JSON that commits are compared by."""

import json
from dataclasses import replace

import pytest

from benchmarks.accuracy import named_cases
from benchmarks.forecasts import ForecastScore, TimeScore
from benchmarks.interval import IntervalScore
from benchmarks.naive import BORDERS, CONTROL, THRESHOLD, UNREGISTERED, NaiveScore
from benchmarks.report import Accuracy, Pictured, Repeated, as_json, as_markdown, changes
from benchmarks.scoring import CaseScore, Lethal, Part, ScanScore
from benchmarks.sections import (
    cases_table,
    forecasts_table,
    lethal_table,
    naive_table,
    refusals_table,
    scans_table,
    times_table,
)
from benchmarks.solids import Apart


def _scan(
    overlap: float,
    margin_error_mm: float,
    hilum_error_mm: float,
    forecasts: tuple[ForecastScore, ...] = (),
) -> ScanScore:
    return ScanScore(
        label="freeze 1",
        series_instance_uid="1.2",
        true_volume_ml=20.0,
        refused=None,
        dice=overlap,
        surfaces=Apart(0.5, 1.5),
        margin=IntervalScore(1.0, 1.0 + margin_error_mm, -9.0, 9.0),
        hilum=IntervalScore(5.0, 5.0 + hilum_error_mm, 4.0 + hilum_error_mm, 6.0 + hilum_error_mm),
        volume_ml=19.0,
        registration_mm=0.25,
        visible_surface_fraction=0.5,
        lethal=Lethal(IntervalScore(10, 9, 7, 11), IntervalScore(-4, -6, -7, -5)),
        basis="freezing model",
        forecasts=forecasts,
        naive={
            THRESHOLD: NaiveScore(0.0, None, None),
            BORDERS: NaiveScore(overlap, -2.0, 6.0),
            UNREGISTERED: NaiveScore(overlap, 5.5, -1.0),
            CONTROL: NaiveScore(overlap, 0.5, 0.5),
        },
    )


REFUSED = ScanScore("thaw", "1.3", 9.0, "leak: It leaks | here.")


def _case(*scans: ScanScore, name: str = "standard", part: Part = "tuning") -> CaseScore:
    return CaseScore(name, "three probes", scans, (), part)


def _accuracy(*scans: ScanScore) -> Accuracy:
    return Accuracy(
        "0.1.0", 1, "abc", (_case(*scans),), (("real-ct-left", "no CT"),), ("It broke.",)
    )


def _cells(text: str | None) -> list[list[str]]:
    """Of the rows below the head."""
    assert text is not None
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in text.splitlines()[2:]]


def test_table_has_a_row_a_case_and_one_over_all() -> None:
    text = cases_table([_case(_scan(0.9, 1, -1), _scan(0.8, -3, 0), REFUSED)])
    figures = ["3", "1", "0.850", "0.800", "0.50", "1.50", "2.00", "-3.00", "0.50", "-1.00"]
    figures += ["100%", "10.0", "0.25", "–"]
    assert _cells(text) == [["standard", "tuning", *figures], ["all", "", *figures]]
    assert len({len(row) for row in text.splitlines()}) == 1


def test_every_scan_has_its_row() -> None:
    empty = ScanScore("late", "1.4", 0.0, "no_ice: There is none.")
    measured, refused, without = _cells(scans_table([_case(_scan(0.9, 1, 7.5), REFUSED, empty)]))
    assert measured[:5] == ["standard · freeze 1", "20.0", "-1.0", "0.900", "0.50 / 1.5"]
    assert measured[5:8] == ["1.0", "2.0 (-9.0 to 9.0)", "+1.0"]
    assert measured[8:] == ["5.0", "12.5 (11.5 to 13.5) †", "+7.5", "0.25", "50%"]
    assert refused[6] == "refused"
    assert without[6] == "no ice"
    assert len(measured) == len(refused) == len(without) == 13


def test_refusals_are_told_with_their_reason() -> None:
    assert _cells(refusals_table([_case(_scan(0.9, 0, 0), REFUSED)])) == [
        ["standard · thaw", "9.0", "leak: It leaks / here."]
    ]
    assert refusals_table([_case(_scan(0.9, 0, 0))]) is None


def _forecast(value: float, linear: float | None) -> ForecastScore:
    found = IntervalScore(4.0, value, value - 1, value + 1)
    return ForecastScore("margin", 180, found, linear, 2.0)


def test_forecasts_are_compared_over_the_scans_that_have_a_line() -> None:
    tuning = _scan(0.9, 0, 0, (_forecast(9.0, None), _forecast(4.5, 7.0)))
    test = _scan(0.9, 0, 0, (_forecast(2.5, 4.5),))
    rows = _cells(forecasts_table([_case(tuning), _case(test, part="test")]))
    assert rows == [
        [
            "margin, mm, 3 min",
            "3",
            f"{(5 + 0.5 + 1.5) / 3:.2f}",
            "4.65",
            "+1.33",
            "33%",
            "2.0",
            "2",
            "1.00",
            "1.75",
            "2.00",
            "ours",
            "1.50 / 0.50",
        ]
    ]
    beaten = _cells(forecasts_table([_case(test, part="test")]))
    assert beaten[0][11] == "**line**"
    assert forecasts_table([_case(REFUSED)]) is None


def test_moments_that_were_not_forecast_are_counted() -> None:
    found = IntervalScore(120.0, 150.0, 100.0, 200.0)
    times = (TimeScore("margin_5_mm", 120.0, found), TimeScore("margin_5_mm", 200.0, None))
    scan = ScanScore("a", "1", 9.0, None, times=times)
    assert _cells(times_table([_case(scan)])) == [["5 mm of margin", "2", "1", "30", "100%"]]
    assert times_table([_case(REFUSED)]) is None


def test_the_modelled_surface_by_part() -> None:
    rows = _cells(lethal_table([_case(_scan(0.9, 0, 0))]))
    assert rows[0] == ["volume, ml (all)", "1", "1.00", "1.00", "-1.00", "100%", "4.0"]
    assert rows[1] == ["margin, mm (all)", "1", "2.00", "2.00", "-2.00", "0%", "2.0"]
    assert [row[0] for row in rows[2:]] == ["volume, ml (tuning)", "margin, mm (tuning)"]
    assert lethal_table([_case(REFUSED)]) is None


def test_naive_ways_stand_beside_ours_over_the_same_scans() -> None:
    rows = _cells(naive_table([_case(_scan(0.9, 1, -1), _scan(0.8, -2, 6), REFUSED)]))
    ours = ["2", "0", "0.850", "0.800", "1.50", "1.95", "3.50", "5.75", "1"]
    assert rows[0] == ["icemargin", *ours]
    assert rows[1] == [THRESHOLD, "2", "2", "0.000", "0.000", "–", "–", "–", "–", "0"]
    assert rows[2][5:] == ["2.00", "2.00", "6.00", "6.00", "2"]
    assert rows[3][5:] == ["5.50", "5.50", "1.00", "1.00", "2"]
    assert naive_table([_case(REFUSED)]) is None


def test_document_says_what_was_wrong_not_run_and_not_repeated() -> None:
    accuracy = _accuracy(_scan(0.9, 1, 7.5), REFUSED)
    text = as_markdown(accuracy)
    assert "wrong by more than 5 mm: 1." in text
    assert "Not run: `real-ct-left`, no CT." in text
    assert "- Failed: It broke." in text
    assert "leak: It leaks / here." in text
    assert "not looked at before the constants were fixed" in text
    assert "Speed" not in text
    shown = replace(
        accuracy,
        pictured=(Pictured("standard", "thaw", "Dice 0.1", "accuracy/worst-dice.png"),),
        repeated=(Repeated("standard", ("aa", "ab")), Repeated("noisy", ("cc", "cc"))),
        speed="0.3 s",
    )
    text = as_markdown(shown)
    assert "![standard, thaw](accuracy/worst-dice.png)" in text
    assert "`standard`: **different** (`aa`, `ab`)" in text
    assert "`noisy`: the same to the last bit" in text
    assert "## Speed and memory\n\n0.3 s" in text


def test_document_of_two_hundred_scans_can_be_read() -> None:
    scans = [_scan(0.9, 0, 0, (_forecast(9.0, 3.0),))] * 8 + [REFUSED]
    cases = tuple(_case(*scans, name=f"case {n}") for n in range(24))
    text = as_markdown(Accuracy("0.1.0", 1, "abc", cases, (), ()))
    assert len(text.splitlines()) <= 600


def test_json_is_the_same_for_the_same_figures() -> None:
    first = as_json(_accuracy(_scan(0.90004, 1, -1), REFUSED))
    assert first == as_json(_accuracy(_scan(0.90001, 1, -1), REFUSED))
    assert len(first.splitlines()) < 200
    document = json.loads(first)
    assert document["overall"] == document["cases"]["standard"]["summary"] == document["tuning"]
    assert document["overall"]["dice_mean"] == 0.9
    assert document["overall"]["scans"] == 2
    assert document["test"]["scans"] == 0
    assert document["cases"]["standard"]["scans"][1]["refused"] == "leak: It leaks | here."


def test_changes_against_an_earlier_run() -> None:
    before = as_json(_accuracy(_scan(0.9, 1, -1)))
    assert changes(before, _accuracy(_scan(0.9, 1, -1))) == ""
    moved = changes(before, _accuracy(_scan(0.95, 1, -1)))
    fields = ("dice_mean", "dice_min", "big_dice_mean", "big_dice_min")
    assert f"  standard: {', '.join(f'{f} 0.9 -> 0.95' for f in fields)}" in moved.splitlines()


def test_json_on_one_line_is_the_same_json() -> None:
    accuracy = replace(_accuracy(REFUSED), failures=("one [ two ]  {  three", "four"))
    assert json.loads(as_json(accuracy))["failures"] == ["one [ two ]  {  three", "four"]


def test_no_change_may_be_the_best_forecast() -> None:
    still = replace(_forecast(2.5, 8.0), unchanged=3.9)
    rows = _cells(forecasts_table([_case(_scan(0.9, 0, 0, (still,)))]))
    assert rows[0][8:12] == ["1.50", "4.00", "0.10", "**unchanged**"]


@pytest.mark.parametrize("before", ["no json", "[]", '{"cases": {}, "overall": 3}'])
def test_what_is_no_earlier_run_has_not_changed(before: str) -> None:
    assert changes(before, _accuracy(_scan(0.9, 1, -1))) == ""


def test_cases_for_the_projects_own_tests_are_left_out() -> None:
    assert "standard" in named_cases()
    assert "quick" not in named_cases()
