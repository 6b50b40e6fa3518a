"""The analytic patient, and what any anatomy must offer to the simulator."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scanner_sim.body import BLOOD_HU, FAT_HU, Body, Build
from scanner_sim.freezing import FAT_WATER
from scanner_sim.grid import F32, F64, Box, Grid
from scanner_sim.kidney import Kidney
from scanner_sim.render import paint
from scanner_sim.shapes import Ellipsoid, Shape, Union, lumpy
from scanner_sim.texture import Texture

URINE_HU = 8.0
CORTEX_HU = 35.0
TUMOUR_HU = 41.0

KIDNEY_PERFUSION_PER_S = 0.015
TUMOUR_PERFUSION_PER_S = 0.01
FAT_PERFUSION_PER_S = 0.0005
MUSCLE_PERFUSION_PER_S = 0.001


@dataclass(frozen=True)
class Dose:
    """What contrast adds to each tissue at its peak, HU; fat and cysts take up none."""

    kidney_hu: float = 0.0
    tumour_hu: float = 0.0
    vessels_hu: float = 0.0
    organs_hu: float = 0.0
    muscle_hu: float = 0.0
    urine_hu: float = 0.0


class Anatomy(Protocol):
    """A patient in the reference position, that of the planning scan; LPS mm throughout."""

    @property
    def classify_mm(self) -> float:
        """Blur (sigma) that keeps noise and texture out of telling fat from water."""

    @property
    def tumour(self) -> Shape:
        """The tumour; truth is measured on its surface."""

    @property
    def hilum(self) -> Shape:
        """The structure at risk, the same."""

    @property
    def kidney_centre(self) -> F64:
        """(3,): what breathing turns the kidney about."""

    @property
    def axes(self) -> F64:
        """(3, 3): columns are the directions that neighbours of the tumour are placed along."""

    @property
    def moving(self) -> Shape:
        """All that moves as one with the kidney."""

    @property
    def outwards(self) -> F64:
        """(3,): from the tumour to where probes come in."""

    @property
    def reach(self) -> Box:
        """Where there is anything to see; a scan's field of view is centred on it."""

    def static_distance(self, x: F32, y: F32, z: F32) -> F32:
        """Distance in mm to what stays in place, negative inside it."""

    def hu(self, grid: Grid) -> F32:
        """CT numbers on a grid, without gas that differs from scan to scan, without noise."""

    def enhancement(self, hu: F32, grid: Grid, dose: Dose) -> F32:
        """What contrast adds at its peak to what ``hu`` gave for the same grid, HU."""

    def add_gas(self, hu: F32, grid: Grid, rng: np.random.Generator) -> None:
        """That gas, drawn anew, in place."""

    def perfusion(self, grid: Grid) -> F32:
        """Blood supply, 1/s."""

    def vessel(self, grid: Grid) -> NDArray[np.bool_]:
        """Where blood keeps its temperature."""


def muscle_share(hu: F32) -> F32:
    """Share of muscle and other soft tissue, from CT numbers without noise."""
    share = np.clip((hu - 25) / 20, 0, 1) * np.clip((110 - hu) / 30, 0, 1)
    return share.astype(np.float32)


def water_share(hu: F32) -> F32:
    """Share of water-rich tissue from CT numbers: fat keeps a little, gas has none."""
    soft = np.clip((hu + 85) / 75, 0, 1)
    share = FAT_WATER + (1 - FAT_WATER) * soft
    share *= np.clip((hu + 300) / 120, 0, 1)
    share *= np.clip((420 - hu) / 250, 0.25, 1)
    return share.astype(np.float32)


@dataclass(frozen=True)
class TumourSite:
    """Where the tumour sits in the kidney's own frame (see ``kidney``) and how large it is, mm."""

    u_mm: float
    v_mm: float
    w_mm: float
    diameter_mm: float


