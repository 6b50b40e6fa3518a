"""The freezing model fitted to one scan, for where the ice's edge cannot be seen.

In fat the CT number hardly changes on freezing, so that the edge there is invisible. The bio-heat
equation tells when each place freezes and melts (``bioheat``); perfusion, the probes' power and the
tissue's constants are not known, so the time is fitted: that at which the modelled edge best meets
the visible one. What the fit leaves over is carried to the invisible edge nearby.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segmentation.bioheat import LEAST_SLOPE_S_PER_MM, Stage
from segmentation.ground import Ground
from segmentation.moment import Moment
from segmentation.sampling import sample
from segmentation.volume import Volume

CARRY_SIGMA_MM = 7.0
"""Reach over which a left-over at the visible edge is carried to the invisible edge."""

CARRY_PRIOR = 0.02
"""Weight of "nothing is left over", so that far from any visible edge the fit alone decides."""

BLENDS = (0.0, 0.25, 0.5, 0.75, 1.0)
WARMTHS = (0.0, 0.5, 1.0)
"""From the least perfusion to the greatest, and from cold vessels to warm ones."""

KEPT = 6
TEMPER_MM = 0.06
"""Candidates are kept, and weighed by exp(-(residual - best) / this)."""

TIMING_MM = 0.8
SHORT_S = 30.0
BEFORE_START = 1.0
"""A fitted time that is wrong by a factor of e counts as so much more residual; times shorter than
the second are not told apart, but for one before the stage began."""

UNUSUAL_MM = 0.2
"""The same against the least and the greatest perfusion that occur: the middle is likelier."""

BELIEVED_MM = 2.0
BELIEVED_RESIDUALS = 2.0
"""Heat spreads evenly: a visible edge this far from the fitted one is something else that darkens,
a streak or contrast medium that has gone."""

MIN_EDGE_POINTS = 150
MAX_EDGE_POINTS = 1500
CLIP_MM = 12.0

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Candidate:
    """One way in which the ice may have come about.

    Attributes
    ----------
    front
        Which of a course's.
    perfusion, vessels
        0 to 1: from the least perfusion to the greatest, and from a hilum whose vessels are as any
        tissue to one whose vessels keep body temperature.
    time_s
        Fitted seconds since the start of the front's stage.
    residual_mm
        Robust spread (1.48 x median absolute) of the visible edge about it.
    stop_s
        Seconds of the first freeze, in a later stage.
    doubt_mm
        What speaks against its times, in the residual's terms.
    weight
        Share in the model; all add up to 1.
    """

    front: int
    stage: Stage
    perfusion: float
    vessels: float
    time_s: float
    residual_mm: float
    stop_s: float
    doubt_mm: float = 0.0
    weight: float = 0.0


@dataclass(frozen=True, eq=False)
class FreezingModel:
    """The completed ice surface; volumes in the baseline's frame on the ground's coarse grid.

    Attributes
    ----------
    depth
        About the signed depth inside the modelled ice, mm, positive inside; clipped at 12 mm.
    spread_mm
        By how much the candidates differ, one standard deviation.
    residual_mm
        Of the best candidate.
    candidates
        The best first.
    left_over_mm
        What was carried, [k, j, i]: the candidates' own depth less ``depth``.
    """

    depth: Volume
    spread_mm: Volume
    residual_mm: float
    candidates: tuple[Candidate, ...]
    left_over_mm: F32

    def freezing_only(self) -> "FreezingModel | None":
        """With those candidates alone whose ice grows; None where all of them melt."""
        growing = [c for c in self.candidates if c.stage != "thaw"]
        total = sum(c.weight for c in growing)
        if total <= 0:
            return None
        return replace(self, candidates=tuple(replace(c, weight=c.weight / total) for c in growing))

    @property
    def volume_ml(self) -> float:
        """Of the modelled ice, with partial voxels."""
        return volume_ml(self.depth)


def volume_ml(depth: Volume) -> float:
    """What lies inside a depth in mm, with partial voxels."""
    step_mm = float(depth.spacing_mm[0])
    return float(np.clip(depth.array / step_mm + 0.5, 0, 1).sum()) * step_mm**3 / 1000


def fit(ground: Ground, edge_lps_mm: NDArray[np.float64], moment: Moment) -> FreezingModel | None:
    """Fit time, perfusion and vessels to (N, 3) points of the visible edge, baseline's frame.

    Only stages that the moment allows come into question, given about the volume that all of them
    agree on. None where too little of the edge is visible.
    """
    if len(edge_lps_mm) < MIN_EDGE_POINTS:
        return None
    edge = edge_lps_mm[:: max(1, len(edge_lps_mm) // MAX_EDGE_POINTS)]
    candidates = _candidates(ground, edge)
    rough = _combined(ground, edge, _weighed(candidates))
    stages = moment.stages(rough.volume_ml)
    allowed = _weighed(_timely([c for c in candidates if c.stage in stages], moment))
    return rough if allowed == rough.candidates else _combined(ground, edge, allowed)


def believed_mm(residual_mm: float) -> float:
    """How far outside of a model with this residual a visible edge is still believed."""
    return BELIEVED_MM + BELIEVED_RESIDUALS * residual_mm


def _combined(
    ground: Ground, edge: NDArray[np.float64], candidates: tuple[Candidate, ...]
) -> FreezingModel:
    grid = ground.heat
    depths = np.stack([front_depth(ground, c, c.time_s) for c in candidates])
    weights = np.array([c.weight for c in candidates], dtype=np.float32)
    depth = np.tensordot(weights, depths, 1)
    square = np.tensordot(weights, (depths - depth) ** 2, 1)
    best = candidates[0].residual_mm
    left_over = sample(_on(grid, depth), edge, outside=0.0).astype(np.float64)
    most = believed_mm(best)
    carried = _carried(grid, edge, np.clip(left_over, -most, most))
    return FreezingModel(
        depth=_on(grid, np.clip(depth - carried, -CLIP_MM, CLIP_MM)),
        spread_mm=_on(grid, np.sqrt(square)),
        residual_mm=best,
        candidates=candidates,
        left_over_mm=carried,
    )


def _candidates(ground: Ground, edge: NDArray[np.float64]) -> list[Candidate]:
    """All of them, each at its best time; weights not yet given."""
    found = []
    for n, first in enumerate(ground.courses[0].ice):
        fronts = [course.ice[n] for course in ground.courses]
        times = np.stack([sample(_on(ground.heat, f.times_s), edge, outside=0) for f in fronts])
        slopes = np.stack(
            [sample(_on(ground.heat, f.slope_s_per_mm), edge, outside=1) for f in fronts]
        )
        for perfusion in BLENDS:
            for vessels in WARMTHS:
                mix = _mixture(perfusion, vessels)
                at, steep = mix @ times, np.maximum(mix @ slopes, LEAST_SLOPE_S_PER_MM)
                time_s = _weighted_median(at, np.float32(1) / steep)
                residual = 1.48 * float(np.median(np.abs(time_s - at) / steep))
                found.append(
                    Candidate(n, first.stage, perfusion, vessels, time_s, residual, first.stop_s)
                )
    return found


def _timely(candidates: list[Candidate], moment: Moment) -> list[Candidate]:
    """The same, with what speaks against their times added to the residuals."""
    timings = {stage: moment.timing(stage) for stage in {c.stage for c in candidates}}
    doubted = []
    for candidate in candidates:
        timing = timings[candidate.stage]
        doubt = _beyond(candidate.time_s, timing.elapsed_s)
        if candidate.time_s < 0:
            doubt += BEFORE_START
        unusual = UNUSUAL_MM * (2 * candidate.perfusion - 1) ** 2
        if candidate.stage == "thaw":
            doubt += _beyond(candidate.stop_s, timing.frozen_s)
        doubted.append(replace(candidate, doubt_mm=TIMING_MM * doubt + unusual))
    return doubted


def _beyond(time_s: float, span_s: tuple[float, float]) -> float:
    """By which factor a time lies outside of a span, as a logarithm, beyond what is usual."""
    time_s = max(time_s, SHORT_S)
    low, high = (max(limit, SHORT_S) for limit in span_s)
    at = np.log(time_s)
    return float(max(0.0, np.log(low) - at, at - np.log(high))) if low <= high else 0.0


def _mixture(perfusion: float, vessels: float) -> F32:
    """Weights of the ground's courses, in their order.

    Linear between two perfusions; what vessels change is added as it is at the middle one.
    """
    low, middle, high = max(0.0, 1 - 2 * perfusion), 1 - abs(2 * perfusion - 1), 2 * perfusion - 1
    return np.array([low, middle - vessels, max(0.0, high), vessels], dtype=np.float32)


def _weighed(candidates: list[Candidate]) -> tuple[Candidate, ...]:
    """The best, weighed by how much worse than the first they fit."""
    ordered = sorted(candidates, key=lambda c: c.residual_mm + c.doubt_mm)[:KEPT]
    losses = np.array([c.residual_mm + c.doubt_mm for c in ordered])
    weights = np.exp(-(losses - losses[0]) / TEMPER_MM)
    weights /= weights.sum()
    return tuple(replace(c, weight=float(w)) for c, w in zip(ordered, weights, strict=True))


def front_depth(
    ground: Ground, candidate: Candidate, time_s: float, *, lethal: bool = False
) -> F32:
    """About the depth in mm inside a candidate's ice at a time of its stage, or inside -20 C.

    Raises
    ------
    ValueError
        Tissue below -20 C in a thaw: it is not modelled.
    """
    times, slope = _front(ground, candidate, lethal=lethal)
    sign = np.float32(-1 if candidate.stage == "thaw" else 1)
    ahead = sign * (np.float32(time_s) - times)
    return np.asarray(np.clip(ahead / slope, -CLIP_MM, CLIP_MM), dtype=np.float32)


def arrival(ground: Ground, model: FreezingModel) -> tuple[Volume, Volume]:
    """Seconds from now until the ice reaches each place, negative inside it; and their slope.

    Means over the candidates, which must all be freezing, on the ground's coarse grid in the
    baseline's frame; the slope in s/mm.
    """
    times = np.zeros(ground.heat.array.shape, dtype=np.float32)
    slope = np.zeros_like(times)
    for c in model.candidates:
        front = _front(ground, c, lethal=False)
        times += np.float32(c.weight) * (front[0] - np.float32(c.time_s))
        slope += np.float32(c.weight) * front[1]
    return _on(ground.heat, times), _on(ground.heat, slope)


def _front(ground: Ground, candidate: Candidate, *, lethal: bool) -> tuple[F32, F32]:
    """Times and slopes of a candidate's isotherm."""
    fronts = [
        (course.lethal if lethal else course.ice)[candidate.front] for course in ground.courses
    ]
    kept = [front for front in fronts if front is not None]
    if len(kept) < len(fronts):
        raise ValueError("there is no lethal isotherm in a thaw")
    mix = _mixture(candidate.perfusion, candidate.vessels)
    times = np.tensordot(mix, np.stack([f.times_s for f in kept]), 1)
    slope = np.tensordot(mix, np.stack([f.slope_s_per_mm for f in kept]), 1)
    return times, np.maximum(slope, LEAST_SLOPE_S_PER_MM)


