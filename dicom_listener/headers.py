"""What is known of an object from its header, parsed once, at the border.

Values are read from their bytes, each by its own rule and without guessing: a wrong number, date or
character set in one element must not lose the object, only that element.
"""

import logging
import mmap
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Final, Literal, TypeVar

from pydicom.tag import Tag

from dicom_listener.codestreams import read_codestream
from dicom_listener.encoded import (
    DatasetCode,
    DatasetError,
    EncodedDataset,
    first_fragment,
    read_part10,
)
from dicom_listener.frames import MAXIMUM_FRAMES, frame_values
from dicom_listener.syntaxes import ACCEPTED_SYNTAXES, LOSSY, MULTI_FRAME_CT, is_uid
from dicom_listener.values import CHARACTER_SET, Values, moment, offset
from segmentation.volume import SlicePlane

LOGGER = logging.getLogger(__name__)

T = TypeVar("T")

HeaderCode = (
    DatasetCode
    | Literal["missing_uid", "bad_uid", "unknown_syntax", "pixel_data_length", "no_pixel_data"]
)


class HeaderError(ValueError):
    """An object whose header can't be used.

    Attributes
    ----------
    code
        What is wrong; a ``DatasetError`` passes its code on.
    text
        One sentence.
    """

    def __init__(self, code: HeaderCode, text: str) -> None:
        super().__init__(text)
        self.code: HeaderCode = code
        self.text = text


