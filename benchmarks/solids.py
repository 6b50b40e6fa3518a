"""Solids as masks, and distances between them by methods that are not the project's own.

Two rulers:

* sub-voxel: the mask is smoothed by less than a voxel and its surface taken where that crosses one
  half on the edges between voxel centres; distances are to the nearest of small discs in these
  points (SciPy's KD-tree), and each point stands for its share of the surface's area;
* voxel borders: from the centres of border voxels to the centres of border voxels, as textbooks
  chain erosion and distance transform.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import KDTree

Points = NDArray[np.float64]

PERCENTILE = 95
"""Of the distances between two surfaces that counts as their greatest (HD95)."""

SMOOTHING_VOXELS = 0.7
"""Takes the steps out of a mask; moves the surface of a ball of 20 mm by 0.1 mm on 3 mm slices."""

PADDING_VOXELS = 4
"""Beyond the reach of the smoothing."""

OUTLINE_SCALE = 4
"""Contours are filled on a raster this many times finer than the pixels."""


@dataclass(frozen=True, eq=False)
class Solid:
    """A mask in patient space.

    Attributes
    ----------
    mask
        [k, j, i].
    affine
        (4, 4): index (k, j, i, 1) to LPS mm; its axes are orthogonal.
    """

    mask: NDArray[np.bool_]
    affine: NDArray[np.float64]

    @property
    def spacing_mm(self) -> Points:
        """(3,), along k, j and i."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def volume_ml(self) -> float:
        """By counting voxels."""
        return float(self.mask.sum() * self.spacing_mm.prod() / 1000)

    def to_lps(self, index: Points) -> Points:
        """(N, 3) indices (k, j, i) to LPS mm."""
        return np.asarray(index @ self.affine[:3, :3].T + self.affine[:3, 3])

    def to_index(self, points_lps_mm: Points) -> Points:
        """(N, 3) LPS mm to indices (k, j, i)."""
        inverse = np.linalg.inv(self.affine)
        return np.asarray(points_lps_mm @ inverse[:3, :3].T + inverse[:3, 3])

    @cached_property
    def cropped(self) -> "Solid":
        """The part round the mask, with empty voxels on every side.

        Raises
        ------
        ValueError
            The mask is empty.
        """
        # Axis by axis, the long one first: a whole scan's mask is searched in a few milliseconds.
        body, spans = self.mask, []
        for axis in range(3):
            others = tuple(n for n in range(3) if n != axis)
            filled_at = np.flatnonzero(body.any(axis=others))
            if not filled_at.size:
                raise ValueError("an empty mask has no place")
            spans.append(slice(int(filled_at[0]), int(filled_at[-1]) + 1))
            body = body[tuple(spans[-1] if n == axis else slice(None) for n in range(3))]
        lower = np.array([s.start for s in spans], dtype=np.float64) - PADDING_VOXELS
        affine = self.affine.copy()
        affine[:3, 3] = self.to_lps(lower[None])[0]
        return Solid(np.pad(body, PADDING_VOXELS), affine)

    @cached_property
    def smooth(self) -> NDArray[np.float32]:
        """[k, j, i] on the cropped grid: the smoothed mask less one half, positive inside; of a
        mask too small for that, the mask itself."""
        body = self.cropped.mask.astype(np.float32)
        field = ndimage.gaussian_filter(body, SMOOTHING_VOXELS, mode="constant") - np.float32(0.5)
        return field if (field > 0).any() else body - np.float32(0.5)

    @cached_property
    def surface(self) -> "Surface":
        """Where the smoothed mask crosses one half."""
        near, field = self.cropped, self.smooth
        spacing = near.spacing_mm
        slopes: list[NDArray[np.float32]] = list(np.gradient(field, *spacing))
        points, normals, areas = [], [], []
        for axis in range(3):
            here = np.moveaxis(field, axis, 0)
            crossed = (here[1:] > 0) != (here[:-1] > 0)
            index = np.argwhere(crossed).astype(np.float64)
            a, b = here[:-1][crossed], here[1:][crossed]
            index[:, 0] += a / (a - b)
            order = [1, 2]
            order.insert(axis, 0)
            index = index[:, order]
            steep = np.stack([ndimage.map_coordinates(g, index.T, order=1) for g in slopes], axis=1)
            steep /= np.maximum(np.linalg.norm(steep, axis=1, keepdims=True), 1e-12)
            points.append(index)
            normals.append(-steep)
            # Edges along an axis meet the surface once a face, foreshortened by the normal; summed
            # over the axes, the squares of the normal's parts give one.
            areas.append(np.abs(steep[:, axis]) * spacing.prod() / spacing[axis])
        axes = near.affine[:3, :3] / spacing
        return Surface(
            points_lps_mm=near.to_lps(np.concatenate(points)),
            normals=np.concatenate(normals) @ axes.T,
            areas_mm2=np.concatenate(areas),
            disc_mm=float(spacing.max()) / 2,
        )

    @cached_property
    def border_lps_mm(self) -> Points:
        """(N, 3): centres of the inner voxels that touch an outer one by a face."""
        near = self.cropped
        border = near.mask & ~ndimage.binary_erosion(near.mask)
        return near.to_lps(np.argwhere(border).astype(np.float64))

    def holds(self, points_lps_mm: Points) -> NDArray[np.bool_]:
        """(N,): whether the voxel nearest to a point is inside."""
        index = np.rint(self.to_index(points_lps_mm)).astype(np.int64)
        size = np.array(self.mask.shape)
        found = ((index >= 0) & (index < size)).all(axis=1)
        k, j, i = np.clip(index, 0, size - 1).T
        return np.asarray(found & self.mask[k, j, i])

    def depth(self, points_lps_mm: Points) -> Points:
        """(N,) signed depths in mm, positive inside: the sub-voxel ruler."""
        index = self.cropped.to_index(points_lps_mm)
        value = ndimage.map_coordinates(self.smooth, index.T, order=1, cval=-0.5)
        distance = self.surface.distance(points_lps_mm)
        return np.asarray(np.where(value > 0, distance, -distance))

    def moved(self, matrix: NDArray[np.float64]) -> "Solid":
        """The same voxels elsewhere, without empty ones far from them; ``matrix`` (4, 4) takes the
        old frame to the new one."""
        return Solid(self.cropped.mask, matrix @ self.cropped.affine)

    def on(self, shape: tuple[int, int, int], affine: NDArray[np.float64]) -> "Solid":
        """On another grid, by the nearest voxel."""
        empty = Solid(np.zeros(shape, dtype=bool), affine)
        corners = empty.to_index(self.cropped.to_lps(_corners(self.cropped.mask.shape)))
        low = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, shape)
        high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, 0, shape)
        spans = [np.arange(a, b) for a, b in zip(low, high, strict=True)]
        index = np.stack(np.meshgrid(*spans, indexing="ij"), axis=-1).reshape(-1, 3)
        found = self.holds(empty.to_lps(index.astype(np.float64)))
        empty.mask[tuple(index[found].T)] = True
        return empty


