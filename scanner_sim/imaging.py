"""CT image formation: anatomy, ice, probes, slice profile, blur and noise to stored numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scanner_sim.breathing import Motion, Pose
from scanner_sim.freezing import BODY_C, ICE_C, LIQUIDUS_C, box_around, frozen_fraction
from scanner_sim.grid import F32, F64, Box, Field, Grid
from scanner_sim.metal import METAL_HU, Shafts, Streaks, blurred, cover
from scanner_sim.phantom import Anatomy, water_share
from scanner_sim.probes import Probe

COOLING_HU_PER_C = 0.35
"""Water-rich tissue grows denser as it cools towards freezing (+0.2 to +0.5)."""

LOWEST_HU, HIGHEST_HU = -1024, 3071
"""Of 12 bits with an intercept of -1024."""

_BLOCK_REACH_MM = 32.0
_BLUR_MM = 0.55
"""Sigma of a soft kernel in the plane, beyond that of the anatomy's own edges."""


@dataclass(frozen=True)
class Protocol:
    """How a scan is taken.

    Attributes
    ----------
    matrix
        Rows and columns.
    noise_hu
        Standard deviation in the middle of the body for a slice of 5 mm.
    """

    matrix: int
    pixel_mm: float
    slice_count: int
    spacing_mm: float
    thickness_mm: float
    noise_hu: float

    def grid(self, centre: F64) -> Grid:
        """Slice centres and pixels round a point, LPS mm rounded to 0.01."""
        plane = (np.arange(self.matrix) - (self.matrix - 1) / 2) * self.pixel_mm
        levels = (np.arange(self.slice_count) - (self.slice_count - 1) / 2) * self.spacing_mm
        x, y, z = np.round(centre, 1)
        return Grid(plane + x, plane + y, levels + z)


@dataclass(frozen=True, eq=False)
class Image:
    """One scan: ``hu`` int16 and, where asked for, the true ``ice``, both [k, j, i] on ``grid``."""

    grid: Grid
    hu: NDArray[np.int16]
    ice: NDArray[np.bool_]


class Scene:
    """The patient's region that moves, kept at high resolution, and the probes in it."""

    def __init__(
        self, anatomy: Anatomy, probes: Sequence[Probe], drop_hu: float, resolution_mm: float
    ) -> None:
        self.anatomy = anatomy
        self.probes = tuple(probes)
        self.drop_hu = drop_hu
        self.box = anatomy.moving.box.grow(_BLOCK_REACH_MM).join(box_around(probes))
        grid = Grid.covering(self.box, resolution_mm)
        self.block = Field(grid, anatomy.hu(grid), -1000.0)
        # The texture on the fat must not look like water: classify on smoothed numbers.
        smooth = ndimage.gaussian_filter(self.block.array, anatomy.classify_mm / resolution_mm)
        self.water = Field(grid, water_share(smooth), 0.0)
        self.motion = Motion(anatomy, self.box)
        self.streaks = Streaks(anatomy.tumour.box.lower / 2 + anatomy.tumour.box.upper / 2)

    def change_hu(self, temperature_c: F32, water: F32) -> F32:
        """HU that cold adds: up a little to the freezing point, then down by ``drop_hu``."""
        frozen = frozen_fraction(temperature_c)
        cooled = np.float32(BODY_C) - np.clip(temperature_c, LIQUIDUS_C, BODY_C)
        change: F32 = water * (
            np.float32(COOLING_HU_PER_C) * cooled * (1 - frozen) - np.float32(self.drop_hu) * frozen
        )
        return change


