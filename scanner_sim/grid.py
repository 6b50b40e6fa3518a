"""Regular, axis-aligned grids in LPS and the interpolation between them.

All anatomy, physics and images of the simulator live on grids whose axes are the patient's: x to
the left, y to posterior, z to the head, each ascending. A prone scan is the same grid read out the
other way round.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Window = tuple[slice, slice, slice]
"""Slices for an array indexed [k, j, i]."""


@dataclass(frozen=True, eq=False)
class Box:
    """An axis-aligned box, LPS mm; ``lower`` and ``upper`` are (3,)."""

    lower: F64
    upper: F64

    def grow(self, reach_mm: float) -> "Box":
        """The box with every face moved outwards."""
        return Box(self.lower - reach_mm, self.upper + reach_mm)

    def join(self, other: "Box") -> "Box":
        """The smallest box that holds both."""
        return Box(np.minimum(self.lower, other.lower), np.maximum(self.upper, other.upper))

    @staticmethod
    def around(points_lps_mm: F64, reach_mm: float = 0.0) -> "Box":
        """The bounding box of (n, 3) points."""
        return Box(points_lps_mm.min(axis=0) - reach_mm, points_lps_mm.max(axis=0) + reach_mm)


@dataclass(frozen=True, eq=False)
class Grid:
    """Sample points at every combination of the ascending, evenly spaced ``x``, ``y``, ``z``."""

    x: F64
    y: F64
    z: F64

    @staticmethod
    def covering(box: Box, spacing_mm: float) -> "Grid":
        """A grid with the given spacing that starts at the box's lower corner and covers it."""
        axes = [
            lower + spacing_mm * np.arange(int(np.ceil((upper - lower) / spacing_mm)) + 1)
            for lower, upper in zip(box.lower, box.upper, strict=True)
        ]
        return Grid(*axes)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(k, j, i) of an array on this grid."""
        return self.z.size, self.y.size, self.x.size

    @cached_property
    def origin(self) -> F64:
        """(3,): x, y, z of the first point."""
        return np.array([self.x[0], self.y[0], self.z[0]])

    @cached_property
    def spacing(self) -> F64:
        """(3,): steps along x, y, z."""
        return np.array([axis[1] - axis[0] for axis in (self.x, self.y, self.z)])

    @property
    def box(self) -> Box:
        """From the first to the last point."""
        return Box(self.origin, np.array([self.x[-1], self.y[-1], self.z[-1]]))

    @cached_property
    def open(self) -> tuple[F32, F32, F32]:
        """x, y, z shaped (1, 1, i), (1, j, 1), (k, 1, 1), so that they broadcast."""
        return (
            self.x.astype(np.float32)[None, None, :],
            self.y.astype(np.float32)[None, :, None],
            self.z.astype(np.float32)[:, None, None],
        )

    def window(self, box: Box) -> Window | None:
        """Which part of an array on this grid lies in the box; None when nothing does."""
        slices = []
        for n, axis in enumerate((self.x, self.y, self.z)):
            start = int(np.searchsorted(axis, box.lower[n], side="left"))
            stop = int(np.searchsorted(axis, box.upper[n], side="right"))
            if start >= stop:
                return None
            slices.append(slice(start, stop))
        return slices[2], slices[1], slices[0]

    def part(self, window: Window) -> "Grid":
        """The grid of that part."""
        return Grid(self.x[window[2]], self.y[window[1]], self.z[window[0]])

    def slabs(self, count: int) -> Iterator[tuple[slice, "Grid"]]:
        """The grid in pieces of at most ``count`` z positions."""
        for start in range(0, self.z.size, count):
            part = slice(start, min(start + count, self.z.size))
            yield part, Grid(self.x, self.y, self.z[part])


@dataclass(frozen=True, eq=False)
class Field:
    """A quantity known on a grid, linear in between, ``outside`` beyond it."""

    grid: Grid
    array: F32
    outside: float = 0.0

    def at(self, points_lps_mm: F64) -> F32:
        """Values at (n, 3) points."""
        index = ((points_lps_mm - self.grid.origin) / self.grid.spacing).T[::-1]
        values: F32 = ndimage.map_coordinates(
            self.array, index, order=1, mode="constant", cval=self.outside, output=np.float32
        )
        return values

    def on(self, grid: Grid, rotation: F64 | None = None, shift: F64 | None = None) -> F32:
        """Values at ``rotation @ p + shift`` for every point p of an evenly spaced grid."""
        turn = np.eye(3) if rotation is None else rotation
        move = np.zeros(3) if shift is None else shift
        matrix = np.diag(1 / self.grid.spacing) @ turn @ np.diag(grid.spacing)
        offset = (turn @ grid.origin + move - self.grid.origin) / self.grid.spacing
        values: F32 = ndimage.affine_transform(
            self.array,
            matrix[::-1, ::-1],
            offset=offset[::-1],
            output_shape=grid.shape,
            order=1,
            mode="constant",
            cval=self.outside,
            output=np.float32,
        )
        return values


def linear_weights(knots: F64, at: F64) -> F32:
    """(at, knots) matrix that interpolates linearly between ascending, evenly spaced knots."""
    position = np.clip((at - knots[0]) / (knots[1] - knots[0]), 0, knots.size - 1.001)
    lower = position.astype(int)
    weights = np.zeros((at.size, knots.size), dtype=np.float32)
    rows = np.arange(at.size)
    weights[rows, lower] = 1 - (position - lower)
    weights[rows, lower + 1] = position - lower
    return weights
