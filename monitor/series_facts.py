"""What a series tells of itself, as far as its role hangs on it. Worked out once a judgement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from dicom_listener.assembled import ObjectKind, ObjectReady, SeriesReady
from dicom_listener.headers import ObjectHeader
from monitor.messages import Reason
from monitor.reconstructions import (
    Made,
    Sharpness,
    is_fluoroscopy,
    is_metal_reduced,
    made_as,
    sharpness_of,
)
from segmentation.volume import SlicePlane

Point = tuple[float, float, float]
Box = tuple[Point, Point]
"""Least and greatest x, y and z, LPS mm."""

SAME_PLACE_MM: Final = 0.1
"""Slices nearer than this lie at one place; jitter of written positions is below 0.001 mm."""


@dataclass(frozen=True)
class SeriesFacts:
    """One series.

    Attributes
    ----------
    kind
        Of its slices, or of its latest other object; None while it is being received.
    fault
        Why its slices make no volume; None where they do.
    number, description
        As people know it.
    spacing_mm
        Between slices; None where they make no volume.
    places
        At how many places its slices lie.
    box
        That its slices fill; None without slices.
    steepness
        Cosine of the angle between its slices and axial ones; 1 for axial.
    acquired
        From when to when the patient was scanned for it; None where that is not written.
    longest_pause_s
        Between the acquisition of one slice and of the next.
    event_uids
        Irradiation events and acquisitions that all of it comes from.
    """

    uid: str
    kind: ObjectKind | None = None
    sop_class_uid: str = ""
    modality: str = ""
    fault: Reason | None = None
    number: int | None = None
    description: str = ""
    made: Made = "plain"
    kernel: str = ""
    metal_reduced: bool = False
    fluoroscopy: bool = False
    body_part: str = ""
    frame_of_reference_uid: str | None = None
    slices: int = 0
    thickness_mm: float | None = None
    spacing_mm: float | None = None
    places: int = 0
    box: Box | None = None
    steepness: float = 1.0
    acquired: tuple[datetime, datetime] | None = None
    longest_pause_s: float = 0.0
    event_uids: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """What people call it."""
        if self.number is not None:
            return f"series {self.number}"
        return f"the series {self.description!r}" if self.description else "another series"

    @property
    def sharpness(self) -> Sharpness:
        """By its kernel."""
        return sharpness_of(self.kernel)

    @property
    def fineness_mm(self) -> float:
        """How thick its slices are, or else how far apart."""
        return self.thickness_mm or self.spacing_mm or 0.0


def facts_of(uid: str, ready: SeriesReady | None, other: ObjectReady | None) -> SeriesFacts:
    """Of a series' slices, or of its latest other object; bare before both have come."""
    if ready is None:
        if other is None:
            return SeriesFacts(uid)
        return _common(uid, other.kind, other.object.header)
    headers = [item.header for item in ready.objects]
    planes = [plane for header in headers for plane in header.planes]
    bare = _common(uid, "slice", headers[0])
    stack, reason = ready.stack, ready.reason
    acquired, pause_s = _times(headers)
    fault = None
    if stack is None:
        code = reason.code if reason is not None else "no_volume"
        fault = Reason(code=code, text=reason.text if reason is not None else "No volume.")
    return SeriesFacts(
        **{name: getattr(bare, name) for name in _COMMON},
        fault=fault,
        slices=len(planes),
        spacing_mm=float(stack.spacing_mm[2]) if stack is not None else None,
        places=_places(planes),
        box=_box(planes),
        steepness=_steepness(planes[0]),
        acquired=acquired,
        longest_pause_s=pause_s,
        event_uids=frozenset.intersection(*(frozenset(h.event_uids) for h in headers)),
    )


_COMMON: Final = (
    "uid",
    "kind",
    "sop_class_uid",
    "modality",
    "number",
    "description",
    "made",
    "kernel",
    "metal_reduced",
    "fluoroscopy",
    "body_part",
    "frame_of_reference_uid",
    "thickness_mm",
)


def _common(uid: str, kind: ObjectKind, header: ObjectHeader) -> SeriesFacts:
    """What any of its objects tells."""
    return SeriesFacts(
        uid,
        kind,
        sop_class_uid=header.sop_class_uid,
        modality=header.modality,
        number=header.series_number,
        description=header.series_description,
        made=made_as(header),
        kernel=header.convolution_kernel,
        metal_reduced=is_metal_reduced(header),
        fluoroscopy=is_fluoroscopy(header),
        body_part=header.body_part,
        frame_of_reference_uid=header.frame_of_reference_uid,
        thickness_mm=header.slice_thickness_mm,
    )


def _times(headers: Sequence[ObjectHeader]) -> tuple[tuple[datetime, datetime] | None, float]:
    """From when to when it was acquired, and its longest pause; none where one slice lacks it."""
    spans = sorted(
        (header.acquired_from, header.acquired_to)
        for header in headers
        if header.acquired_from is not None and header.acquired_to is not None
    )
    if len(spans) < len(headers):
        return None, 0.0
    end, pause = spans[0][1], timedelta()
    for begin, stop in spans:
        pause = max(pause, begin - end)
        end = max(end, stop)
    return (spans[0][0], end), pause.total_seconds()


def _normal(plane: SlicePlane) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.cross(plane.orientation[:3], plane.orientation[3:])


def _steepness(plane: SlicePlane) -> float:
    return abs(float(_normal(plane)[2]))


def _places(planes: Sequence[SlicePlane]) -> int:
    """How many heights there are along the slices' normal."""
    positions = np.array([plane.position for plane in planes], dtype=np.float64)
    heights = np.sort(positions @ _normal(planes[0]))
    return 1 + int((np.diff(heights) > SAME_PLACE_MM).sum())


def _box(planes: Sequence[SlicePlane]) -> Box:
    corner = np.array([plane.position for plane in planes], dtype=np.float64)
    cosines = np.array([plane.orientation for plane in planes], dtype=np.float64)
    sizes = np.array(
        [(p.pixel_spacing[1] * (p.columns - 1), p.pixel_spacing[0] * (p.rows - 1)) for p in planes]
    )
    row, column = cosines[:, :3] * sizes[:, :1], cosines[:, 3:] * sizes[:, 1:]
    corners = np.concatenate([corner, corner + row, corner + column, corner + row + column])
    low, high = corners.min(axis=0), corners.max(axis=0)
    return tuple(low.tolist()), tuple(high.tolist())
