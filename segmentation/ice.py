"""The ice ball in one scan: threshold on the change against the baseline, and region growing.

Freezing lowers the CT number of water-rich tissue by about 85 HU from wherever it was (Sandison
1998), so ice is looked for in the difference from the same patient's baseline, never by an
absolute number: contrast-filled kidney at 120 HU freezes to what unfrozen kidney looks like
without contrast. The edge is half-way between the ice and what lies just outside of it. In fat
there is hardly any drop, and the edge is taken from the freezing model.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segmentation import freezing
from segmentation.ground import (
    GAS_HU,
    GRID_STEP_MM,
    Ground,
    smooth,
    usable,
)
from segmentation.moment import Moment
from segmentation.rigid import Rigid
from segmentation.sampling import AIR_HU, resample, sample
from segmentation.surface import Surface, surface_of
from segmentation.volume import Volume

USUAL_DROP_HU = 80.0
DROP_RANGE_HU = (55.0, 105.0)
"""60 to 95 HU occurs, by scanner and energy."""

SEED_MM = (2.5, 6.0)
"""Ring round the freezing zone in which the first ice shows, outside the shaft's own blur."""

FAR_MM = 21.0
"""Kidney further than this from every freezing zone is not frozen: what has changed there has
changed for another reason, contrast medium above all."""

LEVEL_KNOTS_HU = (0.0, 30.0, 70.0, 130.0)
"""Classes of tissue that take up contrast differently: fluid, unenhanced, enhanced."""

LEVEL_PRIOR = 300.0
"""Voxels of a class that weigh as much as the wish that its level is that of all."""

MIN_SEED_FRACTION = 0.15
MIN_VOLUME_ML = 0.3
EDGE_SHARE = 0.42
"""Part of the drop at which the edge is taken. Half would be it, but unfrozen tissue next to ice is
up to 10 HU brighter than at body temperature (domain facts, 1.1), and blur pulls the edge of a ball
inwards; together 0.4 mm on simulated scans."""

ROUGH_SHARE = 0.5
"""The same for a first look, before it is known what lies just outside."""

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

REACH_FROM_PROBE_MM = 32.0
"""No 17G probe freezes further; bounds the region grower before there is a model."""

SLICE_SHARE = 0.12
"""Part of the slice spacing that enters as a standard deviation of the edge's place."""

EDGE_FLOOR_MM = 0.35
"""The edge itself is 1.5 to 2 mm thick in temperature (domain facts, 1.2)."""

UNKNOWN_NOISE = 0.2
"""Noise as a part of the drop, where there is too little unfrozen tissue to tell."""

MODELLED_FLOOR_MM = 0.9
RESIDUAL_SHARE = 0.7
UNMODELLED_MM = 3.0
"""Standard deviation of an edge that was not seen: at least, the part of the model's own residual
that comes to it, and without a model."""

SHELL = 0.5
"""Part of the edge's standard deviation that all of the surface has in common."""

CLIP_MM = 3.0
DIRECTIONS = 500

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Ice:
    """The ice ball, in the scan's frame.

    Attributes
    ----------
    surface
        Its sub-voxel surface.
    visible
        (N,) for each surface point: 1 where the edge was seen, 0 where it was modelled.
    volume_ml
        With partial voxels.
    drop_hu
        Drop on freezing, estimated from this scan.
    noise_hu
        Robust standard deviation of the smoothed difference in unfrozen tissue.
    edge_sd_mm
        (N,) for each surface point: standard deviation of the edge's place, from noise, slices and,
        where it was modelled, from how much the possible histories differ.
    level_hu
        By how much unfrozen tissue has changed since the baseline, most of it.
    model
        The fitted freezing model, in the baseline's frame; None without one.
    leaked
        Whether growth had to be cut off.
    """

    surface: Surface
    visible: F32
    edge_sd_mm: F32
    volume_ml: float
    drop_hu: float
    noise_hu: float
    level_hu: float
    model: freezing.FreezingModel | None
    leaked: bool

    @property
    def model_residual_mm(self) -> float:
        """How far the visible edge lies from the freezing model; NaN without a model."""
        return self.model.residual_mm if self.model is not None else float("nan")

    @property
    def visible_surface_fraction(self) -> float:
        """Share of the surface that was seen and not modelled."""
        return float((self.visible > 0.5).mean())

    @property
    def volume_sd_ml(self) -> float:
        """Of the volume: a shell as thick as the edge is uncertain, on a ball of this volume."""
        radius_mm = (self.volume_ml * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
        return float(SHELL * 4 * np.pi * radius_mm**2 * self.edge_sd_mm.mean()) / 1000

    @property
    def longest_axis_mm(self) -> float:
        """Largest width of the surface, over directions 6 degrees apart: short by 0.2 % at most."""
        widths = self.surface.points_lps_mm.astype(np.float32) @ _half_sphere(DIRECTIONS).T
        return float(np.ptp(widths, axis=0).max())


@dataclass(frozen=True, eq=False)
class _Change:
    """What the scan shows on the ground's grid; all arrays [k, j, i]."""

    difference_hu: F32
    trusted: F32
    gas: Mask


def _half_sphere(count: int) -> F32:
    """(count, 3): unit vectors spread evenly over a half-sphere (Fibonacci's lattice)."""
    n = np.arange(count) + 0.5
    height = n / count
    angle = np.pi * (1 + np.sqrt(5)) * n
    radius = np.sqrt(1 - height**2)
    axes = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), height])
    return axes.astype(np.float32)


