"""Region growing of visible ice: where the fall in HU is about half done, out from the probes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segmentation.change import Change, Window
from segmentation.ground import GRID_STEP_MM
from segmentation.sampling import resample, sample, smooth
from segmentation.surface import surface_of
from segmentation.volume import Volume

SEED_MM = (2.5, 6.0)
"""Ring round the freezing zone in which the first ice shows, outside the shaft's own blur."""

USUAL_DROP_HU = 80.0
DROP_RANGE_HU = (55.0, 105.0)
"""60 to 95 HU occurs, by scanner and energy."""

ROUGH_SHARE = 0.5
"""Part of the drop at which the edge is taken at first, before it is known what lies outside."""

EDGE_SHARE = 0.39
"""The same then. Half would be it, but blur pulls the edge of a ball inwards and ice at the edge is
not yet at its darkest; together 0.3 mm on simulated scans."""

OUTSIDE_STEP = 3
OUTSIDE_SIGMA_MM = 7.0
OUTSIDE_PRIOR = 0.03
OUTSIDE_MOST_HU = 45.0
"""What lies just outside of the ice is averaged over this reach, on every third voxel, and believed
up to this difference."""

EDGE_WIDTH_MM = 4.0
"""Distance over which the smoothed change goes from none to all; turns change into mm."""

LEAK_MM = 7.0
"""Ice further than this outside the fitted freezing model is a leak and cut off."""

LEAK_VOXELS = 500
"""More than this cut off is told."""

REACH_FROM_PROBE_MM = 32.0
"""No 17G probe freezes further; bounds the region grower before there is a model."""

MARGIN_VOXELS = 5
"""Room round the visible ice in its window."""

CLIP_MM = 3.0

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Grown:
    """Ice that was reached.

    Attributes
    ----------
    depth
        [k, j, i]: about the depth in mm inside the edge, clipped at 3 mm.
    leaked
        Whether growth had to be cut off.
    """

    depth: F32
    leaked: bool


def window_of(change: Change, fallen: F32) -> Window | None:
    """The box of the visible ice, found on every second voxel; None where none touches a probe.

    Parameters
    ----------
    fallen
        Fall in HU below what unfrozen tissue would show, made up for fat.
    """
    thin = (slice(None, None, 2),) * 3
    distance = change.probe_distance_mm[thin]
    candidate = (fallen[thin] > ROUGH_SHARE * USUAL_DROP_HU / 2) & (change.trusted[thin] > 0.25)
    candidate |= distance < SEED_MM[1]
    labels, _ = ndimage.label(candidate & (distance < REACH_FROM_PROBE_MM))
    reached = np.unique(labels[distance < SEED_MM[1]])
    boxes = ndimage.find_objects(labels)
    chosen = [boxes[n - 1] for n in reached if n > 0]
    if not chosen:
        return None
    size = change.grid.array.shape
    bounds = [
        slice(
            max(0, 2 * min(box[axis].start for box in chosen) - MARGIN_VOXELS),
            min(size[axis], 2 * max(box[axis].stop for box in chosen) + MARGIN_VOXELS),
        )
        for axis in range(3)
    ]
    return bounds[0], bounds[1], bounds[2]


def drop_hu(change: Change, fallen: F32) -> float:
    """Drop on freezing, from the frozen tissue furthest from its edge."""
    frozen = (fallen > USUAL_DROP_HU / 2) & (change.trusted > 0.5)
    near = frozen & (change.probe_distance_mm < 2 * SEED_MM[1]) & (change.water > 0.9)
    core = ndimage.binary_erosion(near, iterations=2)
    chosen = core if core.sum() > 50 else near
    if not chosen.any():
        return USUAL_DROP_HU
    return float(np.clip(np.median(fallen[chosen]), *DROP_RANGE_HU))


