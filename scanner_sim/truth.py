"""What is true of one scan: margins and distances measured on the continuous shapes.

Ice is tissue at or below -4.5 C, where half its water is frozen and half the fall in HU is done;
probe shafts inside it count, gas does not. Everything is measured in the reference position, where
the temperature is known, and only points are moved to the scan: rigid motion keeps distances.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from scanner_sim.breathing import Pose
from scanner_sim.freezing import BODY_C, ICE_C
from scanner_sim.grid import F64, Box, Field, Grid
from scanner_sim.shapes import Shape

_SHAPE_STEP_MM = 0.6
_ICE_STEP_MM = 0.75
_DISC_MM = 0.55
"""Each surface point stands for a small disc of this radius, so that the distance to the surface
does not depend on where on it the points happen to lie."""
_NEAREST = 8


@dataclass(frozen=True, eq=False)
class ScanTruth:
    """Truth of one scan; distances in mm, points LPS in the scan's own frame.

    Attributes
    ----------
    ice
        [k, j, i] on the scan's voxels, k ascending along the normal.
    margin_mm
        Signed minimum over the tumour's surface of its depth inside the ice; None without ice.
    hilum_distance_mm
        Signed minimum distance from the ice's surface to the hilum, negative on overlap; None
        without ice.
    covered_fraction
        Share of the tumour at least 0, 5 and 10 mm inside the ice.
    kidney_matrix
        (4, 4): from the planning scan's frame to this scan's, for kidney, tumour, ice and probes.
    """

    series_instance_uid: str
    role: str
    at_s: float
    phase: str
    ice: NDArray[np.bool_]
    volume_ml: float
    margin_mm: float | None
    worst_point_lps_mm: tuple[float, float, float] | None
    hilum_distance_mm: float | None
    nearest_point_lps_mm: tuple[float, float, float] | None
    covered_fraction: dict[str, float] = field(default_factory=dict)
    kidney_matrix: tuple[tuple[float, ...], ...] = ()

    def as_json(self) -> dict[str, object]:
        """Everything but the mask."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "ice"}


@dataclass(frozen=True, eq=False)
class Surface:
    """Points of a surface with unit normals, both (n, 3)."""

    points: F64
    normals: F64

    @staticmethod
    def of(values: Field, level: float = 0.0) -> "Surface":
        """Where the field crosses the level, found on every edge of its grid."""
        grid, array = values.grid, values.array - np.float32(level)
        found = []
        for axis in range(3):
            here = np.moveaxis(array, axis, 0)
            crossed = (here[:-1] <= 0) != (here[1:] <= 0)
            index = np.argwhere(crossed)
            if not index.size:
                continue
            a, b = here[:-1][crossed], here[1:][crossed]
            place = index.astype(np.float64)
            place[:, 0] += a / (a - b)
            order = [1, 2]
            order.insert(axis, 0)
            found.append(place[:, order])
        if not found:
            empty = np.zeros((0, 3))
            return Surface(empty, empty)
        index = np.concatenate(found)
        slopes = np.gradient(array)
        normals = (
            np.stack(
                [ndimage.map_coordinates(slope, index.T, order=1) for slope in slopes[::-1]], axis=1
            )
            / grid.spacing
        )
        normals /= np.linalg.norm(normals, axis=1)[:, None] + 1e-9
        return Surface(grid.origin + index[:, ::-1] * grid.spacing, normals)

    def distance(self, points_lps_mm: F64) -> F64:
        """(n,) unsigned distances from points, the surface taken as small discs."""
        count = min(_NEAREST, self.points.shape[0])
        _, near = cKDTree(self.points).query(points_lps_mm, k=count)
        near = near.reshape(points_lps_mm.shape[0], count)
        gap = points_lps_mm[:, None, :] - self.points[near]
        along = np.einsum("nkc,nkc->nk", gap, self.normals[near])
        across = np.sqrt(np.clip((gap**2).sum(axis=2) - along**2, 0, None))
        return np.asarray(np.hypot(along, np.clip(across - _DISC_MM, 0, None)).min(axis=1))


def sampled(shape: Shape, step_mm: float = _SHAPE_STEP_MM, reach_mm: float = 2.0) -> Field:
    """A shape's signed distance on a grid round it."""
    grid = Grid.covering(shape.box.grow(reach_mm), step_mm)
    return Field(grid, shape.distance(*grid.open), 1e3)


