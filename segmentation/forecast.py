"""What comes next while freezing goes on, and where tissue is below -20 C: both modelled, not seen.

The freezing model that was fitted to the scan is let run on. Only how much the ice will grow is
taken from it; it is added to what was measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation import freezing
from segmentation.distances import least_depth
from segmentation.estimate import Estimate
from segmentation.freezing import FreezingModel
from segmentation.ground import Ground
from segmentation.ice import Ice
from segmentation.moment import Moment
from segmentation.rigid import Rigid
from segmentation.sampling import sample
from segmentation.structures import Structure
from segmentation.surface import surface_of
from segmentation.volume import Volume

AHEAD_S = (60.0, 180.0, 300.0)
"""What is told."""

FURTHER_S = (450.0, 600.0, 900.0)
"""What is looked at beside, for the time until a distance is reached."""

WANTED_MARGIN_MM = 5.0
"""Of ice beyond the tumour: technical success (domain facts, 2.3)."""

GROWTH_SHARE = 0.25
"""Standard deviation of the modelled growth, as a part of it."""

PACE_PRIOR_S = 180.0
PACE_RANGE = (0.4, 1.8)
"""How fast the ice goes through the model's time: the earlier scans of this freeze tell, against
the expectation that it is as fast as ours, which weighs like this many seconds of them."""

POINTS = 700
"""Of a structure's surface, that growth is looked up for."""

LETHAL_SD_MM = 1.6
"""The gap between the edge and -20 C is 1.5 to 6 mm wide, by perfusion (domain facts, 6.4)."""


@dataclass(frozen=True)
class Ahead:
    """The procedure some seconds after the scan, should freezing go on.

    Attributes
    ----------
    distances_mm
        In the order of the clearances.
    """

    after_s: float
    volume_ml: Estimate
    margin_mm: Estimate
    distances_mm: tuple[Estimate, ...]


@dataclass(frozen=True)
class Until:
    """Seconds from the scan until something is reached; ``high`` is infinite where it may never.

    ``value`` is None where it is not expected within 15 minutes.
    """

    value: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Forecast:
    """What freezing on would do.

    Attributes
    ----------
    pace
        Seconds of the model's freezing for each of the clock's.
    margin_reached
        Until the margin is 5 mm.
    contact
        Until the ice touches, for each clearance.
    """

    pace: float
    ahead: tuple[Ahead, ...]
    margin_reached: Until
    contact: tuple[Until, ...]


@dataclass(frozen=True, eq=False)
class Lethal:
    """Tissue that is at -20 C or below now, by the model.

    Attributes
    ----------
    surface
        In the scan's frame.
    margin_mm
        As the ice's margin, to this surface.
    covered_fraction
        Of the tumour's volume.
    """

    surface: Volume
    volume_ml: Estimate
    margin_mm: Estimate
    covered_fraction: float


def forecast(
    ice: Ice,
    ground: Ground,
    moment: Moment,
    baseline_to_scan: Rigid,
    margin: tuple[Structure, Estimate],
    clearances: Sequence[tuple[Structure, Estimate]],
    planning_to_scan: Rigid,
) -> Forecast | None:
    """Let the fitted model run on; None without a model, or where the ice may not be freezing.

    Parameters
    ----------
    margin, clearances
        The tumour and the structures at risk, each with what was measured.
    """
    model = ice.model
    if model is None or not moment.freezing(ice.volume_ml):
        return None
    model = model.freezing_only()
    if model is None:
        return None
    pace = _pace(model, ground, moment, ice.volume_ml)
    steps = (*AHEAD_S, *FURTHER_S)
    growths = [_growth(model, ground, step * pace) for step in steps]
    back = baseline_to_scan.inverse()
    at_ice = back.apply(ice.surface.points_lps_mm)
    gained = [sample(g, at_ice, outside=0.0) for g in growths]
    tumour = _Reach(ice, margin[0], planning_to_scan)
    margins = [
        _grown(margin[1], tumour.margin(gain) - tumour.margin(None), step)
        for step, gain in zip(steps, gained, strict=True)
    ]
    distances = []
    for structure, distance in clearances:
        reach = _Reach(ice, structure, planning_to_scan)
        distances.append(
            [
                _grown(distance, reach.distance(gain) - reach.distance(None), step)
                for step, gain in zip(steps, gained, strict=True)
            ]
        )
    volumes = [_volume(ice, model, growth) for growth in growths]
    return Forecast(
        pace=pace,
        ahead=tuple(
            Ahead(step, volumes[n], margins[n], tuple(d[n] for d in distances))
            for n, step in enumerate(AHEAD_S)
        ),
        margin_reached=_until((margin[1], *margins), (0.0, *steps), WANTED_MARGIN_MM, rising=True),
        contact=tuple(
            _until((c[1], *d), (0.0, *steps), 0.0, rising=False)
            for c, d in zip(clearances, distances, strict=True)
        ),
    )


