"""The ground that ice will form on, as the baseline shows it: worked out once a procedure.

Everything here lies in the baseline's frame on one grid of 1 mm round tumour and probes, so that a
later scan has only to be brought onto it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segmentation import bioheat
from segmentation.probes import Probe
from segmentation.sampling import AIR_HU, grid_around, resample
from segmentation.sampling import smooth as gaussian
from segmentation.volume import Volume
from segmentation.watching import Step, unwatched

GRID_STEP_MM = 1.0
GRID_REACH_MM = 26.0
"""Room for ice beyond the tumour and the freezing zones; a single 17G probe reaches 15 mm."""

SMOOTH_MM = 1.3
"""Gaussian against noise: 15 HU in a 3 mm slice become about 5 HU in the difference."""

FAT_HU = -100.0
WATER_RICH_HU = 5.0
"""Between these a voxel is counted as a mixture of fat and water-rich tissue."""

VISIBLE_WATER = (0.45, 0.75)
"""Below the first water fraction the edge is invisible, above the second it is fully visible."""

METAL_HU = 400.0
METAL_RIM_MM = 2.0
SHAFT_MM = 6.0
"""Bright voxels this near to a shaft are its blur and streaks, further away bone or contrast."""

BONE_RIM_MM = 4.0
"""Ribs move otherwise than the kidney; so does what lies on them."""

DENSE_HU = 230.0
"""Excreted contrast: brighter than any enhanced kidney (120 to 180 HU, 220 at most; domain facts,
1.1), and another in each scan."""

DEEP_HU = (0.0, 110.0)
DEEP_MM = 4.0
"""Other organs move otherwise than the kidney, by a few mm; this deep inside soft tissue one sees
no more of it than that, and ice shows there as well."""

GAS_HU = -350.0

HEAT_STEP_MM = 2.5
HEAT_REACH_MM = 26.0
PROTOCOL = bioheat.Protocol(
    freeze_s=1080.0,
    stops_s=(270.0, 480.0, 780.0),
    thaw_s=660.0,
    refreeze_stop_s=480.0,
    refreeze_after_s=420.0,
    refreeze_s=660.0,
)
"""Freeze for 10 to 15 min, thaw for 5 to 10, freeze again (domain facts, 2.1)."""

PERFUSIONS = (0.003, 0.009, 0.02)
"""1/s, of kidney and tumour. From 0.006 to 0.02 reproduces balls of 2 to 3 cm round one probe, and
a whole kidney has 0.067 (domain facts, 6.2 and 6.4); on this coarse grid the same balls come about
at two thirds of that. Which is right is fitted."""

OTHER_PERFUSION = 0.001
FAT_PERFUSION = 0.0005
FLUID_HU = 18.0
"""Urine and simple cysts (0 to 15 HU) have no blood."""

VESSEL_HU = 22.0
"""Soft tissue brighter than this inside the hilum's contour may be its vessels, and keep warm."""

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]
Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ground:
    """Arrays [k, j, i] on ``grid``, in the baseline's frame.

    Attributes
    ----------
    grid
        Isotropic, 1 mm; its array is not used.
    before_hu
        The baseline.
    mean_hu
        The baseline smoothed, where it is neither metal, bone nor gas.
    water
        Share of water-rich tissue, 0.3 at least.
    keep
        False in metal, bone, gas and dense contrast, each with a rim.
    trusted
        0 to 1: how well an ice edge would be seen here.
    kidney
        Water-rich tissue of the kidney, tumour included.
    under_shaft
        Kidney, but for the metal in it.
    near_shaft
        Where bright voxels are metal: within 6 mm of a shaft.
    probe_distance_mm, nearest_probe
        To the nearest freezing zone, and whose it is.
    slice_mm
        Of the baseline.
    probes
        In the baseline's frame.
    heat
        Grid of ``courses``, 2.5 mm.
    courses
        When tissue freezes and melts: one for each of ``PERFUSIONS`` with the hilum's vessels as
        any tissue, then the middle one with their walls at body temperature.
    """

    grid: Volume
    before_hu: F32
    mean_hu: F32
    water: F32
    keep: Mask
    trusted: F32
    kidney: Mask
    under_shaft: Mask
    near_shaft: Mask
    probe_distance_mm: F32
    nearest_probe: NDArray[np.int8]
    slice_mm: float
    probes: tuple[Probe, ...]
    heat: Volume
    courses: tuple[bioheat.Course, ...]


