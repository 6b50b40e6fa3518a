"""Structures from a Segmentation object (PS3.3, A.51): binary, fractional, or a label map."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.utils import iter_pixels

from dicom_listener.syntaxes import ENCAPSULATED
from monitor.segmentation_object import MANUFACTURER, OUR_CODES
from monitor.structure_sets import (
    Drawn,
    Masked,
    Patterns,
    Step,
    StructureSet,
    StructureSetError,
    clean,
)
from segmentation.structures import Kind

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
"""Segmentation Storage (PS3.4, B.5)."""

LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
"""Label Map Segmentation Storage (PS3.4, B.5)."""

MAXIMUM_VOXELS = 1 << 31
"""Of all frames: 8000 frames of 512 x 512, which take some 5 s. A few kilobytes of run lengths may
be any number."""

MAXIMUM_FRAME_PIXELS = 1 << 26
"""Of one frame."""

PLANE_MM = 0.05
"""Frames nearer than this along their normal lie on one plane."""

ANGLE = 1e-3
"""By which direction cosines of frames with one orientation may differ."""

MISSING_GAP = 1.5
"""A gap of more planes than this has planes between that were not sent, because they are empty."""

NEOPLASM = r"(?i)neoplasm"
"""Beside the site's own words, in the meaning of a segment's property type (PS3.16, CID 7151)."""

LEAST_PIXEL_MM, GREATEST_MM = 0.01, 50.0
"""Sizes that a pixel may have."""

FURTHEST_MM = 1e4
"""From the origin of the patient's coordinates."""


