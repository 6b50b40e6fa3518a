"""Thawed tissue: bled into and swollen, it does not come back to its old HU."""

from dataclasses import dataclass

import numpy as np

from scanner_sim.freezing import frozen_fraction
from scanner_sim.grid import F32, Box, Field, Grid
from scanner_sim.texture import Texture

_STEP_MM = 2.0


@dataclass(frozen=True)
class ThawedRim:
    """How far below its old HU water-rich tissue comes back once it has frozen and thawed.

    Attributes
    ----------
    below_hu
        Least and greatest mean fall; patches vary about it.
    patchiness
        Standard deviation of the patches as a share of the fall.
    """

    below_hu: tuple[float, float] = (12.0, 15.0)
    patchiness: float = 0.35


class Injury:
    """The thawed tissue of one procedure, its patches drawn once."""

    def __init__(self, rim: ThawedRim, box: Box, rng: np.random.Generator) -> None:
        middle = (box.lower + box.upper) / 2
        half = (box.upper - box.lower) / 2
        grid = Grid.covering(box, _STEP_MM)
        texture = Texture(rng, (float(half[0]), float(half[1]), float(half[2])))
        x, y, z = middle
        cloud = texture.on(Grid(grid.x - x, grid.y - y, grid.z - z))
        mean = float(rng.uniform(*rim.below_hu))
        fall = np.float32(mean) * (1 + np.float32(rim.patchiness) * cloud)
        self.fall = Field(grid, np.clip(fall, 0, 2 * mean), mean)

    def change_hu(self, fall: F32, temperature_c: F32, coldest_c: F32, water: F32) -> F32:
        """HU to add, from the fall and the cold at the same points."""
        thawed = frozen_fraction(coldest_c) - frozen_fraction(temperature_c)
        change: F32 = -fall * np.clip(thawed, 0, 1) * water
        return change
