"""The freezing model fitted to one scan, for where the ice's edge cannot be seen.

In fat the CT number hardly changes on freezing, so that the edge there is invisible. The bio-heat
equation tells when each place freezes and melts (``bioheat``); perfusion, the probes' power and the
tissue's constants are not known, so the time is fitted: that at which the modelled edge best meets
the visible one. What the fit leaves over is carried to the invisible edge nearby.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segmentation.bioheat import Stage
from segmentation.ground import Ground
from segmentation.sampling import sample
from segmentation.volume import Volume

CARRY_SIGMA_MM = 7.0
"""Reach over which a left-over at the visible edge is carried to the invisible edge."""

CARRY_PRIOR = 0.02
"""Weight of "nothing is left over", so that far from any visible edge the fit alone decides."""

BLENDS = (0.0, 0.5, 1.0)
"""Mixtures of the courses at the least and the greatest perfusion."""

KEPT = 6
TEMPER_MM = 0.06
"""Candidates are kept, and weighed by exp(-(residual - best) / this)."""

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
    weight
        Share in the model; all add up to 1.
    """

    front: int
    stage: Stage
    perfusion: float
    vessels: float
    time_s: float
    residual_mm: float
    weight: float


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
    """

    depth: Volume
    spread_mm: Volume
    residual_mm: float
    candidates: tuple[Candidate, ...]

    @property
    def thawing_weight(self) -> float:
        """How much speaks for a thaw, 0 to 1."""
        return sum(c.weight for c in self.candidates if c.stage == "thaw")


def fit(
    ground: Ground, edge_lps_mm: NDArray[np.float64], stages: Sequence[Stage] = get_args(Stage)
) -> FreezingModel | None:
    """Fit time, perfusion and vessels to (N, 3) points of the visible edge, baseline's frame.

    Parameters
    ----------
    stages
        Those that come into question.

    Returns
    -------
    None where too little of the edge is visible.
    """
    if len(edge_lps_mm) < MIN_EDGE_POINTS:
        return None
    edge = edge_lps_mm[:: max(1, len(edge_lps_mm) // MAX_EDGE_POINTS)]
    candidates = _weighed(_candidates(ground, edge, stages))
    grid = ground.heat
    depths = [_depth(ground, candidate) for candidate in candidates]
    weights = np.array([c.weight for c in candidates], dtype=np.float32)
    depth = np.tensordot(weights, np.stack(depths), 1)
    square = np.tensordot(weights, (np.stack(depths) - depth) ** 2, 1)
    left_over = sample(_on(grid, depth), edge, outside=0.0).astype(np.float64)
    depth = depth - _carried(grid, edge, left_over)
    return FreezingModel(
        depth=_on(grid, np.clip(depth, -CLIP_MM, CLIP_MM)),
        spread_mm=_on(grid, np.sqrt(square)),
        residual_mm=candidates[0].residual_mm,
        candidates=candidates,
    )


def _candidates(
    ground: Ground, edge: NDArray[np.float64], stages: Sequence[Stage]
) -> list[Candidate]:
    """All of them, each at its best time; weights not yet given."""
    found = []
    for n, first in enumerate(ground.courses[0].ice):
        if first.stage not in stages:
            continue
        fronts = [course.ice[n] for course in ground.courses]
        times = np.stack([sample(_on(ground.heat, f.times_s), edge, outside=0) for f in fronts])
        slopes = np.stack(
            [sample(_on(ground.heat, f.slope_s_per_mm), edge, outside=1) for f in fronts]
        )
        for perfusion in BLENDS:
            for vessels in BLENDS:
                mix = _mixture(perfusion, vessels)
                at, steep = mix @ times, mix @ slopes
                time_s = _weighted_median(at, np.float32(1) / steep)
                residual = 1.48 * float(np.median(np.abs(time_s - at) / steep))
                found.append(Candidate(n, first.stage, perfusion, vessels, time_s, residual, 0.0))
    return found


def _mixture(perfusion: float, vessels: float) -> F32:
    """Weights of the ground's courses, in their order."""
    both = np.outer([1 - vessels, vessels], [1 - perfusion, perfusion])
    return both.ravel().astype(np.float32)


def _weighed(candidates: list[Candidate]) -> tuple[Candidate, ...]:
    """The best, weighed by how much worse than the first they fit."""
    ordered = sorted(candidates, key=lambda c: c.residual_mm)[:KEPT]
    best = ordered[0].residual_mm
    weights = np.array([np.exp(-(c.residual_mm - best) / TEMPER_MM) for c in ordered])
    weights /= weights.sum()
    return tuple(replace(c, weight=float(w)) for c, w in zip(ordered, weights, strict=True))


def _depth(ground: Ground, candidate: Candidate) -> F32:
    fronts = [course.ice[candidate.front] for course in ground.courses]
    mix = _mixture(candidate.perfusion, candidate.vessels)
    times = np.tensordot(mix, np.stack([f.times_s for f in fronts]), 1)
    slope = np.tensordot(mix, np.stack([f.slope_s_per_mm for f in fronts]), 1)
    ahead = np.float32(fronts[0].sign) * (np.float32(candidate.time_s) - times)
    return np.asarray(np.clip(ahead / slope, -CLIP_MM, CLIP_MM), dtype=np.float32)


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