def find_ice(scan: Volume, ground: Ground, baseline_to_scan: Rigid, moment: Moment) -> Ice | None:
    """Segment the ice; None where there is none.

    Parameters
    ----------
    scan
        In HU.
    ground
        Of the baseline.
    baseline_to_scan
        Takes the baseline's frame to the scan's.
    moment
        When it was taken.
    """
    change = _compare(scan, ground, baseline_to_scan)
    visible = change.trusted > 0.5
    distance = ground.probe_distance_mm
    ring = visible & (distance > SEED_MM[0]) & (distance < SEED_MM[1])
    if not ring.any():
        return None
    level, level_hu = _level(change, ground)
    difference = change.difference_hu - level
    change = _Change(difference, change.trusted, change.gas)
    frozen = difference < -USUAL_DROP_HU / 2 * ground.water
    if frozen[ring].mean() < MIN_SEED_FRACTION:
        return None
    drop = _drop_hu(change, ground, frozen & visible, abs(level_hu))
    rough, _ = _grow(change, ground, _depth_seen(change, ground, drop, None), None)
    depth = _depth_seen(change, ground, drop, _outside_hu(change, ground, rough))
    seen, leaked = _grow(change, ground, depth, None)
    model = freezing.fit(ground, _visible_edge(change, ground, seen), moment)
    modelled = None
    if model is not None:
        resampled = resample(model.depth, ground.grid, outside=-freezing.CLIP_MM)
        modelled = resampled.array.astype(np.float32, copy=False)
        seen, leaked = _grow(change, ground, depth, modelled)
    field = _join(change, ground, seen, modelled)
    if field is None:
        return None
    volume_ml = float(np.clip(field / GRID_STEP_MM + 0.5, 0, 1).sum()) * GRID_STEP_MM**3 / 1000
    if volume_ml < MIN_VOLUME_ML:
        return None
    surface = surface_of(_on(ground.grid, field))
    shown = sample(_on(ground.grid, change.trusted), surface.points_lps_mm, outside=0.0)
    noise_hu = _noise_hu(change, field)
    slice_mm = float(scan.spacing_mm[2])
    return Ice(
        surface=_moved(surface, baseline_to_scan),
        visible=shown,
        edge_sd_mm=_edge_sd_mm(surface, shown, model, noise_hu / (drop + abs(level_hu)), slice_mm),
        volume_ml=volume_ml,
        drop_hu=drop,
        noise_hu=noise_hu,
        level_hu=level_hu,
        model=model,
        leaked=leaked,
    )


def _edge_sd_mm(
    surface: Surface,
    visible: F32,
    model: freezing.FreezingModel | None,
    noise_share: float,
    slice_mm: float,
) -> F32:
    """(N,): see ``Ice``."""
    noise = noise_share if np.isfinite(noise_share) else UNKNOWN_NOISE
    seen = float(np.linalg.norm([noise * EDGE_WIDTH_MM, SLICE_SHARE * slice_mm, EDGE_FLOOR_MM]))
    modelled = np.full(len(visible), UNMODELLED_MM, dtype=np.float32)
    if model is not None:
        spread = sample(model.spread_mm, surface.points_lps_mm, outside=UNMODELLED_MM)
        rest = np.hypot(MODELLED_FLOOR_MM, RESIDUAL_SHARE * model.residual_mm)
        modelled = np.hypot(np.hypot(spread, np.float32(rest)), np.float32(seen))
    share = np.clip(2 * visible - 1, 0, 1)
    return (share * np.float32(seen) + (1 - share) * modelled).astype(np.float32)


