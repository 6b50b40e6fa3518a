"""Contoured structures as solids with a sub-voxel surface."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmentation.clusters import Clusters, clusters_of
from segmentation.masks import outlines_of
from segmentation.sections import field_of_sections
from segmentation.surface import Surface, surface_of
from segmentation.volume import Volume

CLUSTER_MM = 3.0
"""Size of the clusters of points inside; see ``margins.covered_fraction``."""

PLANE_TOLERANCE_MM = 0.2
"""Contours nearer than this along the normal lie on one plane."""

PLANARITY_TOLERANCE_MM = 0.5
"""A contour that leaves its plane by more than this is refused."""

SINGLE_PLANE_THICKNESS_MM = 3.0
"""Assumed distance between planes where a structure was drawn on one plane only."""

Kind = Literal["tumour", "hilum", "other"]
Point = tuple[float, float, float]


class StructureError(ValueError):
    """Contours that make no solid; the message is a sentence for people."""


@dataclass(frozen=True, eq=False)
class Structure:
    """A solid in its planning scan's patient frame.

    Attributes
    ----------
    name
        As the planning station called it.
    kind
        What it is to us.
    field
        Positive inside, zero on the surface, about mm near it.
    """

    name: str
    kind: Kind
    field: Volume

    @cached_property
    def surface(self) -> Surface:
        """The sub-voxel surface."""
        return surface_of(self.field)

    @cached_property
    def inside_lps_mm(self) -> NDArray[np.float64]:
        """(N, 3): grid points inside, each standing for one grid cell's volume."""
        index = np.argwhere(self.field.array > 0)[:, ::-1]
        return self.field.to_lps(index)

    @cached_property
    def inside_clusters(self) -> Clusters:
        """The points inside by their neighbourhood."""
        return clusters_of(self.inside_lps_mm, CLUSTER_MM)

    @cached_property
    def volume_ml(self) -> float:
        """Volume of the grid's cells, those that the surface cuts in part."""
        cell_mm3 = float(np.prod(self.field.spacing_mm))
        share = np.clip(self.field.array / float(self.field.spacing_mm.mean()) + 0.5, 0, 1)
        return float(share.sum(dtype=np.float64)) * cell_mm3 / 1000

    @cached_property
    def box_lps_mm(self) -> tuple[Point, Point]:
        """Least and greatest x, y and z of the points inside."""
        low, high = self.inside_lps_mm.min(axis=0), self.inside_lps_mm.max(axis=0)
        return tuple(low.tolist()), tuple(high.tolist())

    @property
    def centre_lps_mm(self) -> NDArray[np.float64]:
        """(3,): centre of mass."""
        return np.asarray(self.inside_lps_mm.mean(axis=0), dtype=np.float64)


def solid_from_contours(
    name: str, kind: Kind, contours: Sequence[NDArray[np.float64]]
) -> Structure:
    """Solid from closed planar contours on parallel planes (DICOM PS3.3 C.8.8.6).

    Several contours on one plane combine by exclusive-or, so that a contour inside another is a
    hole. Between planes the squared radius is interpolated (shape-based interpolation, Raya and
    Udupa 1990, of a quantity that is a parabola along the normal for every ellipsoid), in axes in
    which the solid is upright and about round; beyond the first and the last plane that parabola is
    carried on until it closes. Contours of any orientation are taken, as long as all planes are
    parallel.

    Parameters
    ----------
    contours
        Each (N, 3) LPS mm, N >= 3.

    Raises
    ------
    StructureError
        No contour, a contour that is not planar, planes that are not parallel, or no volume.
    """
    polygons = [np.asarray(c, dtype=np.float64) for c in contours if len(c) >= 3]
    if not polygons:
        raise StructureError(f"Structure {name!r} has no closed contour.")
    axes = _plane_axes(name, polygons)
    flat = [polygon @ axes for polygon in polygons]
    heights = np.array([float(p[:, 2].mean()) for p in flat])
    for polygon in flat:
        if np.ptp(polygon[:, 2]) > 2 * PLANARITY_TOLERANCE_MM:
            raise StructureError(f"Structure {name!r} has contours that are not parallel planes.")
    order = np.argsort(heights)
    levels: list[float] = []
    groups: list[list[NDArray[np.float64]]] = []
    for n in order:
        if not levels or heights[n] - levels[-1] > PLANE_TOLERANCE_MM:
            levels.append(float(heights[n]))
            groups.append([])
        groups[-1].append(flat[n][:, :2])
    gaps = np.diff(levels)
    thickness = float(np.median(gaps)) if len(gaps) else SINGLE_PLANE_THICKNESS_MM
    return _solid(name, kind, field_of_sections(levels, groups, axes, thickness))


