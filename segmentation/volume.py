"""Image volumes in patient space, and the check that a set of slices is one.

Everything here is in the DICOM patient coordinate system: LPS (x to the patient's left, y to
posterior, z to the head), millimetres. Index order is ``(i, j, k)`` = (column, row, slice) when an
index is written as a triple, and arrays are stored ``[k, j, i]``.
"""

from collections.abc import Iterable, Sequence
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

DRIFT_TOLERANCE_MM = 0.25
"""How far a slice may lie from where even spacing puts it: many small deviations, each within the
tolerance of a gap, must not add up to one that shows in a margin."""

TILT_TOLERANCE_MM = 0.5
"""Sideways shift from the first slice to the last above which the stack is sheared (gantry tilt).
Direction cosines that are written with three decimals make 0.15 mm over 300 mm."""

SHIFT_TOLERANCE_MM = 0.1
"""How far a slice may lie sideways of the line through the first and the last."""

PIXEL_SIZES_MM = (0.05, 20.0)
"""Least and largest distance of pixels, and of slices, that a scan has."""

MAXIMUM_COORDINATE_MM = 1e5
"""No part of a patient is farther from the origin of the frame of reference."""

ORIENTATION_TOLERANCE = 1e-3
"""Largest difference of a direction cosine within one stack, and from orthonormality."""

