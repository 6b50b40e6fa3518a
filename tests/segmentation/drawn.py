"""Analytic shapes as somebody would have drawn them: contours on planes, and masks on voxels."""

from collections.abc import Callable
from dataclasses import dataclass

import contourpy
import numpy as np
from numpy.typing import NDArray

from tests.segmentation.ellipsoids import Ellipsoid, turned

F64 = NDArray[np.float64]
REACH_MM = 32.0
PEN_MM = 0.4
"""How finely contours are drawn."""

AXES: dict[str, F64] = {
    "axial": np.eye(3),
    "sagittal": np.eye(3)[:, [1, 2, 0]],
    "oblique": turned(np.random.default_rng(5)),
}
"""(3, 3) each: columns along the rows, along the columns and across the planes."""


@dataclass(frozen=True, eq=False)
class Shape:
    """Something whose depth at (..., 3) points is known near its surface, mm; positive inside."""

    depth: Callable[[F64], F64]
    volume_ml: float


def contours(shape: Shape, spacing_mm: float, axes: F64, offset: float = 0.37) -> list[F64]:
    """Closed contours, (N, 3) each, on planes at ``(n + offset) * spacing_mm``."""
    pen = np.arange(-REACH_MM, REACH_MM + PEN_MM, PEN_MM)
    u, v = np.meshgrid(pen, pen)
    found = []
    for height in np.arange(-REACH_MM, REACH_MM, spacing_mm) + offset * spacing_mm:
        depth = shape.depth(np.stack([u, v, np.full_like(u, height)], axis=-1) @ axes.T)
        for line in contourpy.contour_generator(pen, pen, depth).lines(0.0):
            points = np.asarray(line, dtype=np.float64)[:-1]
            if len(points) > 3:
                found.append(np.column_stack([points, np.full(len(points), height)]) @ axes.T)
    return found


def grid(spacing_mm: F64, axes: F64) -> tuple[F64, F64]:
    """Centre of the first voxel, and (k, j, i, 3) centres of all, about the origin."""
    count = np.ceil(2 * REACH_MM / spacing_mm).astype(int)
    origin = axes @ (0.37 * spacing_mm - REACH_MM)
    k, j, i = np.indices(tuple(count[::-1]))
    return origin, origin + (np.stack([i, j, k], axis=-1) * spacing_mm) @ axes.T


def _ball(centre: tuple[float, float, float], radius: float) -> Callable[[F64], F64]:
    return lambda points: radius - np.linalg.norm(points - np.array(centre), axis=-1)


def _ball_ml(radius: float) -> float:
    return float(4 / 3 * np.pi * radius**3 / 1000)


def _lens_ml(a: float, b: float, apart: float) -> float:
    """What two balls have in common."""
    return float(
        np.pi
        * (a + b - apart) ** 2
        * (apart**2 + 2 * apart * (a + b) - 3 * (a - b) ** 2)
        / (12 * apart)
        / 1000
    )


def _ellipsoid() -> Shape:
    half_axes = np.array([17.0, 12.0, 9.0])
    solid = Ellipsoid(np.array([1.0, 2.0, -1.0]), half_axes, turned(np.random.default_rng(3)))

    def depth(points: F64) -> F64:
        root = np.sqrt(solid.form(points))
        local = (points - solid.centre) @ solid.rotation / half_axes**2
        slope = np.linalg.norm(local, axis=-1) / np.maximum(root, 1e-9)
        return np.asarray((1 - root) / np.maximum(slope, 1e-9))

    return Shape(depth, float(4 / 3 * np.pi * half_axes.prod() / 1000))


def _shell() -> Shape:
    outer, inner = _ball((0, 0, 0), 15.0), _ball((1, 1, 1), 6.0)
    return Shape(lambda p: np.minimum(outer(p), -inner(p)), _ball_ml(15) - _ball_ml(6))


def _lobed() -> Shape:
    one, two = _ball((-8, 0, 0), 10.0), _ball((8, 2, 1), 8.0)
    apart = float(np.linalg.norm([16, 2, 1]))
    volume = _ball_ml(10) + _ball_ml(8) - _lens_ml(10, 8, apart)
    return Shape(lambda p: np.maximum(one(p), two(p)), volume)


SHAPES = {
    "sphere": Shape(_ball((0.3, -0.2, 0.7), 10.0), _ball_ml(10)),
    "ellipsoid": _ellipsoid(),
    "with a hole": _shell(),
    "lobed": _lobed(),
}