@dataclass(frozen=True, eq=False)
class Surface:
    """Points of a surface, each standing for a piece of it.

    Attributes
    ----------
    points_lps_mm, normals
        (N, 3); normals point to the outside.
    areas_mm2
        (N,).
    disc_mm
        Radius of the disc that a point stands for in distances, so that these do not depend on
        where on the surface the points happen to lie.
    """

    points_lps_mm: Points
    normals: Points
    areas_mm2: Points
    disc_mm: float

    @cached_property
    def _tree(self) -> KDTree:
        return KDTree(self.points_lps_mm)

    def distance(self, points_lps_mm: Points) -> Points:
        """(N,) unsigned distances of points, mm."""
        direct, near = self._tree.query(points_lps_mm)
        gap = points_lps_mm - self.points_lps_mm[near]
        along = np.einsum("nc,nc->n", gap, self.normals[near])
        across = np.sqrt(np.maximum(direct**2 - along**2, 0))
        return np.asarray(np.hypot(along, np.maximum(across - self.disc_mm, 0)))


@dataclass(frozen=True)
class Apart:
    """How far two surfaces lie apart, mm: mean over both, and 95th percentile of the worse way."""

    mean_mm: float
    hd95_mm: float


def dice(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """Twice the overlap over the sum of both; 1 when both are empty.

    Raises
    ------
    ValueError
        The masks differ in shape.
    """
    if found.shape != true.shape:
        raise ValueError(f"masks of shape {found.shape} and {true.shape} can't be compared")
    total = int(found.sum()) + int(true.sum())
    return 2 * int((found & true).sum()) / total if total else 1.0


def apart(one: Solid, other: Solid) -> Apart:
    """Symmetric distances of two surfaces, each point weighted by its area.

    The mean is taken over the points of both surfaces together; the 95th percentile each way, of
    which the larger counts.

    Raises
    ------
    ValueError
        One of the masks is empty.
    """
    there = other.surface.distance(one.surface.points_lps_mm)
    back = one.surface.distance(other.surface.points_lps_mm)
    areas = np.concatenate([one.surface.areas_mm2, other.surface.areas_mm2])
    return Apart(
        mean_mm=float(np.average(np.concatenate([there, back]), weights=areas)),
        hd95_mm=max(
            _percentile(there, one.surface.areas_mm2),
            _percentile(back, other.surface.areas_mm2),
        ),
    )


def margin_mm(tumour: Solid, ice: Solid) -> float:
    """Least depth of the tumour's surface in the ice; sub-voxel ruler."""
    return float(ice.depth(tumour.surface.points_lps_mm).min())


def clearance_mm(structure: Solid, ice: Solid) -> float:
    """Least signed distance of the ice's surface to a structure; sub-voxel ruler."""
    return -float(structure.depth(ice.surface.points_lps_mm).max())


def border_margin_mm(tumour: Solid, ice: Solid) -> float:
    """The margin between border voxels."""
    points = tumour.border_lps_mm
    distance, _ = KDTree(ice.border_lps_mm).query(points)
    return float(np.where(ice.holds(points), distance, -distance).min())


def border_clearance_mm(structure: Solid, ice: Solid) -> float:
    """The distance to a structure between border voxels."""
    points = ice.border_lps_mm
    distance, _ = KDTree(structure.border_lps_mm).query(points)
    return float(np.where(structure.holds(points), -distance, distance).min())


def filled(
    contours: Sequence[Points], shape: tuple[int, int, int], affine: NDArray[np.float64]
) -> Solid:
    """Contours on the slices that they were drawn on, filled; several on a slice exclude each
    other where they overlap.

    Parameters
    ----------
    contours
        (N, 3) LPS mm each.
    shape, affine
        Grid of the scan that they were drawn on, [k, j, i].
    """
    solid = Solid(np.zeros(shape, dtype=bool), affine)
    for contour in contours:
        index = solid.to_index(contour)
        k = round(float(index[:, 0].mean()))
        if not 0 <= k < shape[0]:
            continue
        solid.mask[k] ^= _polygon(index[:, 2], index[:, 1], shape[1:])
    return solid


def _polygon(x: Points, y: Points, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Pixels whose centre lies inside, by majority of a finer raster."""
    fine = Image.new("1", (shape[1] * OUTLINE_SCALE, shape[0] * OUTLINE_SCALE))
    corners = np.column_stack([x, y]) * OUTLINE_SCALE + (OUTLINE_SCALE - 1) / 2
    ImageDraw.Draw(fine).polygon([(float(a), float(b)) for a, b in corners], fill=1)
    parts = np.asarray(fine).reshape(shape[0], OUTLINE_SCALE, shape[1], OUTLINE_SCALE)
    return np.asarray(parts.mean(axis=(1, 3)) >= 0.5)


def _percentile(values: Points, weights: Points) -> float:
    """Least value that at least 95 % of the weight does not exceed."""
    order = np.argsort(values)
    share = np.cumsum(weights[order])
    at = int(np.searchsorted(share, share[-1] * PERCENTILE / 100))
    return float(values[order][min(at, len(values) - 1)])


def _corners(shape: Sequence[int]) -> Points:
    return np.array(
        [[k, j, i] for k in (0, shape[0]) for j in (0, shape[1]) for i in (0, shape[2])]
    )
