"""Structures from an RT Structure Set (PS3.3, A.19)."""

from dataclasses import dataclass

import numpy as np
import pydicom
from numpy.typing import NDArray

from monitor.structure_sets import (
    Contoured,
    Drawn,
    Patterns,
    StructureSet,
    StructureSetError,
    clean,
    listed,
)

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
"""RT Structure Set Storage (PS3.4, B.5)."""

_CONTOUR_DATA = 0x30060050
_CLOSED = frozenset({"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"})

NO_ANATOMY = frozenset(
    {
        "BOLUS",
        "CTV",
        "DOSE_REGION",
        "EXTERNAL",
        "FIXATION",
        "IRRAD_VOLUME",
        "ISOCENTER",
        "MARKER",
        "PTV",
        "REGISTRATION",
        "SUPPORT",
        "TREATED_VOLUME",
    }
)
"""RT ROI Interpreted Types (PS3.3, C.8.8.8.1) of what is no structure that ice could harm: the
body's outline, the table, a margin about the tumour. They are left out unless their name says
tumour or hilum."""


@dataclass(frozen=True)
class _Roi:
    """One item of Structure Set ROI Sequence, with its interpreted type."""

    name: str
    frame_of_reference_uid: str
    interpreted: str


def read_rtstruct(dataset: pydicom.Dataset, patterns: Patterns) -> StructureSet:
    """Closed contours by ROI.

    Raises
    ------
    StructureSetError
        No closed contour, nothing that tells what it was drawn on, or coordinates that are none.
    Exception
        What pydicom raises on what is damaged.
    """
    rois = _rois(dataset)
    remarks: list[str] = []
    found: list[tuple[_Roi, Contoured, frozenset[str]]] = []
    for item in dataset.get("ROIContourSequence") or []:
        number = int(item.ReferencedROINumber)
        roi = rois.get(number)
        if roi is None:
            remarks.append(f"Contours of a structure {number} without a name were left out.")
            continue
        kind = patterns.kind_of(roi.name)
        if kind == "other" and roi.interpreted in NO_ANATOMY:
            text = f"“{roi.name}” is no anatomy ({roi.interpreted}) and was left out."
            remarks.append(text)
            continue
        contours, left_out = _closed(item)
        if not contours:
            why = "has points or open lines only" if left_out else "has no contours"
            remarks.append(f"“{roi.name}” {why} and was left out.")
            continue
        if left_out:
            remarks.append(f"Of “{roi.name}” {left_out} points or open lines were left out.")
        found.append((roi, Contoured(roi.name, kind, contours), _images(item)))
    if not found:
        raise StructureSetError(" ".join(["The structure set holds no closed contours.", *remarks]))
    frames = _frames(dataset)
    frame = _frame_in_use(found, frames, str(dataset.get("FrameOfReferenceUID") or ""))
    here = [one for one in found if one[0].frame_of_reference_uid in {"", frame}]
    elsewhere = [roi.name for roi, *_ in found if roi.frame_of_reference_uid not in {"", frame}]
    if elsewhere:
        remarks.append(f"Drawn in another frame of reference, and left out: {listed(elsewhere)}.")
    drawn = Drawn(
        series_uids=frames.get(frame, ()),
        frame_of_reference_uid=frame,
        image_uids=frozenset().union(*(images for *_, images in here)),
    )
    if not (drawn.series_uids or drawn.frame_of_reference_uid or drawn.image_uids):
        raise StructureSetError(
            "The structure set does not say which scan it was drawn on, nor where."
        )
    label = clean(str(dataset.get("StructureSetLabel") or dataset.get("SeriesDescription") or ""))
    structures = tuple(contoured for _, contoured, _ in here)
    return StructureSet("RTSTRUCT", label, drawn, structures, tuple(remarks))


def _rois(dataset: pydicom.Dataset) -> dict[int, _Roi]:
    types = {
        int(item.ReferencedROINumber): str(item.get("RTROIInterpretedType") or "").strip().upper()
        for item in dataset.get("RTROIObservationsSequence") or []
        if item.get("ReferencedROINumber") is not None
    }
    return {
        (number := int(item.ROINumber)): _Roi(
            clean(str(item.get("ROIName") or "")) or f"Structure {number}",
            str(item.get("ReferencedFrameOfReferenceUID") or ""),
            types.get(number, ""),
        )
        for item in dataset.StructureSetROISequence
    }


def _frames(dataset: pydicom.Dataset) -> dict[str, tuple[str, ...]]:
    """FrameOfReferenceUID -> SeriesInstanceUIDs of the images that were drawn on."""
    found: dict[str, tuple[str, ...]] = {}
    for frame in dataset.get("ReferencedFrameOfReferenceSequence") or []:
        series = [
            str(item.SeriesInstanceUID)
            for study in frame.get("RTReferencedStudySequence") or []
            for item in study.get("RTReferencedSeriesSequence") or []
        ]
        uid = str(frame.get("FrameOfReferenceUID") or "")
        found[uid] = tuple(dict.fromkeys((*found.get(uid, ()), *series)))
    return found


def _frame_in_use(
    found: list[tuple[_Roi, Contoured, frozenset[str]]],
    frames: dict[str, tuple[str, ...]],
    own: str,
) -> str:
    """The tumour's frame of reference, or else the one that is named first."""
    order = sorted(found, key=lambda one: one[1].kind != "tumour")
    named = [roi.frame_of_reference_uid for roi, *_ in order if roi.frame_of_reference_uid]
    for uid in named:
        if uid in frames:
            return uid
    return next((uid for uid in (*frames, *named, own) if uid), "")


def _images(item: pydicom.Dataset) -> frozenset[str]:
    """SOPInstanceUIDs of the images that contours were drawn on."""
    return frozenset(
        str(image.ReferencedSOPInstanceUID)
        for contour in item.get("ContourSequence") or []
        for image in contour.get("ContourImageSequence") or []
        if image.get("ReferencedSOPInstanceUID")
    )


def _closed(item: pydicom.Dataset) -> tuple[tuple[NDArray[np.float64], ...], int]:
    """The closed contours, and how many are none."""
    contours = []
    left_out = 0
    for contour in item.get("ContourSequence") or []:
        if str(contour.ContourGeometricType).strip() not in _CLOSED:
            left_out += 1
            continue
        points = np.array(_numbers(contour), dtype=np.float64)
        if len(points) % 3 or not np.isfinite(points).all():
            raise StructureSetError(
                "The structure set can't be read: "
                "a contour's coordinates are not triples of numbers."
            )
        if len(points) >= 9:
            contours.append(points.reshape(-1, 3))
        elif len(points):
            left_out += 1
    return tuple(contours), left_out


def _numbers(contour: pydicom.Dataset) -> list[float]:
    """Contour Data as they were written: pydicom's own decimals take ten times as long."""
    if _CONTOUR_DATA not in contour:
        return []
    value = contour.get_item(_CONTOUR_DATA).value
    if isinstance(value, bytes):
        return [float(part) for part in value.rstrip(b" \0").split(b"\\") if part.strip()]
    return [float(part) for part in value or ()]
