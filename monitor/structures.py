"""Tumour, hilum and other structures from what a planning station has sent, or a person dropped."""

import struct
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from dicom_listener.encoded import DatasetError, parse_dataset, split_syntax
from dicom_listener.syntaxes import ACCEPTED_SYNTAXES
from monitor.rtstruct import RTSTRUCT, read_rtstruct
from monitor.segmentations import LABEL_MAP, SEGMENTATION, read_segmentation
from monitor.structure_sets import Patterns, Step, StructureSet, StructureSetError

PLANNING_CLASSES = frozenset({RTSTRUCT, SEGMENTATION, LABEL_MAP})
"""SOP classes that structures come as."""

MAXIMUM_STRUCTURE_SET_BYTES = 32 << 20
"""Also when it is inflated. One of this size takes some 3 s to read, and real ones have less than a
tenth of it."""

MAXIMUM_SEGMENTATION_BYTES = 256 << 20
"""The same: as many voxels as are read, one bit each."""

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

_NAMES = {
    "1.2.840.10008.5.1.4.1.1.481.5": "a treatment plan (RT Plan)",
    "1.2.840.10008.5.1.4.1.1.481.2": "a dose distribution (RT Dose)",
    "1.2.840.10008.5.1.4.1.1.481.1": "a treatment image (RT Image)",
    "1.2.840.10008.5.1.4.1.1.2": "a CT image",
    "1.2.840.10008.5.1.4.1.1.2.1": "a CT image",
    "1.2.840.10008.5.1.4.1.1.4": "an MR image",
    "1.2.840.10008.5.1.4.1.1.7": "a picture of a screen (Secondary Capture)",
    "1.2.840.10008.5.1.4.1.1.66.5": "a segmentation by surfaces, which are not read",
}
"""What people may take for a structure set."""


@dataclass(frozen=True)
class Offered:
    """A planning object that has come and was not looked into yet.

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


def read_structure_set(
    path: Path,
    *,
    tumour_pattern: str,
    hilum_pattern: str,
    step: Step = lambda: None,
) -> StructureSet:
    """Read an RTSTRUCT or SEG file.

    Parameters
    ----------
    step
        Called as it goes on.

    Raises
    ------
    StructureSetError
        It is none, refers to nothing, holds nothing, its numbers are none, or it is larger than any
        that is of use here.
    """
    try:
        dataset = _read(path)
        patterns = Patterns(tumour_pattern, hilum_pattern)
        step()
        if dataset.SOPClassUID == RTSTRUCT:
            return read_rtstruct(dataset, patterns)
        return read_segmentation(dataset, patterns, step)
    except StructureSetError:
        raise
    except DatasetError as error:
        raise StructureSetError(f"The structure set can't be read: {error.text}") from error
    except _UNREADABLE as error:
        raise StructureSetError(
            f"The structure set can't be read: {str(error) or type(error).__name__}."
        ) from error


def _read(path: Path) -> pydicom.FileDataset:
    size = path.stat().st_size
    if size > MAXIMUM_SEGMENTATION_BYTES:
        raise StructureSetError("The structure set can't be read: it is too large.")
    data = memoryview(path.read_bytes())
    if not size:
        raise StructureSetError("The structure set can't be read: the file is empty.")
    try:
        syntax, start = split_syntax(data)
    except DatasetError:
        raise StructureSetError("The structure set can't be read: it is no DICOM file.") from None
    if syntax not in ACCEPTED_SYNTAXES:
        text = "The structure set can't be read: it is written in a way that is not known here."
        raise StructureSetError(text)
    whole = parse_dataset(data[start:], syntax, ())  # to its end: one that is cut short is refused
    dataset = pydicom.dcmread(path)
    sop_class = str(dataset.get("SOPClassUID") or "")
    if sop_class not in PLANNING_CLASSES:
        raise StructureSetError(wrong_class(sop_class))
    is_contours = sop_class == RTSTRUCT
    largest = MAXIMUM_STRUCTURE_SET_BYTES if is_contours else MAXIMUM_SEGMENTATION_BYTES
    if max(size, len(whole.data)) > largest:
        raise StructureSetError("The structure set can't be read: it is too large.")
    return dataset


def wrong_class(sop_class: str) -> str:
    """What to say of an object that holds no structures."""
    name = _NAMES.get(sop_class) or f"of another kind ({UID(sop_class).name or 'none is named'})"
    return f"The object is {name}, not a structure set (RTSTRUCT) or segmentation (SEG)."