@dataclass(frozen=True)
class ObjectHeader:
    """One DICOM object, as its header tells.

    Attributes
    ----------
    patient_name
        As written, component groups and carets and all.
    image_type
        Image Type, and what the frames' own types have beyond it.
    convolution_kernel
        The object's, or else its first frame's.
    acquired_at
        Aware: Acquisition DateTime, else that of the earliest frame, else Acquisition, Content or
        Series Date with Time, in the object's own offset from UTC, else in the zone that was given.
        None when none is written.
    lossy
        Lossy compression was applied at some time, to one frame at least: never to be measured.
    rescale_slope, rescale_intercept
        To Hounsfield units; None when not written, and where each frame has its own.
    planes
        Where its slices lie, one for each frame; empty for all that is no image with position,
        orientation and pixel spacing of every frame.
    number_of_frames
        1 for a single-frame image and for what is no image.
    event_uids
        Irradiation Event and Acquisition UIDs, of the frames too: what is made of one exposure of
        the patient shares one.
    acquired_from, acquired_to
        Aware: when the patient was scanned for it, its earliest and its latest frame. None where no
        time of acquisition is written; Content and Series Time, which ``acquired_at`` falls back
        to, may be those of a later reconstruction.
    slice_thickness_mm
        As written; nothing is measured by it.
    fluoroscopy
        Fluoroscopy Flag (0018,9334) of a frame is YES.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    modality: str
    patient_id: str
    patient_name: str
    patient_birth_date: str
    study_instance_uid: str
    series_instance_uid: str
    series_number: int | None
    series_description: str
    frame_of_reference_uid: str | None
    image_type: tuple[str, ...]
    convolution_kernel: str
    acquired_at: datetime | None
    instance_number: int | None
    acquisition_number: int | None
    lossy: bool
    rescale_slope: float | None
    rescale_intercept: float | None
    rescale_type: str
    planes: tuple[SlicePlane, ...]
    number_of_frames: int
    # What a journal of an earlier version does not hold:
    event_uids: tuple[str, ...] = ()
    acquired_from: datetime | None = None
    acquired_to: datetime | None = None
    slice_thickness_mm: float | None = None
    body_part: str = ""
    scan_options: tuple[str, ...] = ()
    fluoroscopy: bool = False

    @property
    def plane(self) -> SlicePlane | None:
        """Where the slice of a single-frame image lies."""
        return self.planes[0] if self.number_of_frames == 1 and self.planes else None

    @property
    def is_localizer(self) -> bool:
        """A scout view (PS3.3, C.8.2.1.1.1)."""
        return "LOCALIZER" in self.image_type


def _tag(keyword: str) -> int:
    return int(Tag(keyword))


_UIDS: Final = {
    "sop_class_uid": _tag("SOPClassUID"),
    "sop_instance_uid": _tag("SOPInstanceUID"),
    "study_instance_uid": _tag("StudyInstanceUID"),
    "series_instance_uid": _tag("SeriesInstanceUID"),
}
_TEXTS: Final = {
    "patient_id": _tag("PatientID"),
    "patient_name": _tag("PatientName"),
    "series_description": _tag("SeriesDescription"),
}
_CODES: Final = {
    "modality": _tag("Modality"),
    "patient_birth_date": _tag("PatientBirthDate"),
    "rescale_type": _tag("RescaleType"),
}
_WHOLE_NUMBERS: Final = {
    "series_number": _tag("SeriesNumber"),
    "instance_number": _tag("InstanceNumber"),
    "acquisition_number": _tag("AcquisitionNumber"),
}
_DATES: Final = (
    (_tag("AcquisitionDate"), _tag("AcquisitionTime")),
    (_tag("ContentDate"), _tag("ContentTime")),
    (_tag("SeriesDate"), _tag("SeriesTime")),
)
_ACQUISITION_DATE_TIME: Final = _tag("AcquisitionDateTime")
_FRAME_DATE_TIMES: Final = (_tag("FrameAcquisitionDateTime"), _tag("FrameReferenceDateTime"))
_TIMES: Final = (_ACQUISITION_DATE_TIME, *_DATES[0], *_FRAME_DATE_TIMES)
_PASSES: Final = (_tag("AcquisitionNumber"), _tag("TemporalPositionIdentifier"))
_FRAME_PASSES: Final = (_tag("FrameAcquisitionNumber"), _tag("TemporalPositionIndex"))
_STACK: Final = _tag("StackID")
_OFFSET: Final = _tag("TimezoneOffsetFromUTC")
_FRAME_OF_REFERENCE: Final = _tag("FrameOfReferenceUID")
_IMAGE_TYPE: Final = _tag("ImageType")
_FRAME_TYPE: Final = _tag("FrameType")
_KERNEL: Final = _tag("ConvolutionKernel")
_EVENTS: Final = (_tag("IrradiationEventUID"), _tag("AcquisitionUID"))
_THICKNESS: Final = _tag("SliceThickness")
_BODY_PART: Final = _tag("BodyPartExamined")
_SCAN_OPTIONS: Final = _tag("ScanOptions")
_FLUOROSCOPY: Final = _tag("FluoroscopyFlag")
_LOSSY: Final = _tag("LossyImageCompression")
_LOSSY_METHOD: Final = _tag("LossyImageCompressionMethod")
_SLOPE: Final = _tag("RescaleSlope")
_INTERCEPT: Final = _tag("RescaleIntercept")
_POSITION: Final = _tag("ImagePositionPatient")
_ORIENTATION: Final = _tag("ImageOrientationPatient")
_SPACING: Final = _tag("PixelSpacing")
_FRAMES: Final = _tag("NumberOfFrames")
_ROWS: Final = _tag("Rows")
_COLUMNS: Final = _tag("Columns")
_SAMPLES: Final = _tag("SamplesPerPixel")
_BITS_ALLOCATED: Final = _tag("BitsAllocated")
_PHOTOMETRIC: Final = _tag("PhotometricInterpretation")

HEADER_TAGS: Final = frozenset(
    (
        *_UIDS.values(),
        *_TEXTS.values(),
        *_CODES.values(),
        *_WHOLE_NUMBERS.values(),
        *(tag for pair in _DATES for tag in pair),
        _ACQUISITION_DATE_TIME,
        _OFFSET,
        CHARACTER_SET,
        _FRAME_OF_REFERENCE,
        _IMAGE_TYPE,
        _KERNEL,
        *_EVENTS,
        _THICKNESS,
        _BODY_PART,
        _SCAN_OPTIONS,
        _LOSSY,
        _LOSSY_METHOD,
        *_PASSES,
        _SLOPE,
        _INTERCEPT,
        _POSITION,
        _ORIENTATION,
        _SPACING,
        _FRAMES,
        _ROWS,
        _COLUMNS,
        _SAMPLES,
        _BITS_ALLOCATED,
        _PHOTOMETRIC,
    )
)
"""The elements that ``parse_header`` looks at."""


def parse_header(encoded: EncodedDataset, zone: tzinfo | None = None) -> ObjectHeader:
    """The header of a data set that was parsed with (at least) ``HEADER_TAGS``.

    ``zone`` is that of the scanner's clock where the object names none; None is the zone of this
    machine.

    Raises
    ------
    HeaderError
        ``missing_uid`` or ``bad_uid`` for SOP Class, SOP Instance, Study or Series Instance UID,
        ``unknown_syntax``, or ``pixel_data_length`` when the pixel data don't fill the matrix, or
        have fewer fragments than there are frames.
    """
    if encoded.transfer_syntax_uid not in ACCEPTED_SYNTAXES:
        raise HeaderError("unknown_syntax", "The transfer syntax is not one of those taken in.")
    values = Values(encoded.values, little_endian=encoded.little_endian)
    uids = {name: _required_uid(values, name, tag) for name, tag in _UIDS.items()}
    frame_of_reference = values.code(_FRAME_OF_REFERENCE)
    numbers = {name: values.whole_number(tag) for name, tag in _WHOLE_NUMBERS.items()}
    count = max(values.whole_number(_FRAMES) or 1, 1)
    _check_pixel_length(encoded, values, count)
    frames = frames_of(encoded, count)
    size = values.integer(_ROWS), values.integer(_COLUMNS)
    planes = [plane for frame in frames if (plane := _plane(frame, *size))]
    moments = _moments(values, frames, zone)
    return ObjectHeader(
        transfer_syntax_uid=str(encoded.transfer_syntax_uid),
        frame_of_reference_uid=frame_of_reference if is_uid(frame_of_reference) else None,
        image_type=_image_type(values, frames),
        convolution_kernel=next((k for f in (values, *frames) if (k := f.text(_KERNEL))), ""),
        acquired_at=_acquired_at(values, frames, zone),
        lossy=_lossy(encoded, values, frames),
        rescale_slope=values.number(_SLOPE),
        rescale_intercept=values.number(_INTERCEPT),
        planes=tuple(planes) if len(planes) == count else (),
        number_of_frames=count,
        event_uids=_event_uids(values, frames),
        acquired_from=min(moments, default=None),
        acquired_to=max(moments, default=None),
        slice_thickness_mm=_first(f.number(_THICKNESS) for f in (values, *frames)),
        body_part=_first(f.code(_BODY_PART).upper() for f in (values, *frames)) or "",
        scan_options=tuple(part.upper() for part in values.codes(_SCAN_OPTIONS)),
        fluoroscopy=any(f.code(_FLUOROSCOPY).upper() == "YES" for f in frames),
        patient_id=values.text(_TEXTS["patient_id"]),
        patient_name=values.text(_TEXTS["patient_name"]),
        series_description=values.text(_TEXTS["series_description"]),
        modality=values.code(_CODES["modality"]),
        patient_birth_date=values.code(_CODES["patient_birth_date"]),
        rescale_type=values.code(_CODES["rescale_type"]),
        series_number=numbers["series_number"],
        instance_number=numbers["instance_number"],
        acquisition_number=numbers["acquisition_number"],
        **uids,
    )


def frames_of(encoded: EncodedDataset, count: int) -> list[Values]:
    """Of each of the ``count`` frames of an image, what tells its place, scale and time.

    A single-frame image is its own frame. None where the frames are not described, or not all, and
    none of an object with more than ``MAXIMUM_FRAMES``.
    """
    values = Values(encoded.values, little_endian=encoded.little_endian)
    if encoded.pixels is None or count > MAXIMUM_FRAMES:
        return []
    if values.code(_UIDS["sop_class_uid"]) not in MULTI_FRAME_CT:
        return [values] if count == 1 else []
    try:
        described = frame_values(encoded, count)
    except DatasetError as error:
        LOGGER.warning("%s: %s", values.code(_UIDS["sop_instance_uid"]), error.text)
        return []
    common = {tag: encoded.values[tag] for tag in (CHARACTER_SET,) if tag in encoded.values}
    return [Values({**common, **f}, little_endian=encoded.little_endian) for f in described]


def read_header(path: Path, zone: tzinfo | None = None) -> ObjectHeader:
    """The header of a DICOM file, which is checked to its end without its pixels being read.

    Raises
    ------
    HeaderError
        As ``parse_header``; also when it is no DICOM file or is cut short.
    OSError
        When the file can't be read.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise HeaderError("not_dicom", "The file is empty.")
        # Not closed by hand: views of it may live on in the traceback of an error.
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        encoded = read_part10(memoryview(mapped), HEADER_TAGS)
    except DatasetError as error:
        raise HeaderError(error.code, error.text) from error
    return parse_header(encoded, zone)