class Phantom:
    """A body with two kidneys, one of them with a tumour; implements ``Anatomy``.

    No bowel is drawn in the balls of ``clear``: centres from the tumour's along u, v, w, and radii,
    mm. A neighbour takes its place there.
    """

    classify_mm = 0.4

    def __init__(
        self,
        build: Build,
        site: TumourSite,
        *,
        side: int,
        prone: bool,
        rng: np.random.Generator,
        clear: Sequence[tuple[tuple[float, float, float], float]] = (),
    ) -> None:
        at_x = 77.0 + 0.1 * (build.half_width_mm - 168)
        self.kidney = Kidney(np.array([side * at_x, 38.0, 0.0]), side)
        self.other = Kidney(np.array([-side * at_x, 36.0, 10.0]), -side)
        centre = self.kidney.place(site.u_mm, site.v_mm, site.w_mm)
        self._tumour = lumpy(centre, site.diameter_mm, rng)
        self._textures = [Texture(rng, (220.0, 160.0, 170.0)), Texture(rng, (220.0, 160.0, 170.0))]
        keep_free: Shape = Union((self.kidney.outline, self.other.outline))
        for offset, radius in clear:
            ball = Ellipsoid(centre + self.kidney.axes @ np.array(offset), np.full(3, radius))
            keep_free = Union((keep_free, ball))
        self._body = Body(build, prone=prone, rng=rng, keep_free=keep_free)
        self._prone = prone

    @property
    def tumour(self) -> Shape:
        """See Anatomy."""
        return self._tumour

    @property
    def hilum(self) -> Shape:
        """See Anatomy."""
        return self.kidney.hilum

    @property
    def kidney_centre(self) -> F64:
        """See Anatomy."""
        return self.kidney.centre

    @property
    def axes(self) -> F64:
        """The kidney's own: u, v, w."""
        return self.kidney.axes

    @cached_property
    def moving(self) -> Shape:
        """Kidney and tumour."""
        return Union((self.kidney.outline, self._tumour))

    @property
    def outwards(self) -> F64:
        """From the back when prone, else from the flank, past the colon."""
        side = float(self.kidney.side)
        toward = np.array([0.35 * side, 1.0, -0.1]) if self._prone else np.array([side, 0.5, -0.1])
        return np.asarray(toward / np.linalg.norm(toward))

    @property
    def reach(self) -> Box:
        """The trunk with the table."""
        build = self._body.build
        return Box(
            np.array([-build.half_width_mm, -build.half_depth_mm, -150.0]),
            np.array([build.half_width_mm, build.half_depth_mm, 150.0]),
        )

    def static_distance(self, x: F32, y: F32, z: F32) -> F32:
        """See Anatomy."""
        return self._body.static_distance(x, y, z)

    def hu(self, grid: Grid) -> F32:
        """See Anatomy."""
        hu = np.empty(grid.shape, dtype=np.float32)
        for slab, part in grid.slabs(24):
            self._paint(hu[slab], part)
        return hu

    def _paint(self, hu: F32, grid: Grid) -> None:
        """All tissues in order, the later over the earlier."""
        cloud, fine = (texture.on(grid) for texture in self._textures)
        self._body.paint(hu, grid, cloud)
        for kidney in (self.other, self.kidney):
            fat = (7.0, cloud), (5.0, fine)
            paint(hu, grid, kidney.outline, FAT_HU, *fat, grow_mm=11.0, edge_mm=2.5)
            paint(hu, grid, kidney.outline, -45.0, grow_mm=12.0, outline_mm=0.8)
        self._body.paint_walls(hu, grid, cloud)
        for kidney in (self.other, self.kidney):
            paint(hu, grid, kidney.outline, CORTEX_HU, (2.0, cloud), (4.0, fine))
            if kidney is self.kidney:
                paint(hu, grid, self._tumour, TUMOUR_HU, (3.0, cloud), (5.0, fine))
            paint(hu, grid, kidney.sinus, FAT_HU + 10, (9.0, cloud), edge_mm=1.5)
            paint(hu, grid, kidney.collecting, URINE_HU, (2.0, cloud))
            for vessel in (kidney.vein, kidney.artery):
                paint(hu, grid, vessel, BLOOD_HU, (3.0, cloud))

    def enhancement(self, hu: F32, grid: Grid, dose: Dose) -> F32:
        """See Anatomy."""
        added = muscle_share(hu) * np.float32(dose.muscle_hu)
        self._body.enhance(added, grid, dose.organs_hu, dose.vessels_hu)
        for kidney in (self.other, self.kidney):
            paint(added, grid, kidney.outline, dose.kidney_hu)
            if kidney is self.kidney:
                paint(added, grid, self._tumour, dose.tumour_hu)
            paint(added, grid, kidney.sinus, 0.0, edge_mm=1.5)
            paint(added, grid, kidney.collecting, dose.urine_hu)
            for vessel in (kidney.vein, kidney.artery):
                paint(added, grid, vessel, dose.vessels_hu)
        return added

    def add_gas(self, hu: F32, grid: Grid, rng: np.random.Generator) -> None:
        """See Anatomy."""
        self._body.paint_gas(hu, grid, rng)

    def perfusion(self, grid: Grid) -> F32:
        """See Anatomy."""
        x, y, z = grid.open
        supply = np.full(grid.shape, FAT_PERFUSION_PER_S, dtype=np.float32)
        supply[self._body.static_distance(x, y, z) < 0] = MUSCLE_PERFUSION_PER_S
        inside = self.kidney.outline.distance(x, y, z) < 0
        supply[inside] = KIDNEY_PERFUSION_PER_S
        patchy = TUMOUR_PERFUSION_PER_S * (1 + 0.4 * np.clip(self._textures[1].on(grid), -2, 2))
        tumour = self._tumour.distance(x, y, z) < 0
        supply[tumour] = patchy[tumour]
        supply[self.kidney.sinus.distance(x, y, z) < 0] = FAT_PERFUSION_PER_S
        supply[self.kidney.collecting.distance(x, y, z) < 0] = 0
        return supply

    def vessel(self, grid: Grid) -> NDArray[np.bool_]:
        """See Anatomy."""
        x, y, z = grid.open
        inside: NDArray[np.bool_] = self.kidney.trunks.distance(x, y, z) < 0
        return inside
