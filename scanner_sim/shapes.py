"""Continuous shapes of the anatomy: a signed distance (negative inside) for every point.

Distances are exact near the surface and good to a few per cent elsewhere, except where a shape says
otherwise; the surface itself, distance zero, is exact and is what truth is measured on. Coordinates
are LPS mm. ``distance`` takes arrays that broadcast against each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from scanner_sim.grid import F32, F64, Box


class Shape(Protocol):
    """Anything with an inside."""

    @property
    def box(self) -> Box:
        """Holds the whole shape."""

    def distance(self, x: F32, y: F32, z: F32) -> F32:
        """Signed distance in mm, negative inside."""


def at_points(shape: Shape, points_lps_mm: F64) -> F32:
    """Signed distances of (n, 3) points."""
    x, y, z = points_lps_mm.astype(np.float32).T
    return shape.distance(x, y, z)


def rotation(axis_x_deg: float, axis_y_deg: float, axis_z_deg: float) -> F64:
    """(3, 3): turns about x, then y, then z."""
    matrix = np.eye(3)
    for axis, degrees in enumerate((axis_x_deg, axis_y_deg, axis_z_deg)):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn = np.eye(3)
        a, b = [n for n in range(3) if n != axis]
        turn[a, a], turn[b, b] = c, c
        turn[a, b], turn[b, a] = (-s, s) if axis != 1 else (s, -s)
        matrix = turn @ matrix
    return matrix


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """Centre, half-axes and the (3, 3) matrix whose columns are their directions."""

    centre: F64
    radii: F64
    axes: F64 = field(default_factory=lambda: np.eye(3))

    @property
    def box(self) -> Box:
        """Exact bounding box."""
        half = np.sqrt(((self.axes * self.radii) ** 2).sum(axis=1))
        return Box(self.centre - half, self.centre + half)

    def distance(self, x: F32, y: F32, z: F32) -> F32:
        """First-order distance: exact on the surface."""
        dx, dy, dz = (a - np.float32(c) for a, c in zip((x, y, z), self.centre, strict=True))
        first: F32 | float = 0.0
        second: F32 | float = 0.0
        for n in range(3):
            a, b, c = (np.float32(value) for value in self.axes[:, n])
            radius = np.float32(self.radii[n])
            part = (dx * a + dy * b + dz * c) / radius
            first = first + part * part
            second = second + (part / radius) ** 2
        level = np.sqrt(np.asarray(first, dtype=np.float32))
        slope = np.sqrt(np.asarray(second, dtype=np.float32)) + np.float32(1e-6)
        result: F32 = level * (level - 1) / slope
        # At the very centre both vanish; any depth will do.
        return np.where(level < 1e-3, -np.float32(self.radii.min()), result)


@dataclass(frozen=True, eq=False)
class Capsule:
    """A tapering rod with round ends."""

    start: F64
    stop: F64
    start_radius: float
    stop_radius: float

    @property
    def box(self) -> Box:
        """Bounding box with the larger radius."""
        return Box.around(
            np.array([self.start, self.stop]), max(self.start_radius, self.stop_radius)
        )

    def distance(self, x: F32, y: F32, z: F32) -> F32:
        """Distance to the axis less the radius there."""
        along = self.stop - self.start
        px, py, pz = (a - np.float32(c) for a, c in zip((x, y, z), self.start, strict=True))
        lx, ly, lz = (np.float32(value) for value in along)
        length2 = np.float32(max(float(along @ along), 1e-6))
        t = np.clip((px * lx + py * ly + pz * lz) / length2, 0, 1)
        gap = np.sqrt((px - t * lx) ** 2 + (py - t * ly) ** 2 + (pz - t * lz) ** 2)
        radius = self.start_radius + t * np.float32(self.stop_radius - self.start_radius)
        result: F32 = gap - radius
        return result


def tube(points: Sequence[F64], radii: Sequence[float]) -> tuple[Capsule, ...]:
    """Capsules along a line of points."""
    pairs = zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True)
    return tuple(Capsule(a, b, ra, rb) for a, b, ra, rb in pairs)


@dataclass(frozen=True, eq=False)
class Lumpy:
    """A sphere with bumps and dents: radius ``radius * (1 + sum(height * bump))``.

    A bump is ``exp(sharpness * (cos(angle to its direction) - 1))``. The surface is exact; the
    distance is scaled by the radius's slope only roughly (bumps are shallow).
    """

    centre: F64
    radius: float
    directions: F64
    heights: F64
    sharpness: float = 4.0

    @property
    def box(self) -> Box:
        """Box of the sphere that holds every bump."""
        reach = self.radius * (1 + float(np.clip(self.heights, 0, None).sum()))
        return Box(self.centre - reach, self.centre + reach)

    def distance(self, x: F32, y: F32, z: F32) -> F32:
        """Radial distance to the surface."""
        dx, dy, dz = (a - np.float32(c) for a, c in zip((x, y, z), self.centre, strict=True))
        radial = np.sqrt(dx * dx + dy * dy + dz * dz) + np.float32(1e-4)
        factor = np.ones(radial.shape, dtype=np.float32)
        for direction, height in zip(self.directions, self.heights, strict=True):
            a, b, c = (np.float32(value) for value in direction)
            cosine = (dx * a + dy * b + dz * c) / radial
            factor += np.float32(height) * np.exp(np.float32(self.sharpness) * (cosine - 1))
        result: F32 = radial - np.float32(self.radius) * factor
        return result


def lumpy(
    centre: F64, diameter_mm: float, rng: np.random.Generator, roughness: float = 0.16
) -> Lumpy:
    """A tumour-like shape of about the given mean diameter."""
    directions = rng.normal(size=(9, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    heights = rng.uniform(-roughness, roughness, size=9)
    # Bumps of this sharpness cover about an eighth of the sphere: keep the mean radius.
    mean = 1 + float(heights.sum()) * (1 - np.exp(-8.0)) / 8
    return Lumpy(centre, diameter_mm / 2 / mean, directions, heights)


def lobulated(
    centre: F64, diameter_mm: float, rng: np.random.Generator, swing: float = 0.175
) -> Lumpy:
    """An irregular tumour of about the given mean diameter; ``swing`` is half the difference of
    its greatest and least radius, as a share of the mean."""
    # Four lobes with four hollows between them: the corners of a cube by turns, turned and shaken.
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    directions = corners @ turn.T + rng.normal(0, 0.25, size=(8, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    heights = rng.uniform(0.5, 1.0, size=8) * corners.prod(axis=1)
    sharpness = 6.0
    around = rng.normal(size=(2000, 3))
    around /= np.linalg.norm(around, axis=1)[:, None]
    bumps = np.exp(sharpness * (around @ directions.T - 1)) @ heights
    heights *= 2 * swing / float(bumps.max() - bumps.min())
    mean = 1 + float(bumps.mean()) * 2 * swing / float(bumps.max() - bumps.min())
    return Lumpy(centre, diameter_mm / 2 / mean, directions, heights, sharpness)


@dataclass(frozen=True, eq=False)
class Without:
    """A shape less others; distances near the cut are good on the surface only."""

    shape: Shape
    removed: tuple[Shape, ...]

    @property
    def box(self) -> Box:
        """Of the whole shape."""
        return self.shape.box

    def distance(self, x: F32, y: F32, z: F32) -> F32:
        """Greatest of the shape's distance and the depths in what is removed."""
        total = self.shape.distance(x, y, z)
        for shape in self.removed:
            total = np.maximum(total, -shape.distance(x, y, z))
        return total


