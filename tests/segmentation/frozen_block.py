"""A block of kidney in fat with one probe in it, and ice that the model itself would make.

What is tested with it is that a fit finds what was put in, not that the physics is right.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from segmentation.freezing import Candidate, front_depth
from segmentation.ground import Ground, survey
from segmentation.probes import Probe
from segmentation.sampling import resample, voxel_centres
from segmentation.volume import Volume

KIDNEY_HU, FAT_HU, SHAFT_HU = 35.0, -100.0, 2000.0
STEP_MM = (1.0, 1.0, 2.0)
HALF_MM = 62.0
FAT_FROM_X_MM = 6.0
"""Kidney lies at smaller x, fat beyond."""

PROBE = Probe(np.array([0.0, -20.0, 0.0]), np.array([0.0, 1.0, 0.0]), 75.0)
SPHERE_MM = 10.0
"""Radius of the tumour round the origin."""


@dataclass(frozen=True, eq=False)
class Block:
    """The scan before ice, what is known of it, and the kidney's mask."""

    baseline: Volume
    kidney: Volume
    ground: Ground


def volume(hu: NDArray[np.floating]) -> Volume:
    """On the block's grid."""
    return Volume(hu.astype(np.float32), np.full(3, -HALF_MM), np.eye(3), np.array(STEP_MM))


def _empty() -> Volume:
    count = [int(2 * HALF_MM / step) + 1 for step in STEP_MM]
    return volume(np.zeros(count[::-1]))


def ball(radius_mm: float) -> NDArray[np.float64]:
    """(N, 3): points 2 mm apart that fill a ball round the origin."""
    line = np.arange(-radius_mm, radius_mm + 1, 2.0)
    points = np.stack(np.meshgrid(line, line, line), axis=-1).reshape(-1, 3)
    return np.asarray(points[np.linalg.norm(points, axis=1) <= radius_mm], dtype=np.float64)


@cache
def block() -> Block:
    """Made once."""
    points = voxel_centres(_empty())
    kidney = points[..., 0] < FAT_FROM_X_MM
    hu = np.where(kidney, KIDNEY_HU, FAT_HU)
    away = np.hypot(points[..., 0], points[..., 2])
    hu[(away < 1.0) & (points[..., 1] > -20)] = SHAFT_HU
    baseline, mask = volume(hu), volume(kidney.astype(np.float32))
    ground = survey(baseline, mask, [PROBE], ball(SPHERE_MM), np.empty((0, 3)))
    return Block(baseline, mask, ground)


def candidate(stage: str, time_s: float) -> Candidate:
    """A history with middling perfusion."""
    stages = [front.stage for front in block().ground.courses[0].ice]
    number = stages.index(stage)  # type: ignore[arg-type]
    stop_s = block().ground.courses[0].ice[number].stop_s
    return Candidate(number, stages[number], 0.5, 0.0, time_s, 0.0, stop_s, weight=1.0)


def frozen(
    stage: str, time_s: float, *, drop_hu: float = 85.0, rise_hu: float = 0.0, noise_hu: float = 0.0
) -> Volume:
    """The block with a history's ice in it.

    Parameters
    ----------
    rise_hu
        By contrast medium, in unfrozen kidney.
    """
    depth = volume_of(candidate(stage, time_s))
    hu = block().baseline.array.astype(np.float32)
    kidney = block().kidney.array
    share = np.clip(depth.array / 2 + 0.5, 0, 1)
    hu = hu + kidney * np.where(hu < 500, rise_hu * (1 - share) - drop_hu * share, 0)
    noise = np.random.default_rng(5).normal(0, noise_hu, hu.shape) if noise_hu else 0
    return volume(hu + noise)


def volume_of(history: Candidate) -> Volume:
    """Depth inside a history's ice on the block's grid."""
    ground = block().ground
    heat = ground.heat
    coarse = Volume(
        front_depth(ground, history, history.time_s),
        heat.origin_lps_mm,
        heat.direction,
        heat.spacing_mm,
    )
    return resample(coarse, block().baseline, outside=-12.0)
