"""Tumour, hilum and other structures from a received RT Structure Set."""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_listener.encoded import parse_dataset, split_syntax
from segmentation.structures import Kind

_UNREADABLE = (
    InvalidDicomError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,  # NotImplementedError: a value representation that it does not know
    TypeError,
    ValueError,
    OSError,
    struct.error,
)
"""What pydicom raises on objects that lack something, or hold something else in its place."""


MAXIMUM_STRUCTURE_SET_BYTES = 32 << 20
"""Also when it is inflated. One of this size takes some 3 s to read, and real ones have less than a
tenth of it."""


@dataclass(frozen=True)
class Offered:
    """A structure set that has come and was not looked into yet.

    Attributes
    ----------
    tumour_pattern, hilum_pattern
        What names of its structures are searched for.
    at
        When it came, by the service's clock: the newest that can be used stays in use.
    """

    path: Path
    series_uid: str
    sop_instance_uid: str
    tumour_pattern: str
    hilum_pattern: str
    at: datetime


class StructureSetError(ValueError):
    """The object can't be used; the message is a sentence for people."""


@dataclass(frozen=True, eq=False)
class Contoured:
    """One ROI: its name, what it is to us, its closed planar contours ((N, 3) LPS mm each)."""

    name: str
    kind: Kind
    contours: tuple[NDArray[np.float64], ...]


@dataclass(frozen=True, eq=False)
class StructureSet:
    """An RT Structure Set, as far as it matters here.

    Attributes
    ----------
    planning_series_uid
        SeriesInstanceUID that the contours refer to.
    structures
        At least one.
    """

    planning_series_uid: str
    frame_of_reference_uid: str
    structures: tuple[Contoured, ...]


def read_structure_set(path: Path, *, tumour_pattern: str, hilum_pattern: str) -> StructureSet:
    """Read an RTSTRUCT file.

    Raises
    ------
    StructureSetError
        It is none, refers to no series, holds no closed contour, its numbers are none, or it is
        larger than any that is of use here.
    """
    try:
        _check_size(path)
        dataset = pydicom.dcmread(path)
        names = {int(roi.ROINumber): str(roi.ROIName) for roi in dataset.StructureSetROISequence}
        frame, series = _referenced(dataset)
        found = []
        for item in dataset.get("ROIContourSequence", []):
            name = names.get(int(item.ReferencedROINumber))
            contours = _closed(item)
            if name and contours:
                kind = _kind(name, tumour_pattern, hilum_pattern)
                found.append(Contoured(name, kind, contours))
    except _UNREADABLE as error:
        raise StructureSetError(
            f"The structure set can't be read: {str(error) or type(error).__name__}."
        ) from error
    if not found:
        raise StructureSetError("The structure set holds no closed contours.")
    return StructureSet(series, frame, tuple(found))


def _check_size(path: Path) -> None:
    size = path.stat().st_size
    if size <= MAXIMUM_STRUCTURE_SET_BYTES:
        syntax, start = split_syntax(data := path.read_bytes())
        if syntax == DeflatedExplicitVRLittleEndian:
            size = len(parse_dataset(memoryview(data)[start:], syntax, ()).data)
    if size > MAXIMUM_STRUCTURE_SET_BYTES:
        raise ValueError("it is too large")


def _referenced(dataset: pydicom.Dataset) -> tuple[str, str]:
    """(FrameOfReferenceUID, SeriesInstanceUID) that the contours were drawn on."""
    frames = dataset.get("ReferencedFrameOfReferenceSequence") or []
    for frame in frames:
        for study in frame.get("RTReferencedStudySequence") or []:
            for series in study.get("RTReferencedSeriesSequence") or []:
                return str(frame.FrameOfReferenceUID), str(series.SeriesInstanceUID)
    raise ValueError("it refers to no image series")


def _closed(item: pydicom.Dataset) -> tuple[NDArray[np.float64], ...]:
    contours = []
    for contour in item.get("ContourSequence") or []:
        if str(contour.ContourGeometricType) not in {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"}:
            continue
        points = np.array([float(v) for v in contour.ContourData], dtype=np.float64)
        if len(points) % 3 or not np.isfinite(points).all():
            raise ValueError("a contour's coordinates are not triples of numbers")
        if len(points) >= 9:
            contours.append(points.reshape(-1, 3))
    return tuple(contours)


def _kind(name: str, tumour_pattern: str, hilum_pattern: str) -> Kind:
    kinds: Sequence[tuple[str, Kind]] = ((tumour_pattern, "tumour"), (hilum_pattern, "hilum"))
    for pattern, kind in kinds:
        if re.search(pattern, name):
            return kind
    return "other"