@dataclass(frozen=True, eq=False)
class Column:
    """A pillar of elliptical section, its axis nearly along z: psoas, vertebrae, great vessels.

    The centre is (x, y) at z = 0 and moves by ``lean`` (dx, dy) per mm of z.
    """

    centre: F64
    radii: tuple[float, float]
    bottom_mm: float
    top_mm: float
    lean: tuple[float, float] = (0.0, 0.0)
    turn_deg: float = 0.0

    @property
    def box(self) -> Box:
        """Box over the z range."""
        ends = np.array(
            [
                [self.centre[0] + self.lean[0] * z, self.centre[1] + self.lean[1] * z, z]
                for z in (self.bottom_mm, self.top_mm)
            ]
        )
        half = np.array([max(self.radii), max(self.radii), 0.0])
        return Box(ends.min(axis=0) - half, ends.max(axis=0) + half)

    def distance(self, x: F32, y: F32, z: F32) -> F32:
        """First-order distance to the side, or to the flat ends where nearer."""
        dx = x - np.float32(self.centre[0]) - np.float32(self.lean[0]) * z
        dy = y - np.float32(self.centre[1]) - np.float32(self.lean[1]) * z
        c = np.float32(np.cos(np.radians(self.turn_deg)))
        s = np.float32(np.sin(np.radians(self.turn_deg)))
        a = (dx * c + dy * s) / np.float32(self.radii[0])
        b = (dy * c - dx * s) / np.float32(self.radii[1])
        level = np.sqrt(a * a + b * b) + np.float32(1e-6)
        slope = np.sqrt((a / self.radii[0]) ** 2 + (b / self.radii[1]) ** 2) + np.float32(1e-6)
        side = level * (level - 1) / slope
        ends = np.maximum(z - np.float32(self.top_mm), np.float32(self.bottom_mm) - z)
        result: F32 = np.maximum(side, ends)
        return result


@dataclass(frozen=True, eq=False)
class Union:
    """Several shapes as one, their joints rounded over ``blend_mm``."""

    shapes: tuple[Shape, ...]
    blend_mm: float = 0.0

    @property
    def box(self) -> Box:
        """Box of all."""
        box = self.shapes[0].box
        for shape in self.shapes[1:]:
            box = box.join(shape.box)
        return box.grow(self.blend_mm / 4)

    def distance(self, x: F32, y: F32, z: F32) -> F32:
        """Smallest of the distances, polynomially smoothed."""
        total = self.shapes[0].distance(x, y, z)
        for shape in self.shapes[1:]:
            other = shape.distance(x, y, z)
            low = np.minimum(total, other)
            if self.blend_mm:
                near = np.clip(1 - np.abs(total - other) / np.float32(self.blend_mm), 0, None)
                low = low - near * near * np.float32(self.blend_mm / 4)
            total = low
        return total
