"""Many scans in one row of figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.interval import CONFIDENTLY_WRONG_MM, IntervalScore

if TYPE_CHECKING:
    from benchmarks.scoring import ScanScore

BIG_ICE_ML = 8.0
"""The targets for overlap hold while there is more true ice than this."""

REGISTRATION_GOAL_MM = 1.0

TARGET_AHEAD_S = 180
"""The moment that the forecast's target speaks of."""


@dataclass(frozen=True)
class Summary:
    """Many scans in one row. All but the counts are None when nothing was measured.

    Attributes
    ----------
    refused
        Scans with ice but without figures.
    big_dice_mean, big_dice_min
        Over the scans with more than ``BIG_ICE_ML`` of true ice.
    surface_mm, hd95_mm
        Means over the scans.
    coverage
        Share of all intervals, of margins and hilum distances together, that hold the truth.
    width_mm
        Mean over the same intervals.
    confidently_wrong
        Distances shown as measured that are wrong by more than ``CONFIDENTLY_WRONG_MM``.
    registered
        Share of the scans whose registration is right to ``REGISTRATION_GOAL_MM``.
    forecast_mae_mm
        Of the margin, ``TARGET_AHEAD_S`` ahead.
    """

    scans: int
    refused: int
    dice_mean: float | None
    dice_min: float | None
    big_dice_mean: float | None
    big_dice_min: float | None
    surface_mm: float | None
    hd95_mm: float | None
    volume_mae_ml: float | None
    margin_mae_mm: float | None
    margin_p95_mm: float | None
    margin_worst_mm: float | None
    hilum_mae_mm: float | None
    hilum_p95_mm: float | None
    hilum_worst_mm: float | None
    coverage: float | None
    margin_coverage: float | None
    hilum_coverage: float | None
    width_mm: float | None
    confidently_wrong: int
    registration_mm: float | None
    registration_p95_mm: float | None
    registered: float | None
    forecast_mae_mm: float | None

    @staticmethod
    def of(scans: Sequence[ScanScore]) -> Summary:
        """Summarize; worst errors keep their sign."""
        overlaps = [(s.dice, s.true_volume_ml) for s in scans if s.dice is not None]
        overlap = [d for d, _ in overlaps]
        big = [d for d, ml in overlaps if ml > BIG_ICE_ML]
        margins = [s.margin for s in scans if s.margin is not None]
        hila = [s.hilum for s in scans if s.hilum is not None]
        distances = [*margins, *hila]
        surfaces = [s.surfaces for s in scans if s.surfaces is not None]
        volumes = [s.volume_ml - s.true_volume_ml for s in scans if s.volume_ml is not None]
        registered = [s.registration_mm for s in scans if s.registration_mm is not None]
        ahead = [
            forecast.found.error
            for scan in scans
            for forecast in scan.forecasts
            if forecast.quantity == "margin" and forecast.after_s == TARGET_AHEAD_S
        ]
        return Summary(
            scans=len(scans),
            refused=sum(s.denied for s in scans),
            dice_mean=mean(overlap),
            dice_min=min(overlap, default=None),
            big_dice_mean=mean(big),
            big_dice_min=min(big, default=None),
            surface_mm=mean(s.mean_mm for s in surfaces),
            hd95_mm=mean(s.hd95_mm for s in surfaces),
            volume_mae_ml=mean(map(abs, volumes)),
            margin_mae_mm=mean(abs(d.error) for d in margins),
            margin_p95_mm=percentile_95(abs(d.error) for d in margins),
            margin_worst_mm=max((d.error for d in margins), key=abs, default=None),
            hilum_mae_mm=mean(abs(d.error) for d in hila),
            hilum_p95_mm=percentile_95(abs(d.error) for d in hila),
            hilum_worst_mm=max((d.error for d in hila), key=abs, default=None),
            coverage=coverage(distances),
            margin_coverage=coverage(margins),
            hilum_coverage=coverage(hila),
            width_mm=mean(d.width for d in distances),
            confidently_wrong=sum(abs(d.error) > CONFIDENTLY_WRONG_MM for d in distances),
            registration_mm=mean(registered),
            registration_p95_mm=percentile_95(registered),
            registered=mean(float(mm <= REGISTRATION_GOAL_MM) for mm in registered),
            forecast_mae_mm=mean(map(abs, ahead)),
        )


def mean(values: Iterable[float]) -> float | None:
    """None of none."""
    listed = list(values)
    return float(np.mean(listed)) if listed else None


def percentile_95(values: Iterable[float]) -> float | None:
    """Linear between the two nearest; None of none."""
    listed = list(values)
    return float(np.percentile(listed, 95)) if listed else None


def coverage(intervals: Iterable[IntervalScore]) -> float | None:
    """Share that holds the truth; None of none."""
    return mean(float(interval.holds) for interval in intervals)
