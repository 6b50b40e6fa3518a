"""Smooth outlines of what is marked voxel by voxel.

A mask says of each voxel whether its centre lies inside. The borders of its voxels are a staircase
that no anatomy has, and distances to them are off by up to a voxel; so each plane is smoothed a
little, and the outline is taken at the level that holds as much area as the plane's voxels do.
"""

import contourpy
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from segmentation.outlines import Loop, area

SMOOTHED_PIXELS = 1.0
"""Standard deviation of the smoothing: the steps of one pixel go, what is wider stays."""

HALF = 0.5
"""Of a fraction: as much inside as outside."""

AREA_TOLERANCE = 1e-3
"""Of the area that a smoothed outline is to hold."""

SEARCHES = 12
"""For the level that does; each halves what is left at least."""

GRADED = 0.3
"""A plane whose pixels of the border have fractions between, at least so many of them, tells by
them where the border is."""

RIM = 4
"""Pixels about what is marked that are looked at, too."""


def outlines_of(plane: ArrayLike, spacing: tuple[float, float]) -> list[Loop]:
    """Closed outlines of one plane of a mask.

    Parameters
    ----------
    plane
        [row, column]: whether a pixel's centre is inside, or the fraction of it that is, 0 to 1.
    spacing
        mm from column to column and from row to row.

    Returns
    -------
        (N, 2) each, mm along the row and along the column from the centre of the first pixel.
        Combine by exclusive-or.
    """
    fraction = np.asarray(plane, dtype=np.float64)
    rows, columns = np.flatnonzero(fraction.any(axis=1)), np.flatnonzero(fraction.any(axis=0))
    if not len(rows):
        return []
    first = np.array([columns[0], rows[0]]) - RIM
    part = np.pad(fraction[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], RIM)
    found = _lines(part, HALF) if _graded(part) else _smoothed(part >= HALF)
    scale = np.asarray(spacing, dtype=np.float64)
    return [(line + first) * scale for line in found]


def _graded(part: NDArray[np.float64]) -> bool:
    inside = part >= HALF
    border = inside & ~ndimage.binary_erosion(inside)
    between = (part > 0) & (part < 1)
    return bool(border.any()) and float(between.sum()) >= 2 * GRADED * float(border.sum())


def _smoothed(inside: NDArray[np.bool_]) -> list[Loop]:
    wanted = float(inside.sum())
    if not wanted:
        return []
    smooth = ndimage.gaussian_filter(inside.astype(np.float64), SMOOTHED_PIXELS, mode="constant")
    low, high = 0.0, float(smooth.max())
    level = min(HALF, high / 2)
    lines: list[Loop] = []
    for _ in range(SEARCHES):
        lines = _lines(smooth, level)
        held = abs(sum(area(line) for line in lines))  # holes turn the other way
        if abs(held - wanted) <= AREA_TOLERANCE * wanted:
            break
        if held > wanted:
            low = level
        else:
            high = level
        level = (low + high) / 2
    return lines


def _lines(part: NDArray[np.float64], level: float) -> list[Loop]:
    lines = contourpy.contour_generator(z=part).lines(level)
    return [np.asarray(line, dtype=np.float64)[:-1] for line in lines if len(line) > 3]