GeometryCode = Literal[
    "too_few_slices",
    "mixed_orientation",
    "mixed_matrix",
    "several_acquisitions",
    "duplicate_position",
    "missing_slices",
    "uneven_spacing",
    "gantry_tilt",
    "shifted_slices",
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
    acquisition
        The pass over the patient that it belongs to, where the scanner tells them apart: by number
        of acquisition, temporal position or stack.
    acquired
        When, as written. Two slices at one place with other times are two scans of it.
    """

    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float, float, float]
    pixel_spacing: tuple[float, float]
    rows: int
    columns: int
    acquisition: str = ""
    acquired: str = ""


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
        Too few slices, mixed orientation or matrix, several scans of one place, two slices at one
        place, a missing slice, uneven spacing, a sheared stack (gantry tilt), slices that are
        shifted sideways, or numbers that place no scan.
    """
    if len(planes) < MIN_SLICES:
        raise GeometryError(
            "too_few_slices",
            f"The series has {len(planes)} slices; a volume needs at least {MIN_SLICES}.",
        )
    row, column, spacing = _common_grid(planes)
    normal = np.cross(row, column)
    positions = np.array([plane.position for plane in planes], dtype=np.float64)
    if not np.abs(positions).max() <= MAXIMUM_COORDINATE_MM:
        raise GeometryError("bad_orientation", "The slices lie nowhere in a patient.")
    order = np.argsort(positions @ normal, kind="stable")
    in_order = [planes[int(n)] for n in order]
    heights = (positions @ normal)[order]
    _check_passes([plane.acquisition for plane in in_order])
    _check_gaps(np.diff(heights), [plane.acquired for plane in in_order])
    count = len(planes)
    even = np.linspace(heights[0], heights[-1], count)
    drift = float(np.abs(heights - even).max())
    if drift > DRIFT_TOLERANCE_MM:
        raise GeometryError(
            "uneven_spacing",
            f"A slice lies {drift:.2f} mm from where even spacing puts it.",
        )
    sideways = positions[order] - heights[:, None] * normal
    _check_sideways(sideways - sideways[0], heights[-1] - heights[0])
    gap = float(heights[-1] - heights[0]) / (count - 1)
    return Stack(
        order=tuple(int(n) for n in order),
        origin_lps_mm=positions[order[0]],
        direction=np.column_stack([row, column, normal]),
        spacing_mm=np.array([spacing[1], spacing[0], gap]),
        shape=(count, planes[0].rows, planes[0].columns),
    )


def _common_grid(
    planes: Sequence[SlicePlane],
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[float, float]]:
    """Unit vectors along a row and a column, at a right angle, and the pixel spacing of all."""
    first = planes[0]
    cosines = np.array([plane.orientation for plane in planes], dtype=np.float64)
    spacings = np.array([plane.pixel_spacing for plane in planes], dtype=np.float64)
    row, column = cosines[0, :3], cosines[0, 3:]
    low, high = PIXEL_SIZES_MM
    if not (
        np.abs(cosines).max() <= 1 + ORIENTATION_TOLERANCE
        and abs(np.linalg.norm(row) - 1) <= ORIENTATION_TOLERANCE
        and abs(np.linalg.norm(column) - 1) <= ORIENTATION_TOLERANCE
        and abs(float(row @ column)) <= ORIENTATION_TOLERANCE
        and low <= spacings.min() <= spacings.max() <= high
    ):
        raise GeometryError(
            "bad_orientation", "Orientation or pixel size of the slices is not a valid one."
        )
    if np.abs(cosines - cosines[0]).max() > ORIENTATION_TOLERANCE:
        raise GeometryError("mixed_orientation", "The slices do not all have one orientation.")
    same_matrix = all((p.rows, p.columns) == (first.rows, first.columns) for p in planes)
    if not same_matrix or np.abs(spacings - spacings[0]).max() > 1e-4 * spacings[0].max():
        raise GeometryError("mixed_matrix", "The slices differ in matrix or pixel size.")
    row = row / np.linalg.norm(row)
    column = column - (row @ column) * row
    return row, column / np.linalg.norm(column), first.pixel_spacing


def _check_passes(acquisitions: Sequence[str]) -> None:
    """Raise GeometryError when the slices, from one end to the other, change pass and come back."""
    runs = [a for n, a in enumerate(acquisitions) if n == 0 or a != acquisitions[n - 1]]
    if len(runs) > len(set(runs)):
        raise _several()


def _several() -> GeometryError:
    return GeometryError(
        "several_acquisitions", "The series holds several scans of one place, not one volume."
    )


def _check_gaps(gaps: NDArray[np.float64], times: Sequence[str]) -> None:
    """Raise GeometryError unless the gaps (mm, ascending order of slices) are all alike."""
    together = gaps < POSITION_TOLERANCE_MM
    if together.any():
        if any(close and times[n] != times[n + 1] for n, close in enumerate(together)):
            raise _several()
        raise GeometryError(
            "duplicate_position", f"{int(together.sum()) + 1} slices or more lie at the same place."
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
    if typical > PIXEL_SIZES_MM[1]:
        raise GeometryError("uneven_spacing", f"The slices are {typical:.0f} mm apart.")


def _check_sideways(shifts: NDArray[np.float64], height: float) -> None:
    """Raise GeometryError unless the slices lie straight above one another.

    ``shifts`` are (slices, 3), mm within the slices' plane, from the first; ``height`` is from the
    first slice to the last.
    """
    line = np.linspace(0, 1, len(shifts))[:, None] * shifts[-1]
    astray = float(np.linalg.norm(shifts - line, axis=1).max())
    if astray > SHIFT_TOLERANCE_MM:
        raise GeometryError(
            "shifted_slices", f"A slice is shifted sideways by {astray:.1f} mm from the others."
        )
    sheared = float(np.linalg.norm(shifts[-1]))
    if sheared > TILT_TOLERANCE_MM:
        degrees = float(np.degrees(np.arctan2(sheared, height)))
        raise GeometryError(
            "gantry_tilt",
            f"The gantry was tilted by {degrees:.1f} degrees; such a scan is not measured.",
        )


def assemble(stack: Stack, slices: Iterable[NDArray[np.int16]]) -> Volume:
    """Volume from checked slices.

    ``slices`` are (rows, columns) arrays in HU, in the sequence that ``check_stack`` was given;
    each is taken when the one before is in its place.
    """
    array = np.empty(stack.shape, dtype=np.int16)
    places = np.argsort(stack.order)
    for k, pixels in zip(places, slices, strict=True):
        array[k] = pixels
    return Volume(array, stack.origin_lps_mm, stack.direction, stack.spacing_mm)