def _on(grid: Volume, array: F32) -> Volume:
    return Volume(array, grid.origin_lps_mm, grid.direction, grid.spacing_mm)


def _moved(surface: Surface, move: Rigid) -> Surface:
    field = surface.field
    return Surface(
        Volume(
            field.array,
            move.apply(field.origin_lps_mm),
            move.rotation @ field.direction,
            field.spacing_mm,
        ),
        move.apply(surface.points_lps_mm),
        surface.normals @ move.rotation.T,
    )


def _compare(scan: Volume, ground: Ground, baseline_to_scan: Rigid) -> _Change:
    now = resample(scan, ground.grid, baseline_to_scan).array.astype(np.float32, copy=False)
    keep, clean = usable(now, ground.grid, ground.probes)
    keep &= ground.keep
    clean &= ground.keep
    weight = np.maximum(smooth(clean.astype(np.float32)), 1e-3)
    change = np.clip(now - ground.before_hu, -250, 250)
    difference = (smooth(change * clean) / weight).astype(np.float32, copy=False)
    trusted = ground.trusted * keep
    trusted[now <= AIR_HU + 1] = 0
    return _Change(difference, trusted.astype(np.float32), now < GAS_HU)


def _level(change: _Change, ground: Ground) -> tuple[F32, float]:
    """How unfrozen tissue has changed, by what it was before, and the change of most of it."""
    far = (change.trusted > 0.9) & (ground.probe_distance_mm > FAR_MM)
    values, before = change.difference_hu[far], ground.mean_hu[far]
    if len(values) < LEVEL_PRIOR:
        return np.zeros_like(change.difference_hu), 0.0
    overall = float(np.median(values))
    levels = []
    edges = [-np.inf, 18.0, 50.0, 100.0, np.inf]
    for low, high in pairwise(edges):
        chosen = values[(before > low) & (before <= high)]
        share = len(chosen) / (len(chosen) + LEVEL_PRIOR)
        level = float(np.median(chosen)) if len(chosen) else 0.0
        # A class that is not seen far from the ice, a cyst for example, does not take up contrast
        # if it is fluid.
        other = 0.0 if high == 18.0 else overall
        levels.append(share * level + (1 - share) * other)
    field = np.interp(ground.mean_hu, LEVEL_KNOTS_HU, levels).astype(np.float32)
    return field * ground.water, overall


def _drop_hu(change: _Change, ground: Ground, frozen: Mask, more_hu: float) -> float:
    """Drop on freezing, from the frozen tissue furthest from its edge."""
    near = frozen & (ground.probe_distance_mm < 2 * SEED_MM[1]) & (ground.water > 0.9)
    core = ndimage.binary_erosion(near, iterations=2)
    chosen = core if core.sum() > 50 else near
    if not chosen.any():
        return USUAL_DROP_HU
    low, high = DROP_RANGE_HU
    return float(np.clip(-np.median(change.difference_hu[chosen]), low, high + more_hu))


def _outside_hu(change: _Change, ground: Ground, rough: F32) -> F32:
    """What unfrozen tissue near the ice differs from the baseline by.

    Mean over what lies 3 to 12 mm outside of the ice. Thawed tissue is not quite what it was,
    tissue about to freeze is brighter, and contrast medium reaches one part more than another.
    """
    thin = (slice(None, None, OUTSIDE_STEP),) * 3
    near = ndimage.binary_dilation(rough[thin] > -CLIP_MM / 3, iterations=1)
    around = ndimage.binary_dilation(near, iterations=3)
    weight = (change.trusted[thin] > 0.9) & around & ~near
    sigma = OUTSIDE_SIGMA_MM / GRID_STEP_MM / OUTSIDE_STEP
    total = ndimage.gaussian_filter(
        np.where(weight, change.difference_hu[thin], 0).astype(np.float32), sigma, truncate=2.5
    )
    share = ndimage.gaussian_filter(weight.astype(np.float32), sigma, truncate=2.5)
    level = np.clip(total / (share + OUTSIDE_PRIOR), -OUTSIDE_MOST_HU, OUTSIDE_MOST_HU)
    grid = ground.grid
    coarse = Volume(
        level.astype(np.float32), grid.origin_lps_mm, grid.direction, grid.spacing_mm * OUTSIDE_STEP
    )
    return resample(coarse, grid, outside=0.0).array.astype(np.float32, copy=False)