def _required_uid(values: Values, name: str, tag: int) -> str:
    uid = values.code(tag)
    words = name.replace("_", " ").replace("sop", "SOP").replace("uid", "UID")
    if not uid:
        raise HeaderError("missing_uid", f"The object has no {words}.")
    if not is_uid(uid):
        raise HeaderError("bad_uid", f"The {words} is not a valid UID: {uid[:80]!r}.")
    return uid


def _check_pixel_length(encoded: EncodedDataset, values: Values, frames: int) -> None:
    """Native pixel data must fill the matrix: PS3.5, 8.1.1, padded to an even length."""
    span = encoded.pixels
    if span is None:
        return
    if span.encapsulated:
        if span.fragments < frames:
            raise HeaderError(
                "pixel_data_length",
                f"The pixel data have {span.fragments} fragments where there are {frames} frames.",
            )
        return
    rows, columns = values.integer(_ROWS) or 0, values.integer(_COLUMNS) or 0
    bits = span.word_bytes * 8 or values.integer(_BITS_ALLOCATED) or 0
    samples = values.integer(_SAMPLES) or 1
    pixels = rows * columns * frames
    if values.code(_PHOTOMETRIC) == "YBR_FULL_422":
        samples = 2
    wanted = (pixels * samples * bits + 7) // 8
    if span.stop - span.start < wanted:
        raise HeaderError(
            "pixel_data_length",
            f"The pixel data have {span.stop - span.start} bytes where the matrix needs {wanted}.",
        )


