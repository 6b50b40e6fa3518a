"""Forecasts against what came, and the straight line beside them."""

from typing import Any

import pytest

from benchmarks.forecasts import (
    Earlier,
    ForecastScore,
    extrapolated,
    mean_error,
    reached_s,
    score_forecast,
    score_times,
)
from benchmarks.interval import IntervalScore

TRUTH: dict[str, Any] = {
    "at_s": 660.0,
    "margin_mm": 1.0,
    "hilum_distance_mm": 6.0,
    "volume_ml": 20.0,
    "ahead": {
        "60": {"margin_mm": 2.0, "hilum_distance_mm": 5.0, "volume_ml": 24.0},
        "180": {"margin_mm": 4.0, "hilum_distance_mm": 2.0, "volume_ml": 30.0},
        "300": {"margin_mm": 5.5, "hilum_distance_mm": -1.0, "volume_ml": 34.0},
    },
}


def _around(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 1, "high": value + 1}


def _measurement(margin: float, hilum: float, volume: float, **more: Any) -> dict[str, Any]:
    return {
        "tumour": {"margin_mm": _around(margin)},
        "structures": [
            {"name": "Colon", "distance_mm": _around(50)},
            {"name": "Renal hilum", "distance_mm": _around(hilum)},
        ],
        "ice": {"volume_ml": volume},
        **more,
    }


def _forecast(*after_s: int) -> dict[str, Any]:
    return {
        "basis": "freezing model",
        "ahead": [
            {
                "after_s": s,
                "volume_ml": _around(29.0),
                "margin_mm": _around(4.5),
                "structures": [
                    {"name": "Colon", "distance_mm": _around(50)},
                    {"name": "Renal hilum", "distance_mm": _around(3.5)},
                ],
            }
            for s in after_s
        ],
        "margin_5_mm_in_s": {"value": 230.0, "low": 200.0, "high": 250.0},
    }


def test_a_line_goes_through_the_last_two_values() -> None:
    assert extrapolated([0, 100, 200], [9.0, 1.0, 3.0], 350) == 6.0
    assert extrapolated([510, 660], [-2.0, 1.0], 840) == pytest.approx(4.6)
    for times, values in (([100], [1.0]), ([], []), ([100, 100], [1.0, 2.0]), ([0, 1], [1.0])):
        with pytest.raises(ValueError, match="no line"):
            extrapolated(times, values, 200)


def test_each_quantity_is_judged_beside_the_line() -> None:
    before = Earlier(510.0, _measurement(-2.0, 8.0, 14.0))
    now = _measurement(1.5, 6.5, 21.0, forecast=_forecast(180))
    margin, hilum, volume = score_forecast(TRUTH, now, before)
    # Over 150 s the margin grew by 3.5 mm, the hilum's distance fell by 1.5, the ice by 7 ml.
    assert margin.linear == pytest.approx(1.5 + 4.2)
    found = IntervalScore(4.0, 4.5, 3.5, 5.5)
    assert margin == ForecastScore("margin", 180, found, margin.linear, 1.5)
    assert margin.linear_error == pytest.approx(1.7)
    assert margin.unchanged_error == -2.5
    assert hilum.found == IntervalScore(2.0, 3.5, 2.5, 4.5)
    assert hilum.linear == pytest.approx(6.5 - 1.8)
    assert volume.found.error == -1.0
    assert volume.linear == pytest.approx(21 + 8.4)


def test_after_the_first_scan_there_is_no_line() -> None:
    scores = score_forecast(TRUTH, _measurement(1, 6, 20, forecast=_forecast(60, 300)), None)
    assert [(s.quantity, s.after_s, s.linear) for s in scores] == [
        (quantity, after_s, None)
        for after_s in (60, 300)
        for quantity in ("margin", "hilum", "volume")
    ]
    assert scores[0].linear_error is None


def test_what_has_no_truth_or_no_forecast_is_not_judged() -> None:
    now = _measurement(1, 6, 20, forecast=_forecast(60))
    assert score_forecast({**TRUTH, "ahead": None}, now, None) == ()
    assert score_forecast({"at_s": 0.0}, now, None) == ()
    assert score_forecast(TRUTH, _measurement(1, 6, 20), None) == ()
    assert score_forecast(TRUTH, _measurement(1, 6, 20, forecast=None), None) == ()
    lacking = {**TRUTH, "ahead": {"60": {**TRUTH["ahead"]["60"], "margin_mm": None}}}
    assert [s.quantity for s in score_forecast(lacking, now, None)] == ["hilum", "volume"]


def test_when_a_level_is_reached() -> None:
    assert reached_s(TRUTH, "margin_mm", 5.0) == pytest.approx(180 + 120 / 1.5)
    assert reached_s(TRUTH, "hilum_distance_mm", 0.0) == pytest.approx(180 + 80)
    assert reached_s(TRUTH, "margin_mm", 6.0) is None
    assert reached_s(TRUTH, "margin_mm", 0.5) is None
    assert reached_s({"margin_mm": 1.0}, "margin_mm", 5.0) is None


def test_moments_are_judged_where_they_truly_come() -> None:
    now = _measurement(1, 6, 20, forecast=_forecast(60))
    now["structures"][1] |= {
        "contact_in_s": 250.0,
        "contact_interval_s": {"low": 230.0, "high": 270.0},
    }
    margin, hilum = score_times(TRUTH, now)
    assert margin.found is not None
    assert margin.event == "margin_5_mm"
    assert margin.found.error == pytest.approx(-30)
    assert not margin.found.holds
    assert hilum.found is not None
    assert hilum.event == "hilum_contact"
    assert hilum.found.error == pytest.approx(-10)
    assert hilum.found.holds
    silent = _measurement(1, 6, 20, forecast={**_forecast(60), "margin_5_mm_in_s": None})
    assert [t.found for t in score_times(TRUTH, silent)] == [None, None]
    now["structures"][1]["contact_interval_s"] = {"low": 230.0, "high": None}
    now["forecast"]["margin_5_mm_in_s"] = {"value": None, "low": 230.0, "high": None}
    margin, hilum = score_times(TRUTH, now)
    assert margin.found is None
    assert hilum.found == IntervalScore(260.0, 250.0, 230.0, float("inf"))
    assert score_times({**TRUTH, "ahead": {}}, now) == ()
    assert score_times(TRUTH, _measurement(1, 6, 20)) == ()


def test_mean_error() -> None:
    assert mean_error([-1.0, 2.0]) == 1.5
    assert mean_error([]) is None