class Imager:
    """Takes scans of a scene with one protocol and one field of view."""

    def __init__(self, scene: Scene, protocol: Protocol, centre: F64) -> None:
        self._scene = scene
        self.protocol = protocol
        self.grid = protocol.grid(centre)
        self._blur_px = _BLUR_MM / protocol.pixel_mm
        self._offsets = _offsets(protocol.thickness_mm, 1.0)
        # What does not move is seen often and changes slowly along z: fewer levels will do.
        coarse = _offsets(protocol.thickness_mm, 3.0)
        parts = [scene.anatomy.hu(self._shifted(offset)) for offset in coarse]
        self._background = self._blur(np.mean(parts, axis=0, dtype=np.float32))
        self._loudness = self._noise_map()

    def take(
        self,
        pose: Pose,
        temperature: Field | None,
        *,
        probes_in: bool,
        rng: np.random.Generator,
    ) -> Image:
        """One scan.

        Parameters
        ----------
        temperature
            In the reference position, C; None before freezing.
        """
        scene, grid = self._scene, self.grid
        hu = self._background.copy()
        ice = np.zeros(grid.shape, dtype=bool)
        window = grid.window(scene.box)
        if window is not None:
            part, share = self._region(grid.part(window), pose, temperature)
            hu[window] = self._blur(part)
            ice[window] = share >= 0.5
        scene.anatomy.add_gas(hu, grid, rng)
        if probes_in:
            self._add_metal(hu, Shafts.of(scene.probes, pose), rng)
        self._add_noise(hu, rng)
        np.clip(np.rint(hu, out=hu), LOWEST_HU, HIGHEST_HU, out=hu)
        return Image(grid, hu.astype(np.int16), ice)

    def _region(self, grid: Grid, pose: Pose, temperature: Field | None) -> tuple[F32, F32]:
        """HU and share of ice in the part that moves, averaged over the slice's thickness."""
        scene = self._scene
        moved = scene.motion.displacement(pose)
        total: F32 = np.zeros(grid.shape, dtype=np.float32)
        share: F32 = np.zeros(grid.shape, dtype=np.float32)
        back, offset_mm = pose.inverse
        cold = None
        if temperature is not None:
            corners = np.array(
                [
                    [temperature.grid.box.lower, temperature.grid.box.upper][n][axis]
                    for index in np.ndindex(2, 2, 2)
                    for axis, n in enumerate(index)
                ]
            ).reshape(-1, 3)
            cold = grid.window(Box.around(pose.apply(corners)))
        for offset in self._offsets:
            layer = Grid(grid.x, grid.y, grid.z + offset)
            hu = scene.motion.pull(scene.block, layer, moved)
            if temperature is not None and cold is not None:
                part = layer.part(cold)
                celsius = temperature.on(part, back, offset_mm)
                hu[cold] += scene.change_hu(celsius, scene.water.on(part, back, offset_mm))
                share[cold] += celsius <= ICE_C
            total += hu
        total /= np.float32(len(self._offsets))
        share /= np.float32(len(self._offsets))
        return total, share

    def _shifted(self, offset_mm: float) -> Grid:
        return Grid(self.grid.x, self.grid.y, self.grid.z + offset_mm)

    def _blur(self, hu: F32) -> F32:
        blurred_hu: F32 = ndimage.gaussian_filter(
            hu, (0, self._blur_px, self._blur_px), mode="nearest", truncate=3
        )
        return blurred_hu

    def _add_metal(self, hu: F32, shafts: Shafts, rng: np.random.Generator) -> None:
        """Streaks and the shafts themselves, in place."""
        thickness = self.protocol.thickness_mm
        streaks = self._scene.streaks.on(shafts, self.grid, thickness, rng)
        if streaks is not None:
            window, change = streaks
            hu[window] += change * (hu[window] > -900)
        metal = cover(shafts, self.grid, thickness)
        if metal is not None:
            window, filled = metal
            hu[window] += blurred(filled, self._blur_px) * (np.float32(METAL_HU) - hu[window])

    def _noise_map(self) -> F32:
        """(j, i): noise in HU, loudest in the middle of the body."""
        protocol = self.protocol
        sigma = protocol.noise_hu * np.sqrt(5.0 / protocol.thickness_mm)
        x, y, _ = self.grid.open
        radius = np.hypot(x[0] / 150, y[0] / 110)
        result: F32 = (sigma * (0.55 + 0.5 * np.exp(-(radius**2)))).astype(np.float32)
        return result

    def _add_noise(self, hu: F32, rng: np.random.Generator) -> None:
        """Noise as a soft kernel leaves it: smooth over 2-3 pixels, little at low frequency."""
        fine, coarse = 0.55 / self.protocol.pixel_mm + 0.15, 1.9 / self.protocol.pixel_mm
        for k in range(hu.shape[0]):
            white = rng.standard_normal(hu.shape[1:], dtype=np.float32)
            noise = ndimage.gaussian_filter(white, fine, mode="wrap", truncate=3)
            noise -= np.float32(0.75) * ndimage.gaussian_filter(
                white, coarse, mode="wrap", truncate=2.5
            )
            noise *= self._loudness / np.float32(noise.std())
            hu[k] += noise


def _offsets(thickness_mm: float, step_mm: float) -> F64:
    """Levels within a slice, evenly spaced, at most ``step_mm`` apart."""
    count = max(int(np.ceil(thickness_mm / step_mm - 1e-6)), 1)
    return np.asarray(((np.arange(count) + 0.5) / count - 0.5) * thickness_mm)
