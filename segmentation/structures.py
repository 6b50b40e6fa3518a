"""Contoured structures as solids with a sub-voxel surface."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import Akima1DInterpolator

from segmentation.clusters import Clusters, clusters_of
from segmentation.surface import Surface, surface_of
from segmentation.volume import Volume

GRID_STEP_MM = (0.5, 1.0)
"""Least and greatest spacing of the solids' grid. The level set is linear between grid points, so
the surface is far finer than this; only the edges of thin solids need the least."""

STEPS_TO_MIDDLE = 6
"""Steps of the grid from a solid's surface to its middle, within these limits."""

CLUSTER_MM = 3.0
"""Size of the clusters of points inside; see ``margins.covered_fraction``."""

PLANE_TOLERANCE_MM = 0.2
"""Contours nearer than this along the normal lie on one plane."""

PLANARITY_TOLERANCE_MM = 0.5
"""A contour that leaves its plane by more than this is refused."""

SINGLE_PLANE_THICKNESS_MM = 3.0
"""Assumed distance between planes where a structure was drawn on one plane only."""

MAX_LEAN = 1.5
"""Sideways shift of the sections' centres from plane to plane, per mm, that is followed."""

MAX_STRETCH = 3.0
"""Ratio of length to width that is evened out."""

CAP_PLANES = 4
"""Planes whose sizes tell where the solid ends beyond the last one."""

NEXT_PLANE = 0.98
"""The solid ends before this part of the way to the next plane, on which nothing was drawn."""

LEAST_BEND = -0.03
"""Of a sphere's squared radius the parabola bends by -1, of an ellipsoid's five times as long as
wide by -0.04; what bends less is no rounded end."""

Kind = Literal["tumour", "hilum", "other"]


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

    @property
    def volume_ml(self) -> float:
        """Volume by counting grid points."""
        return len(self.inside_lps_mm) * float(np.prod(self.field.spacing_mm)) / 1000

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
    field = _interpolate(levels, groups, axes)
    if not (field.array > 0).any():
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


@dataclass(frozen=True, eq=False)
class _Upright:
    """Axes in which the solid stands upright on its planes and is about as long as wide.

    Every ellipsoid becomes one whose sections are concentric circles: a point (u, v) of the plane
    at height w goes to ``stretch @ ((u, v) - middle - lean * w)``.
    """

    middle: NDArray[np.float64]
    lean: NDArray[np.float64]
    stretch: NDArray[np.float64]

    def apply(self, points: NDArray[np.float64], height: float) -> NDArray[np.float64]:
        """(N, 2) points of the plane at ``height`` to (N, 2), mm."""
        return (points - self.middle - self.lean * height) @ self.stretch.T


def _upright(levels: list[float], groups: list[list[NDArray[np.float64]]]) -> _Upright:
    heights, areas, centres, spreads = [], [], [], []
    for height, group in zip(levels, groups, strict=True):
        for polygon in group:
            area, centre, spread = _moments(polygon)
            heights.append(height)
            areas.append(area)
            centres.append(centre)
            spreads.append(spread)
    h, weight = np.array(heights), np.array(areas)
    weight = weight / weight.sum()
    centre = np.array(centres)
    level, middle = float(weight @ h), weight @ centre
    vary = float(weight @ (h - level) ** 2)
    lean = np.zeros(2)
    if vary > 0:
        lean = (weight * (h - level)) @ (centre - middle) / vary
        lean *= min(1.0, MAX_LEAN / max(float(np.linalg.norm(lean)), 1e-9))
    squares, axes = np.linalg.eigh(np.einsum("n,nij->ij", weight, np.array(spreads)))
    squares = np.maximum(squares, squares.max() / MAX_STRETCH**2)
    # As wide as the narrower side, so that depths stay about those in millimetres.
    stretch = axes @ np.diag(np.sqrt(squares.min() / squares)) @ axes.T
    return _Upright(middle - lean * level, lean, stretch)