def _depth_seen(change: _Change, ground: Ground, drop_hu: float, outside_hu: F32 | None) -> F32:
    """About the depth in mm inside the half-drop level, where the edge can be seen."""
    outside = np.float32(0) if outside_hu is None else outside_hu
    fallen = outside - change.difference_hu / ground.water
    share = fallen / (drop_hu + outside)
    wanted = ROUGH_SHARE if outside_hu is None else EDGE_SHARE
    return np.clip((share - wanted) * EDGE_WIDTH_MM, -CLIP_MM, CLIP_MM).astype(np.float32)


def _grow(change: _Change, ground: Ground, depth: F32, modelled: F32 | None) -> tuple[F32, bool]:
    """Region growing from the probes; what is not reached is set outside.

    Growth passes only where a ball of one voxel fits, so that it does not leak through threads of
    noise, and ends at ``LEAK_MM`` outside the model, or at a probe's reach without one.
    """
    distance = ground.probe_distance_mm
    bound = distance < REACH_FROM_PROBE_MM
    if modelled is not None:
        bound &= modelled > -LEAK_MM
    candidate = (depth > 0) & (change.trusted > 0.25) | (distance < SEED_MM[0])
    leaked = bool((candidate & ~bound & _touching(candidate, bound)).sum() > 500)
    core = ndimage.binary_erosion(candidate & bound, iterations=1)
    labels, _ = ndimage.label(core)
    ring = distance < SEED_MM[1]
    reached = np.unique(labels[ring & core])
    grown = np.isin(labels, reached[reached > 0])
    grown = ndimage.binary_dilation(grown, iterations=2) & candidate & bound
    grown = ndimage.binary_fill_holes(grown)
    near_edge = ndimage.binary_dilation(grown, iterations=1)
    inside = np.where(grown, np.maximum(depth, 0.2), np.minimum(depth, -0.2))
    inside = np.where(near_edge | grown, inside, -CLIP_MM)
    # Right at the edge the untouched value carries the sub-voxel place of the surface.
    edge = near_edge & ~ndimage.binary_erosion(grown, iterations=1)
    agrees = edge & ((depth > 0) == grown)
    return np.where(agrees, depth, inside).astype(np.float32), leaked


def _touching(candidate: Mask, bound: Mask) -> Mask:
    """Candidates connected with the bound region."""
    labels, _ = ndimage.label(candidate)
    inside = np.unique(labels[candidate & bound])
    return np.isin(labels, inside[inside > 0])


def _visible_edge(change: _Change, ground: Ground, seen: F32) -> NDArray[np.float64]:
    """(N, 3) points of the grown surface with water-rich tissue on both sides."""
    surface = surface_of(_on(ground.grid, seen))
    points, normals = surface.points_lps_mm, surface.normals
    if len(points) == 0:
        return points
    trusted = _on(ground.grid, change.trusted)
    good = sample(trusted, points, outside=0.0) > 0.9
    for side in (-2.5, 2.5):
        good &= sample(trusted, points + side * normals, outside=0.0) > 0.9
    return points[good]


def _join(change: _Change, ground: Ground, seen: F32, modelled: F32 | None) -> F32 | None:
    """One level set: seen where it can be seen, modelled elsewhere; one piece, no holes."""
    distance = ground.probe_distance_mm
    if modelled is None:
        share = np.where(change.trusted > 0.25, 1.0, 0.0).astype(np.float32)
        modelled = np.where(distance < SEED_MM[1], 1.0, -CLIP_MM).astype(np.float32)
    else:
        share = np.clip(2 * change.trusted - 1, 0, 1)
        modelled = np.clip(modelled, -CLIP_MM, CLIP_MM)
    field = (share * seen + (1 - share) * modelled).astype(np.float32)
    field = ndimage.gaussian_filter(field, 0.7, truncate=3)
    field[change.gas & (field > 0) & (distance > SEED_MM[1])] = -0.5
    labels, count = ndimage.label(field > 0)
    if count == 0:
        return None
    ring = (distance < SEED_MM[1]) & (labels > 0)
    if not ring.any():
        return None
    largest = int(np.argmax(np.bincount(labels[ring])))
    body = ndimage.binary_fill_holes(labels == largest)
    field = np.where((field > 0) & ~body, -0.5, field)
    field = np.where((field <= 0) & body, 0.5, field)
    return np.asarray(field, dtype=np.float32)


def _noise_hu(change: _Change, field: F32) -> float:
    """Robust standard deviation of the difference in water-rich tissue clear of the ice."""
    clear = (field <= -CLIP_MM + 0.5) & (change.trusted > 0.9)
    if clear.sum() < 200:
        return float("nan")
    values = change.difference_hu[clear]
    return 1.48 * float(np.median(np.abs(values - np.median(values))))
