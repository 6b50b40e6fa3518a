"""A freezing potential round the probes, for where the ice's edge cannot be seen.

In fat the CT number hardly changes on freezing, so that the edge there is invisible. Steady heat
conduction towards straight sinks makes the temperature a sum of line potentials, each with
spheroids about its freezing zone as surfaces of equal temperature (Carslaw and Jaeger, Conduction
of Heat in Solids, 10.2). The strengths are fitted so that the visible edge is one such surface;
what the fit leaves over is carried to the invisible edge nearby.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segmentation.probes import Probe
from segmentation.sampling import resample, sample, voxel_centres
from segmentation.volume import Volume

EQUAL_STRENGTH = 0.15
"""Weight of the wish that all probes freeze alike, against one unit per visible edge point."""

CARRY_SIGMA_MM = 10.0
"""Reach over which a left-over at the visible edge is carried to the invisible edge."""

CARRY_STEP_MM = 3.0
CARRY_PRIOR = 0.02
"""Weight of "nothing is left over", so that far from any visible edge the fit alone decides."""

MIN_EDGE_POINTS = 150
CLIP_MM = 12.0


@dataclass(frozen=True, eq=False)
class FreezingModel:
    """The completed ice surface.

    Attributes
    ----------
    depth
        About the signed depth inside the modelled ice, mm, positive inside; clipped at 12 mm.
    residual_mm
        Robust spread (1.48 x median absolute) of visible edge points about the model before the
        left-over was carried: what the modelled edge may be wrong by.
    """

    depth: Volume
    residual_mm: float


def potentials(probes: Sequence[Probe], points_lps_mm: NDArray[np.float32]) -> NDArray[np.float32]:
    """(…, P): line potential of each probe's freezing zone at (…, 3) points.

    ``ln((r1 + r2 + L) / (r1 + r2 - L))`` with r1, r2 the distances to the zone's ends and L its
    length.
    """
    answer = np.empty((*points_lps_mm.shape[:-1], len(probes)), dtype=np.float32)
    for n, probe in enumerate(probes):
        ends = probe.active_ends_lps_mm.astype(np.float32)
        length = float(np.linalg.norm(ends[1] - ends[0]))
        reach = np.zeros(points_lps_mm.shape[:-1], dtype=np.float32)
        for end in ends:
            offset = points_lps_mm - end
            reach += np.sqrt(np.einsum("...i,...i->...", offset, offset))
        answer[..., n] = np.log((reach + length) / np.maximum(reach - length, 0.05))
    return answer


def fit(
    probes: Sequence[Probe], edge_lps_mm: NDArray[np.float64], grid: Volume
) -> FreezingModel | None:
    """Fit the potentials to points of the visible edge; None where too few are visible.

    Parameters
    ----------
    edge_lps_mm
        (N, 3) points of the visible ice edge, in the grid's frame.
    grid
        Where the depth is wanted.
    """
    if len(edge_lps_mm) < MIN_EDGE_POINTS or not probes:
        return None
    edge = edge_lps_mm[:: max(1, len(edge_lps_mm) // 3000)]
    at_edge = potentials(probes, edge.astype(np.float32)).astype(np.float64)
    strengths = _strengths(at_edge)
    # Solved on a coarse grid: the potential is smooth, and logarithms of a million points are slow.
    coarse = _coarse(grid)
    field = potentials(probes, voxel_centres(coarse)) @ strengths.astype(np.float32)
    slope = np.sqrt(sum(g**2 for g in np.gradient(field, CARRY_STEP_MM)))
    depth = np.clip((field - 1) / np.maximum(slope, 1e-3), -CLIP_MM, CLIP_MM)
    modelled = _with(coarse, depth)
    left_over = sample(modelled, edge, outside=0.0).astype(np.float64)
    spread = 1.48 * float(np.median(np.abs(left_over - np.median(left_over))))
    depth = depth - _carried(coarse, edge, left_over)
    return FreezingModel(
        depth=resample(_with(coarse, depth), grid, outside=-CLIP_MM), residual_mm=spread
    )


def _strengths(at_edge: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P,): non-negative strengths for which the weighted potential is nearest to 1 on the edge."""
    count = at_edge.shape[1]
    common = 1 / float(np.median(at_edge.sum(axis=1)))
    weight = EQUAL_STRENGTH * len(at_edge)
    scale = float(np.mean(at_edge**2))
    normal = at_edge.T @ at_edge + weight * scale * np.eye(count)
    wish = at_edge.sum(axis=0) + weight * scale * common
    return np.asarray(np.maximum(np.linalg.solve(normal, wish), 0.2 * common), dtype=np.float64)


def _coarse(grid: Volume) -> Volume:
    ratio = grid.spacing_mm / CARRY_STEP_MM
    size = np.ceil((np.array(grid.array.shape[::-1]) - 1) * ratio).astype(int) + 1
    return Volume(
        np.zeros(tuple(size[::-1]), dtype=np.float32),
        grid.origin_lps_mm,
        grid.direction,
        np.full(3, CARRY_STEP_MM),
    )


def _with(grid: Volume, array: NDArray[np.floating]) -> Volume:
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
    sigma = CARRY_SIGMA_MM / CARRY_STEP_MM
    weight = ndimage.gaussian_filter(weight, sigma, mode="constant", truncate=3)
    total = ndimage.gaussian_filter(total, sigma, mode="constant", truncate=3)
    return np.asarray(total / (weight + CARRY_PRIOR * float(weight.max())), dtype=np.float32)