def solid_from_mask(
    name: str,
    kind: Kind,
    mask: ArrayLike,
    origin_lps_mm: ArrayLike,
    direction: ArrayLike,
    spacing_mm: ArrayLike,
) -> Structure:
    """Smooth solid from a mask on a grid, without the staircase of its voxels.

    It is cut into the planes that lie furthest apart; from plane to plane it is interpolated as
    contours are.

    Parameters
    ----------
    mask
        [k, j, i]: whether a voxel's centre is inside, or the fraction of it that is, 0 to 1.
    origin_lps_mm
        (3,): centre of the first voxel.
    direction
        (3, 3): columns are the unit vectors along i, j, k.
    spacing_mm
        (3,): along i, j, k.

    Raises
    ------
    StructureError
        Nothing is marked.
    """
    values = np.asarray(mask)
    origin, turn = np.asarray(origin_lps_mm, np.float64), np.asarray(direction, np.float64)
    spacing = np.asarray(spacing_mm, np.float64)
    across = 2 if spacing[2] >= spacing.max() - 1e-6 else int(np.argmax(spacing))
    order = [(across + 1) % 3, (across + 2) % 3, across]
    # [across, v, u]: the arrays' axes are in the opposite sequence of those of the patient.
    planes = np.transpose(values, [2 - axis for axis in reversed(order)])
    used = np.flatnonzero(planes.any(axis=(1, 2)))
    if not len(used):
        raise StructureError(f"Structure {name!r} encloses no volume.")
    numbers = np.arange(used[0], used[-1] + 1)
    return solid_from_planes(
        name,
        kind,
        [planes[n] for n in numbers],
        [origin + n * spacing[across] * turn[:, across] for n in numbers],
        turn[:, order],
        (float(spacing[order[0]]), float(spacing[order[1]])),
    )


def solid_from_planes(
    name: str,
    kind: Kind,
    planes: Sequence[ArrayLike],
    origins_lps_mm: Sequence[ArrayLike],
    direction: ArrayLike,
    spacing_mm: tuple[float, float],
) -> Structure:
    """As ``solid_from_mask``, from planes at distances of any length.

    Parameters
    ----------
    planes
        Each [row, column]; those on which nothing is marked tell where the solid ends.
    origins_lps_mm
        (3,) each: centre of a plane's first pixel. The planes may be in any order.
    direction
        (3, 3): columns are the unit vectors along a row, along a column, and across the planes.
    spacing_mm
        From column to column and from row to row.

    Raises
    ------
    StructureError
        Nothing is marked.
    """
    axes = np.array(direction, dtype=np.float64)
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    places = np.array(origins_lps_mm, dtype=np.float64) @ axes
    order = np.argsort(places[:, 2])
    outlines = [
        [line + places[n, :2] for line in outlines_of(planes[n], spacing_mm)] for n in order
    ]
    heights = places[order, 2]
    gaps = np.diff(heights)
    thickness = float(np.median(gaps)) if len(gaps) else SINGLE_PLANE_THICKNESS_MM
    return _solid(name, kind, field_of_sections(heights.tolist(), outlines, axes, thickness))


def _solid(name: str, kind: Kind, field: Volume | None) -> Structure:
    if field is None or not (field.array > 0).any():
        raise StructureError(f"Structure {name!r} encloses no volume.")
    return Structure(name, kind, field)


def _plane_axes(name: str, polygons: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """(3, 3): columns u, v and the normal of the planes, from the largest contour."""
    largest = max(polygons, key=lambda p: float(np.ptp(p, axis=0).max()))
    centred = largest - largest.mean(axis=0)
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    if len(spread) < 3 or spread[1] < 1e-3:
        raise StructureError(f"Structure {name!r} has a contour that is a line.")
    normal = axes[2]
    if np.abs(centred @ normal).max() > PLANARITY_TOLERANCE_MM:
        raise StructureError(f"Structure {name!r} has a contour that is not planar.")
    axis = int(np.argmax(np.abs(normal)))
    if abs(normal[axis]) > 1 - 1e-6:  # plain axial, sagittal or coronal: exact axes
        normal = np.eye(3)[axis]
    normal = np.asarray(normal * np.sign(normal[axis]), dtype=np.float64)
    u = np.eye(3)[0 if axis != 0 else 1]
    u = u - (u @ normal) * normal
    u /= np.linalg.norm(u)
    return np.asarray(np.column_stack([u, np.cross(normal, u), normal]), dtype=np.float64)
