"""One scan's measurement against what is true of it.

Everything is read as a stranger would: ``measurements.json`` by its published names, the
segmentation by highdicom, the scan's grid from its slices' positions. No code that made the
figures takes part in judging them.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.forecasts import (
    Earlier,
    ForecastScore,
    TimeScore,
    score_forecast,
    score_times,
)
from benchmarks.interval import IntervalScore
from benchmarks.naive import NaiveScore
from benchmarks.reading import HILUM, ScoringError
from benchmarks.solids import Apart, Points, Solid, apart, dice
from benchmarks.summary import Summary

Part = Literal["tuning", "test", "fresh"]


@dataclass(frozen=True)
class Lethal:
    """The modelled -20 C surface against the true one: volume in ml, margin in mm."""

    volume: IntervalScore | None
    margin: IntervalScore | None


@dataclass(frozen=True)
class ScanScore:
    """One monitoring scan.

    Attributes
    ----------
    true_volume_ml
        Of the ice.
    refused
        Why there is no figure; None when there is one.
    dice
        Of the ice on the scan's voxels; None when refused.
    surfaces
        Distances between found and true surface; None when refused or without ice.
    margin, hilum
        None when refused, or when there is no true distance since there is no ice.
    volume_ml
        As measured.
    registration_mm
        Mean distance of the tumour's contour points, moved as published, from where they are.
    naive
        Errors of the naive ways, by method.
    """

    label: str
    series_instance_uid: str
    true_volume_ml: float
    refused: str | None
    dice: float | None = None
    surfaces: Apart | None = None
    margin: IntervalScore | None = None
    hilum: IntervalScore | None = None
    volume_ml: float | None = None
    registration_mm: float | None = None
    visible_surface_fraction: float | None = None
    lethal: Lethal | None = None
    basis: str | None = None
    forecasts: tuple[ForecastScore, ...] = ()
    times: tuple[TimeScore, ...] = ()
    naive: dict[str, NaiveScore] = field(default_factory=dict)

    @property
    def distances(self) -> tuple[IntervalScore, ...]:
        """Those that were measured."""
        return tuple(d for d in (self.margin, self.hilum) if d is not None)

    @property
    def denied(self) -> bool:
        """Whether there was ice to measure, and no figure came."""
        return self.refused is not None and self.true_volume_ml > 0

    @property
    def worst_error_mm(self) -> float:
        """The larger error of the two distances; 0 where none was measured."""
        return max((abs(d.error) for d in self.distances), default=0.0)


@dataclass(frozen=True)
class CaseScore:
    """One procedure.

    Attributes
    ----------
    part
        Whether constants were set on it or not.
    source
        ``ct`` where the anatomy is a real one.
    scans
        Its monitoring scans in order.
    misread
        Scans that were taken for something else than they are, though nothing hangs on them here.
    """

    name: str
    description: str
    scans: tuple[ScanScore, ...]
    misread: tuple[str, ...] = ()
    part: Part = "tuning"
    source: Literal["phantom", "ct"] = "phantom"

    @property
    def summary(self) -> Summary:
        """Over its scans."""
        return Summary.of(self.scans)


def score_scan(
    truth: dict[str, Any],
    measurement: dict[str, Any] | None,
    found: Solid | None,
    true: Solid,
    *,
    tumour_lps_mm: Points | None = None,
    before: Earlier | None = None,
) -> ScanScore:
    """Judge one monitoring scan.

    Parameters
    ----------
    truth
        Its entry in ``truth.json``.
    measurement
        Its entry in ``measurements.json``; None when it has none.
    found, true
        Ice on the scan's voxels; ``found`` may be None only when nothing was measured.
    tumour_lps_mm
        (N, 3): the tumour in the planning frame, for the registration's error.
    before
        The last measured scan before it in the same phase.

    Raises
    ------
    ScoringError
        A measurement without a segmentation, or without a distance to the hilum.
    """
    uid = str(truth["series_instance_uid"])
    refused = refusal(measurement)
    label, volume_ml = str(truth["label"]), float(truth["volume_ml"])
    if measurement is None or refused is not None:
        return ScanScore(label, uid, volume_ml, refused)
    if found is None:
        raise ScoringError(f"{label} was measured, but its ice was not written")
    hila = [s["distance_mm"] for s in measurement["structures"] if HILUM.search(s["name"])]
    if len(hila) != 1:
        raise ScoringError(f"{label} was measured with {len(hila)} distances to the hilum")
    if found.mask.shape != true.mask.shape:
        raise ScoringError(f"{label}: masks of {found.mask.shape} and {true.mask.shape} voxels")
    both = found.mask.any() and true.mask.any()
    forecast = measurement.get("forecast") or {}
    return ScanScore(
        label=label,
        series_instance_uid=uid,
        true_volume_ml=volume_ml,
        refused=None,
        dice=dice(found.mask, true.mask),
        surfaces=apart(found, true) if both else None,
        margin=IntervalScore.of(truth["margin_mm"], measurement["tumour"]["margin_mm"]),
        hilum=IntervalScore.of(truth["hilum_distance_mm"], hila[0]),
        volume_ml=float(measurement["ice"]["volume_ml"]),
        registration_mm=registration_error_mm(truth, measurement, tumour_lps_mm),
        visible_surface_fraction=float(measurement["ice"]["visible_surface_fraction"]),
        lethal=_lethal(truth, measurement),
        basis=forecast.get("basis"),
        forecasts=score_forecast(truth, measurement, before),
        times=score_times(truth, measurement),
    )


def refusal(measurement: dict[str, Any] | None) -> str | None:
    """Why a scan that holds a freeze was not measured, in one line."""
    if measurement is None:
        return "no measurement at all"
    texts = "; ".join(f"{reason['code']}: {reason['text']}" for reason in measurement["reasons"])
    if measurement["role"] != "monitoring":
        return f"taken as {measurement['role']}: {texts}"
    return texts if measurement["assessment"] == "not_assessable" else None


def published_matrix(measurement: dict[str, Any]) -> NDArray[np.float64] | None:
    """(4, 4): planning frame to the scan's, as published; None where it is not.

    Raises
    ------
    ScoringError
        It is no rigid transform's matrix.
    """
    numbers = (measurement.get("registration") or {}).get("planning_to_scan")
    if numbers is None:
        return None
    if np.size(numbers) != 16:
        raise ScoringError(f"planning_to_scan has {np.size(numbers)} numbers")
    matrix = np.array(numbers, dtype=np.float64).reshape(4, 4)
    turn = matrix[:3, :3]
    if not np.allclose(matrix[3], (0, 0, 0, 1)) or not np.allclose(
        turn @ turn.T, np.eye(3), atol=1e-4
    ):
        raise ScoringError(f"planning_to_scan is not rigid: {numbers}")
    return matrix


def registration_error_mm(
    truth: dict[str, Any], measurement: dict[str, Any], points_lps_mm: Points | None
) -> float | None:
    """Mean distance between where points were put and where they are; None where unknown."""
    found = published_matrix(measurement)
    true = truth.get("kidney_matrix")
    if found is None or not true or points_lps_mm is None:
        return None
    difference = found - np.array(true, dtype=np.float64)
    offsets = points_lps_mm @ difference[:3, :3].T + difference[:3, 3]
    return float(np.linalg.norm(offsets, axis=1).mean())


def _lethal(truth: dict[str, Any], measurement: dict[str, Any]) -> Lethal | None:
    lethal = measurement.get("lethal")
    if not lethal:
        return None
    return Lethal(
        volume=IntervalScore.of(truth.get("lethal_volume_ml"), lethal["volume_ml"]),
        margin=IntervalScore.of(truth.get("lethal_margin_mm"), lethal["margin_mm"]),
    )