def _moments(
    polygon: NDArray[np.float64],
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Area, (2,) centroid and (2, 2) covariance of a polygon's inside (Green's theorem)."""
    origin = polygon.mean(axis=0)
    a = polygon - origin
    b = np.roll(a, -1, axis=0)
    cross = a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1]
    double = float(cross.sum())
    if abs(double) < 1e-9:
        return 1e-9, origin, np.eye(2) * 1e-9
    centre = cross @ (a + b) / (3 * double)
    pairs = (
        np.einsum("n,ni,nj->ij", cross, a, a)
        + np.einsum("n,ni,nj->ij", cross, b, b)
        + np.einsum("n,ni,nj->ij", cross, a + b, a + b)
    )
    return abs(double) / 2, origin + centre, pairs / (12 * double) - np.outer(centre, centre)


def _interpolate(
    levels: list[float], groups: list[list[NDArray[np.float64]]], axes: NDArray[np.float64]
) -> Volume:
    upright = _upright(levels, groups)
    heights = np.array(levels)
    gaps = np.diff(heights)
    thickness = float(np.median(gaps)) if len(gaps) else SINGLE_PLANE_THICKNESS_MM
    moved = [
        [upright.apply(polygon, level) for polygon in group]
        for level, group in zip(levels, groups, strict=True)
    ]
    deepest = max(float(np.ptp(p, axis=0).min()) for group in moved for p in group) / 2
    deepest = min(deepest, (levels[-1] - levels[0] + thickness) / 2)
    step_mm = float(np.clip(deepest / STEPS_TO_MIDDLE, *GRID_STEP_MM))
    w = np.arange(levels[0] - thickness, levels[-1] + thickness + step_mm, step_mm)
    corners = np.concatenate([polygon for group in groups for polygon in group])
    rim = 2 * step_mm + thickness * np.abs(upright.lean)
    lower = corners.min(axis=0) - rim
    count = np.ceil((corners.max(axis=0) + rim - lower) / step_mm).astype(int) + 1
    u = lower[0] + step_mm * np.arange(count[0])
    v = lower[1] + step_mm * np.arange(count[1])
    flat = np.stack(np.meshgrid(u, v, indexing="xy"), axis=-1).reshape(-1, 2)
    reached = np.array([upright.apply(flat, float(height)) for height in w])
    # The upright axes have a lattice of their own, that of the solid is filled from it.
    first = reached.min(axis=(0, 1))
    last = np.ceil((reached.max(axis=(0, 1)) - first) / step_mm).astype(int) + 1
    lattice = np.stack(
        np.meshgrid(
            *(f + step_mm * np.arange(n) for f, n in zip(first, last, strict=True)),
            indexing="xy",
        ),
        axis=-1,
    ).reshape(-1, 2)
    stack = np.array([_squared(lattice, group) for group in moved]).reshape(
        len(levels), last[1], last[0]
    )
    at = _at_heights(heights, stack, w, thickness)
    index = np.moveaxis((reached - first) / step_mm, -1, 0)[::-1]
    array = np.array(
        [
            ndimage.map_coordinates(plane, index[:, n], order=1, mode="nearest")
            for n, plane in enumerate(at)
        ]
    ).reshape(len(w), count[1], count[0])
    return Volume(
        array=_in_mm(array, step_mm),
        origin_lps_mm=axes @ np.array([lower[0], lower[1], w[0]]),
        direction=axes,
        spacing_mm=np.full(3, step_mm),
    )


def _squared(
    points: NDArray[np.float64], polygons: list[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """(N,): for a circle its squared radius less the point's, mm^2, and alike for other shapes.

    With r the greatest depth inside the contours and d the depth of a point, it is d (2 r - d).
    """
    depth = _signed_distance(points, polygons)
    deepest = max(float(depth.max()), 1e-3)
    return depth * (2 * deepest - depth)


def _at_heights(
    heights: NDArray[np.float64],
    stack: NDArray[np.float64],
    w: NDArray[np.float64],
    thickness: float,
) -> NDArray[np.float64]:
    """The planes' squared radii carried to heights ``w``, between the planes and beyond them."""
    out = np.empty((len(w), *stack.shape[1:]))
    within = (w >= heights[0]) & (w <= heights[-1])
    if len(heights) == 1:
        out[within] = stack
    elif within.any():
        # Akima's spline is exact for a parabola on even planes, and does not overshoot where
        # neighbouring planes differ abruptly.
        out[within] = Akima1DInterpolator(heights, stack, axis=0)(w[within])
    for beyond, outward in (
        (heights[0] - w, slice(None)),
        (w - heights[-1], slice(None, None, -1)),
    ):
        chosen = beyond > 0
        ends = stack[outward][:CAP_PLANES]
        steps = np.abs(heights[outward][:CAP_PLANES] - heights[outward][0])
        fall = _fall(ends.max(axis=(1, 2)), steps, thickness, beyond[chosen])
        out[chosen] = ends[0] - fall[:, None, None]
    return out


