"""What an analysis forecasts, in the wire's form.

A forecast that can't be (a number that is none, an interval out of order) is left out: what was
measured stays.
"""

import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from pydantic import ValidationError

from monitor import forecast_messages
from monitor.analysis import Found
from monitor.wire import Interval
from segmentation.estimate import Estimate
from segmentation.forecast import Ahead, Until

LETHAL_C = -20.0
"""Where cells are taken for dead (domain facts, 6.4)."""

logger = logging.getLogger(__name__)

T = TypeVar("T")


def forecast_of(found: Found) -> forecast_messages.Forecast | None:
    """The forecast of a scan; None while it is not freezing."""
    forecast = found.forecast
    if forecast is None:
        return None
    names = [distance.name for distance in found.distances]
    return _or_none(
        lambda: forecast_messages.Forecast(
            basis=forecast_messages.BASIS,
            ahead=[_ahead(ahead, names) for ahead in forecast.ahead],
            margin_5_mm_in_s=_until(forecast.margin_reached),
        )
    )


def contacts_of(found: Found) -> list[forecast_messages.Until | None]:
    """Seconds until the ice touches, for each distance; None where that is not foreseen."""
    if found.forecast is None:
        return [None] * len(found.distances)
    return [_or_none(partial(_until, until)) for until in found.forecast.contact]


def lethal_of(found: Found) -> forecast_messages.Lethal | None:
    """The modelled -20 C surface of a scan; None while it is not freezing."""
    lethal = found.lethal
    if lethal is None:
        return None
    return _or_none(
        lambda: forecast_messages.Lethal(
            temperature_c=LETHAL_C,
            basis=forecast_messages.BASIS,
            volume_ml=interval(lethal.volume_ml),
            margin_mm=interval(lethal.margin_mm),
            covered_fraction=lethal.covered_fraction,
        )
    )


def interval(estimate: Estimate) -> Interval:
    """An estimate in the wire's form."""
    return Interval(value=estimate.value, low=estimate.low, high=estimate.high)


def _ahead(ahead: Ahead, names: Sequence[str]) -> forecast_messages.Ahead:
    return forecast_messages.Ahead(
        after_s=ahead.after_s,
        volume_ml=interval(ahead.volume_ml),
        margin_mm=interval(ahead.margin_mm),
        structures=[
            forecast_messages.StructureAhead(name=name, distance_mm=interval(distance))
            for name, distance in zip(names, ahead.distances_mm, strict=True)
        ],
    )


def _until(until: Until) -> forecast_messages.Until | None:
    """None where even the earliest is not within the model's reach."""
    if math.isinf(until.low):
        return None
    high = until.high if math.isfinite(until.high) else None
    return forecast_messages.Until(value=until.value, low=until.low, high=high)


def _or_none(make: Callable[[], T]) -> T | None:
    try:
        return make()
    except ValidationError:
        logger.exception("A forecast can't be, and is left out")
        return None
