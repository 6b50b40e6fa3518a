"""The ice ball in one scan: threshold on the change against the baseline, and region growing.

Freezing lowers the CT number of water-rich tissue by about 85 HU from wherever it was (Sandison
1998), so ice is looked for in the difference from the same patient's baseline, never by an
absolute number: contrast-filled kidney at 120 HU freezes to what unfrozen kidney looks like
without contrast. The edge is where half of the drop has happened. In fat there is hardly any drop,
and the edge is taken from the freezing model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segmentation import freezing
from segmentation.probes import Probe
from segmentation.rigid import Rigid
from segmentation.sampling import AIR_HU, grid_around, resample, sample
from segmentation.surface import Surface, surface_of
from segmentation.volume import Volume

GRID_STEP_MM = 1.0
GRID_REACH_MM = 26.0
"""Room for ice beyond the tumour and the freezing zones; a single 17G probe reaches 15 mm."""

SMOOTH_MM = 1.3
"""Gaussian against noise: 15 HU in a 3 mm slice become about 5 HU in the difference."""

USUAL_DROP_HU = 80.0
DROP_RANGE_HU = (55.0, 105.0)
"""60 to 95 HU occurs, by scanner and energy."""

FAT_HU = -100.0
WATER_RICH_HU = 5.0
"""Between these a voxel is counted as a mixture of fat and water-rich tissue."""

VISIBLE_WATER = (0.45, 0.75)
"""Below the first water fraction the edge is invisible, above the second it is fully visible."""

METAL_HU = 400.0
METAL_RIM_MM = 2.0
BONE_RIM_MM = 4.0
"""Ribs move otherwise than the kidney; so does what lies on them."""

GAS_HU = -350.0
SEED_MM = (2.5, 6.0)
"""Ring round the freezing zone in which the first ice shows, outside the shaft's own blur."""

MIN_SEED_FRACTION = 0.15
MIN_VOLUME_ML = 0.3
EDGE_SHARE = 0.42
"""Part of the drop at which the edge is taken. Half would be it, but unfrozen tissue next to ice is
up to 10 HU brighter than at body temperature (domain facts, 1.1), and blur pulls the edge of a ball
inwards; together 0.4 mm on simulated scans."""

FAT_LEAD_MM = 1.7
"""Ice in fat runs ahead of the surface of equal potential that fits it in the kidney: fat is hardly
perfused and holds a third of the latent heat (domain facts, 6.2). Measured on simulated scans."""

EDGE_WIDTH_MM = 4.0
"""Distance over which the smoothed change goes from none to all; turns change into mm."""

LEAK_MM = 7.0
"""Ice further than this outside the fitted freezing model is a leak and cut off."""

REACH_FROM_PROBE_MM = 32.0
"""No 17G probe freezes further; bounds the region grower before there is a model."""

CLIP_MM = 3.0
DIRECTIONS = 500


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
    model_residual_mm
        How far the visible edge lies from the freezing model; NaN without a model.
    leaked
        Whether growth had to be cut off.
    """

    surface: Surface
    visible: NDArray[np.float32]
    volume_ml: float
    drop_hu: float
    noise_hu: float
    model_residual_mm: float
    leaked: bool

    @property
    def visible_surface_fraction(self) -> float:
        """Share of the surface that was seen and not modelled."""
        return float((self.visible > 0.5).mean())

    @property
    def longest_axis_mm(self) -> float:
        """Largest width of the surface, over directions 6 degrees apart: short by 0.2 % at most."""
        widths = self.surface.points_lps_mm.astype(np.float32) @ _half_sphere(DIRECTIONS).T
        return float(np.ptp(widths, axis=0).max())


@dataclass(frozen=True, eq=False)
class _Change:
    """What the two scans show on the working grid; all arrays [k, j, i]."""

    grid: Volume
    difference_hu: NDArray[np.float32]
    water: NDArray[np.float32]
    trusted: NDArray[np.float32]
    gas: NDArray[np.bool_]
    probe_distance_mm: NDArray[np.float32]


def _half_sphere(count: int) -> NDArray[np.float32]:
    """(count, 3): unit vectors spread evenly over a half-sphere (Fibonacci's lattice)."""
    n = np.arange(count) + 0.5
    height = n / count
    angle = np.pi * (1 + np.sqrt(5)) * n
    radius = np.sqrt(1 - height**2)
    axes = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), height])
    return axes.astype(np.float32)