def lethal(
    ice: Ice,
    ground: Ground,
    moment: Moment,
    baseline_to_scan: Rigid,
    tumour: Structure,
    planning_to_scan: Rigid,
) -> Lethal | None:
    """Where the model has -20 C now; None while thawing, without a model, or where nothing is."""
    model = ice.model
    if model is None or not moment.freezing(ice.volume_ml):
        return None
    model = model.freezing_only()
    if model is None:
        return None
    depth = sum(
        np.float32(c.weight) * freezing.front_depth(ground, c, c.time_s, lethal=True)
        for c in model.candidates
    )
    heat = ground.heat
    field = Volume(
        np.asarray(depth - model.left_over_mm, dtype=np.float32),
        baseline_to_scan.apply(heat.origin_lps_mm),
        baseline_to_scan.rotation @ heat.direction,
        heat.spacing_mm,
    )
    surface = surface_of(field)
    if surface.empty:
        return None
    worst = least_depth(surface, tumour, planning_to_scan)
    volume = freezing.volume_ml(field)
    # A shell as thick as the surface is uncertain, on a ball of this volume.
    radius_mm = (volume * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
    shell_ml = 4 * np.pi * radius_mm**2 * LETHAL_SD_MM / 1000
    inside = planning_to_scan.apply(tumour.inside_lps_mm)
    return Lethal(
        surface=field,
        volume_ml=Estimate.about(volume, shell_ml, least=0.0),
        margin_mm=Estimate.about(worst.depth_mm, LETHAL_SD_MM),
        covered_fraction=float(surface.holds(inside).mean()),
    )


class _Reach:
    """Points of a structure's surface with their depth in the ice and the ice's nearest point."""

    def __init__(self, ice: Ice, structure: Structure, to_scan: Rigid) -> None:
        points = structure.surface.points_lps_mm
        chosen = to_scan.apply(points[:: max(1, len(points) // POINTS)])
        self._depth, self._nearest = ice.surface.depth(chosen)

    def margin(self, gain: NDArray[np.float32] | None) -> float:
        """Least depth, the ice grown by ``gain`` at each of its points."""
        return float(self._after(gain).min())

    def distance(self, gain: NDArray[np.float32] | None) -> float:
        """Least distance from the ice."""
        return -float(self._after(gain).max())

    def _after(self, gain: NDArray[np.float32] | None) -> NDArray[np.float64]:
        return self._depth if gain is None else self._depth + gain[self._nearest]


def _growth(model: FreezingModel, ground: Ground, seconds: float) -> Volume:
    """mm by which the modelled edge moves outwards, on the coarse grid."""
    total = np.zeros(ground.heat.array.shape, dtype=np.float32)
    for c in model.candidates:
        now = freezing.front_depth(ground, c, c.time_s)
        then = freezing.front_depth(ground, c, c.time_s + seconds)
        total += np.float32(c.weight) * (then - now)
    heat = ground.heat
    return Volume(total, heat.origin_lps_mm, heat.direction, heat.spacing_mm)


def _pace(model: FreezingModel, ground: Ground, moment: Moment, volume_ml: float) -> float:
    """From the volume of the first other scan of this freeze."""
    scans = moment.same_freeze(volume_ml)
    if not scans:
        return 1.0
    first = scans[0]
    share = first.volume_ml / volume_ml
    steps = np.arange(0.0, PACE_RANGE[1] * first.before_s + 30, 30.0)
    now = freezing.volume_ml(model.depth)
    volumes = [_shrunk_ml(model, ground, step) / now for step in steps]
    # Volumes fall with the step backwards; np.interp wants them rising.
    back_s = float(np.interp(share, volumes[::-1], steps[::-1]))
    pace = (back_s + PACE_PRIOR_S) / (first.before_s + PACE_PRIOR_S)
    return float(np.clip(pace, *PACE_RANGE))


def _shrunk_ml(model: FreezingModel, ground: Ground, seconds: float) -> float:
    growth = _growth(model, ground, -seconds)
    return freezing.volume_ml(_sum(model.depth, growth))


def _sum(depth: Volume, growth: Volume) -> Volume:
    return Volume(
        (depth.array + growth.array).astype(np.float32),
        depth.origin_lps_mm,
        depth.direction,
        depth.spacing_mm,
    )


def _volume(ice: Ice, model: FreezingModel, growth: Volume) -> Estimate:
    now = freezing.volume_ml(model.depth)
    gained = (freezing.volume_ml(_sum(model.depth, growth)) - now) * ice.volume_ml / max(now, 0.1)
    spread = np.hypot(ice.volume_sd_ml, GROWTH_SHARE * abs(gained))
    return Estimate.about(ice.volume_ml + gained, float(spread), least=0.0)


def _grown(now: Estimate, change_mm: float, after_s: float) -> Estimate:
    spread = np.hypot(now.sd, GROWTH_SHARE * abs(change_mm) + 0.1 * after_s / 60)
    return Estimate.about(now.value + change_mm, float(spread))


def _until(
    course: Sequence[Estimate], times_s: Sequence[float], level: float, *, rising: bool
) -> Until:
    """When the course, and each border of its interval, reaches a level."""
    sign = 1 if rising else -1
    values = [sign * (e.value - level) for e in course]
    early = [sign * ((e.high if rising else e.low) - level) for e in course]
    late = [sign * ((e.low if rising else e.high) - level) for e in course]
    value = _crossing(values, times_s)
    return Until(
        value if np.isfinite(value) else None, _crossing(early, times_s), _crossing(late, times_s)
    )


def _crossing(values: Sequence[float], times_s: Sequence[float]) -> float:
    """First time at which the values are not negative, linear in between; infinite if never."""
    if values[0] >= 0:
        return 0.0
    for n in range(1, len(values)):
        if values[n] >= 0:
            share = values[n - 1] / (values[n - 1] - values[n])
            return float(times_s[n - 1] + share * (times_s[n] - times_s[n - 1]))
    return float("inf")
