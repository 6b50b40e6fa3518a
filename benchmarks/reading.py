"""Scans, contours and segmentations as a stranger would read them: pydicom and highdicom, positions
from the attributes alone. None of the project's own readers takes part."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
from numpy.typing import NDArray

from benchmarks.solids import Points, Solid, filled

ICE_LABEL = "Ice ball"
TUMOUR = re.compile("(?i)tum(o|ou)r|gtv|mass|lesion")
HILUM = re.compile("(?i)hil")
GRID_TOLERANCE = 0.01
"""Mm or share of a voxel by which two grids may differ and still be one: positions are written to
0.0001 mm, spacings computed from them."""


class ScoringError(ValueError):
    """What was found can't be compared with the truth: a fault, not a bad score."""


@dataclass(frozen=True, eq=False)
class Planned:
    """Tumour and hilum as contoured, in the planning scan's frame, and the tumour's contour points,
    (N, 3) LPS mm."""

    tumour: Solid
    hilum: Solid
    points_lps_mm: Points


def scan_grid(files: Iterable[Path]) -> hd.VolumeGeometry:
    """Grid [k, j, i] of a scan, k ascending along the cross product of row and column directions.

    From ImagePositionPatient alone; the order of the files does not matter.
    """
    return _grid([pydicom.dcmread(path, stop_before_pixels=True) for path in files])


def read_hu(files: Iterable[Path]) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """Hounsfield units on ``scan_grid``, and its (4, 4) affine from (k, j, i, 1) to LPS mm."""
    slices = [pydicom.dcmread(path) for path in files]
    affine = np.asarray(_grid(slices).affine, dtype=np.float64)
    slices.sort(key=lambda s: float(affine[:3, 0] @ [float(v) for v in s.ImagePositionPatient]))
    hu = np.empty((len(slices), slices[0].Rows, slices[0].Columns), dtype=np.int16)
    for k, image in enumerate(slices):
        slope, intercept = float(image.RescaleSlope), float(image.RescaleIntercept)
        stored = image.pixel_array
        hu[k] = stored + intercept if slope == 1 else np.rint(stored * slope + intercept)
    return hu, affine


def read_mask(
    segmentation: Path, grid: hd.VolumeGeometry, label: str = ICE_LABEL
) -> NDArray[np.bool_]:
    """One segment of a SEG, [k, j, i] on a scan's grid; by its frames' positions, whatever their
    order, and with frames left out taken as empty.

    Raises
    ------
    ScoringError
        There is no such segment, or it lies on another grid.
    """
    content = hd.seg.segread(segmentation)
    numbers = content.get_segment_numbers(segment_label=label)
    if len(numbers) != 1:
        raise ScoringError(f"{segmentation.name} has {len(numbers)} segments {label!r}")
    volume = content.get_volume(segment_numbers=numbers).squeeze_channel()
    try:
        placed = volume.match_geometry(grid, tol=GRID_TOLERANCE)
    except RuntimeError as error:
        raise ScoringError(f"{segmentation.name} is not on its scan's grid: {error}") from error
    return np.asarray(placed.array > 0)


def read_planned(structures: Path, planning: Iterable[Path]) -> Planned:
    """Tumour and hilum of an RT Structure Set, filled on the slices of the scan they were drawn on.

    Raises
    ------
    ScoringError
        Not exactly one tumour and one hilum.
    """
    dataset = pydicom.dcmread(structures)
    names = {int(roi.ROINumber): str(roi.ROIName) for roi in dataset.StructureSetROISequence}
    drawn = {
        names[int(item.ReferencedROINumber)]: [
            np.array([float(v) for v in contour.ContourData]).reshape(-1, 3)
            for contour in item.ContourSequence
        ]
        for item in dataset.ROIContourSequence
    }
    tumours = [contours for name, contours in drawn.items() if TUMOUR.search(name)]
    hila = [contours for name, contours in drawn.items() if HILUM.search(name)]
    if len(tumours) != 1 or len(hila) != 1:
        raise ScoringError(f"{structures.name} has the structures {', '.join(drawn)}")
    grid = scan_grid(planning)
    shape = grid.spatial_shape
    affine = np.asarray(grid.affine, dtype=np.float64)
    return Planned(
        tumour=filled(tumours[0], shape, affine),
        hilum=filled(hila[0], shape, affine),
        points_lps_mm=np.concatenate(tumours[0]),
    )


def _grid(slices: list[pydicom.FileDataset]) -> hd.VolumeGeometry:
    row, column = np.reshape([float(v) for v in slices[0].ImageOrientationPatient], (2, 3))
    normal = np.cross(row, column)
    positions = np.array([[float(v) for v in s.ImagePositionPatient] for s in slices])
    positions = positions[np.argsort(positions @ normal)]
    between_rows, between_columns = (float(v) for v in slices[0].PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0] = (positions[-1] - positions[0]) / (len(slices) - 1)
    affine[:3, 1] = column * between_rows
    affine[:3, 2] = row * between_columns
    affine[:3, 3] = positions[0]
    return hd.VolumeGeometry(
        affine,
        (len(slices), int(slices[0].Rows), int(slices[0].Columns)),
        coordinate_system="PATIENT",
        frame_of_reference_uid=str(slices[0].FrameOfReferenceUID),
    )