def find_ice(
    scan: Volume,
    baseline: Volume,
    kidney: Volume,
    scan_to_baseline: Rigid,
    probes: Sequence[Probe],
    tumour_lps_mm: NDArray[np.float64],
    hilum_lps_mm: NDArray[np.float64],
) -> Ice | None:
    """Segment the ice; None where there is none.

    Parameters
    ----------
    scan, baseline
        In HU; ``scan_to_baseline`` takes the scan's frame to the baseline's.
    kidney
        Above 0.5 where the kidney is, in the baseline's frame. Only there do the two scans fit
        each other: fat, muscle and bowel round it move otherwise, and a change there is no ice.
    probes, tumour_lps_mm, hilum_lps_mm
        In the scan's frame; (N, 3) points of the structures, the hilum's may be none.
    """
    change = _compare(scan, baseline, kidney, scan_to_baseline, probes, tumour_lps_mm)
    visible = change.trusted > 0.5
    ring = (
        visible & (change.probe_distance_mm > SEED_MM[0]) & (change.probe_distance_mm < SEED_MM[1])
    )
    if not ring.any():
        return None
    frozen = change.difference_hu < -USUAL_DROP_HU / 2 * change.water
    if frozen[ring].mean() < MIN_SEED_FRACTION:
        return None
    drop = _drop_hu(change, frozen & visible)
    seen, leaked = _grow(change, _depth_seen(change, drop), None)
    model = freezing.fit(probes, hilum_lps_mm, _visible_edge(change, seen), change.grid)
    if model is not None:
        seen, leaked = _grow(
            change, _depth_seen(change, drop), model.depth.array.astype(np.float32)
        )
    field = _join(change, seen, model)
    if field is None:
        return None
    volume_ml = float(np.clip(field / GRID_STEP_MM + 0.5, 0, 1).sum()) * GRID_STEP_MM**3 / 1000
    if volume_ml < MIN_VOLUME_ML:
        return None
    surface = surface_of(_on(change.grid, field))
    return Ice(
        surface=surface,
        visible=sample(_on(change.grid, change.trusted), surface.points_lps_mm, outside=0.0),
        volume_ml=volume_ml,
        drop_hu=drop,
        noise_hu=_noise_hu(change, field),
        model_residual_mm=model.residual_mm if model is not None else float("nan"),
        leaked=leaked,
    )


def _on(grid: Volume, array: NDArray[np.float32]) -> Volume:
    return Volume(array, grid.origin_lps_mm, grid.direction, grid.spacing_mm)


