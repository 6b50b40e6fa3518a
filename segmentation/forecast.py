"""What comes next while freezing goes on, and where tissue is below -20 C: both modelled, not seen.

The freezing model that was fitted to the scan is let run on. Only how much the ice will grow is
taken from it; it is added to what was measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation import freezing
from segmentation.distances import least_depth
from segmentation.estimate import Estimate
from segmentation.freezing import FreezingModel
from segmentation.ground import Ground
from segmentation.growing import CLIP_MM
from segmentation.ice import Ice
from segmentation.moment import Earlier, Moment
from segmentation.rigid import Rigid
from segmentation.sampling import sample, voxel_centres
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

LEAST_ML = 0.5
"""Modelled ice smaller than this tells nothing about its pace."""

PACE_PRIOR_S = 180.0
PACE_RANGE = (0.4, 1.8)
"""How fast the ice goes through the model's time: the earlier scans of this freeze tell, against
the expectation that it is as fast as ours, which weighs like this many seconds of them."""

RATIO_PRIOR_MM = 1.0
RATIO_RANGE = (0.3, 1.5)
"""A distance has changed so many times as much as modelled; the first says as much for 1."""

POINTS = 700
"""Of a structure's surface, that growth is looked up for."""

STEPS_MM = np.arange(-12.0, 16.0)
"""Along the normal of the ice's edge, where times are looked up; the edge is at 0."""

NEVER_S = 1e4
"""Beyond the modelled region."""