class Ruler:
    """Measures margins of one tumour and one structure at risk."""

    def __init__(self, tumour: Shape, hilum: Shape) -> None:
        inside = sampled(tumour)
        self._tumour = Surface.of(inside)
        self._hilum_shape = hilum
        self._hilum = Surface.of(sampled(hilum))
        index = np.argwhere(inside.array[::2, ::2, ::2] <= 0)[:, ::-1] * 2
        self._tumour_inside = inside.grid.origin + index * inside.grid.spacing

    def measure(
        self,
        temperature: Field | None,
        pose: Pose,
        *,
        series_instance_uid: str,
        role: str,
        at_s: float,
        phase: str,
        ice: NDArray[np.bool_],
    ) -> ScanTruth:
        """Truth of a scan taken at this temperature and pose."""
        matrix = tuple(tuple(float(value) for value in row) for row in pose.matrix)
        surface = None
        volume_ml = 0.0
        if temperature is not None and temperature.array.min() <= ICE_C:
            fine = _refined(temperature)
            surface = Surface.of(fine, ICE_C)
            volume_ml = float((fine.array <= ICE_C).sum() * fine.grid.spacing.prod() / 1000)
        if temperature is None or surface is None or not surface.points.size:
            return ScanTruth(
                series_instance_uid, role, at_s, phase, ice, 0.0, None, None, None, None, {}, matrix
            )
        depth = _depth(self._tumour.points, temperature, surface)
        worst = int(np.argmin(depth))
        inner = _depth(self._tumour_inside, temperature, surface)
        covered = {str(mm): float((inner >= mm).mean()) for mm in (0, 5, 10)}
        distance, nearest = self._to_hilum(temperature, surface)
        return ScanTruth(
            series_instance_uid=series_instance_uid,
            role=role,
            at_s=at_s,
            phase=phase,
            ice=ice,
            volume_ml=volume_ml,
            margin_mm=float(depth[worst]),
            worst_point_lps_mm=_triple(pose.apply(self._tumour.points[worst])),
            hilum_distance_mm=distance,
            nearest_point_lps_mm=_triple(pose.apply(nearest)),
            covered_fraction=covered,
            kidney_matrix=matrix,
        )

    def _to_hilum(self, temperature: Field, surface: Surface) -> tuple[float, F64]:
        """Signed distance of the ice to the hilum, and the hilum's point nearest to it."""
        x, y, z = surface.points.astype(np.float32).T
        sign = np.where(self._hilum_shape.distance(x, y, z) < 0, -1.0, 1.0)
        signed = sign * self._hilum.distance(surface.points)
        nearest = int(np.argmin(signed))
        gap = np.linalg.norm(self._hilum.points - surface.points[nearest], axis=1)
        point = self._hilum.points[int(np.argmin(gap))]
        if signed[nearest] > 0 and (temperature.at(self._hilum.points) <= ICE_C).any():
            # The ice holds the whole structure: as deep as its deepest point.
            depth = _depth(self._hilum.points, temperature, surface)
            deepest = int(np.argmax(depth))
            return -float(depth[deepest]), self._hilum.points[deepest]
        return float(signed[nearest]), point


def _depth(points: F64, temperature: Field, surface: Surface) -> F64:
    """(n,) depth inside the ice, negative outside."""
    sign = np.where(temperature.at(points) <= ICE_C, 1.0, -1.0)
    return np.asarray(sign * surface.distance(points))


def _refined(temperature: Field) -> Field:
    """The cold part of the field on a finer grid, linear in between as in the image."""
    cold = np.argwhere(temperature.array <= ICE_C)
    grid = temperature.grid
    lower = grid.origin + (cold.min(axis=0)[::-1] - 2) * grid.spacing
    upper = grid.origin + (cold.max(axis=0)[::-1] + 2) * grid.spacing
    step = float(grid.spacing[0]) / max(int(np.ceil(grid.spacing[0] / _ICE_STEP_MM)), 1)
    fine = Grid.covering(Box(lower, upper), step)
    return Field(fine, temperature.on(fine), BODY_C)


def _triple(point: F64) -> tuple[float, float, float]:
    return float(point[0]), float(point[1]), float(point[2])
