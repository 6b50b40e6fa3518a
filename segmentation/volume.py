"""Image volumes in patient space, and the check that a set of slices is one.

Everything here is in the DICOM patient coordinate system: LPS (x to the patient's left, y to
posterior, z to the head), millimetres. Index order is ``(i, j, k)`` = (column, row, slice) when an
index is written as a triple, and arrays are stored ``[k, j, i]``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_SLICES = 4
"""Fewer slices than this are no volume (a localizer, a fluoroscopy shot)."""

POSITION_TOLERANCE_MM = 0.05
"""Two slices nearer than this lie at one place; positions are written with 0.001 mm at best and
scanners jitter by up to 0.001 mm (dcm2niix issue 468)."""

SPACING_TOLERANCE = 0.05
"""Relative deviation of a single gap from the median gap that still counts as even spacing."""

MISSING_GAP = 1.5
"""A gap this many times the median means that a slice is missing."""

TILT_TOLERANCE_MM = 0.05
"""Sideways step from slice to slice, per slice, above which the stack is sheared (gantry tilt):
over 60 slices this is 3 mm, as much as a margin."""

ORIENTATION_TOLERANCE = 1e-3
"""Largest difference of a direction cosine within one stack, and from orthonormality."""

GeometryCode = Literal[
    "too_few_slices",
    "mixed_orientation",
    "mixed_matrix",
    "duplicate_position",
    "missing_slices",
    "uneven_spacing",
    "gantry_tilt",
    "bad_orientation",
]


class GeometryError(ValueError):
    """A set of slices that is not a volume.

    Attributes
    ----------
    code
        Which rule is broken.
    text
        One sentence for the radiographer.
    """

    def __init__(self, code: GeometryCode, text: str) -> None:
        super().__init__(text)
        self.code: GeometryCode = code
        self.text = text


@dataclass(frozen=True)
class SlicePlane:
    """Where one slice lies: the attributes of DICOM's Image Plane Module (PS3.3 C.7.6.2).

    Attributes
    ----------
    position
        ImagePositionPatient: centre of the first pixel, LPS mm.
    orientation
        ImageOrientationPatient: direction cosines of a row (along which the column index grows),
        then of a column.
    pixel_spacing
        PixelSpacing: mm between rows, then mm between columns.
    rows, columns
        Matrix size.
    """

    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float, float, float]
    pixel_spacing: tuple[float, float]
    rows: int
    columns: int


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices in order along the stack's normal, evenly spaced.

    Attributes
    ----------
    order
        For each slice of the volume, from ``k = 0`` on, its place in the sequence that was checked.
    origin_lps_mm
        Centre of voxel (0, 0, 0).
    direction
        (3, 3); columns are the unit vectors along i, j and k.
    spacing_mm
        Along i, j and k. The last comes from the positions alone.
    shape
        (k, j, i) of the volume.
    """

    order: tuple[int, ...]
    origin_lps_mm: NDArray[np.float64]
    direction: NDArray[np.float64]
    spacing_mm: NDArray[np.float64]
    shape: tuple[int, int, int]

    @property
    def extent_mm(self) -> tuple[float, float]:
        """First and last slice centre along the normal, mm in the patient frame."""
        start = float(self.direction[:, 2] @ self.origin_lps_mm)
        return start, start + (self.shape[0] - 1) * float(self.spacing_mm[2])


@dataclass(frozen=True, eq=False)
class Volume:
    """A scalar image on a regular grid in the patient frame.

    Attributes
    ----------
    array
        Indexed [k, j, i]; Hounsfield units for CT, mm for a distance field.
    origin_lps_mm
        (3,), centre of voxel (0, 0, 0).
    direction
        (3, 3); columns are the unit vectors along i, j and k.
    spacing_mm
        (3,), along i, j and k.
    """

    array: NDArray[np.int16] | NDArray[np.float32]
    origin_lps_mm: NDArray[np.float64]
    direction: NDArray[np.float64]
    spacing_mm: NDArray[np.float64]

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(3, 3): index steps (i, j, k) to LPS millimetres."""
        return self.direction * self.spacing_mm

    def to_lps(self, index: ArrayLike) -> NDArray[np.float64]:
        """(…, 3) indices (i, j, k), may be fractional, to (…, 3) LPS mm."""
        return np.asarray(index, dtype=np.float64) @ self.matrix.T + self.origin_lps_mm

    def to_index(self, points_lps_mm: ArrayLike) -> NDArray[np.float64]:
        """(…, 3) LPS mm to (…, 3) fractional indices (i, j, k)."""
        points = np.asarray(points_lps_mm, dtype=np.float64)
        return (points - self.origin_lps_mm) @ np.linalg.inv(self.matrix).T

    @property
    def corners_lps_mm(self) -> NDArray[np.float64]:
        """(8, 3): the centres of the eight corner voxels."""
        k, j, i = (size - 1 for size in self.array.shape)
        return self.to_lps([[x, y, z] for z in (0, k) for y in (0, j) for x in (0, i)])

    def crop(self, lower: Sequence[int], upper: Sequence[int]) -> "Volume":
        """The voxels with ``lower <= (i, j, k) < upper``, clipped to the volume; a view."""
        size = self.array.shape[::-1]
        low = [min(max(int(a), 0), n - 1) for a, n in zip(lower, size, strict=True)]
        high = [min(max(int(b), a + 1), n) for a, b, n in zip(low, upper, size, strict=True)]
        return Volume(
            array=self.array[low[2] : high[2], low[1] : high[1], low[0] : high[0]],
            origin_lps_mm=self.to_lps(low),
            direction=self.direction,
            spacing_mm=self.spacing_mm,
        )

    def crop_around(self, points_lps_mm: ArrayLike, reach_mm: float) -> "Volume":
        """The part that holds every point within ``reach_mm`` of the points' bounding box."""
        index = self.to_index(np.atleast_2d(np.asarray(points_lps_mm, dtype=np.float64)))
        reach = reach_mm / self.spacing_mm
        lower = np.floor(index.min(axis=0) - reach).astype(int)
        upper = np.ceil(index.max(axis=0) + reach).astype(int) + 1
        return self.crop(lower.tolist(), upper.tolist())


