"""Analytic shapes with known answers."""

import numpy as np
from numpy.typing import NDArray

from segmentation.volume import Volume


def ball_field(
    radius_mm: float, centre: tuple[float, float, float] = (0, 0, 0), step_mm: float = 1.0
) -> Volume:
    """Signed distance to a sphere, positive inside, on a grid of +-40 mm."""
    count = int(80 / step_mm) + 1
    axis = -40 + step_mm * np.arange(count)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    distance = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
    return Volume(
        (radius_mm - distance).astype(np.float32),
        np.full(3, -40.0),
        np.eye(3),
        np.full(3, step_mm),
    )


def circle(radius_mm: float, z_mm: float, points: int = 90) -> NDArray[np.float64]:
    """(N, 3): a closed axial contour about the z axis."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    flat = radius_mm * np.column_stack([np.cos(angle), np.sin(angle)])
    return np.column_stack([flat, np.full(points, z_mm)])


def ball_contours(radius_mm: float, spacing_mm: float) -> list[NDArray[np.float64]]:
    """Axial contours of a sphere about the origin, none of them through its poles."""
    heights = np.arange(-40.0, 40.0, spacing_mm) + 0.3
    return [
        circle(float(np.sqrt(radius_mm**2 - z**2)), float(z))
        for z in heights
        if abs(z) < radius_mm - 0.05
    ]