def survey(
    baseline: Volume,
    kidney: Volume,
    probes: Sequence[Probe],
    tumour_lps_mm: Points,
    hilum_lps_mm: Points,
    step: Step = unwatched,
) -> Ground:
    """Make the ground.

    Parameters
    ----------
    baseline
        In HU.
    kidney
        Above 0.5 where the kidney is. Only there, and deep inside of other organs, do two scans fit
        each other: what lies round it moves otherwise, and a change there is no ice.
    probes
        At least one.
    tumour_lps_mm, hilum_lps_mm
        (N, 3) points that fill the structures, the hilum's may be none. All in the baseline's
        frame.
    step
        Called as the work moves on, by any thread.
    """
    zones = np.array([end for probe in probes for end in probe.active_ends_lps_mm])
    grid = grid_around(
        baseline, np.concatenate([tumour_lps_mm, zones]), GRID_REACH_MM, GRID_STEP_MM
    )
    before = resample(baseline, grid).array.astype(np.float32)
    near_shaft = _near_shaft(grid, probes)
    keep, clean = usable(before, near_shaft)
    keep &= before >= GAS_HU
    weight = np.maximum(smooth(clean.astype(np.float32)), 1e-3)
    mean = smooth(np.clip(before, -200, 300) * clean) / weight
    mixture = smooth(np.clip(before, FAT_HU, WATER_RICH_HU) * clean) / weight
    water = np.clip((mixture - FAT_HU) / (WATER_RICH_HU - FAT_HU), 0, 1)
    ramp = (water - VISIBLE_WATER[0]) / (VISIBLE_WATER[1] - VISIBLE_WATER[0])
    inside = resample(kidney, grid, outside=0.0).array.astype(np.float32, copy=False)
    region = np.clip(2 * inside, 0, 1) * np.clip(ramp, 0, 1)
    trusted = np.maximum(region, _deep_inside(mean.astype(np.float32))) * keep
    trusted[before <= AIR_HU + 1] = 0
    distance_mm, nearest = _probe_distance(grid, probes)
    step()
    heat, courses = _heat(baseline, kidney, probes, zones, hilum_lps_mm, step)
    return Ground(
        grid=grid,
        before_hu=before,
        mean_hu=mean.astype(np.float32),
        water=np.maximum(water, 0.3).astype(np.float32),
        keep=keep,
        trusted=trusted.astype(np.float32),
        kidney=region > 0.5,
        under_shaft=(region > 0.5) & near_shaft,
        near_shaft=near_shaft,
        probe_distance_mm=distance_mm,
        nearest_probe=nearest,
        slice_mm=float(baseline.spacing_mm[2]),
        probes=tuple(probes),
        heat=heat,
        courses=courses,
    )


def _deep_inside(mean_hu: F32) -> Mask:
    """Soft tissue further than ``DEEP_MM`` from any other: muscle, spleen, liver."""
    soft = (mean_hu > DEEP_HU[0]) & (mean_hu < DEEP_HU[1])
    size = 2 * int(DEEP_MM / GRID_STEP_MM) + 1
    return ndimage.minimum_filter(soft.view(np.uint8), size=size).view(np.bool_)


def smooth(array: F32) -> F32:
    """Gaussian of ``SMOOTH_MM``."""
    return gaussian(array, SMOOTH_MM / GRID_STEP_MM)


def usable(hu: F32, near_shaft: Mask) -> tuple[Mask, Mask]:
    """Where a change may be believed: free of metal, bone and dense contrast; gas is apart.

    Parameters
    ----------
    kidney
        Water-rich tissue of the kidney, tumour included.
    under_shaft
        Kidney, but for the metal in it.
    near_shaft
        Where bright voxels are metal and not bone.

    Returns
    -------
    keep
        With the rims of these left out.
    clean
        Without gas, dense contrast left in: what may be averaged over.
    """
    bright = hu > METAL_HU
    metal = dilated(bright & near_shaft, METAL_RIM_MM)
    bone = dilated(bright & ~near_shaft, BONE_RIM_MM)
    dense = dilated((hu > DENSE_HU) & ~near_shaft, METAL_RIM_MM)
    solid = ~(metal | bone)
    return solid & ~dense, solid & (hu >= GAS_HU)


def dilated(mask: Mask, reach_mm: float) -> Mask:
    """By a cube of this half width."""
    size = 2 * int(np.ceil(reach_mm / GRID_STEP_MM)) + 1
    if not mask.any():
        return mask
    return ndimage.maximum_filter(mask.view(np.uint8), size=size).view(np.bool_)


