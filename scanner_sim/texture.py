"""Soft, cloudy variation of tissue, so that organs are not flat."""

import numpy as np
from scipy import ndimage

from scanner_sim.grid import F32, F64, Grid, linear_weights

_SHARE_FINE = 0.55
"""Weight of the fine octave against the coarse one."""


class Texture:
    """A smooth random field of unit variance over a box round the origin."""

    def __init__(self, rng: np.random.Generator, half_mm: tuple[float, float, float]) -> None:
        self._octaves: list[tuple[float, list[F64], F32]] = []
        for weight, step_mm in ((1.0, 9.0), (_SHARE_FINE, 3.5)):
            knots = [np.arange(-half, half + step_mm, step_mm) for half in half_mm]
            shape = tuple(axis.size for axis in knots[::-1])
            noise = ndimage.gaussian_filter(
                rng.standard_normal(shape, dtype=np.float32), 0.8, mode="wrap"
            )
            noise /= noise.std()
            self._octaves.append((weight / np.hypot(1.0, _SHARE_FINE), knots, noise))

    def on(self, grid: Grid) -> F32:
        """The field on a grid, indexed [k, j, i]; beyond the box its edge goes on."""
        total: F32 = np.zeros(grid.shape, dtype=np.float32)
        for weight, knots, lattice in self._octaves:
            # Along z first: a slab has few levels, and each further axis only adds points.
            levels = linear_weights(knots[2], grid.z) * np.float32(weight)
            along_z = (levels @ lattice.reshape(lattice.shape[0], -1)).reshape(
                -1, *lattice.shape[1:]
            )
            along_y = linear_weights(knots[1], grid.y) @ along_z
            total += along_y @ linear_weights(knots[0], grid.x).T
        return total
