"""Painting shapes into an array of Hounsfield units."""

import numpy as np

from scanner_sim.grid import F32, Grid
from scanner_sim.shapes import Shape

EDGE_MM = 1.0
"""Width over which one tissue gives way to the next: the blur of a soft kernel is added later."""


def paint(
    hu: F32,
    grid: Grid,
    shape: Shape,
    value: float,
    *clouds: tuple[float, F32],
    grow_mm: float = 0.0,
    edge_mm: float = EDGE_MM,
    outline_mm: float | None = None,
) -> None:
    """Blend ``value`` into ``hu`` where the shape is, in place.

    Parameters
    ----------
    value
        HU.
    clouds
        Textures to add to it: their weight in HU and the array on the whole grid.
    grow_mm
        Moves the surface outwards.
    outline_mm
        Paints only a skin of this thickness instead of the inside.
    """
    window = grid.window(shape.box.grow(max(grow_mm, 0) + edge_mm))
    if window is None:
        return
    part = grid.part(window)
    distance = shape.distance(*part.open) - np.float32(grow_mm)
    if outline_mm is not None:
        distance = np.abs(distance) - np.float32(outline_mm / 2)
    cover = np.clip(np.float32(0.5) - distance / np.float32(edge_mm), 0, 1)
    target = hu[window]
    change = np.float32(value) - target
    for weight, cloud in clouds:
        change += np.float32(weight) * cloud[window]
    cover *= change
    target += cover
