"""Contoured structures as solids with a sub-voxel surface."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import Akima1DInterpolator

from segmentation.surface import Surface, surface_of
from segmentation.volume import Volume

GRID_STEP_MM = 1.0
"""Spacing of the solids' grid. The level set is linear between grid points, so the surface is far
finer than this."""

PLANE_TOLERANCE_MM = 0.2
"""Contours nearer than this along the normal lie on one plane."""

PLANARITY_TOLERANCE_MM = 0.5
"""A contour that leaves its plane by more than this is refused."""

SINGLE_PLANE_THICKNESS_MM = 3.0
"""Assumed distance between planes where a structure was drawn on one plane only."""

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
    hole. Between planes the signed distances are interpolated (shape-based interpolation, Raya and
    Udupa 1990); beyond the first and the last plane the solid closes as a sphere would. Contours of
    any orientation are taken, as long as all planes are parallel.

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


def _interpolate(
    levels: list[float], groups: list[list[NDArray[np.float64]]], axes: NDArray[np.float64]
) -> Volume:
    corners = np.concatenate([polygon for group in groups for polygon in group])
    lower = corners.min(axis=0) - 2 * GRID_STEP_MM
    count = np.ceil((corners.max(axis=0) + 2 * GRID_STEP_MM - lower) / GRID_STEP_MM).astype(int) + 1
    u = lower[0] + GRID_STEP_MM * np.arange(count[0])
    v = lower[1] + GRID_STEP_MM * np.arange(count[1])
    points = np.stack(np.meshgrid(u, v, indexing="xy"), axis=-1).reshape(-1, 2)
    planes = [_signed_distance(points, group).reshape(count[1], count[0]) for group in groups]
    heights = np.array(levels)
    gaps = np.diff(heights)
    thickness = float(np.median(gaps)) if len(gaps) else SINGLE_PLANE_THICKNESS_MM
    w = np.arange(levels[0] - thickness, levels[-1] + thickness + GRID_STEP_MM, GRID_STEP_MM)
    stack = np.asarray(planes, dtype=np.float64)
    array = np.empty((len(w), count[1], count[0]), dtype=np.float32)
    within = (w >= heights[0]) & (w <= heights[-1])
    if within.any():
        array[within] = _between(heights, stack, w[within])
    for beyond, end, inner in (
        (heights[0] - w, 0, min(1, len(stack) - 1)),
        (w - heights[-1], -1, max(-2, -len(stack))),
    ):
        chosen = beyond > 0
        array[chosen] = _cap(stack[end], stack[inner], thickness, beyond[chosen])
    return Volume(
        array=array,
        origin_lps_mm=axes @ np.array([lower[0], lower[1], w[0]]),
        direction=axes,
        spacing_mm=np.full(3, GRID_STEP_MM),
    )


def _between(
    heights: NDArray[np.float64], stack: NDArray[np.float64], w: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Signed distances of planes carried to heights between them, smoothly where that is safe."""
    if len(heights) == 1:
        return stack
    # Akima's spline does not overshoot where neighbouring planes differ abruptly.
    spline = Akima1DInterpolator(heights, stack, axis=0, method="makima")
    return np.asarray(spline(w), dtype=np.float64)


def _cap(
    end: NDArray[np.float64],
    inner: NDArray[np.float64],
    thickness: float,
    beyond: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Signed distances beyond an end plane: the contour shrinks as a sphere's would.

    The greatest depths r of the last two planes stand for a sphere's radii there; r squared falls
    along the normal as a parabola, which gives the pole's height. It lies before the next plane,
    on which nothing was drawn.
    """
    last, before = max(float(end.max()), 0.0), max(float(inner.max()), 0.0)
    fall = max(before**2 - last**2, 0.0) / thickness + thickness
    pole = (-fall + np.sqrt(fall**2 + 4 * last**2)) / 2
    pole = float(np.clip(pole, 0.25 * thickness, 0.95 * thickness))
    share = np.minimum(beyond / pole, 1)
    shrunk = last * (1 - np.sqrt(1 - share)) + np.maximum(beyond - pole, 0)
    return np.asarray(end[None] - shrunk[:, None, None], dtype=np.float64)


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
