"""Ellipsoids with exact distances, their contours and how a scan shows them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.volume import Volume

F64 = NDArray[np.float64]

EDGE_MM = 4.0
"""Width of a smoothed edge of ice."""


def turned(generator: np.random.Generator, most_deg: float = 180.0) -> F64:
    """(3, 3): a random rotation by up to ``most_deg`` (Rodrigues' formula)."""
    x, y, z = _direction(generator)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(generator.uniform(0, most_deg))
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return np.asarray(turn, dtype=np.float64)


def _direction(generator: np.random.Generator) -> F64:
    vector = generator.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """Centre, half-axes in mm, and the (3, 3) rotation whose columns are their directions."""

    centre: F64
    half_axes: F64
    rotation: F64

    def form(self, points: F64) -> F64:
        """(N,): below 1 inside."""
        local = (points - self.centre) @ self.rotation / self.half_axes
        return np.asarray((local**2).sum(axis=-1), dtype=np.float64)

    def surface(self, count: int = 6000) -> F64:
        """(count, 3): points all over it (Fibonacci's lattice)."""
        n = np.arange(count) + 0.5
        height = 1 - 2 * n / count
        angle = np.pi * (1 + np.sqrt(5)) * n
        radius = np.sqrt(1 - height**2)
        ball = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), height])
        return np.asarray(ball * self.half_axes @ self.rotation.T + self.centre)

    def filling(self, count: int = 6000) -> F64:
        """(count, 3): points evenly inside it."""
        generator = np.random.default_rng(7)
        ball = generator.normal(size=(count, 3))
        length = generator.uniform(size=count) ** (1 / 3) / np.linalg.norm(ball, axis=1)
        return np.asarray(ball * length[:, None] * self.half_axes @ self.rotation.T + self.centre)

    def depth(self, points: F64) -> F64:
        """(N,): exact depth of (N, 3) points, negative outside.

        The nearest point is e^2 y / (t + e^2) with half-axes e, where t makes it lie on the
        ellipsoid (Eberly, Distance from a Point to an Ellipsoid); t by bisection.
        """
        y = np.abs((points - self.centre) @ self.rotation)
        squares = self.half_axes**2
        low = np.full(len(y), -squares.min() + 1e-9)
        high = np.linalg.norm(y * self.half_axes, axis=1) + 1e-6
        for _ in range(32):
            t = (low + high) / 2
            above = ((self.half_axes * y / (t[:, None] + squares)) ** 2).sum(axis=1) > 1
            low, high = np.where(above, t, low), np.where(above, high, t)
        nearest = squares * y / (((low + high) / 2)[:, None] + squares)
        distance = np.linalg.norm(nearest - y, axis=1)
        signed = np.where(self.form(points) < 1, distance, -distance)
        return np.asarray(signed, dtype=np.float64)

    def contours(self, spacing_mm: float, offset_mm: float, axes: F64) -> list[F64]:
        """Closed contours on planes across ``axes[:, 2]`` at offset + n spacing."""
        form = axes.T @ self.rotation @ np.diag(self.half_axes**-2) @ self.rotation.T @ axes
        middle = self.centre @ axes
        reach = np.sqrt(np.linalg.inv(form)[2, 2])
        first = np.ceil((middle[2] - reach - offset_mm) / spacing_mm)
        last = np.floor((middle[2] + reach - offset_mm) / spacing_mm)
        found = []
        for height in offset_mm + spacing_mm * np.arange(first, last + 1):
            above = height - middle[2]
            shift = -np.linalg.solve(form[:2, :2], form[:2, 2] * above)
            size = 1 - form[2, 2] * above**2 + shift @ form[:2, :2] @ shift
            if size < 1e-4:
                continue
            root = np.linalg.cholesky(np.linalg.inv(form[:2, :2]) * size)
            count = max(12, int(2 * np.pi * np.linalg.norm(root, 2) / 1.5))
            angle = 2 * np.pi * np.arange(count) / count
            flat = np.column_stack([np.cos(angle), np.sin(angle)]) @ root.T + shift + middle[:2]
            found.append(np.column_stack([flat, np.full(count, height)]) @ axes.T)
        return found

    def scanned(
        self, spacing_mm: float, axes: F64, generator: np.random.Generator, pixel_mm: float = 1.2
    ) -> Volume:
        """Level set as slices show it: an edge ``EDGE_MM`` wide, averaged over a slice's thickness.

        The grid lies anywhere relative to the ellipsoid.
        """
        spacing = np.array([pixel_mm, pixel_mm, spacing_mm])
        reach = float(self.half_axes.max()) + 6
        count = np.ceil(2 * reach / spacing).astype(int) + 2
        start = self.centre - axes @ (reach + generator.uniform(size=3) * spacing)
        empty = Volume(np.zeros(tuple(count[::-1]), np.float32), start, axes, spacing)
        k, j, i = np.indices(empty.array.shape)
        parts = max(2, int(np.ceil(spacing_mm)))
        values = np.zeros(empty.array.shape)
        for part in (np.arange(parts) + 0.5) / parts - 0.5:
            local = (
                empty.to_lps(np.stack([i, j, k + part], axis=-1)) - self.centre
            ) @ self.rotation
            root = np.sqrt(((local / self.half_axes) ** 2).sum(axis=-1))
            slope = np.linalg.norm(local / self.half_axes**2, axis=-1) / np.maximum(root, 1e-6)
            depth = (1 - root) / np.maximum(slope, 1e-6)
            values += np.clip(2 * depth / EDGE_MM, -1, 1) / parts
        return Volume(values.astype(np.float32), start, axes, spacing)
