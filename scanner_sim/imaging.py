"""CT image formation: anatomy, ice, probes, slice profile, blur and noise to stored numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scanner_sim.breathing import Pose
from scanner_sim.freezing import ICE_C, Cold
from scanner_sim.grid import F32, F64, Box, Grid
from scanner_sim.metal import METAL_HU, Shafts, blurred, cover
from scanner_sim.metal_reduction import SHAFT_HU
from scanner_sim.scene import Scene, Sight

LOWEST_HU, HIGHEST_HU = -1024, 3071
"""Of 12 bits with an intercept of -1024."""

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
        cold: Cold | None,
        *,
        probes_in: bool,
        rng: np.random.Generator,
        at_s: float = 0.0,
    ) -> Image:
        """One scan.

        Parameters
        ----------
        cold
            In the reference position; None before freezing.
        at_s
            Procedure time.
        """
        scene, grid = self._scene, self.grid
        hu = self._background.copy()
        enhanced = scene.background_hu(hu, grid, at_s)
        if enhanced is not None:
            hu += self._blur(enhanced)
        ice = np.zeros(grid.shape, dtype=bool)
        window = grid.window(scene.box)
        if window is not None:
            sight = scene.sight(at_s, cold, rng)
            part, share = self._region(grid.part(window), pose, cold, sight)
            hu[window] = self._blur(part)
            ice[window] = share >= 0.5
        scene.anatomy.add_gas(hu, grid, rng)
        scene.add_contrast_streaks(hu, grid, pose, at_s, rng)
        if probes_in:
            self._add_metal(hu, Shafts.of(scene.probes, pose), rng)
        self._add_noise(hu, rng)
        np.clip(np.rint(hu, out=hu), LOWEST_HU, HIGHEST_HU, out=hu)
        return Image(grid, hu.astype(np.int16), ice)

    def _region(self, grid: Grid, pose: Pose, cold: Cold | None, sight: Sight) -> tuple[F32, F32]:
        """HU and share of ice in the part that moves, averaged over the slice's thickness."""
        scene = self._scene
        moved = scene.motion.displacement(pose)
        total: F32 = np.zeros(grid.shape, dtype=np.float32)
        share: F32 = np.zeros(grid.shape, dtype=np.float32)
        back, offset_mm = pose.inverse
        reach = None
        if cold is not None:
            box = cold.temperature.grid.box
            corners = np.array(
                [
                    [box.lower, box.upper][n][axis]
                    for index in np.ndindex(2, 2, 2)
                    for axis, n in enumerate(index)
                ]
            ).reshape(-1, 3)
            reach = grid.window(Box.around(pose.apply(corners)))
        for offset in self._offsets:
            layer = Grid(grid.x, grid.y, grid.z + offset)
            hu = scene.motion.pull(sight.block, layer, moved)
            if cold is not None and reach is not None:
                part = layer.part(reach)
                celsius = scene.chill(hu[reach], part, back, offset_mm, sight, cold)
                share[reach] += celsius <= ICE_C
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
        reduction = self._scene.features.metal_reduction
        streaks = self._scene.streaks.on(shafts, self.grid, thickness, rng)
        if streaks is not None:
            window, change = streaks
            left = np.float32(1.0 if reduction is None else reduction.streaks)
            hu[window] += change * left * (hu[window] > -900)
        peak, blur_px = METAL_HU, self._blur_px
        if reduction is not None:
            peak, blur_px = SHAFT_HU, blur_px + reduction.blur_mm / self.protocol.pixel_mm
            error = reduction.error(shafts, self.grid, rng)
            if error is not None:
                window, change = error
                hu[window] += change * (hu[window] > -900)
        metal = cover(shafts, self.grid, thickness)
        if metal is not None:
            window, filled = metal
            hu[window] += blurred(filled, blur_px) * (np.float32(peak) - hu[window])

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
