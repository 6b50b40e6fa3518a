"""What a scan shows against the baseline, on the ground's grid."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from segmentation.ground import GAS_HU, Ground, smooth, usable
from segmentation.rigid import Rigid
from segmentation.sampling import AIR_HU, resample
from segmentation.volume import Volume

FAR_MM = (21.0, 16.0, 12.0)
"""Kidney further than the first from every freezing zone is hardly ever frozen: what has changed
there has changed for another reason, contrast medium above all. Nearer, at least most of it is not;
that is where one looks in a small kidney."""

CLASSES_HU = (18.0, 50.0, 100.0)
"""Borders of classes of tissue that take up contrast differently: fluid, unenhanced, enhanced."""

KNOTS_HU = (0.0, 34.0, 75.0, 130.0)
"""Where between them a class's level holds; linear in between."""

CLASS_PRIOR = 300.0
"""Voxels of a class that weigh as much as the wish that its level is that of all tissue, or, for
fluid, which takes up none, that it has not changed."""

MIN_FAR = 300
MOST_HU = 250.0
"""A change beyond this is none of tissue."""

Window = tuple[slice, slice, slice]
F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Change:
    """Arrays [k, j, i] on ``grid``, in the baseline's frame.

    Attributes
    ----------
    difference_hu
        Scan less baseline, smoothed, metal, bone and gas left out.
    mean_hu, water, kidney, probe_distance_mm, nearest_probe
        See ``Ground``.
    off
        Numbers of probes round which nothing has frozen.
    trusted
        0 to 1: how well an edge would be seen here, in this scan and the baseline.
    hidden
        Water-rich kidney under a shaft's metal: what is known there comes from beside it.
    gas
        In the scan, cracks in the ice left out.
    seed
        Number, beyond those of the probes, of a place that a person knows to be ice. Without one,
        ice far outside of the fitted freezing model is not believed.
    """

    grid: Volume
    difference_hu: F32
    mean_hu: F32
    water: F32
    trusted: F32
    kidney: Mask
    hidden: Mask
    gas: Mask
    probe_distance_mm: F32
    nearest_probe: NDArray[np.int8]
    off: frozenset[int] = frozenset()
    seed: int | None = None

    def part(self, window: Window) -> "Change":
        """The same in a window of the grid, without copies."""
        index = np.array([axis.start for axis in window[::-1]], dtype=np.float64)
        grid = Volume(
            self.grid.array[window],
            self.grid.to_lps(index),
            self.grid.direction,
            self.grid.spacing_mm,
        )
        return Change(
            grid,
            self.difference_hu[window],
            self.mean_hu[window],
            self.water[window],
            self.trusted[window],
            self.kidney[window],
            self.hidden[window],
            self.gas[window],
            self.probe_distance_mm[window],
            self.nearest_probe[window],
            self.off,
            self.seed,
        )

    def seeded(self, point_lps_mm: NDArray[np.float64]) -> "Change":
        """The same with one more place that ice grows from, as if a probe's zone were there.

        The freezing model knows nothing of it, and no longer bounds what is seen.
        """
        index = np.indices(self.grid.array.shape, dtype=np.float32)[::-1]
        at = self.grid.to_index(point_lps_mm).reshape(3, 1, 1, 1)
        away = ((index - at) * self.grid.spacing_mm.reshape(3, 1, 1, 1)) ** 2
        distance = np.sqrt(away.sum(axis=0)).astype(np.float32)
        nearer = distance < self.probe_distance_mm
        number = self.nearest_probe.max() + 1
        return replace(
            self,
            probe_distance_mm=np.minimum(distance, self.probe_distance_mm),
            nearest_probe=np.where(nearer, number, self.nearest_probe).astype(np.int8),
            seed=int(number),
        )

    def at_probes(self, depth: F32) -> F32:
        """Depth in ice without what is nearest to a person's seed."""
        if self.seed is None:
            return depth
        return np.where(self.nearest_probe == self.seed, depth.min(), depth)

    @property
    def idle(self) -> Mask:
        """What is nearest to a probe that is off."""
        return np.isin(self.nearest_probe, list(self.off))

    def in_kidney(self) -> "Change":
        """The same, trusted nowhere else."""
        return replace(self, trusted=self.trusted * self.kidney)

    def on_grid(self, array: NDArray[np.floating]) -> Volume:
        """An array on this grid."""
        grid = self.grid
        values = np.asarray(array, dtype=np.float32)
        return Volume(values, grid.origin_lps_mm, grid.direction, grid.spacing_mm)


