"""Sub-voxel surfaces of level sets and signed distances to them.

Distances between the borders of voxels are biased by 1 to 2 mm at usual slice spacings, so the
surface is taken where the field crosses zero between two voxels, and a distance is measured to the
tangent plane of the nearest crossing.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import Akima1DInterpolator
from scipy.spatial import KDTree

from segmentation.clusters import Clusters, clusters_of
from segmentation.rigid import Rigid
from segmentation.sampling import sample
from segmentation.volume import Volume

FAR_OUTSIDE = -1e6

CLUSTER_MM = 3.0
"""Size of the clusters by which the deepest and the shallowest point are searched: few enough to
measure all, small enough to tell most apart."""

SLACK_MM = 0.5
"""Added to a cluster's bounds, for distances to tangent planes are not quite distances."""

COARSE_MM = 2.0
"""Steps up to this long follow the curve of ice and tumours to 0.1 mm."""

THREADS = 2


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
        return KDTree(self.points_lps_mm, compact_nodes=False)

    @cached_property
    def clusters(self) -> Clusters:
        """Its points by their neighbourhood."""
        return clusters_of(self.points_lps_mm, CLUSTER_MM)

    @property
    def empty(self) -> bool:
        """Whether there is no surface at all."""
        return len(self.points_lps_mm) == 0

    def holds(self, points_lps_mm: ArrayLike) -> NDArray[np.bool_]:
        """(N,): which of (N, 3) points lie inside."""
        return sample(self.field, points_lps_mm, outside=FAR_OUTSIDE) > 0

    def depth(
        self, points_lps_mm: ArrayLike, *, reach_mm: float = np.inf
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Signed depth of points: positive inside, negative outside, in mm.

        Parameters
        ----------
        points_lps_mm
            (N, 3), in the field's frame.
        reach_mm
            Points further from the surface than this need no depth: they get an infinite one, with
            its sign, and 0 for the nearest. Deep points are much slower to measure than near ones.

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
        distance, found = self._tree.query(
            points, distance_upper_bound=reach_mm, workers=THREADS if len(points) > 200 else 1
        )
        far = np.isinf(distance)
        nearest = np.where(far, 0, found).astype(np.intp)
        offset = points - self.points_lps_mm[nearest]
        across = np.abs(np.einsum("ij,ij->i", offset, self.normals[nearest]))
        along = np.sqrt(np.maximum(distance**2 - across**2, 0))
        # Crossings lie at most about one voxel apart: up to that far along the surface, the foot of
        # the perpendicular lies between two crossings and the tangent plane is the better answer.
        step = float(self.field.spacing_mm.max())
        magnitude = np.hypot(across, np.maximum(along - step, 0))
        return np.where(self.holds(points), magnitude, -magnitude), nearest

    def deepest(
        self, points_lps_mm: NDArray[np.float64], clusters: Clusters, to_field: Rigid
    ) -> "Found":
        """The one of (N, 3) points that lies deepest inside, or the least far outside.

        Parameters
        ----------
        points_lps_mm, clusters
            Points and their clusters, in a frame of their own.
        to_field
            Takes that frame to the field's.

        Raises
        ------
        ValueError
            There is no surface.
        """
        return self._extreme(points_lps_mm, clusters, to_field, 1.0)

    def shallowest(
        self, points_lps_mm: NDArray[np.float64], clusters: Clusters, to_field: Rigid
    ) -> "Found":
        """The one of (N, 3) points that lies least deep inside, or the furthest outside.

        Parameters and errors are those of ``deepest``.
        """
        return self._extreme(points_lps_mm, clusters, to_field, -1.0)

    def _extreme(
        self, points: NDArray[np.float64], clusters: Clusters, to_field: Rigid, sign: float
    ) -> "Found":
        about = sign * self.depth(to_field.apply(clusters.centres_lps_mm))[0]
        first = np.flatnonzero(clusters.of == int(np.argmax(about)))
        best = float((sign * self.depth(to_field.apply(points[first]))[0]).max())
        able = about + clusters.radius_mm + SLACK_MM >= best
        left = np.flatnonzero(able[clusters.of])
        moved = to_field.apply(points[left])
        # Of a positive least depth only what is no deeper matters, and no point is further outside
        # than its cluster reaches.
        rim = SLACK_MM + float(self.field.spacing_mm.max() + clusters.radius_mm.max())
        reach = rim - best if sign < 0 and best < 0 else np.inf
        depth, nearest = self.depth(moved, reach_mm=reach)
        at = int(np.argmax(sign * depth))
        return Found(float(depth[at]), int(left[at]), moved[at], int(nearest[at]))


@dataclass(frozen=True, eq=False)
class Found:
    """A point found among others.

    Attributes
    ----------
    depth_mm
        Its signed depth inside the surface.
    index
        Its place among the points searched.
    point_lps_mm
        (3,): the point, in the surface's frame.
    nearest
        Index of the surface's nearest point.
    """

    depth_mm: float
    index: int
    point_lps_mm: NDArray[np.float64]
    nearest: int


def surface_of(field: Volume) -> Surface:
    """Crossings of zero along the three axes of the grid, with outward unit normals.

    An axis with steps of more than ``COARSE_MM`` is refined first, by Akima splines: straight lines
    between thick slices would cut off the curve of the surface. The surface then carries the
    refined field.
    """
    field = _refined(field)
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


def _refined(field: Volume) -> Volume:
    array = np.asarray(field.array, dtype=np.float32)
    spacing = field.spacing_mm.copy()
    for axis in range(3):
        parts = int(np.ceil(spacing[2 - axis] / COARSE_MM))
        size = array.shape[axis]
        if parts > 1 and size > 1:
            at = np.arange((size - 1) * parts + 1) / parts
            array = Akima1DInterpolator(np.arange(size), array, axis=axis)(at).astype(np.float32)
            spacing[2 - axis] /= parts
    return Volume(array, field.origin_lps_mm, field.direction, spacing)


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
