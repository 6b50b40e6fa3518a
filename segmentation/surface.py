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
    found = []
    for axis in range(3):
        size = values.shape[axis]
        low = values.take(range(size - 1), axis=axis)
        high = values.take(range(1, size), axis=axis)
        change = inside.take(range(size - 1), axis=axis) != inside.take(range(1, size), axis=axis)
        where = np.argwhere(change).astype(np.float64)
        a, b = low[change].astype(np.float64), high[change].astype(np.float64)
        where[:, axis] += a / (a - b)
        found.append(where[:, ::-1])
    index = np.concatenate(found)
    points = field.to_lps(index)
    return Surface(field, points, _normals(field, points))


def _normals(field: Volume, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3): unit vectors down the field's gradient, by central differences over one voxel."""
    gradient = np.empty_like(points)
    for axis in range(3):
        step = field.direction[:, axis] * field.spacing_mm[axis]
        ahead = sample(field, points + step, outside=0.0)
        behind = sample(field, points - step, outside=0.0)
        gradient[:, axis] = (ahead - behind) / (2 * field.spacing_mm[axis])
    gradient = gradient @ field.direction.T
    length = np.linalg.norm(gradient, axis=1, keepdims=True)
    return np.asarray(-gradient / np.maximum(length, 1e-9), dtype=np.float64)
