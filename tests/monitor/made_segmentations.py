"""Segmentations as highdicom writes them, of analytic shapes on planes of any orientation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

Types = hd.seg.SegmentationTypeValues

ORGAN = (Code("91723000", "SCT", "Anatomical Structure"), Code("64033007", "SCT", "Kidney"))
NEOPLASM = (
    Code("49755003", "SCT", "Morphologically Abnormal Structure"),
    Code("108369006", "SCT", "Neoplasm"),
)


def described(number: int, label: str, meaning: tuple[Code, Code] = ORGAN) -> Any:
    """One segment."""
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=meaning[0],
        segmented_property_type=meaning[1],
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
    )


def segmentation(
    sources: Sequence[Path],
    masks: NDArray[Any],
    segments: Sequence[Any],
    positions: NDArray[np.float64],
    axes: NDArray[np.float64],
    spacing: NDArray[np.float64],
    *,
    kind: Any = Types.BINARY,
    more: Mapping[str, Any] | None = None,
) -> pydicom.Dataset:
    """A segmentation of its own planes.

    Parameters
    ----------
    sources
        Files of the scan that it names.
    masks
        [frame, row, column, segment], or [frame, row, column] of a label map.
    positions, axes, spacing
        (frames, 3) LPS mm, (3, 3) with columns along a row, a column and across; along i, j, k.
    more
        Further arguments of highdicom's.
    """
    made = hd.seg.Segmentation(
        source_images=[pydicom.dcmread(path, stop_before_pixels=True) for path in sources],
        pixel_array=masks,
        segmentation_type=kind,
        segment_descriptions=list(segments),
        series_instance_uid=hd.UID(),
        series_number=7,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="Somebody",
        manufacturer_model_name="Else",
        software_versions="1",
        device_serial_number="1",
        pixel_measures=hd.PixelMeasuresSequence(
            pixel_spacing=(float(spacing[1]), float(spacing[0])),
            slice_thickness=float(spacing[2]),
            spacing_between_slices=float(spacing[2]),
        ),
        plane_orientation=hd.PlaneOrientationSequence(
            hd.CoordinateSystemNames.PATIENT, [*axes[:, 0], *axes[:, 1]]
        ),
        plane_positions=[
            hd.PlanePositionSequence(hd.CoordinateSystemNames.PATIENT, [*position])
            for position in positions
        ],
        **({"transfer_syntax_uid": ExplicitVRLittleEndian} | dict(more or {})),
    )
    assert isinstance(made, pydicom.Dataset)
    return made
