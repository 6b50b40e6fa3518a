"""Forecasts against what came, and against plain linear extrapolation computed here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np

from benchmarks.interval import IntervalScore
from benchmarks.reading import HILUM

Quantity = Literal["margin", "hilum", "volume"]

TRUE_NAMES: Final[dict[Quantity, str]] = {
    "margin": "margin_mm",
    "hilum": "hilum_distance_mm",
    "volume": "volume_ml",
}
"""Of the quantities in ``truth.json``."""

AHEAD_S = (60, 180, 300)

GOAL_MM = 5.0
"""Margin whose time is forecast."""


@dataclass(frozen=True)
class ForecastScore:
    """One quantity at one moment ahead.

    Attributes
    ----------
    linear
        What the last two measured values of the same phase give, prolonged; None after the first.
    unchanged
        The value measured now.
    """

    quantity: Quantity
    after_s: int
    found: IntervalScore
    linear: float | None
    unchanged: float

    @property
    def linear_error(self) -> float | None:
        """Positive where more is extrapolated than came."""
        return None if self.linear is None else self.linear - self.found.truth

    @property
    def unchanged_error(self) -> float:
        """Of taking the measured value for the coming one."""
        return self.unchanged - self.found.truth


@dataclass(frozen=True)
class TimeScore:
    """A forecast moment: of 5 mm of margin, or of the hilum's contact; seconds from the scan.

    Attributes
    ----------
    found
        None when none was given though it comes within the truth's reach.
    """

    event: Literal["margin_5_mm", "hilum_contact"]
    truth_s: float
    found: IntervalScore | None


@dataclass(frozen=True)
class Earlier:
    """A measured scan before this one in the same phase."""

    at_s: float
    measurement: dict[str, Any]


def extrapolated(times_s: Sequence[float], values: Sequence[float], at_s: float) -> float:
    """The straight line through the last two values, at another time.

    Raises
    ------
    ValueError
        Fewer than two values, or both of one time.
    """
    if len(values) < 2 or len(times_s) != len(values) or times_s[-1] == times_s[-2]:
        raise ValueError(f"no line through {list(zip(times_s, values, strict=False))}")
    slope = (values[-1] - values[-2]) / (times_s[-1] - times_s[-2])
    return values[-1] + slope * (at_s - times_s[-1])


def score_forecast(
    truth: dict[str, Any], measurement: dict[str, Any], before: Earlier | None
) -> tuple[ForecastScore, ...]:
    """Everything that was forecast at a scan and whose truth is known."""
    forecast = measurement.get("forecast") or {}
    coming = truth.get("ahead") or {}
    scores = []
    for step in forecast.get("ahead", ()):
        after_s = int(step["after_s"])
        for quantity, name in TRUE_NAMES.items():
            true = coming.get(str(after_s), {}).get(name)
            now = _measured(quantity, measurement)
            found = IntervalScore.of(true, _forecast(quantity, step))
            if found is None or now is None:
                continue
            linear = None
            earlier = None if before is None else _measured(quantity, before.measurement)
            if before is not None and earlier is not None:
                times_s = (before.at_s, float(truth["at_s"]))
                linear = extrapolated(times_s, (earlier, now), times_s[1] + after_s)
            scores.append(ForecastScore(quantity, after_s, found, linear, now))
    return tuple(scores)


def score_times(truth: dict[str, Any], measurement: dict[str, Any]) -> tuple[TimeScore, ...]:
    """Moments that truly come within the truth's reach, and what was forecast of them."""
    forecast = measurement.get("forecast")
    if not forecast:
        return ()
    scores = []
    true_s = reached_s(truth, "margin_mm", GOAL_MM)
    if true_s is not None:
        until = forecast.get("margin_5_mm_in_s") or {}
        scores.append(TimeScore("margin_5_mm", true_s, _moment(true_s, until.get("value"), until)))
    true_s = reached_s(truth, "hilum_distance_mm", 0.0)
    structures = [s for s in measurement["structures"] if HILUM.search(s["name"])]
    if true_s is not None and structures:
        value, span = structures[0].get("contact_in_s"), structures[0].get("contact_interval_s")
        scores.append(TimeScore("hilum_contact", true_s, _moment(true_s, value, span or {})))
    return tuple(scores)


def reached_s(truth: dict[str, Any], name: str, level: float) -> float | None:
    """When a true quantity comes to a level, seconds from the scan, by straight lines between the
    moments that are known; None when it is there already, or not within their reach."""
    coming = {int(s): values.get(name) for s, values in (truth.get("ahead") or {}).items()}
    known = [(0, truth.get(name)), *sorted(coming.items())]
    for (start_s, a), (end_s, b) in pairwise(known):
        if a is None or b is None:
            return None
        if (a - level) * (b - level) <= 0 and a != b:
            at_s = start_s + (level - a) / (b - a) * (end_s - start_s)
            return float(at_s) if at_s > 0 else None
    return None


def mean_error(errors: Sequence[float]) -> float | None:
    """Mean absolute error; None of none."""
    return float(np.mean(np.abs(errors))) if errors else None


def _moment(
    truth_s: float, value: float | None, span: dict[str, float | None]
) -> IntervalScore | None:
    """A forecast moment; an interval without an end lasts for ever."""
    low, high = span.get("low"), span.get("high")
    if value is None or low is None:
        return None
    return IntervalScore(truth_s, value, low, math.inf if high is None else high)


def _measured(quantity: Quantity, measurement: dict[str, Any]) -> float | None:
    if quantity == "volume":
        return float(measurement["ice"]["volume_ml"])
    if quantity == "margin":
        return float(measurement["tumour"]["margin_mm"]["value"])
    hila = [s for s in measurement["structures"] if HILUM.search(s["name"])]
    return float(hila[0]["distance_mm"]["value"]) if hila else None


def _forecast(quantity: Quantity, step: dict[str, Any]) -> dict[str, float] | None:
    if quantity == "hilum":
        hila = [s for s in step.get("structures", ()) if HILUM.search(s["name"])]
        return hila[0]["distance_mm"] if hila else None
    return step.get("volume_ml" if quantity == "volume" else "margin_mm")
