"""DICOM SEG of one measurement, in the monitoring scan's own frame."""

import io
from collections.abc import Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

from dicom_listener.headers import HeaderError, read_header
from monitor import __version__
from monitor.artefact import Artefact
from segmentation.rigid import Rigid
from segmentation.sampling import resample
from segmentation.volume import GeometryError, Volume, check_stack

MANUFACTURER = "icemargin"
SERIES_NUMBER = 990

OUR_CODES = "99ICEMARGIN"
"""Coding scheme of what has no standard code."""

LETHAL_LABEL = "Modelled -20 °C"

_MORPHOLOGY = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
_ICE = Code("ICEBALL", OUR_CODES, "Ice ball")
"""No standard code exists for frozen tissue; the scheme is a private one."""
_LETHAL = Code("ISOTHERM-20", OUR_CODES, "Modelled isotherm of -20 degrees Celsius")
"""What a freezing model says, not what is seen in the image."""
_NEOPLASM = Code("108369006", "SCT", "Neoplasm")
_NEIGHBORHOOD = Code("123101", "DCM", "Neighborhood Analysis")
_KIDNEY = Code("64033007", "SCT", "Kidney")


class SegmentationError(ValueError):
    """The object can't be made; the message says why."""


def segmentation_object(
    artefact: Artefact, sources: Sequence[Path], series_description: str
) -> bytes:
    """A binary SEG (Part 10 file) with *Ice ball*, *Tumour* and the structures as segments.

    Where there is a modelled surface, *Modelled -20 °C* is the last one.

    Parameters
    ----------
    sources
        Files of the scan's slices, any order; all frames are written, pixel for pixel aligned with
        them, since viewers misplace sparse segmentations.

    Raises
    ------
    SegmentationError
        A source can't be read or does not fit the artefact.
    """
    try:
        datasets = [pydicom.dcmread(path, stop_before_pixels=True) for path in sources]
    except (OSError, pydicom.errors.InvalidDicomError) as error:
        raise SegmentationError(f"A slice can't be read ({error}).") from error
    grid = artefact.whole_grid
    order = _order(sources, artefact)
    if len(datasets) == len(order):
        datasets = [datasets[n] for n in order]
        frames = np.arange(len(order))
    elif len(datasets) == 1:  # a multi-frame scan: its frames stay in their order
        frames = np.argsort(order)
    else:
        raise SegmentationError("The scan consists of several multi-frame objects.")
    to_planning = artefact.planning_to_scan.inverse()
    masks = [_mask(artefact.ice, grid, Rigid.identity())]
    masks += [_mask(s.field, grid, to_planning) for s in artefact.structures]
    if artefact.lethal is not None:
        masks.append(_mask(artefact.lethal, grid, Rigid.identity()))
    segmentation = hd.seg.Segmentation(
        source_images=datasets,
        pixel_array=np.stack(masks, axis=-1)[frames],
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=_descriptions(artefact),
        series_instance_uid=hd.UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=__version__,
        device_serial_number="none",
        series_description=series_description,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=False,
    )
    output = io.BytesIO()
    segmentation.save_as(output)
    return output.getvalue()


def _order(sources: Sequence[Path], artefact: Artefact) -> tuple[int, ...]:
    """For each slice of the scan's volume its place among the planes of all sources."""
    try:
        planes = [plane for path in sources for plane in read_header(path).planes]
        order = check_stack(planes).order
    except (OSError, HeaderError, GeometryError) as error:
        raise SegmentationError(f"A slice can't be read ({error}).") from error
    if len(order) != artefact.scan_shape[0]:
        raise SegmentationError("The scan has changed since it was measured.")
    return order


def _mask(field: Volume, grid: Volume, grid_to_field: Rigid) -> NDArray[np.uint8]:
    """[k, j, i] on the scan's grid: 1 where the level set is positive."""
    low = float(min(field.array.min(), -1))
    inside = np.zeros(grid.array.shape, dtype=np.uint8)
    corners = grid.to_index(grid_to_field.inverse().apply(field.corners_lps_mm))
    lower = np.floor(corners.min(axis=0)).astype(int)
    upper = np.ceil(corners.max(axis=0)).astype(int) + 1
    part = grid.crop(lower.tolist(), upper.tolist())
    values = resample(field, part, grid_to_field, outside=low).array > 0
    start = np.rint(grid.to_index(part.origin_lps_mm)).astype(int)[::-1]
    place = tuple(slice(a, a + n) for a, n in zip(start, values.shape, strict=True))
    inside[place] = values
    return inside


def _descriptions(artefact: Artefact) -> list[hd.seg.SegmentDescription]:
    named = [("Ice ball", _MORPHOLOGY, _ICE)]
    for structure in artefact.structures:
        if structure.kind == "tumour":
            named.append(("Tumour", _MORPHOLOGY, _NEOPLASM))
        elif structure.kind == "hilum":
            named.append(("Hilum", _ANATOMY, _KIDNEY))
        else:
            named.append((structure.name[:64], _ANATOMY, _KIDNEY))
    algorithms = [_algorithm(MANUFACTURER)] * len(named)
    if artefact.lethal is not None:
        named.append((LETHAL_LABEL, _MORPHOLOGY, _LETHAL))
        algorithms.append(_algorithm(f"{MANUFACTURER} modelled"))
    return [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=category,
            segmented_property_type=kind,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for number, ((label, category, kind), algorithm) in enumerate(
            zip(named, algorithms, strict=True), start=1
        )
    ]


def _algorithm(name: str) -> hd.AlgorithmIdentificationSequence:
    return hd.AlgorithmIdentificationSequence(name=name, version=__version__, family=_NEIGHBORHOOD)