def _image_type(values: Values, frames: Sequence[Values]) -> tuple[str, ...]:
    found = [values.codes(_IMAGE_TYPE), *(frame.codes(_FRAME_TYPE) for frame in frames)]
    first, *rest = (tuple(part.upper() for part in parts) for parts in found)
    return first + tuple(dict.fromkeys(p for parts in rest for p in parts if p not in first))


def _lossy(encoded: EncodedDataset, values: Values, frames: Sequence[Values]) -> bool:
    """Whether anything says so: the syntax, a mark (PS3.3, C.7.6.1.1.5), or the codestream."""
    marked = any(each.code(_LOSSY) not in {"", "00"} for each in (values, *frames))
    if encoded.transfer_syntax_uid in LOSSY or marked or values.code(_LOSSY_METHOD):
        return True
    codestream = read_codestream(first_fragment(encoded))
    return codestream is not None and not codestream.reversible


def _plane(values: Values, rows: int | None, columns: int | None) -> SlicePlane | None:
    position = values.numbers(_POSITION, 3)
    orientation = values.numbers(_ORIENTATION, 6)
    spacing = values.numbers(_SPACING, 2)
    if not (position and orientation and spacing and rows and columns):
        return None
    x, y, z = position
    a, b, c, d, e, f = orientation
    between_rows, between_columns = spacing
    return SlicePlane(
        (x, y, z),
        (a, b, c, d, e, f),
        (between_rows, between_columns),
        rows,
        columns,
        acquisition=_acquisition(values),
        acquired="".join(values.code(tag) for tag in _TIMES),
    )


def _acquisition(values: Values) -> str:
    """What tells one pass over the patient from another, as far as that is written."""
    numbers = [values.whole_number(tag) for tag in _PASSES]
    numbers += [values.integer(tag) for tag in _FRAME_PASSES]
    parts = [*("" if n is None else str(n) for n in numbers), values.code(_STACK)]
    return "/".join(parts) if any(parts) else ""


def _event_uids(values: Values, frames: Sequence[Values]) -> tuple[str, ...]:
    found = (uid for each in (values, *frames) for tag in _EVENTS for uid in each.codes(tag))
    return tuple(dict.fromkeys(uid for uid in found if is_uid(uid)))


def _first(found: Iterable[T | None]) -> T | None:
    return next((each for each in found if each), None)


def _moments(values: Values, frames: Sequence[Values], zone: tzinfo | None) -> list[datetime]:
    """When the frames were acquired; by the object's own time where they tell none."""
    own_zone = offset(values.code(_OFFSET)) or zone
    for tag in _FRAME_DATE_TIMES:
        moments = [frame.date_time(tag, own_zone) for frame in frames if tag in frame.raw]
        if any(moments):
            return [each for each in moments if each]
    date, time = _DATES[0]
    whole = values.date_time(_ACQUISITION_DATE_TIME, own_zone)
    found = whole or moment(values.code(date), values.code(time), own_zone)
    return [found] if found else []


def _acquired_at(values: Values, frames: Sequence[Values], zone: tzinfo | None) -> datetime | None:
    own_zone = offset(values.code(_OFFSET)) or zone
    found = values.date_time(_ACQUISITION_DATE_TIME, own_zone)
    for tag in _FRAME_DATE_TIMES:
        moments = [frame.date_time(tag, own_zone) for frame in frames if tag in frame.raw]
        found = found or min((each for each in moments if each), default=None)
    for date, time in _DATES:
        found = found or moment(values.code(date), values.code(time), own_zone)
    return found
