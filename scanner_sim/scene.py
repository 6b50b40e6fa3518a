"""The patient's region that moves, as it is at one moment of the procedure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from scanner_sim.breathing import Motion, Pose
from scanner_sim.contrast import add_streaks, dense_points
from scanner_sim.features import PLAIN, Damage, Features
from scanner_sim.freezing import (
    BODY_C,
    LIQUIDUS_C,
    Cold,
    Tissue,
    box_around,
    frozen_fraction,
)
from scanner_sim.grid import F32, F64, Field, Grid
from scanner_sim.metal import Streaks
from scanner_sim.neighbours import Moment
from scanner_sim.phantom import Anatomy, water_share
from scanner_sim.probes import Probe

COOLING_HU_PER_C = 0.35
"""Water-rich tissue grows denser as it cools towards freezing (+0.2 to +0.5)."""

_BLOCK_REACH_MM = 32.0


@dataclass(frozen=True, eq=False)
class Sight:
    """What one scan shows of the scene, fields in the reference position.

    Attributes
    ----------
    block
        HU without cold.
    water
        Share of water-rich tissue.
    cracks
        Share of crack and HU in it.
    """

    block: Field
    water: Field
    cracks: tuple[Field, Field] | None = None


class Scene:
    """The patient's region that moves, kept at high resolution, and the probes in it.

    Parameters
    ----------
    freeze_from_s
        Procedure time at which the solver's clock starts.
    damage
        Cracks and thawed tissue, drawn for this procedure.
    """

    def __init__(
        self,
        anatomy: Anatomy,
        probes: Sequence[Probe],
        drop_hu: float,
        resolution_mm: float,
        *,
        features: Features = PLAIN,
        damage: Damage | None = None,
        freeze_from_s: float = 0.0,
    ) -> None:
        self.anatomy = anatomy
        self.probes = tuple(probes)
        self.drop_hu = drop_hu
        self.features = features
        self.damage = damage or Damage()
        self._freeze_from_s = freeze_from_s
        self.box = anatomy.moving.box.grow(_BLOCK_REACH_MM).join(box_around(probes))
        grid = Grid.covering(self.box, resolution_mm)
        self.block = Field(grid, anatomy.hu(grid), -1000.0)
        # The texture on the fat must not look like water: classify on smoothed numbers.
        self._classify_steps = anatomy.classify_mm / resolution_mm
        smooth = ndimage.gaussian_filter(self.block.array, self._classify_steps)
        self.water = Field(grid, water_share(smooth), 0.0)
        self.motion = Motion(anatomy, self.box)
        self.streaks = Streaks(anatomy.tumour.box.lower / 2 + anatomy.tumour.box.upper / 2)
        self._enhancements = tuple(
            Field(grid, anatomy.enhancement(self.block.array, grid, given.dose), 0.0)
            for given in features.contrast
        )
        self._dense = tuple(
            dense_points(field) if given.dose.urine_hu else np.zeros((0, 3))
            for given, field in zip(features.contrast, self._enhancements, strict=True)
        )

    def sight(self, at_s: float, cold: Cold | None, rng: np.random.Generator) -> Sight:
        """The region at a time of the procedure; ``rng`` draws what differs from scan to scan."""
        cracks = None
        if self.damage.cracks is not None and cold is not None:
            cracks = self.damage.cracks.on(cold, at_s)
        shares = [given.share(at_s) for given in self.features.contrast]
        if not self.features.neighbours and not any(shares):
            return Sight(self.block, self.water, cracks)
        grid = self.block.grid
        block, water = self.block.array.copy(), self.water.array.copy()
        added = np.zeros(grid.shape, dtype=np.float32)
        for given, field, share in zip(
            self.features.contrast, self._enhancements, shares, strict=True
        ):
            if share:
                reached = given.reached(cold, self._freeze_from_s, grid)
                added += field.array * (np.float32(share) * reached)
        moment = Moment(grid, self.anatomy, at_s, rng)
        for neighbour in self.features.neighbours:
            painted = neighbour.paint(block, moment)
            if painted is None:
                continue
            window, cover = painted
            smooth = ndimage.gaussian_filter(block[window], self._classify_steps)
            water[window] += np.clip(2 * cover, 0, 1) * (water_share(smooth) - water[window])
            added[window] *= 1 - cover
        block += added
        return Sight(Field(grid, block, -1000.0), Field(grid, water, 0.0), cracks)

    def tissue(self, grid: Grid) -> Tissue:
        """What the freezing must know: the neighbours are there in their full size."""
        late_s = 1e6
        moment = Moment(grid, self.anatomy, late_s, np.random.default_rng(0))
        perfusion = self.anatomy.perfusion(grid)
        scratch = np.zeros(grid.shape, dtype=np.float32)
        for neighbour in self.features.neighbours:
            painted = neighbour.paint(scratch, moment)
            if painted is not None:
                window, cover = painted
                perfusion[window] *= 1 - cover
        return Tissue(
            grid=grid,
            water=self.sight(late_s, None, np.random.default_rng(0)).water.on(grid),
            perfusion=perfusion,
            vessel=self.anatomy.vessel(grid),
        )

    def background_hu(self, hu: F32, grid: Grid, at_s: float) -> F32 | None:
        """What contrast adds to the anatomy at rest, ``hu`` on the grid; None without contrast."""
        total: F32 | None = None
        for given in self.features.contrast:
            share = given.share(at_s)
            if share:
                added = self.anatomy.enhancement(hu, grid, given.dose) * np.float32(share)
                total = added if total is None else total + added
        return total

    def add_contrast_streaks(
        self, hu: F32, grid: Grid, pose: Pose, at_s: float, rng: np.random.Generator
    ) -> None:
        """Streaks of dense urine, in place."""
        for given, points in zip(self.features.contrast, self._dense, strict=True):
            add_streaks(hu, grid, points, pose, given.share(at_s) * given.dose.urine_hu, rng)

    def change_hu(self, temperature_c: F32, water: F32) -> F32:
        """HU that cold adds: up a little to the freezing point, then down by ``drop_hu``."""
        frozen = frozen_fraction(temperature_c)
        cooled = np.float32(BODY_C) - np.clip(temperature_c, LIQUIDUS_C, BODY_C)
        change: F32 = water * (
            np.float32(COOLING_HU_PER_C) * cooled * (1 - frozen) - np.float32(self.drop_hu) * frozen
        )
        return change

    def chill(self, hu: F32, grid: Grid, back: F64, shift_mm: F64, sight: Sight, cold: Cold) -> F32:
        """Add what freezing does to HU at ``back @ p + shift`` of a grid's points, in place.

        Returns
        -------
        The temperature there, C.
        """
        celsius = cold.temperature.on(grid, back, shift_mm)
        water = sight.water.on(grid, back, shift_mm)
        hu += self.change_hu(celsius, water)
        injury = self.damage.injury
        if injury is not None:
            coldest = cold.coldest.on(grid, back, shift_mm)
            fall = injury.fall.on(grid, back, shift_mm)
            hu += injury.change_hu(fall, celsius, coldest, water)
        if sight.cracks is not None:
            share, inside = (field.on(grid, back, shift_mm) for field in sight.cracks)
            hu += share * (inside - hu)
        return celsius
