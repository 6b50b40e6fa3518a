"""Reading a DICOM SEG with pydicom alone, independently of what wrote it."""

import io
from dataclasses import dataclass

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.uid import SegmentationStorage


@dataclass(frozen=True, eq=False)
class ReadSegmentation:
    """A SEG's frames, sorted.

    Attributes
    ----------
    masks
        For each segment's label the frames [k, j, i], in the order of ``positions``.
    positions
        (k, 3): ImagePositionPatient of the frames, ascending along the slices' normal.
    """

    dataset: FileDataset
    masks: dict[str, NDArray[np.bool_]]
    positions: NDArray[np.float64]


def read_segmentation(content: bytes) -> ReadSegmentation:
    """Parse and sort a binary SEG in which every segment has every frame."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    assert dataset.SOPClassUID == SegmentationStorage
    assert dataset.SegmentationType == "BINARY"
    labels = {int(s.SegmentNumber): str(s.SegmentLabel) for s in dataset.SegmentSequence}
    shared = dataset.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
    normal = np.cross(cosines[:3], cosines[3:])
    frames: dict[str, list[tuple[float, NDArray[np.float64], NDArray[np.bool_]]]] = {}
    pixels = np.asarray(dataset.pixel_array, dtype=bool)
    for groups, frame in zip(dataset.PerFrameFunctionalGroupsSequence, pixels, strict=True):
        position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        number = int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        place = float(position @ normal)
        frames.setdefault(labels[number], []).append((place, position, frame))
    masks = {}
    for label, found in frames.items():
        found.sort(key=lambda item: item[0])
        masks[label] = np.stack([frame for _, _, frame in found])
    positions = np.stack([position for _, position, _ in next(iter(frames.values()))])
    return ReadSegmentation(dataset, masks, positions)


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Overlap of two masks, 0 to 1 (Dice 1945)."""
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())
