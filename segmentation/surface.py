"""Sub-voxel surfaces of level sets and signed distances to them.

Distances between the borders of voxels are biased by 1 to 2 mm at usual slice spacings, so the
surface is taken where the field crosses zero between two voxels, and a distance is measured to the
tangent plane of the nearest crossing.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from segmentation.sampling import sample
from segmentation.volume import Volume

FAR_OUTSIDE = -1e6


@dataclass(frozen=True, eq=False)
class Surface:
    """The zero level of a field that is positive inside.

    Attributes
    ----------
    field
        The level set; any unit.
    points_lps_mm
        (N, 3): where edges between neighbouring voxels cross zero.
    normals
        (N, 3): unit vectors to the outside.
    """

    field: Volume
    points_lps_mm: NDArray[np.float64]
    normals: NDArray[np.float64]

    @cached_property
    def _tree(self) -> KDTree:
        return KDTree(self.points_lps_mm)

    @property
    def empty(self) -> bool:
        """Whether there is no surface at all."""
        return len(self.points_lps_mm) == 0

    def depth(self, points_lps_mm: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Signed depth of points: positive inside, negative outside, in mm.

        Parameters
        ----------
        points_lps_mm
            (N, 3), in the field's frame.

        Returns
        -------
        depth_mm
            (N,).
        nearest
            (N,): index of the nearest surface point.

        Raises
        ------
        ValueError
            There is no surface.
        """
        if self.empty:
            raise ValueError("no surface to measure to")
        points = np.asarray(points_lps_mm, dtype=np.float64)
        distance, found = self._tree.query(points)
        nearest = np.asarray(found, dtype=np.intp)
        offset = points - self.points_lps_mm[nearest]
        across = np.abs(np.einsum("ij,ij->i", offset, self.normals[nearest]))
        along = np.sqrt(np.maximum(distance**2 - across**2, 0))
        # Crossings lie at most about one voxel apart: up to that far along the surface, the foot of
        # the perpendicular lies between two crossings and the tangent plane is the better answer.
        step = float(self.field.spacing_mm.max())
        magnitude = np.hypot(across, np.maximum(along - step, 0))
        inside = sample(self.field, points, outside=FAR_OUTSIDE) > 0
        return np.where(inside, magnitude, -magnitude), nearest


def surface_of(field: Volume) -> Surface:
    """Crossings of zero along the three axes of the grid, with outward unit normals."""
    values = np.asarray(field.array, dtype=np.float32)
    inside = values > 0
    lower, upper, part = [], [], []
    for axis in range(3):
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        change = inside[tuple(ahead)] != inside[tuple(behind)]
        low = np.array(np.unravel_index(np.flatnonzero(change), change.shape)).T
        high = low.copy()
        high[:, axis] += 1
        a, b = (values[tuple(v.T)].astype(np.float64) for v in (low, high))
        lower.append(low)
        upper.append(high)
        part.append(a / (a - b))
    low, high = np.concatenate(lower), np.concatenate(upper)
    share = np.concatenate(part)[:, None]
    gradient = (1 - share) * _gradient(values, low) + share * _gradient(values, high)
    points = field.to_lps((low + share * (high - low))[:, ::-1])
    downhill = -(gradient[:, ::-1] / field.spacing_mm) @ field.direction.T
    length = np.linalg.norm(downhill, axis=1, keepdims=True)
    return Surface(field, points, downhill / np.maximum(length, 1e-9))


def _gradient(values: NDArray[np.float32], voxels: NDArray[np.intp]) -> NDArray[np.float64]:
    """(N, 3): rise per voxel along (k, j, i) at (N, 3) voxels, one-sided at the border."""
    gradient = np.empty(voxels.shape)
    for axis, size in enumerate(values.shape):
        ahead, behind = voxels.copy(), voxels.copy()
        ahead[:, axis] = np.minimum(voxels[:, axis] + 1, size - 1)
        behind[:, axis] = np.maximum(voxels[:, axis] - 1, 0)
        rise = values[tuple(ahead.T)].astype(np.float64) - values[tuple(behind.T)]
        gradient[:, axis] = rise / np.maximum(ahead[:, axis] - behind[:, axis], 1)
    return gradient
