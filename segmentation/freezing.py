"""A freezing potential round the probes, for where the ice's edge cannot be seen.

In fat the CT number hardly changes on freezing, so that the edge there is invisible. Steady heat
conduction towards straight sinks makes the temperature a sum of line potentials, each with
spheroids about its freezing zone as surfaces of equal temperature (Carslaw and Jaeger, Conduction
of Heat in Solids, 10.2). The strengths are fitted so that the visible edge is one such surface;
what the fit leaves over is carried to the invisible edge nearby.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import lsq_linear

from segmentation.probes import Probe
from segmentation.sampling import resample, sample, voxel_centres
from segmentation.volume import Volume

PARTS = 3
"""Parts of a freezing zone with strengths of their own: near large vessels a probe freezes less."""

END_MM = 2.0
"""A rod of one temperature takes more heat at its ends than a line of equal sources: the line is
made longer by this at both ends."""

EQUAL_STRENGTH = 0.15
"""Weight of the wish that all parts freeze alike, against one unit per visible edge point."""

SINK_POINTS = 40
SINK_RADIUS_MM = 3.0
SINK_SCALE_MM = 10.0
"""Vessels' radius, and the length that makes a sink's potential a number like a probe's."""

NO_SINK = 0.02
"""Weight of the wish that nothing is taken away at the hilum."""

CARRY_SIGMA_MM = 7.0
"""Reach over which a left-over at the visible edge is carried to the invisible edge."""

CARRY_STEP_MM = 3.0
CARRY_PRIOR = 0.02
"""Weight of "nothing is left over", so that far from any visible edge the fit alone decides."""

MIN_EDGE_POINTS = 150
MAX_EDGE_POINTS = 1500
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


def potentials(
    probes: Sequence[Probe], sinks_lps_mm: NDArray[np.float64], points_lps_mm: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(…, 3 P or 3 P + 1): line potential of each part of each freezing zone at (…, 3) points.

    ``ln((r1 + r2 + L) / (r1 + r2 - L))`` with r1, r2 the distances to the part's ends and L its
    length. The last column, where there are heat sinks, is what they take away, as point
    potentials 1/r.
    """
    columns = []
    for probe in probes:
        near, far = probe.active_ends_lps_mm
        near, far = near - END_MM * probe.direction, far + END_MM * probe.direction
        ends = [near + (far - near) * n / PARTS for n in range(PARTS + 1)]
        length = float(np.linalg.norm(far - near)) / PARTS
        offsets = [points_lps_mm - end.astype(np.float32) for end in ends]
        radii = [np.sqrt(np.einsum("...i,...i->...", o, o)) for o in offsets]
        for start, end in pairwise(radii):
            reach = start + end
            columns.append(np.log((reach + length) / np.maximum(reach - length, 0.05)))
    if len(sinks_lps_mm):
        total = np.zeros(points_lps_mm.shape[:-1], dtype=np.float32)
        thinned = sinks_lps_mm[:: max(1, len(sinks_lps_mm) // SINK_POINTS)]
        for sink in thinned.astype(np.float32):
            offset = points_lps_mm - sink
            total += 1 / np.sqrt(np.einsum("...i,...i->...", offset, offset) + SINK_RADIUS_MM**2)
        columns.append(-total * SINK_SCALE_MM / len(thinned))
    return np.stack(columns, axis=-1).astype(np.float32)


def fit(
    probes: Sequence[Probe],
    sinks_lps_mm: NDArray[np.float64],
    edge_lps_mm: NDArray[np.float64],
    grid: Volume,
) -> FreezingModel | None:
    """Fit the potentials to points of the visible edge; None where too few are visible.

    Parameters
    ----------
    sinks_lps_mm
        (M, 3) points that fill the hilum, whose vessels warm the tissue; may be none.
    edge_lps_mm
        (N, 3) points of the visible ice edge, in the grid's frame.
    grid
        Where the depth is wanted.
    """
    if len(edge_lps_mm) < MIN_EDGE_POINTS or not probes:
        return None
    edge = edge_lps_mm[:: max(1, len(edge_lps_mm) // MAX_EDGE_POINTS)]
    at_edge = potentials(probes, sinks_lps_mm, edge.astype(np.float32)).astype(np.float64)
    strengths = _strengths(at_edge, PARTS * len(probes))
    # Solved on a coarse grid: the potential is smooth, and logarithms of a million points are slow.
    coarse = _coarse(grid)
    field = potentials(probes, sinks_lps_mm, voxel_centres(coarse)) @ strengths.astype(np.float32)
    slope = np.sqrt(sum(g**2 for g in np.gradient(field, CARRY_STEP_MM)))
    depth = np.clip((field - 1) / np.maximum(slope, 1e-3), -CLIP_MM, CLIP_MM)
    modelled = _with(coarse, depth)
    left_over = sample(modelled, edge, outside=0.0).astype(np.float64)
    spread = 1.48 * float(np.median(np.abs(left_over - np.median(left_over))))
    depth = depth - _carried(coarse, edge, left_over)
    return FreezingModel(
        depth=resample(_with(coarse, depth), grid, outside=-CLIP_MM), residual_mm=spread
    )


def _strengths(at_edge: NDArray[np.float64], freezing: int) -> NDArray[np.float64]:
    """(3 P or 3 P + 1,): strengths, none negative, that bring the potential nearest to 1 there.

    ``freezing`` is how many columns are parts of probes; each of these is drawn towards the common
    strength, a heat sink towards none.
    """
    count = at_edge.shape[1]
    common = 1 / float(np.median(at_edge[:, :freezing].sum(axis=1)))
    scale = float(np.mean(at_edge[:, :freezing] ** 2)) * len(at_edge)
    weight = np.full(count, EQUAL_STRENGTH * scale)
    weight[freezing:] = NO_SINK * scale
    wished = np.zeros(count)
    wished[:freezing] = common
    # Ridge regression towards the wish, as more rows of a bounded least-squares problem.
    rows = np.concatenate([at_edge, np.diag(np.sqrt(weight))])
    targets = np.concatenate([np.ones(len(at_edge)), np.sqrt(weight) * wished])
    lower = np.zeros(count)
    lower[:freezing] = 0.02 * common
    return np.asarray(lsq_linear(rows, targets, (lower, np.inf)).x, dtype=np.float64)


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