def _compare(
    scan: Volume,
    baseline: Volume,
    kidney: Volume,
    scan_to_baseline: Rigid,
    probes: Sequence[Probe],
    tumour_lps_mm: NDArray[np.float64],
) -> _Change:
    zones = [end for probe in probes for end in probe.active_ends_lps_mm]
    extent = np.concatenate([tumour_lps_mm, np.array(zones).reshape(-1, 3)])
    grid = grid_around(scan, extent, GRID_REACH_MM, GRID_STEP_MM)
    now = resample(scan, grid).array.astype(np.float32)
    before = resample(baseline, grid, scan_to_baseline).array.astype(np.float32)
    bright = (now > METAL_HU) | (before > METAL_HU)
    gas = now < GAS_HU
    metal = _dilated(_near_probes(bright, grid, probes), METAL_RIM_MM)
    bone = _dilated(bright & ~metal, BONE_RIM_MM)
    keep = np.asarray(~(metal | bone | gas | (before < GAS_HU)), dtype=np.float32)
    sigma = SMOOTH_MM / GRID_STEP_MM
    weight = np.maximum(np.asarray(ndimage.gaussian_filter(keep, sigma, truncate=3)), 1e-3)
    change = np.clip(now - before, -250, 250)
    difference = np.asarray(ndimage.gaussian_filter(change * keep, sigma, truncate=3)) / weight
    mixture = np.clip(before, FAT_HU, WATER_RICH_HU) * keep
    tissue = np.asarray(ndimage.gaussian_filter(mixture, sigma, truncate=3)) / weight
    water = np.asarray(
        np.clip((tissue - FAT_HU) / (WATER_RICH_HU - FAT_HU), 0, 1), dtype=np.float32
    )
    ramp = (water - VISIBLE_WATER[0]) / (VISIBLE_WATER[1] - VISIBLE_WATER[0])
    trusted = np.clip(ramp, 0, 1) * keep
    region = resample(kidney, grid, scan_to_baseline, outside=0.0).array.astype(np.float32)
    trusted *= np.clip(2 * region, 0, 1)
    trusted[(now <= AIR_HU + 1) & (before <= AIR_HU + 1)] = 0
    return _Change(
        grid=grid,
        difference_hu=difference.astype(np.float32),
        water=np.maximum(water, 0.3).astype(np.float32),
        trusted=trusted.astype(np.float32),
        gas=gas,
        probe_distance_mm=_probe_distance(grid, probes),
    )


def _dilated(mask: NDArray[np.bool_], reach_mm: float) -> NDArray[np.bool_]:
    steps = int(np.ceil(reach_mm / GRID_STEP_MM))
    return np.asarray(ndimage.binary_dilation(mask, iterations=steps), dtype=bool)


def _near_probes(
    metal: NDArray[np.bool_], grid: Volume, probes: Sequence[Probe]
) -> NDArray[np.bool_]:
    """Bright voxels that touch a probe: bone and dense contrast are no metal."""
    if not probes:
        return metal
    labels, _ = ndimage.label(metal)
    touched: set[int] = set()
    for probe in probes:
        steps = np.arange(0, probe.length_mm, GRID_STEP_MM)
        index = np.rint(grid.to_index(probe.tip_lps_mm + steps[:, None] * probe.direction))
        inside = ((index >= 0) & (index < np.array(metal.shape[::-1]))).all(axis=1)
        i, j, k = index[inside].astype(int).T
        touched.update(np.unique(labels[k, j, i]).tolist())
    return np.isin(labels, list(touched - {0}))


def _probe_distance(grid: Volume, probes: Sequence[Probe]) -> NDArray[np.float32]:
    """mm from each voxel centre to the nearest freezing zone."""
    free = np.ones(grid.array.shape, dtype=bool)
    for probe in probes:
        near, far = probe.active_ends_lps_mm
        count = max(2, int(np.linalg.norm(far - near) / (GRID_STEP_MM / 2)))
        index = np.rint(grid.to_index(np.linspace(near, far, count))).astype(int)
        inside = ((index >= 0) & (index < np.array(free.shape[::-1]))).all(axis=1)
        i, j, k = index[inside].T
        free[k, j, i] = False
    distance_mm = ndimage.distance_transform_edt(free, sampling=GRID_STEP_MM)
    return np.asarray(distance_mm, dtype=np.float32)


def _drop_hu(change: _Change, frozen: NDArray[np.bool_]) -> float:
    """Drop on freezing, from the frozen tissue furthest from its edge."""
    near = frozen & (change.probe_distance_mm < 2 * SEED_MM[1]) & (change.water > 0.9)
    core = ndimage.binary_erosion(near, iterations=2)
    chosen = core if core.sum() > 50 else near
    if not chosen.any():
        return USUAL_DROP_HU
    return float(np.clip(-np.median(change.difference_hu[chosen]), *DROP_RANGE_HU))