def _probe_distance(grid: Volume, probes: Sequence[Probe]) -> tuple[F32, NDArray[np.int8]]:
    """mm from each voxel centre to the nearest freezing zone, and the number of its probe."""
    free = np.ones(grid.array.shape, dtype=bool)
    owner = np.zeros(grid.array.shape, dtype=np.int8)
    for number, probe in enumerate(probes):
        near, far = probe.active_ends_lps_mm
        count = max(2, int(np.linalg.norm(far - near) / (GRID_STEP_MM / 2)))
        index = np.rint(grid.to_index(np.linspace(near, far, count))).astype(int)
        inside = ((index >= 0) & (index < np.array(free.shape[::-1]))).all(axis=1)
        i, j, k = index[inside].T
        free[k, j, i] = False
        owner[k, j, i] = number
    distance_mm, index = ndimage.distance_transform_edt(
        free, sampling=GRID_STEP_MM, return_indices=True
    )
    return np.asarray(distance_mm, dtype=np.float32), owner[tuple(index)]


def _near_shaft(grid: Volume, probes: Sequence[Probe]) -> Mask:
    """Within ``SHAFT_MM`` of a shaft, and as far before its tip."""
    mask = np.zeros(grid.array.shape, dtype=bool)
    for probe in probes:
        along = np.arange(0, probe.length_mm, GRID_STEP_MM / 2)
        mask |= _filled(grid, probe.tip_lps_mm + along[:, None] * probe.direction)
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=GRID_STEP_MM) < SHAFT_MM)


def _heat(
    baseline: Volume,
    kidney: Volume,
    probes: Sequence[Probe],
    zones: Points,
    hilum: Points,
    step: Step,
) -> tuple[Volume, tuple[bioheat.Course, ...]]:
    """What the baseline's tissue would do, for each perfusion."""
    grid = grid_around(baseline, zones, HEAT_REACH_MM, HEAT_STEP_MM)
    near = baseline.crop_around(grid.corners_lps_mm, 2 * HEAT_STEP_MM)
    # A shaft is no bone: what lies round it is taken for water-rich tissue.
    sigma = 0.4 * HEAT_STEP_MM / near.spacing_mm[::-1]
    clipped = ndimage.gaussian_filter(
        np.clip(near.array, -150, 60).astype(np.float32), sigma, truncate=2.5
    )
    hu = resample(
        Volume(clipped, near.origin_lps_mm, near.direction, near.spacing_mm), grid, outside=FAT_HU
    ).array
    water = np.clip((hu - FAT_HU) / (WATER_RICH_HU - FAT_HU), 0, 1).astype(np.float32)
    inside = resample(kidney, grid, outside=0.0).array > 0.5
    vessels = _filled(grid, hilum) & (hu > VESSEL_HU) & ~_on_shafts(grid, probes)

    def course(perfusion: float, warm: Mask) -> bioheat.Course:
        supply = np.where(water > 0.6, OTHER_PERFUSION, FAT_PERFUSION)
        supply = np.where(inside & (water > 0.7) & (hu > FLUID_HU), perfusion, supply)
        tissue = bioheat.Tissue(grid, water, supply.astype(np.float32), warm)
        return bioheat.run(tissue, probes, PROTOCOL, step)

    none = np.zeros_like(vessels)
    wanted = [*((perfusion, none) for perfusion in PERFUSIONS), (PERFUSIONS[1], vessels)]
    # Not in threads: they would wait for each other longer than the steps take.
    return grid, tuple(course(*each) for each in wanted)


def _on_shafts(grid: Volume, probes: Sequence[Probe]) -> Mask:
    """Voxels that a shaft or its blur brightens."""
    mask = np.zeros(grid.array.shape, dtype=bool)
    step = float(grid.spacing_mm[0])
    for probe in probes:
        along = np.arange(-step, probe.length_mm, step / 2)
        mask |= _filled(grid, probe.tip_lps_mm + along[:, None] * probe.direction)
    around = np.ones((3, 3, 3), dtype=np.bool_)
    return np.asarray(ndimage.binary_dilation(mask, around), dtype=np.bool_)


def _filled(grid: Volume, points: Points) -> Mask:
    """Voxels that hold a point."""
    mask = np.zeros(grid.array.shape, dtype=bool)
    index = np.rint(grid.to_index(points)).astype(int)
    i, j, k = index[((index >= 0) & (index < np.array(mask.shape[::-1]))).all(axis=1)].T
    mask[k, j, i] = True
    return mask