@dataclass(eq=False)
class _Segment:
    """One segment: what it is called, and where it was found.

    Attributes
    ----------
    meaning
        Of its property type's code.
    planes
        By height along the normal: the upper left corner (LPS mm) and the fractions of the pixels,
        0 to 1, of the part of the frame that has any.
    """

    name: str
    meaning: str
    planes: dict[float, tuple[NDArray[np.float64], NDArray[Any]]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Place:
    """Of a frame: centre of its first pixel, and (3, 3) axes along a row, a column, and across."""

    origin: NDArray[np.float64]
    axes: NDArray[np.float64]
    spacing: tuple[float, float]
    between: float

    @property
    def height(self) -> float:
        return float(self.origin @ self.axes[:, 2])


def read_segmentation(dataset: pydicom.Dataset, patterns: Patterns, step: Step) -> StructureSet:
    """Segments, each with its planes.

    Raises
    ------
    StructureSetError
        It is a result of this service, lies nowhere in the patient, is too large, or is empty.
    Exception
        What pydicom raises on what is damaged.
    """
    _refuse_ours(dataset)
    segments = {
        int(item.SegmentNumber): _Segment(
            clean(str(item.get("SegmentLabel") or "")) or f"Segment {int(item.SegmentNumber)}",
            _meaning(item),
        )
        for item in dataset.SegmentSequence
    }
    places = _places(dataset)
    heights: set[float] = set()
    unknown: set[int] = set()
    for place, marked in zip(places, _marked_frames(dataset), strict=True):
        step()
        height = _known(heights, place.height)
        for number, part in marked:
            if number in segments:
                _add(segments[number], place, height, part)
            else:
                unknown.add(number)
    remarks = [
        f"Voxels of an unknown segment {number} were left out." for number in sorted(unknown)
    ]
    remarks += [f"“{s.name}” is empty and was left out." for s in segments.values() if not s.planes]
    found = [segment for segment in segments.values() if segment.planes]
    if not found:
        raise StructureSetError(" ".join(["The segmentation marks nothing.", *remarks]))
    named = any(patterns.kind_of(segment.name) == "tumour" for segment in found)
    between = places[0].between or _usual(heights)
    structures = tuple(
        _marked(segment, _kind(segment, patterns, named=named), places[0], heights, between)
        for segment in found
    )
    label = clean(str(dataset.get("ContentLabel") or dataset.get("SeriesDescription") or ""))
    return StructureSet("SEG", label, _drawn(dataset), structures, tuple(remarks))


def _refuse_ours(dataset: pydicom.Dataset) -> None:
    """What was measured must not become what it is measured against."""
    schemes = {
        str(code.get("CodingSchemeDesignator"))
        for item in dataset.SegmentSequence
        for code in item.get("SegmentedPropertyTypeCodeSequence") or []
    }
    if str(dataset.get("Manufacturer")) == MANUFACTURER or OUR_CODES in schemes:
        raise StructureSetError("The segmentation is a result of this service, not a plan.")


def _meaning(item: pydicom.Dataset) -> str:
    codes = item.get("SegmentedPropertyTypeCodeSequence") or []
    return str(codes[0].get("CodeMeaning") or "") if codes else ""


def _kind(segment: _Segment, patterns: Patterns, *, named: bool) -> Kind:
    """By its label; what its code means tells only where no label says tumour."""
    kind = patterns.kind_of(segment.name)
    if named or kind != "other":
        return kind
    return "tumour" if re.search(NEOPLASM, segment.meaning) else patterns.kind_of(segment.meaning)


# Where the frames are


def _places(dataset: pydicom.Dataset) -> list[_Place]:
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if len(frames) != int(dataset.get("NumberOfFrames") or 1):
        raise StructureSetError("The segmentation can't be read: not all frames are described.")
    found = [_place(shared, frame) for frame in frames]
    normal = found[0].axes
    if any(np.abs(place.axes - normal).max() > ANGLE for place in found):
        raise StructureSetError("The segmentation's frames lie at different angles.")
    if any(place.spacing != found[0].spacing for place in found):
        raise StructureSetError("The segmentation's frames have pixels of different sizes.")
    return found


def _place(shared: pydicom.Dataset, frame: pydicom.Dataset) -> _Place:
    def group(keyword: str) -> pydicom.Dataset:
        for groups in (frame, shared):
            items = groups.get(keyword)
            if items:
                found: pydicom.Dataset = items[0]
                return found
        return pydicom.Dataset()

    position = group("PlanePositionSequence").get("ImagePositionPatient")
    orientation = group("PlaneOrientationSequence").get("ImageOrientationPatient")
    measures = group("PixelMeasuresSequence")
    spacing = measures.get("PixelSpacing")
    if not (position and orientation and spacing):
        raise StructureSetError("The segmentation does not say where in the patient it lies.")
    cosines = np.array([float(v) for v in orientation]).reshape(2, 3)
    numbers = [*cosines.ravel(), *(float(v) for v in position), *(float(v) for v in spacing)]
    lengths = np.linalg.norm(cosines, axis=1)
    if (
        not np.isfinite(numbers).all()
        or np.abs(lengths - 1).max() > ANGLE
        or abs(float(cosines[0] @ cosines[1])) > ANGLE
        or not LEAST_PIXEL_MM <= min(map(float, spacing)) <= max(map(float, spacing)) < GREATEST_MM
        or np.abs(numbers[6:9]).max() > FURTHEST_MM
    ):
        raise StructureSetError("The segmentation lies nowhere in a patient.")
    return _Place(
        origin=np.array([float(v) for v in position]),
        axes=np.column_stack([*cosines, np.cross(*cosines)]),
        spacing=(float(spacing[1]), float(spacing[0])),
        between=abs(float(measures.get("SpacingBetweenSlices") or 0)),
    )


def _known(heights: set[float], height: float) -> float:
    """The height of the plane that is there already, or a new one."""
    for known in heights:
        if abs(known - height) < PLANE_MM:
            return known
    heights.add(height)
    return height


def _usual(heights: set[float]) -> float:
    gaps = np.diff(sorted(heights))
    return float(np.median(gaps)) if len(gaps) else 0.0


# What is in them


def _marked_frames(dataset: pydicom.Dataset) -> Iterator[list[tuple[int, NDArray[Any]]]]:
    """For each frame the segments in it, each with the fraction of each pixel, 0 to 1."""
    kind = str(dataset.get("SegmentationType") or "").strip()
    is_map = str(dataset.SOPClassUID) == LABEL_MAP or kind == "LABELMAP"
    largest = float(dataset.get("MaximumFractionalValue") or 1)
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
    frames = dataset.PerFrameFunctionalGroupsSequence
    for described, pixels in zip(frames, _frames(dataset), strict=True):
        if is_map:
            numbers = np.unique(pixels[pixels > 0])
            yield [(int(number), pixels == number) for number in numbers]
            continue
        identified = described.get("SegmentIdentificationSequence") or shared.get(
            "SegmentIdentificationSequence"
        )
        number = int(identified[0].ReferencedSegmentNumber)
        part = pixels.astype(np.float32) / largest if kind == "FRACTIONAL" else pixels > 0
        yield [(number, part)]


def _frames(dataset: pydicom.Dataset) -> Iterator[NDArray[Any]]:
    """[row, column] of each frame, one at a time: all of them might not fit into memory."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    count, size = int(dataset.get("NumberOfFrames") or 1), rows * columns
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        raise StructureSetError("The segmentation can't be read: it is in colour.")
    if not 0 < size <= MAXIMUM_FRAME_PIXELS or size * count > MAXIMUM_VOXELS:
        raise StructureSetError("The segmentation is too large.")
    if dataset.file_meta.TransferSyntaxUID in ENCAPSULATED:
        yield from iter_pixels(dataset, raw=True)
        return
    bits = int(dataset.BitsAllocated)
    data = np.frombuffer(dataset.PixelData, dtype=np.uint8)
    if bits not in {1, 8, 16} or len(data) * 8 < size * count * bits:
        raise StructureSetError("The segmentation can't be read: pixels are missing.")
    for n in range(count):
        if bits == 1:  # frames follow one another without padding (PS3.5, 8.1.1)
            first, beyond = n * size, (n + 1) * size
            part = np.unpackbits(data[first // 8 : (beyond + 7) // 8], bitorder="little")
            yield part[first % 8 : first % 8 + size].reshape(rows, columns)
        else:
            order = "<" if dataset.is_little_endian else ">"
            part = data[n * size * bits // 8 : (n + 1) * size * bits // 8]
            yield part.view(f"{order}u{bits // 8}").reshape(rows, columns)


def _add(segment: _Segment, place: _Place, height: float, part: NDArray[Any]) -> None:
    """What of a frame is in a segment; sent twice, what is in either."""
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    if not len(rows):
        return
    if height in segment.planes:
        origin, other = segment.planes[height]
        part = np.maximum(part, _framed(other, origin, place, part.shape))
        del segment.planes[height]
        _add(segment, place, height, part)
        return
    first = np.array([columns[0], rows[0]])
    origin = place.origin + place.axes[:, :2] @ (first * place.spacing)
    cut = part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    segment.planes[height] = (origin, cut.copy())


def _framed(
    part: NDArray[Any], origin: NDArray[np.float64], place: _Place, shape: tuple[int, ...]
) -> NDArray[Any]:
    """The part again in a whole frame."""
    whole = np.zeros(shape, dtype=part.dtype)
    shift = (origin - place.origin) @ place.axes[:, :2] / place.spacing
    i, j = np.rint(shift).astype(int)
    if i < 0 or j < 0 or i + part.shape[1] > shape[1] or j + part.shape[0] > shape[0]:
        raise StructureSetError("The segmentation's frames overlap without lying on one another.")
    whole[j : j + part.shape[0], i : i + part.shape[1]] = part
    return whole


def _marked(
    segment: _Segment, kind: Kind, place: _Place, heights: set[float], between: float
) -> Masked:
    """The segment with the empty planes next to its own: there it ends."""
    levels = sorted(segment.planes)
    planes = [segment.planes[height][1] for height in levels]
    origins = [segment.planes[height][0] for height in levels]
    empty = {height for height in heights if height not in segment.planes}
    if between > 0:
        for low, high in itertools.pairwise(levels):
            if high - low > MISSING_GAP * between:
                empty |= {low + between, high - between}
        empty |= {levels[0] - between, levels[-1] + between}
    normal = place.axes[:, 2]
    for height in sorted(empty):
        if all(abs(height - level) > PLANE_MM for level in levels):
            planes.append(np.zeros((1, 1), dtype=bool))
            origins.append(place.origin + (height - place.height) * normal)
    return Masked(segment.name, kind, tuple(planes), tuple(origins), place.axes, place.spacing)


def _drawn(dataset: pydicom.Dataset) -> Drawn:
    """What it says that it was made on."""
    series: list[str] = []
    images: list[pydicom.Dataset] = []
    for item in dataset.get("ReferencedSeriesSequence") or []:
        series.append(str(item.SeriesInstanceUID))
        images += item.get("ReferencedInstanceSequence") or []
    images += dataset.get("SourceImageSequence") or []
    if not series and not images:
        images = [
            source
            for frame in dataset.PerFrameFunctionalGroupsSequence
            for derived in frame.get("DerivationImageSequence") or []
            for source in derived.get("SourceImageSequence") or []
        ]
    frame = str(dataset.get("FrameOfReferenceUID") or "")
    uids = frozenset(str(i.ReferencedSOPInstanceUID) for i in images)
    if not (series or frame or uids):
        raise StructureSetError("The segmentation does not say which scan it was made on.")
    return Drawn(tuple(dict.fromkeys(series)), frame, uids)