def _depth_seen(change: _Change, drop_hu: float) -> NDArray[np.float32]:
    """About the depth in mm inside the half-drop level, where the edge can be seen."""
    share = -change.difference_hu / (drop_hu * change.water)
    return np.clip((share - EDGE_SHARE) * EDGE_WIDTH_MM, -CLIP_MM, CLIP_MM).astype(np.float32)


def _grow(
    change: _Change, depth: NDArray[np.float32], modelled: NDArray[np.float32] | None
) -> tuple[NDArray[np.float32], bool]:
    """Region growing from the probes; what is not reached is set outside.

    Growth passes only where a ball of one voxel fits, so that it does not leak through threads of
    noise, and ends at ``LEAK_MM`` outside the model, or at a probe's reach without one.
    """
    bound = change.probe_distance_mm < REACH_FROM_PROBE_MM
    if modelled is not None:
        bound &= modelled > -LEAK_MM
    candidate = (depth > 0) & (change.trusted > 0.25) | (change.probe_distance_mm < SEED_MM[0])
    leaked = bool((candidate & ~bound & _touching(candidate, bound)).sum() > 500)
    core = ndimage.binary_erosion(candidate & bound, iterations=1)
    labels, _ = ndimage.label(core)
    ring = change.probe_distance_mm < SEED_MM[1]
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


def _touching(candidate: NDArray[np.bool_], bound: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Candidates connected with the bound region."""
    labels, _ = ndimage.label(candidate)
    inside = np.unique(labels[candidate & bound])
    return np.isin(labels, inside[inside > 0])


def _visible_edge(change: _Change, seen: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, 3) points of the grown surface with water-rich tissue on both sides."""
    surface = surface_of(_on(change.grid, seen))
    points, normals = surface.points_lps_mm, surface.normals
    if len(points) == 0:
        return points
    trusted = _on(change.grid, change.trusted)
    good = sample(trusted, points, outside=0.0) > 0.9
    for side in (-2.5, 2.5):
        good &= sample(trusted, points + side * normals, outside=0.0) > 0.9
    return points[good]


def _join(
    change: _Change, seen: NDArray[np.float32], model: freezing.FreezingModel | None
) -> NDArray[np.float32] | None:
    """One level set: seen where it can be seen, modelled elsewhere; one piece, no holes."""
    if model is None:
        share = np.where(change.trusted > 0.25, 1.0, 0.0).astype(np.float32)
        modelled = np.where(change.probe_distance_mm < SEED_MM[1], 1.0, -CLIP_MM)
    else:
        share = np.clip(2 * change.trusted - 1, 0, 1)
        lead = FAT_LEAD_MM * np.clip(2 * (1 - change.water), 0, 1)
        modelled = np.clip(model.depth.array + lead, -CLIP_MM, CLIP_MM)
    field = (share * seen + (1 - share) * modelled).astype(np.float32)
    field = ndimage.gaussian_filter(field, 0.7, truncate=3)
    field[change.gas & (field > 0) & (change.probe_distance_mm > SEED_MM[1])] = -0.5
    labels, count = ndimage.label(field > 0)
    if count == 0:
        return None
    ring = (change.probe_distance_mm < SEED_MM[1]) & (labels > 0)
    if not ring.any():
        return None
    largest = int(np.argmax(np.bincount(labels[ring])))
    body = ndimage.binary_fill_holes(labels == largest)
    field = np.where((field > 0) & ~body, -0.5, field)
    field = np.where((field <= 0) & body, 0.5, field)
    return np.asarray(field, dtype=np.float32)


def _noise_hu(change: _Change, field: NDArray[np.float32]) -> float:
    """Robust standard deviation of the difference in water-rich tissue clear of the ice."""
    clear = (field <= -CLIP_MM + 0.5) & (change.trusted > 0.9)
    if clear.sum() < 200:
        return float("nan")
    values = change.difference_hu[clear]
    return 1.48 * float(np.median(np.abs(values - np.median(values))))
