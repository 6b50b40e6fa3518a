"""What is true of one scan: margins and distances measured on the continuous shapes.

Ice is tissue at or below -4.5 C, where half its water is frozen and half the fall in HU is done;
probe shafts and cracks inside it count. Everything is measured in the reference position, where
the temperature is known, and only points are moved to the scan: rigid motion keeps distances.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

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


LETHAL_C = -20.0
"""All cells die at or below it; the surface that a modelled lethal zone is compared with."""


@dataclass(frozen=True)
class Reach:
    """What matters of the ice at one moment; None without ice, as in ``ScanTruth``."""

    margin_mm: float | None = None
    hilum_distance_mm: float | None = None
    volume_ml: float = 0.0


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
    lethal_volume_ml, lethal_margin_mm
        The same of tissue at or below -20 C.
    ahead
        While freezing: what will hold this many seconds later if freezing simply goes on.
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
    lethal_volume_ml: float = 0.0
    lethal_margin_mm: float | None = None
    ahead: dict[str, Reach] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Everything but the mask."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "ice"}
        values["ahead"] = {seconds: asdict(reach) for seconds, reach in self.ahead.items()}
        return values


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
        ahead: Mapping[str, Reach] | None = None,
    ) -> ScanTruth:
        """Truth of a scan taken at this temperature and pose."""
        matrix = tuple(tuple(float(value) for value in row) for row in pose.matrix)
        frozen = None if temperature is None else _Frozen.of(temperature, ICE_C)
        later = dict(ahead or {})
        if frozen is None:
            return ScanTruth(
                series_instance_uid=series_instance_uid,
                role=role,
                at_s=at_s,
                phase=phase,
                ice=ice,
                volume_ml=0.0,
                margin_mm=None,
                worst_point_lps_mm=None,
                hilum_distance_mm=None,
                nearest_point_lps_mm=None,
                kidney_matrix=matrix,
                ahead=later,
            )
        depth = frozen.depth(self._tumour.points)
        worst = int(np.argmin(depth))
        inner = frozen.depth(self._tumour_inside)
        covered = {str(mm): float((inner >= mm).mean()) for mm in (0, 5, 10)}
        distance, nearest = self._to_hilum(frozen)
        lethal = _Frozen.of(frozen.temperature, LETHAL_C)
        return ScanTruth(
            series_instance_uid=series_instance_uid,
            role=role,
            at_s=at_s,
            phase=phase,
            ice=ice,
            volume_ml=frozen.volume_ml,
            margin_mm=float(depth[worst]),
            worst_point_lps_mm=_triple(pose.apply(self._tumour.points[worst])),
            hilum_distance_mm=distance,
            nearest_point_lps_mm=_triple(pose.apply(nearest)),
            covered_fraction=covered,
            kidney_matrix=matrix,
            lethal_volume_ml=0.0 if lethal is None else lethal.volume_ml,
            lethal_margin_mm=None if lethal is None else self._margin_mm(lethal),
            ahead=later,
        )

    def reach(self, temperature: Field) -> Reach:
        """The few numbers that are wanted of a moment without a scan."""
        frozen = _Frozen.of(temperature, ICE_C)
        if frozen is None:
            return Reach()
        distance, _ = self._to_hilum(frozen)
        return Reach(self._margin_mm(frozen), distance, frozen.volume_ml)

    def _margin_mm(self, frozen: "_Frozen") -> float:
        """Signed minimum depth of the tumour's surface."""
        return float(frozen.depth(self._tumour.points).min())

    def _to_hilum(self, frozen: "_Frozen") -> tuple[float, F64]:
        """Signed distance of the ice to the hilum, and the hilum's point nearest to it."""
        surface = frozen.surface
        x, y, z = surface.points.astype(np.float32).T
        sign = np.where(self._hilum_shape.distance(x, y, z) < 0, -1.0, 1.0)
        signed = sign * self._hilum.distance(surface.points)
        nearest = int(np.argmin(signed))
        gap = np.linalg.norm(self._hilum.points - surface.points[nearest], axis=1)
        point = self._hilum.points[int(np.argmin(gap))]
        if signed[nearest] > 0 and frozen.holds(self._hilum.points).any():
            # The ice holds the whole structure: as deep as its deepest point.
            depth = frozen.depth(self._hilum.points)
            deepest = int(np.argmax(depth))
            return -float(depth[deepest]), self._hilum.points[deepest]
        return float(signed[nearest]), point


@dataclass(frozen=True, eq=False)
class _Frozen:
    """Tissue at or below a level: its surface and volume."""

    temperature: Field
    level_c: float
    surface: Surface
    volume_ml: float

    @staticmethod
    def of(temperature: Field, level_c: float) -> "_Frozen | None":
        """None where nothing is that cold."""
        if temperature.array.min() > level_c:
            return None
        fine = _refined(temperature, level_c)
        surface = Surface.of(fine, level_c)
        if not surface.points.size:
            return None
        count = float((fine.array <= level_c).sum())
        volume_ml = float(count * fine.grid.spacing.prod() / 1000)
        return _Frozen(temperature, level_c, surface, volume_ml)

    def holds(self, points: F64) -> NDArray[np.bool_]:
        """(n,): which points are that cold."""
        result: NDArray[np.bool_] = self.temperature.at(points) <= self.level_c
        return result

    def depth(self, points: F64) -> F64:
        """(n,) depth inside, negative outside."""
        sign = np.where(self.holds(points), 1.0, -1.0)
        return np.asarray(sign * self.surface.distance(points))


def _refined(temperature: Field, level_c: float) -> Field:
    """The cold part of the field on a finer grid, linear in between as in the image."""
    cold = np.argwhere(temperature.array <= level_c)
    grid = temperature.grid
    lower = grid.origin + (cold.min(axis=0)[::-1] - 2) * grid.spacing
    upper = grid.origin + (cold.max(axis=0)[::-1] + 2) * grid.spacing
    step = float(grid.spacing[0]) / max(int(np.ceil(grid.spacing[0] / _ICE_STEP_MM)), 1)
    fine = Grid.covering(Box(lower, upper), step)
    return Field(fine, temperature.on(fine), BODY_C)


def _triple(point: F64) -> tuple[float, float, float]:
    return float(point[0]), float(point[1]), float(point[2])
