"""Which part of the patient the scans before have covered: what the next one is measured by.

A missing gap shows in the slices themselves; a missing end does not. But within a procedure one
scan follows another with the same protocol over the same range, so the one before tells how long
the next should be.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from dicom_listener.headers import ObjectHeader
from segmentation.volume import ORIENTATION_TOLERANCE, SPACING_TOLERANCE, SlicePlane, Stack

END_TOLERANCE: Final = 0.5
"""In slice spacings: ends nearer than this are the same end."""

MAXIMUM_REMEMBERED: Final = 64
"""Scans that are remembered, over all patients."""


@dataclass(frozen=True)
class _Extent:
    header: ObjectHeader
    plane: SlicePlane
    spacing_mm: float
    slices: int
    start_mm: float
    stop_mm: float
    sure: bool


class Extents:
    """The extents of complete scans, newest last."""

    def __init__(self) -> None:
        self._known: list[_Extent] = []

    def remember(self, header: ObjectHeader, stack: Stack, *, sure: bool) -> None:
        """A scan is over. ``header`` is of any of its slices.

        ``sure`` is false for one that may have been cut off; it then only serves to accept another
        one that is as short: twice the same range is a range, not an accident.
        """
        if not header.planes:
            return
        start, stop = stack.extent_mm
        spacing = float(stack.spacing_mm[2])
        extent = _Extent(header, header.planes[0], spacing, stack.shape[0], start, stop, sure)
        for n, known in enumerate(self._known):
            if _series(known.header) == _series(header):  # corrected: it is no later scan for that
                self._known[n] = extent
                return
        self._known = [*self._known, extent][-MAXIMUM_REMEMBERED:]

    def forget(self, series_uid: str) -> None:
        """A scan has turned out to be a part of one."""
        self._known = [known for known in self._known if _series(known.header) != series_uid]

    def expected_slices(self, header: ObjectHeader) -> int | None:
        """How many slices the predecessor had, told from the first slice of a scan."""
        predecessor = self._predecessor(header)
        return predecessor.slices if predecessor else None

    def fills(self, header: ObjectHeader, stack: Stack) -> bool:
        """Whether a scan reaches both ends of its predecessor, which was complete for sure."""
        predecessor = self._predecessor(header, stack)
        if predecessor is None or not predecessor.sure:
            return False
        start, stop = stack.extent_mm
        slack = END_TOLERANCE * predecessor.spacing_mm
        return start <= predecessor.start_mm + slack and stop >= predecessor.stop_mm - slack

    def missing_slices(self, header: ObjectHeader, stack: Stack) -> int:
        """How many slices a scan lacks at one end, when its other end is its predecessor's.

        0 where both ends differ: that is another range, chosen at the console.
        """
        predecessor = self._predecessor(header, stack)
        if predecessor is None:
            return 0
        start, stop = stack.extent_mm
        spacing = predecessor.spacing_mm
        at_start = (start - predecessor.start_mm) / spacing
        at_stop = (predecessor.stop_mm - stop) / spacing
        if abs(at_start) <= END_TOLERANCE < at_stop:
            return round(at_stop)
        if abs(at_stop) <= END_TOLERANCE < at_start:
            return round(at_start)
        return 0

    def _predecessor(self, header: ObjectHeader, stack: Stack | None = None) -> _Extent | None:
        """The latest scan of the same study, frame of reference and protocol, if there is one.

        The same description and kernel go before the same kernel only. With ``stack``, the slice
        spacing must agree too.
        """
        alike = [
            known
            for known in self._known
            if _series(known.header) != _series(header)
            and _same_scan(known, header)
            and (stack is None or _near(known.spacing_mm, float(stack.spacing_mm[2])))
        ]
        same = [e for e in alike if e.header.series_description == header.series_description]
        found = same or alike
        return found[-1] if found else None


def _series(header: ObjectHeader) -> str:
    return header.series_instance_uid


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= SPACING_TOLERANCE * max(a, b)


def _same_scan(known: _Extent, header: ObjectHeader) -> bool:
    if not header.planes or header.frame_of_reference_uid is None:
        return False
    plane = header.planes[0]
    old = known.header
    turned = np.abs(np.subtract(known.plane.orientation, plane.orientation)).max()
    return (
        old.study_instance_uid == header.study_instance_uid
        and old.frame_of_reference_uid == header.frame_of_reference_uid
        and old.convolution_kernel == header.convolution_kernel
        and (known.plane.rows, known.plane.columns) == (plane.rows, plane.columns)
        and known.plane.pixel_spacing == plane.pixel_spacing
        and bool(turned <= ORIENTATION_TOLERANCE)
    )