def check_stack(planes: Sequence[SlicePlane]) -> Stack:
    """Sort slices by position along their common normal and check that they make a volume.

    Spacing and order come from ImagePositionPatient and ImageOrientationPatient only; thickness
    tags, slice locations and instance numbers are never read (they are wrong in the field).

    Raises
    ------
    GeometryError
        Too few slices, mixed orientation or matrix, two slices at one place, a missing slice,
        uneven spacing, a sheared stack (gantry tilt), or direction cosines that are none.
    """
    if len(planes) < MIN_SLICES:
        raise GeometryError(
            "too_few_slices",
            f"The series has {len(planes)} slices; a volume needs at least {MIN_SLICES}.",
        )
    first = planes[0]
    cosines = np.array([plane.orientation for plane in planes], dtype=np.float64)
    spacings = np.array([plane.pixel_spacing for plane in planes], dtype=np.float64)
    if np.abs(cosines - cosines[0]).max() > ORIENTATION_TOLERANCE:
        raise GeometryError("mixed_orientation", "The slices do not all have one orientation.")
    same_matrix = all((p.rows, p.columns) == (first.rows, first.columns) for p in planes)
    if not same_matrix or np.abs(spacings - spacings[0]).max() > 1e-4 * spacings[0].max():
        raise GeometryError("mixed_matrix", "The slices differ in matrix or pixel size.")
    row, column = cosines[0, :3], cosines[0, 3:]
    if (
        abs(np.linalg.norm(row) - 1) > ORIENTATION_TOLERANCE
        or abs(np.linalg.norm(column) - 1) > ORIENTATION_TOLERANCE
        or abs(float(row @ column)) > ORIENTATION_TOLERANCE
        or spacings[0].min() <= 0
    ):
        raise GeometryError(
            "bad_orientation", "Orientation or pixel size of the slices is not a valid one."
        )
    normal = np.cross(row, column)
    positions = np.array([plane.position for plane in planes], dtype=np.float64)
    heights = positions @ normal
    order = np.argsort(heights, kind="stable")
    gaps = np.diff(heights[order])
    _check_gaps(gaps)
    step = (positions[order[-1]] - positions[order[0]]) / (len(planes) - 1)
    sideways = float(np.linalg.norm(step - (step @ normal) * normal))
    if sideways > TILT_TOLERANCE_MM:
        degrees = float(np.degrees(np.arctan2(sideways, abs(step @ normal))))
        raise GeometryError(
            "gantry_tilt",
            f"The gantry was tilted by {degrees:.1f} degrees; such a scan is not measured.",
        )
    return Stack(
        order=tuple(int(n) for n in order),
        origin_lps_mm=positions[order[0]],
        direction=np.column_stack([row, column, normal]),
        spacing_mm=np.array([spacings[0, 1], spacings[0, 0], float(gaps.mean())]),
        shape=(len(planes), first.rows, first.columns),
    )


def _check_gaps(gaps: NDArray[np.float64]) -> None:
    """Raise GeometryError unless the gaps (mm, ascending order of slices) are all alike."""
    if gaps.min() < POSITION_TOLERANCE_MM:
        count = int((gaps < POSITION_TOLERANCE_MM).sum())
        raise GeometryError(
            "duplicate_position", f"{count + 1} slices or more lie at the same place."
        )
    typical = float(np.median(gaps))
    if gaps.max() > MISSING_GAP * typical:
        missing = int(np.rint(gaps[gaps > MISSING_GAP * typical] / typical - 1).sum())
        raise GeometryError(
            "missing_slices",
            f"{max(missing, 1)} slices are missing: a gap of {gaps.max():.1f} mm "
            f"where {typical:.1f} mm is usual.",
        )
    if np.abs(gaps - typical).max() > SPACING_TOLERANCE * typical + POSITION_TOLERANCE_MM:
        raise GeometryError(
            "uneven_spacing",
            f"The slices are unevenly spaced, from {gaps.min():.2f} to {gaps.max():.2f} mm.",
        )


def assemble(stack: Stack, slices: Sequence[NDArray[np.int16]]) -> Volume:
    """Volume from checked slices.

    ``slices`` are (rows, columns) arrays in HU, in the sequence that ``check_stack`` was given.
    """
    array = np.empty(stack.shape, dtype=np.int16)
    for k, n in enumerate(stack.order):
        array[k] = slices[n]
    return Volume(array, stack.origin_lps_mm, stack.direction, stack.spacing_mm)