def outside_hu(change: Change, fallen: F32, rough: F32) -> F32:
    """What unfrozen tissue near the ice has fallen by; below 0 where it is brighter.

    Mean over what lies 3 to 12 mm outside of the ice. Thawed tissue is not quite what it was,
    tissue about to freeze is brighter, and contrast medium reaches one part more than another.
    """
    thin = (slice(None, None, OUTSIDE_STEP),) * 3
    near = ndimage.binary_dilation(rough[thin] > -CLIP_MM / 3, iterations=1)
    around = ndimage.binary_dilation(near, iterations=3)
    weight = (change.trusted[thin] > 0.9) & around & ~near
    sigma = OUTSIDE_SIGMA_MM / GRID_STEP_MM / OUTSIDE_STEP
    total = smooth(np.where(weight, fallen[thin], 0).astype(np.float32), sigma)
    share = smooth(weight.astype(np.float32), sigma)
    level = np.clip(total / (share + OUTSIDE_PRIOR), -OUTSIDE_MOST_HU, OUTSIDE_MOST_HU)
    grid = change.grid
    coarse = Volume(level, grid.origin_lps_mm, grid.direction, grid.spacing_mm * OUTSIDE_STEP)
    return resample(coarse, grid, outside=0.0).array.astype(np.float32, copy=False)


def depth_seen(fallen: F32, drop: float, outside: F32 | None) -> F32:
    """About the depth in mm inside the level at which the drop is part done."""
    if outside is None:
        share = fallen / np.float32(drop) - np.float32(ROUGH_SHARE)
    else:
        share = (fallen - outside) / (np.float32(drop) - outside) - np.float32(EDGE_SHARE)
    depth = np.clip(share * np.float32(EDGE_WIDTH_MM), -CLIP_MM, CLIP_MM)
    return np.asarray(depth, dtype=np.float32)


def grow(change: Change, depth: F32, modelled: F32 | None) -> Grown:
    """Region growing from the probes; what is not reached is set outside.

    Growth passes only where a ball of one voxel fits, so that it does not leak through threads of
    noise, and ends at ``LEAK_MM`` outside the model, or at a probe's reach without one.
    """
    distance = change.probe_distance_mm
    bound = distance < REACH_FROM_PROBE_MM
    if modelled is not None:
        bound &= modelled > -LEAK_MM
    passable = (change.trusted > 0.25) | change.hidden
    candidate = (depth > 0) & passable | (distance < SEED_MM[0]) & ~change.idle
    ring = distance < SEED_MM[1]
    beyond = candidate & ~bound
    leaked = int(beyond.sum()) > LEAK_VOXELS and _leaks(candidate, beyond, ring)
    allowed = candidate & bound
    core = ndimage.binary_erosion(allowed, iterations=1)
    grown = _touching(core, ring)
    grown = ndimage.binary_dilation(grown, iterations=2) & allowed
    grown = ndimage.binary_fill_holes(grown)
    near_edge = ndimage.binary_dilation(grown, iterations=1)
    inside = np.where(grown, np.maximum(depth, np.float32(0.2)), np.minimum(depth, -0.2))
    inside = np.where(near_edge, inside, -CLIP_MM)
    # Right at the edge the untouched value carries the sub-voxel place of the surface.
    edge = near_edge & ~ndimage.binary_erosion(grown, iterations=1)
    agrees = edge & ((depth > 0) == grown)
    return Grown(np.where(agrees, depth, inside).astype(np.float32), leaked)


def _leaks(candidate: Mask, beyond: Mask, ring: Mask) -> bool:
    """Whether growth without a bound would go far beyond it."""
    unbound = _touching(ndimage.binary_erosion(candidate, iterations=1), ring)
    return int((unbound & beyond).sum()) > LEAK_VOXELS


def _touching(mask: Mask, seed: Mask) -> Mask:
    """The parts of a mask that hold a voxel of the seed."""
    labels, count = ndimage.label(mask)
    kept = np.zeros(count + 1, dtype=bool)
    kept[labels[seed & mask]] = True
    kept[0] = False
    return np.asarray(kept[labels], dtype=np.bool_)


def visible_edge(change: Change, depth: F32) -> NDArray[np.float64]:
    """(N, 3) points of the grown surface with water-rich tissue on both sides."""
    surface = surface_of(change.on_grid(depth))
    points, normals = surface.points_lps_mm, surface.normals
    if len(points) == 0:
        return points
    trusted = change.on_grid(change.trusted)
    good = sample(trusted, points, outside=0.0) > 0.9
    for side in (-2.5, 2.5):
        good &= sample(trusted, points + side * normals, outside=0.0) > 0.9
    return points[good]