INSIDE_ICE_MM = 1.0
"""Least depth of -20 C inside the ice; 1.5 mm in a well perfused kidney (domain facts, 6.4)."""

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
    coming = _Coming.of(ground, model)
    pace = _pace(coming, moment, ice.volume_ml)
    steps = (*AHEAD_S, *FURTHER_S)
    to_baseline = baseline_to_scan.inverse()
    tumour = _Reach(ice, margin[0], planning_to_scan, coming, to_baseline)
    earlier = moment.same_freeze(ice.volume_ml)
    last = earlier[-1] if earlier else None
    before_mm = last.margin_mm if last is not None else None
    ratio = _ratio(margin[1].value, before_mm, last, tumour.margin, pace)
    margins = [_grown(margin[1], ratio * tumour.margin(step * pace), step) for step in steps]
    distances = []
    for structure, distance in clearances:
        reach = _Reach(ice, structure, planning_to_scan, coming, to_baseline)
        before_mm = dict(last.distances_mm).get(structure.name) if last is not None else None
        ratio = _ratio(distance.value, before_mm, last, reach.distance, pace)
        distances.append(
            [_grown(distance, ratio * reach.distance(step * pace), step) for step in steps]
        )
    volumes = [_volume(ice, coming, step * pace) for step in AHEAD_S]
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
    registration_mm: float,
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
    moved = Volume(
        np.asarray(depth - model.left_over_mm, dtype=np.float32),
        baseline_to_scan.apply(heat.origin_lps_mm),
        baseline_to_scan.rotation @ heat.direction,
        heat.spacing_mm,
    )
    # However far off the model is, what is not ice is not at -20 C.
    within = sample(ice.surface.field, voxel_centres(moved), outside=-CLIP_MM) - INSIDE_ICE_MM
    field = Volume(
        np.minimum(moved.array, within), moved.origin_lps_mm, moved.direction, moved.spacing_mm
    )
    surface = surface_of(field)
    if surface.empty:
        return None
    worst = least_depth(surface, tumour, planning_to_scan)
    volume = freezing.volume_ml(field)
    # A shell as thick as the surface is uncertain, on a ball of this volume.
    radius_mm = (volume * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
    shell_ml = 4 * np.pi * radius_mm**2 * LETHAL_SD_MM / 1000
    edge_mm = float(np.median(ice.edge_sd_mm))
    inside = planning_to_scan.apply(tumour.inside_lps_mm)
    return Lethal(
        surface=field,
        volume_ml=Estimate.about(volume, shell_ml, least=0.0),
        margin_mm=Estimate.about(
            worst.depth_mm, float(np.linalg.norm([LETHAL_SD_MM, edge_mm, registration_mm]))
        ),
        covered_fraction=float(surface.holds(inside).mean()),
    )


@dataclass(frozen=True, eq=False)
class _Coming:
    """When the ice will be where, in the model's seconds from now, in the baseline's frame."""

    arrival_s: Volume
    slope_s_per_mm: Volume

    @staticmethod
    def of(ground: Ground, model: FreezingModel) -> "_Coming":
        return _Coming(*freezing.arrival(ground, model))

    def volume_ml(self, seconds: float) -> float:
        """Of the model's own ice then."""
        depth = (np.float32(seconds) - self.arrival_s.array) / self.slope_s_per_mm.array
        grid = self.arrival_s
        return freezing.volume_ml(
            Volume(depth, grid.origin_lps_mm, grid.direction, grid.spacing_mm)
        )

    def gains(
        self, points_lps_mm: NDArray[np.float64], outwards: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """(N, G): seconds after which points of the edge are ``STEPS_MM`` further out."""
        line = points_lps_mm[:, None] + STEPS_MM[:, None] * outwards[:, None]
        times = sample(self.arrival_s, line, outside=NEVER_S)
        edge = int(np.searchsorted(STEPS_MM, 0.0))
        beyond = times[:, edge] >= NEVER_S
        times -= times[:, edge : edge + 1]
        times[beyond] = np.sign(STEPS_MM) * NEVER_S
        times[:, edge:] = np.maximum.accumulate(times[:, edge:], axis=1)
        inwards = times[:, edge::-1]
        times[:, edge::-1] = np.minimum.accumulate(inwards, axis=1)
        return times


class _Reach:
    """Points of a structure's surface, their depth in the ice, and how the ice nearest moves."""

    def __init__(
        self,
        ice: Ice,
        structure: Structure,
        to_scan: Rigid,
        coming: _Coming,
        to_baseline: Rigid,
    ) -> None:
        points = structure.surface.points_lps_mm
        chosen = to_scan.apply(points[:: max(1, len(points) // POINTS)])
        self._depth, nearest = ice.surface.depth(chosen)
        self._times_s = coming.gains(
            to_baseline.apply(ice.surface.points_lps_mm[nearest]),
            ice.surface.normals[nearest] @ to_baseline.rotation.T,
        )

    def margin(self, seconds: float) -> float:
        """By how much the least depth grows."""
        return float(self._after(seconds).min() - self._depth.min())

    def distance(self, seconds: float) -> float:
        """By how much the least distance from the ice grows; below 0."""
        return float(self._depth.max() - self._after(seconds).max())

    def _after(self, seconds: float) -> NDArray[np.float64]:
        """(N,): depths then; between two steps outwards time runs evenly."""
        times = self._times_s
        last = np.clip((times <= seconds).sum(axis=1) - 1, 0, len(STEPS_MM) - 2)
        row = np.arange(len(times))
        low, high = times[row, last], times[row, last + 1]
        share = np.clip((seconds - low) / np.maximum(high - low, 1e-3), 0, 1)
        moved = STEPS_MM[last] + share * (STEPS_MM[1] - STEPS_MM[0])
        return np.asarray(self._depth + moved, dtype=np.float64)


def _ratio(
    now_mm: float,
    before_mm: float | None,
    last: Earlier | None,
    change: Callable[[float], float],
    pace: float,
) -> float:
    """How far this distance has changed since the last scan, against what the model says.

    What decides a distance is one place, which may freeze slower or faster than all of the ice.
    """
    if last is None or before_mm is None:
        return 1.0
    modelled = -change(-last.before_s * pace)
    seen = (now_mm - before_mm) * np.sign(modelled)
    ratio = (seen + RATIO_PRIOR_MM) / (abs(modelled) + RATIO_PRIOR_MM)
    return float(np.clip(ratio, *RATIO_RANGE))


def _pace(coming: _Coming, moment: Moment, volume_ml: float) -> float:
    """From the volume of the first other scan of this freeze."""
    scans = moment.same_freeze(volume_ml)
    if not scans:
        return 1.0
    first = scans[0]
    steps = np.arange(0.0, PACE_RANGE[1] * first.before_s + 30, 30.0)
    now = coming.volume_ml(0.0)
    if now < LEAST_ML:
        return 1.0
    shares = [coming.volume_ml(-step) / now for step in steps]
    # Volumes fall with the step backwards; np.interp wants them rising.
    back_s = float(np.interp(first.volume_ml / volume_ml, shares[::-1], steps[::-1]))
    pace = (back_s + PACE_PRIOR_S) / (first.before_s + PACE_PRIOR_S)
    return float(np.clip(pace, *PACE_RANGE))


def _volume(ice: Ice, coming: _Coming, seconds: float) -> Estimate:
    now = coming.volume_ml(0.0)
    gained = (coming.volume_ml(seconds) - now) * ice.volume_ml / max(now, 0.1)
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
