"""Where the kidney lies in one scan: a rigid shift that fades out towards spine and body wall."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from scanner_sim.grid import F32, F64, Box, Field, Grid, linear_weights
from scanner_sim.phantom import Anatomy
from scanner_sim.shapes import rotation

_COARSE_MM = 4.0
"""Grid of the displacement; it is smooth."""

_RIGID_MM = 4.0
"""Tissue within this distance of kidney and tumour moves exactly with them."""

_FADE_MM = 18.0
"""The displacement fades to nothing over this distance from the faces of its box."""

_SIDEWAYS = (0.12, 0.3)
"""Largest share of the shift to the side and to the front (4DCT: 1.7 and 3.6 of 11 mm)."""


@dataclass(frozen=True, eq=False)
class Pose:
    """Rigid motion of the kidney since the planning scan.

    A reference point p lies at ``rotation @ (p - centre) + centre + shift`` in the scan, LPS mm.
    """

    rotation: F64
    shift: F64
    centre: F64

    @staticmethod
    def rest(centre: F64) -> "Pose":
        """No motion."""
        return Pose(np.eye(3), np.zeros(3), centre)

    def apply(self, points_lps_mm: F64) -> F64:
        """(…, 3) reference points to the scan."""
        return (points_lps_mm - self.centre) @ self.rotation.T + self.centre + self.shift

    def turn(self, directions: F64) -> F64:
        """(…, 3) directions to the scan."""
        return directions @ self.rotation.T

    @property
    def inverse(self) -> tuple[F64, F64]:
        """Matrix and offset that take points of the scan to the reference."""
        back = self.rotation.T
        return back, self.centre - back @ (self.centre + self.shift)

    @property
    def matrix(self) -> F64:
        """(4, 4): reference to scan."""
        full = np.eye(4)
        full[:3, :3] = self.rotation
        full[:3, 3] = self.centre + self.shift - self.rotation @ self.centre
        return full


def draw_poses(
    rng: np.random.Generator,
    centre: F64,
    count: int,
    step_mm: tuple[float, float],
    tilt_deg: float = 1.2,
) -> list[Pose]:
    """One pose a scan, the first at rest; each lies ``step_mm`` from the one before it.

    The steps are mainly cranio-caudal, and the kidney never strays further than the longest step
    from where it was in the planning scan.
    """
    poses = [Pose.rest(centre)]
    for _ in range(count - 1):
        length = float(rng.uniform(*step_mm))
        side, front = (float(rng.uniform(-share, share)) for share in _SIDEWAYS)
        sign = 1.0 if rng.random() < 0.5 else -1.0
        step = length * np.array([side, front, 1.0]) / np.sqrt(1 + side**2 + front**2)
        last = poses[-1].shift
        # Steps to the side turn back to the middle, so that they do not add up.
        step[:2] = np.where(np.abs(last[:2] + step[:2]) > np.abs(last[:2]), -step[:2], step[:2])
        step[2] *= sign
        if abs(last[2] + step[2]) > step_mm[1]:
            step[2] = -step[2]
        shift = last + step
        tilt = rng.uniform(-tilt_deg, tilt_deg, 3)
        poses.append(Pose(rotation(*tilt), shift, centre))
    return poses


class Motion:
    """Pulls the reference anatomy to where it lies in a scan."""

    def __init__(self, anatomy: Anatomy, box: Box) -> None:
        self._anatomy = anatomy
        self._box = box
        self._coarse = Grid.covering(box, _COARSE_MM)
        self._still = anatomy.static_distance(*self._coarse.open)

    def displacement(self, pose: Pose) -> tuple[F32, F32, F32]:
        """Along x, y, z on the coarse grid: from a point of the scan to its source, mm."""
        back, offset = pose.inverse
        points = self._coarse.open
        source = [
            np.float32(back[n, 0]) * points[0]
            + np.float32(back[n, 1]) * points[1]
            + np.float32(back[n, 2]) * points[2]
            + np.float32(offset[n])
            for n in range(3)
        ]
        away = np.maximum(self._anatomy.moving.distance(*source) - np.float32(_RIGID_MM), 0)
        still = np.maximum(self._still, 0)
        share = still / (still + away + np.float32(1e-3))
        share[away == 0] = 1
        weight = np.clip((share - 0.15) / 0.85, 0, 1)
        weight *= weight * (3 - 2 * weight)
        for axis, (lower, upper) in enumerate(zip(self._box.lower, self._box.upper, strict=True)):
            face = np.minimum(points[axis] - lower, upper - points[axis])
            weight *= np.clip(face / np.float32(_FADE_MM), 0, 1)
        moved = [(weight * (source[n] - points[n])).astype(np.float32) for n in range(3)]
        return moved[0], moved[1], moved[2]

    def pull(self, field: Field, grid: Grid, displacement: tuple[F32, F32, F32]) -> F32:
        """The field as it lies in the scan, on a grid inside the box."""
        weights = [
            linear_weights(knots, at)
            for knots, at in (
                (self._coarse.x, grid.x),
                (self._coarse.y, grid.y),
                (self._coarse.z, grid.z),
            )
        ]
        coordinates = np.empty((3, *grid.shape), dtype=np.float32)
        for n, part in enumerate(displacement):
            fine = np.einsum(
                "kc,jb,ia,cba->kji",
                weights[2],
                weights[1],
                weights[0],
                part,
                optimize=["einsum_path", (2, 3), (1, 2), (0, 1)],
            )
            fine += grid.open[n]
            fine -= np.float32(field.grid.origin[n])
            fine /= np.float32(field.grid.spacing[n])
            coordinates[2 - n] = fine
        values: F32 = ndimage.map_coordinates(
            field.array, coordinates, order=1, mode="nearest", output=np.float32
        )
        return values
