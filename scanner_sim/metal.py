"""Probe shafts in the image: the bright line, and the streaks of too few photons."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse

from scanner_sim.breathing import Pose
from scanner_sim.grid import F32, F64, Box, Grid, Window, linear_weights
from scanner_sim.probes import SHAFT_LENGTH_MM, SHAFT_RADIUS_MM, Probe, across

METAL_HU = 16000.0
"""Far above the top of the scale, so that a pixel only partly filled saturates too."""

_ROI_HALF_MM = 110.0
_ROI_STEP_MM = 2.0
_ANGLES = 180
_BIN_MM = 1.0
_METAL_PER_MM = 0.30
"""Attenuation of a hollow steel and nitinol shaft."""
_WATER_PER_MM = 0.02
_HARDENING = 0.07
"""The scanner reads a path p as p / (1 + _HARDENING * p): beam hardening and scatter."""
_STARVED_NOISE = 0.05
_STREAK_LIMIT_HU = 190.0


@dataclass(frozen=True, eq=False)
class Shafts:
    """The probes of one scan, already moved with the kidney."""

    tips: tuple[F64, ...]
    outwards: tuple[F64, ...]

    @staticmethod
    def of(probes: Sequence[Probe], pose: Pose) -> "Shafts":
        """Probes in the pose of a scan."""
        return Shafts(
            tuple(pose.apply(probe.tip) for probe in probes),
            tuple(pose.turn(probe.outwards) for probe in probes),
        )


def cover(shafts: Shafts, grid: Grid, thickness_mm: float) -> tuple[Window, F32] | None:
    """Share of each voxel that is metal, in the part of the grid where there is any."""
    clouds = [_fill(tip, out) for tip, out in zip(shafts.tips, shafts.outwards, strict=True)]
    points = np.concatenate([cloud for cloud, _ in clouds])
    volume_mm3 = clouds[0][1]
    window = grid.window(Box.around(points, 3.0))
    if window is None:
        return None
    part = grid.part(window)
    _, rows, columns = part.shape
    i = np.rint((points[:, 0] - part.x[0]) / grid.spacing[0]).astype(int)
    j = np.rint((points[:, 1] - part.y[0]) / grid.spacing[1]).astype(int)
    seen = (i >= 0) & (i < columns) & (j >= 0) & (j < rows)
    points, i, j = points[seen], i[seen], j[seen]
    filled = np.zeros(part.shape, dtype=np.float32)
    voxel_mm3 = grid.spacing[0] * grid.spacing[1] * thickness_mm
    for k, z in enumerate(part.z):
        inside = np.abs(points[:, 2] - z) <= thickness_mm / 2
        counts = np.bincount(j[inside] * columns + i[inside], minlength=rows * columns)
        filled[k] = counts.reshape(rows, columns) * (volume_mm3 / voxel_mm3)
    return window, np.minimum(filled, 1)


def _fill(tip: F64, outwards: F64) -> tuple[F64, float]:
    """(n, 3) points that fill a shaft evenly, and the volume of each, mm3."""
    first, second = across(outwards)
    step = 0.25
    side = (np.arange(6) - 2.5) * (2 * SHAFT_RADIUS_MM / 6)
    u, v = (axis.ravel() for axis in np.meshgrid(side, side))
    disc = u**2 + v**2 <= SHAFT_RADIUS_MM**2
    section = u[disc, None] * first + v[disc, None] * second
    axis = tip + (np.arange(0, SHAFT_LENGTH_MM, step) + step / 2)[:, None] * outwards
    points = (axis[:, None, :] + section[None]).reshape(-1, 3)
    return points, float(np.pi * SHAFT_RADIUS_MM**2 * step / section.shape[0])


class Streaks:
    """The artefact of the shafts, by projecting them, spoiling the projections and filtering back.

    Works in each axial plane on a region round ``centre``; the artefact fades out at its rim.
    """

    def __init__(self, centre: F64) -> None:
        self._centre = centre[:2]
        self._knots = np.arange(-_ROI_HALF_MM, _ROI_HALF_MM + _ROI_STEP_MM, _ROI_STEP_MM)
        self._angles = (np.arange(_ANGLES) + 0.37) * np.pi / _ANGLES
        reach = _ROI_HALF_MM * np.sqrt(2) + 4
        self._bins = np.arange(-reach, reach + _BIN_MM, _BIN_MM)
        y, x = np.meshgrid(self._knots, self._knots, indexing="ij")
        x, y = x.ravel(), y.ravel()
        rows, columns, weights = [], [], []
        for n, angle in enumerate(self._angles):
            at = (x * np.cos(angle) + y * np.sin(angle) - self._bins[0]) / _BIN_MM
            lower = np.floor(at).astype(np.int32)
            for step in (0, 1):
                rows.append(np.arange(x.size, dtype=np.int32))
                columns.append(lower + step + n * self._bins.size)
                weights.append(np.abs(1 - step - (at - lower)).astype(np.float32))
        self._back = sparse.csr_array(
            (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))),
            shape=(x.size, _ANGLES * self._bins.size),
        )
        fade = np.clip((_ROI_HALF_MM - np.hypot(x, y)) / 25, 0, 1)
        self._fade = fade.astype(np.float32)
        frequency = np.fft.rfftfreq(2 * self._bins.size, _BIN_MM)
        self._ramp = frequency * np.cos(np.pi * frequency * _BIN_MM) ** 2

    def on(
        self, shafts: Shafts, grid: Grid, thickness_mm: float, rng: np.random.Generator
    ) -> tuple[Window, F32] | None:
        """HU to add, in the part of the grid where there is any."""
        box = Box(
            np.array([*(self._centre - _ROI_HALF_MM), -np.inf]),
            np.array([*(self._centre + _ROI_HALF_MM), np.inf]),
        )
        window = grid.window(box)
        if window is None:
            return None
        part = grid.part(window)
        path = np.stack([self._project(shafts, float(z), thickness_mm) for z in part.z], axis=-1)
        hit = np.flatnonzero(path.any(axis=(0, 1)))
        if not hit.size:
            return None
        path = path[..., hit] * np.float32(_METAL_PER_MM)
        seen = path / (1 + np.float32(_HARDENING) * path)
        error = seen - path
        starved = np.clip(seen - 1.0, 0, None)
        error += starved * rng.standard_normal(path.shape, dtype=np.float32) * _STARVED_NOISE
        spectrum = np.fft.rfft(error, 2 * self._bins.size, axis=1)
        spectrum *= self._ramp[None, :, None]
        filtered = np.fft.irfft(spectrum, axis=1)[:, : self._bins.size]
        image = self._back @ filtered.reshape(-1, hit.size).astype(np.float32)
        image *= np.float32(np.pi / _ANGLES * 1000 / _WATER_PER_MM) * self._fade[:, None]
        limit = np.float32(_STREAK_LIMIT_HU)
        image = limit * np.tanh(image / limit)
        size = self._knots.size
        coarse = image.T.reshape(hit.size, size, size)
        fine = linear_weights(self._knots, part.y - self._centre[1]) @ (
            coarse @ linear_weights(self._knots, part.x - self._centre[0]).T
        )
        first, last = int(hit[0]), int(hit[-1]) + 1
        start = window[0].start
        spread = np.zeros((last - first, *fine.shape[1:]), dtype=np.float32)
        spread[hit - first] = fine
        return (slice(start + first, start + last), window[1], window[2]), spread

    def _project(self, shafts: Shafts, z: float, thickness_mm: float) -> F32:
        """(angles, bins): millimetres of metal along each ray through one slice."""
        path = np.zeros((_ANGLES, self._bins.size), dtype=np.float32)
        for tip, out in zip(shafts.tips, shafts.outwards, strict=True):
            ends = _chord(tip, out, z, thickness_mm)
            if ends is None:
                continue
            flat = (tip[None] + np.array(ends)[:, None] * out)[:, :2] - self._centre
            flat = np.clip(flat, -1.6 * _ROI_HALF_MM, 1.6 * _ROI_HALF_MM)
            length = float(np.linalg.norm(flat[1] - flat[0]))
            width = 2 * SHAFT_RADIUS_MM
            # Metal fills only part of the slice's thickness.
            volume = np.pi * SHAFT_RADIUS_MM**2 * (ends[1] - ends[0])
            area = volume / thickness_mm
            a = flat[0, 0] * np.cos(self._angles) + flat[0, 1] * np.sin(self._angles)
            b = flat[1, 0] * np.cos(self._angles) + flat[1, 1] * np.sin(self._angles)
            middle, extent = (a + b) / 2, np.minimum(np.abs(b - a), length) + width
            low = np.maximum(self._bins[None] - _BIN_MM / 2, (middle - extent / 2)[:, None])
            high = np.minimum(self._bins[None] + _BIN_MM / 2, (middle + extent / 2)[:, None])
            share = np.clip(high - low, 0, None) / _BIN_MM
            path += (share * (area / extent)[:, None]).astype(np.float32)
        return path


def _chord(tip: F64, out: F64, z: float, thickness_mm: float) -> tuple[float, float] | None:
    """Where a shaft enters and leaves a slice, mm from its tip."""
    low, high = 0.0, SHAFT_LENGTH_MM
    reach = thickness_mm / 2 + SHAFT_RADIUS_MM * float(np.hypot(out[0], out[1]))
    if abs(out[2]) < 1e-6:
        return (low, high) if abs(tip[2] - z) < reach else None
    cuts = sorted(((z - reach - tip[2]) / out[2], (z + reach - tip[2]) / out[2]))
    low, high = max(low, float(cuts[0])), min(high, float(cuts[1]))
    return (low, high) if high > low else None


def blurred(filled: F32, sigma_px: float) -> F32:
    """In-plane blur of the scanner on the share of metal."""
    result: F32 = ndimage.gaussian_filter(filled, (0, sigma_px, sigma_px))
    return result
