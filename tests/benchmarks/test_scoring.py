"""The benchmark's judge, against figures that were counted by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.forecasts import ForecastScore
from benchmarks.interval import IntervalScore
from benchmarks.reading import ScoringError
from benchmarks.scoring import (
    Lethal,
    ScanScore,
    published_matrix,
    registration_error_mm,
    score_scan,
)
from benchmarks.solids import Apart, Solid
from benchmarks.summary import Summary, coverage, mean, percentile_95


def _ice(size: int = 4) -> Solid:
    mask = np.zeros((8, 9, 10), dtype=bool)
    mask[2:6, 2:6, 2 : 2 + size] = True
    return Solid(mask, np.eye(4))


def _nothing() -> Solid:
    return Solid(np.zeros((8, 9, 10), dtype=bool), np.eye(4))


TRUTH: dict[str, Any] = {
    "label": "freeze 1",
    "series_instance_uid": "1.2",
    "volume_ml": 20.0,
    "margin_mm": -2.0,
    "hilum_distance_mm": 8.0,
}


def _measurement(**changed: Any) -> dict[str, Any]:
    return {
        "role": "monitoring",
        "assessment": "final",
        "reasons": [],
        "ice": {"volume_ml": 21.5, "visible_surface_fraction": 0.5},
        "tumour": {"margin_mm": {"value": -1.5, "low": -2.5, "high": -0.5}},
        "structures": [
            {"name": "Colon", "distance_mm": {"value": 30.0, "low": 29.0, "high": 31.0}},
            {"name": "Renal hilum", "distance_mm": {"value": 7.0, "low": 6.5, "high": 7.5}},
        ],
        **changed,
    }


def test_a_measured_scan() -> None:
    scan = score_scan(TRUTH, _measurement(), _ice(), _ice())
    assert scan.refused is None
    assert scan.dice == 1
    assert scan.surfaces == Apart(0, 0)
    assert scan.volume_ml == 21.5
    assert (scan.registration_mm, scan.lethal, scan.basis, scan.forecasts) == (None, None, None, ())
    assert scan.margin is not None
    assert scan.hilum is not None
    assert (scan.margin.error, scan.margin.holds, scan.margin.width) == (0.5, True, 2.0)
    assert (scan.hilum.error, scan.hilum.holds, scan.hilum.width) == (-1.0, False, 1.0)


def test_ice_measured_where_there_is_none_has_no_error_but_no_overlap_either() -> None:
    truth = {**TRUTH, "volume_ml": 0.0, "margin_mm": None, "hilum_distance_mm": None}
    scan = score_scan(truth, _measurement(), _ice(), _nothing())
    assert scan.dice == 0
    assert scan.distances == ()


@pytest.mark.parametrize(
    ("measurement", "text"),
    [
        (None, "no measurement at all"),
        (
            _measurement(
                assessment="not_assessable", reasons=[{"code": "leak", "text": "It leaks."}]
            ),
            "leak: It leaks.",
        ),
        (
            _measurement(role="baseline", reasons=[{"code": "no_ice", "text": "No ice."}]),
            "taken as baseline: no_ice: No ice.",
        ),
    ],
)
def test_a_refused_scan(measurement: dict[str, Any] | None, text: str) -> None:
    scan = score_scan(TRUTH, measurement, None, _ice())
    assert scan.refused == text
    assert scan.dice is None
    assert scan.distances == ()


def test_a_measurement_must_have_its_ice_and_its_hilum() -> None:
    with pytest.raises(ScoringError, match="was not written"):
        score_scan(TRUTH, _measurement(), None, _ice())
    with pytest.raises(ScoringError, match="0 distances to the hilum"):
        score_scan(TRUTH, _measurement(structures=[]), _ice(), _ice())


def test_masks_on_different_grids_are_not_compared() -> None:
    other = Solid(_ice().mask[1:], np.eye(4))
    with pytest.raises(ScoringError, match="voxels"):
        score_scan(TRUTH, _measurement(), _ice(), other)


def _matrix(*shift: float) -> list[float]:
    """A quarter turn about the z axis, and a shift; row by row."""
    x, y, z = shift
    return [0, -1, 0, x, 1, 0, 0, y, 0, 0, 1, z, 0, 0, 0, 1]


def test_registration_is_judged_at_the_tumour() -> None:
    points = np.array([[10.0, 0, 0], [20, 0, 0], [15, 5, 3]])
    truth = {**TRUTH, "kidney_matrix": np.reshape(_matrix(1, 2, 3), (4, 4)).tolist()}
    measured = _measurement(registration={"planning_to_scan": _matrix(1, 2.6, 3.8)})
    assert registration_error_mm(truth, measured, points) == pytest.approx(1.0)
    # Left in place: a point at distance r from the axis is off by r times the root of two.
    still = _measurement(registration={"planning_to_scan": np.eye(4).ravel().tolist()})
    turned = {**TRUTH, "kidney_matrix": np.reshape(_matrix(0, 0, 0), (4, 4)).tolist()}
    assert registration_error_mm(turned, still, points[:2]) == pytest.approx(15 * 2**0.5)
    assert registration_error_mm(truth, measured, None) is None
    assert registration_error_mm(TRUTH, measured, points) is None
    assert registration_error_mm(truth, _measurement(), points) is None


@pytest.mark.parametrize(
    "numbers", [[1.0] * 15, [2.0 * n for n in _matrix(0, 0, 0)], np.ones(16).tolist()]
)
def test_a_transform_that_is_not_rigid_is_a_fault(numbers: list[float]) -> None:
    with pytest.raises(ScoringError, match="planning_to_scan"):
        published_matrix(_measurement(registration={"planning_to_scan": numbers}))


def test_the_modelled_surface_is_judged_where_its_truth_is_known() -> None:
    lethal = {
        "temperature_c": -20.0,
        "volume_ml": {"value": 9.0, "low": 7.0, "high": 11.0},
        "margin_mm": {"value": -6.0, "low": -7.0, "high": -5.0},
    }
    truth = {**TRUTH, "lethal_volume_ml": 10.0, "lethal_margin_mm": -4.0}
    scan = score_scan(truth, _measurement(lethal=lethal), _ice(), _ice())
    assert scan.lethal == Lethal(IntervalScore(10, 9, 7, 11), IntervalScore(-4, -6, -7, -5))
    scan = score_scan(TRUTH, _measurement(lethal=lethal), _ice(), _ice())
    assert scan.lethal == Lethal(None, None)


def test_summary() -> None:
    forecasts = (
        ForecastScore("margin", 180, IntervalScore(4, 5, 3, 6), None, 1),
        ForecastScore("margin", 60, IntervalScore(4, 9, 3, 6), None, 1),
        ForecastScore("hilum", 180, IntervalScore(4, 9, 3, 6), None, 1),
    )
    scans = [
        ScanScore(
            "a",
            "1",
            5.0,
            None,
            0.7,
            Apart(1.0, 3.0),
            IntervalScore(1, 2, 0, 4),
            IntervalScore(9, 3.5, 3, 4),
            volume_ml=6.5,
            registration_mm=0.4,
            forecasts=forecasts,
        ),
        ScanScore(
            "b",
            "2",
            9.0,
            None,
            0.8,
            Apart(2.0, 4.0),
            IntervalScore(1, -2, -3, 1),
            IntervalScore(5, 5, 4, 6),
            volume_ml=8.5,
            registration_mm=1.2,
        ),
        ScanScore("c", "3", 7.0, "leak: It leaks."),
        ScanScore("d", "4", 0.0, "no_ice: There is none."),
    ]
    found = Summary.of(scans)
    assert found.registration_p95_mm == pytest.approx(0.4 + 0.95 * 0.8)
    assert found.margin_p95_mm == pytest.approx(1 + 0.95 * 2)
    assert found.hilum_p95_mm == pytest.approx(0.95 * 5.5)
    assert found.dice_mean == pytest.approx(0.75)
    assert found.registration_mm == pytest.approx(0.8)
    assert replace(
        found,
        dice_mean=None,
        registration_mm=None,
        registration_p95_mm=None,
        margin_p95_mm=None,
        hilum_p95_mm=None,
    ) == Summary(
        scans=4,
        refused=1,
        dice_mean=None,
        dice_min=0.7,
        big_dice_mean=0.8,
        big_dice_min=0.8,
        surface_mm=1.5,
        hd95_mm=3.5,
        volume_mae_ml=1.0,
        margin_mae_mm=2.0,
        margin_p95_mm=None,
        margin_worst_mm=-3.0,
        hilum_mae_mm=2.75,
        hilum_p95_mm=None,
        hilum_worst_mm=-5.5,
        coverage=0.75,
        margin_coverage=1.0,
        hilum_coverage=0.5,
        width_mm=(4 + 1 + 4 + 2) / 4,
        confidently_wrong=1,
        registration_mm=None,
        registration_p95_mm=None,
        registered=0.5,
        forecast_mae_mm=1.0,
    )


def test_summary_of_nothing_measured_holds_no_number() -> None:
    summary = Summary.of([ScanScore("c", "3", 7.0, "leak: It leaks.")])
    assert (summary.scans, summary.refused, summary.confidently_wrong) == (1, 1, 0)
    named = {k: v for k, v in vars(summary).items() if v is not None}
    assert named == {"scans": 1, "refused": 1, "confidently_wrong": 0}
    assert mean([]) is None
    assert percentile_95([]) is None
    assert coverage([]) is None