def _fall(
    squared: NDArray[np.float64],
    steps: NDArray[np.float64],
    thickness: float,
    beyond: NDArray[np.float64],
) -> NDArray[np.float64]:
    """By how much the squared radius falls from the end plane to the distances ``beyond`` it.

    A parabola through the end plane fits the last planes; it comes to zero, the pole, before the
    next plane, on which nothing was drawn. Where the planes show no parabola that closes, or are
    fewer than three, the end is taken as a sphere's.

    Parameters
    ----------
    squared, steps
        Squared radius of the end plane and of those further in, mm^2, and how far in they lie, mm.
    """
    radius = float(squared[0])
    slope, bend = 0.0, 0.0
    if len(steps) > 2:
        # Nearer planes count for more.
        powers = np.column_stack([-np.ones(len(steps) - 1), steps[1:]]) / steps[1:, None]
        rise = (squared[1:] - radius) / steps[1:] ** 2
        (slope, bend), *_ = np.linalg.lstsq(powers, rise, rcond=None)
    if bend > LEAST_BEND:
        bend = -1.0
        slope = (radius - float(squared[1])) / steps[1] - steps[1] if len(steps) > 1 else 0.0
    inner = slope**2 - 4 * bend * radius
    pole = (-slope - np.sqrt(inner)) / (2 * bend) if bend < 0 else np.inf
    if not pole < NEXT_PLANE * thickness:
        pole = NEXT_PLANE * thickness
        bend = min(-(radius + slope * pole) / pole**2, 0.0)
        slope = -radius / pole - bend * pole
    return -(slope * beyond + bend * beyond**2)


def _in_mm(squared: NDArray[np.float64], step_mm: float) -> NDArray[np.float32]:
    """Depth of a field like that of a sphere, R^2 - r^2, whose gradient is 2 r."""
    radius = np.sqrt(sum(slope**2 for slope in np.gradient(squared, step_mm))) / 2
    whole = np.sqrt(np.maximum(radius**2 + squared, 0))
    return np.asarray(squared / np.maximum(radius + whole, 1e-3), dtype=np.float32)


def _signed_distance(
    points: NDArray[np.float64], polygons: list[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """(N,) distance of 2-D points to the polygons' edges, mm, positive inside (exclusive-or)."""
    inside = np.zeros(len(points), dtype=bool)
    nearest = np.full(len(points), np.inf)
    for polygon in polygons:
        start, end = polygon, np.roll(polygon, -1, axis=0)
        for a, b in zip(start, end, strict=True):
            edge = b - a
            length = float(edge @ edge)
            if length == 0:
                continue
            along = np.clip(((points - a) @ edge) / length, 0, 1)
            offset = points - a - along[:, None] * edge
            np.minimum(nearest, np.einsum("ij,ij->i", offset, offset), out=nearest)
            crosses = (a[1] > points[:, 1]) != (b[1] > points[:, 1])
            if edge[1] != 0:
                left = points[:, 0] < a[0] + (points[:, 1] - a[1]) * edge[0] / edge[1]
                inside ^= crosses & left
    distance = np.sqrt(nearest)
    return np.asarray(np.where(inside, distance, -distance), dtype=np.float64)