@dataclass(frozen=True)
class Level:
    """By how much unfrozen tissue has changed since the baseline.

    Attributes
    ----------
    overall_hu
        Most of it.
    spread_hu
        Robust standard deviation of what is left when the classes' levels are taken off; infinite
        where too little unfrozen kidney is seen to tell.
    classes_hu
        At ``KNOTS_HU`` of what the tissue was before.
    """

    overall_hu: float
    spread_hu: float
    classes_hu: tuple[float, ...]

    @property
    def known(self) -> bool:
        """Whether enough unfrozen kidney was seen."""
        return bool(np.isfinite(self.spread_hu))

    @property
    def most_hu(self) -> float:
        """Largest change of a class, whatever its sign."""
        return max(map(abs, self.classes_hu))

    def of(self, change: Change) -> F32:
        """The expected difference of unfrozen tissue."""
        level = np.interp(change.mean_hu, KNOTS_HU, self.classes_hu)
        return np.asarray(level * change.water, dtype=np.float32)

    def without_rise(self) -> "Level":
        """The same for tissue that has been frozen: no blood brings contrast medium there."""
        fallen = tuple(min(level, 0.0) for level in self.classes_hu)
        return Level(min(self.overall_hu, 0.0), self.spread_hu, fallen)


def compare(scan: Volume, ground: Ground, baseline_to_scan: Rigid) -> Change:
    """Bring a scan onto the ground and take the baseline off."""
    now = resample(scan, ground.grid, baseline_to_scan).array.astype(np.float32, copy=False)
    keep, clean = usable(now, ground.near_shaft)
    # There is no gas in a kidney: where there was tissue of it, gas is a crack in the ice, and
    # belongs to it.
    gas = (now < GAS_HU) & ~ground.kidney
    keep &= ground.keep & ~gas
    clean &= ground.keep
    change = np.clip(now - ground.before_hu, -MOST_HU, MOST_HU)
    change *= clean
    weight = np.maximum(smooth(clean.astype(np.float32)), np.float32(1e-3))
    trusted = ground.trusted * keep
    trusted[now <= AIR_HU + 1] = 0
    return Change(
        grid=ground.grid,
        difference_hu=(smooth(change) / weight).astype(np.float32, copy=False),
        mean_hu=ground.mean_hu,
        water=ground.water,
        trusted=trusted,
        kidney=ground.kidney,
        hidden=ground.under_shaft & (trusted < 0.5),
        gas=gas,
        probe_distance_mm=ground.probe_distance_mm,
        nearest_probe=ground.nearest_probe,
    )


def level_of(change: Change) -> Level:
    """From water-rich kidney that is too far from the probes to be frozen."""
    shown = change.kidney & (change.trusted > 0.9)
    for far_mm in FAR_MM:
        far = shown & (change.probe_distance_mm > far_mm)
        if far.sum() >= MIN_FAR:
            break
    else:
        return Level(0.0, np.inf, (0.0,) * len(KNOTS_HU))
    values, before = change.difference_hu[far], change.mean_hu[far]
    overall = float(np.median(values))
    levels = []
    for low, high in pairwise((-np.inf, *CLASSES_HU, np.inf)):
        chosen = values[(before > low) & (before <= high)]
        share = len(chosen) / (len(chosen) + CLASS_PRIOR)
        other = 0.0 if high == CLASSES_HU[0] else overall
        median = float(np.median(chosen)) if len(chosen) else 0.0
        levels.append(share * median + (1 - share) * other)
    left = values - np.interp(before, KNOTS_HU, levels)
    return Level(overall, 1.48 * float(np.median(np.abs(left))), tuple(levels))
