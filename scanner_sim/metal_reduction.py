"""What a reconstruction with metal artefact reduction leaves of the shafts and their streaks."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from scanner_sim.grid import F32, Grid, Window
from scanner_sim.metal import Shafts
from scanner_sim.probes import SHAFT_LENGTH_MM

SHAFT_HU = 7000.0
"""Peak of a shaft before its partial volume; a plain reconstruction saturates far above."""


@dataclass(frozen=True)
class MetalReduction:
    """Strength of the method.

    Attributes
    ----------
    streaks
        Share of the streaks' height that is left.
    blur_mm
        Extra blur (sigma) of the shafts in the plane.
    error_hu
        Greatest height, up or down, of the smooth error near and between the shafts.
    reach_mm
        How far from a shaft the error goes.
    grain_mm
        Length over which it changes.
    """

    streaks: float = 0.12
    blur_mm: float = 0.7
    error_hu: float = 30.0
    reach_mm: float = 10.0
    grain_mm: float = 7.0

    def error(
        self, shafts: Shafts, grid: Grid, rng: np.random.Generator
    ) -> tuple[Window, F32] | None:
        """The smooth error of one scan, HU to add in a part of the grid; drawn anew each time."""
        reach = self.reach_mm
        lower = np.min([*shafts.tips], axis=0) - 3 * reach
        ends = [
            tip + 0.6 * SHAFT_LENGTH_MM * out
            for tip, out in zip(shafts.tips, shafts.outwards, strict=True)
        ]
        lower = np.minimum(lower, np.min(ends, axis=0) - 3 * reach)
        upper = np.maximum(np.max([*shafts.tips], axis=0), np.max(ends, axis=0)) + 3 * reach
        window = tuple(
            slice(int(np.searchsorted(axis, low)), int(np.searchsorted(axis, high, side="right")))
            for axis, low, high in zip(
                (grid.z, grid.y, grid.x), lower[::-1], upper[::-1], strict=True
            )
        )
        if any(part.start >= part.stop for part in window):
            return None
        found = (window[0], window[1], window[2])
        part = grid.part(found)
        white = rng.standard_normal(part.shape, dtype=np.float32)
        cloud = ndimage.gaussian_filter(white, self.grain_mm / part.spacing[::-1])
        cloud /= np.float32(cloud.std() + 1e-6)
        field = np.float32(self.error_hu) * np.tanh(np.float32(0.9) * cloud)
        return found, field * self._weight(shafts, part)

    def _weight(self, shafts: Shafts, grid: Grid) -> F32:
        """1 near a shaft and between two of them, 0 beyond the reach."""
        total = np.zeros(grid.shape, dtype=np.float32)
        x, y, z = grid.open
        for tip, out in zip(shafts.tips, shafts.outwards, strict=True):
            dx, dy, dz = (a - np.float32(c) for a, c in zip((x, y, z), tip, strict=True))
            a, b, c = (np.float32(value) for value in out)
            along = np.clip(dx * a + dy * b + dz * c, 0, SHAFT_LENGTH_MM)
            away2 = (dx - along * a) ** 2 + (dy - along * b) ** 2 + (dz - along * c) ** 2
            total += np.exp(-away2 / np.float32(2 * (self.reach_mm / 2) ** 2))
        weight: F32 = np.clip(1.6 * total, 0, 1)
        return weight