def _weighted_median(values: NDArray[np.float32], weights: NDArray[np.float32]) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _on(grid: Volume, array: NDArray[np.floating]) -> Volume:
    return Volume(
        np.asarray(array, dtype=np.float32), grid.origin_lps_mm, grid.direction, grid.spacing_mm
    )


def _carried(
    coarse: Volume, edge: NDArray[np.float64], left_over: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Left-overs spread over the grid: normalised convolution (Knutsson and Westin 1993)."""
    index = np.rint(coarse.to_index(edge)).astype(int)[:, ::-1]
    size = np.array(coarse.array.shape)
    kept = ((index >= 0) & (index < size)).all(axis=1)
    place = tuple(index[kept].T)
    weight = np.zeros(coarse.array.shape, dtype=np.float32)
    total = np.zeros_like(weight)
    np.add.at(weight, place, 1.0)
    np.add.at(total, place, left_over[kept].astype(np.float32))
    sigma = CARRY_SIGMA_MM / float(coarse.spacing_mm[0])
    weight = ndimage.gaussian_filter(weight, sigma, mode="constant", truncate=3)
    total = ndimage.gaussian_filter(total, sigma, mode="constant", truncate=3)
    return np.asarray(total / (weight + CARRY_PRIOR * float(weight.max())), dtype=np.float32)
