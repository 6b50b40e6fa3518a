"""What is known of an object from its header, parsed once, at the border.

Values are read from their bytes, each by its own rule and without guessing: a wrong number, date or
character set in one element must not lose the object, only that element.
"""

import math
import mmap
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Final, Literal

from pydicom.charset import convert_encodings, decode_bytes, python_encoding
from pydicom.tag import Tag

from dicom_listener.encoded import (
    DatasetCode,
    DatasetError,
    EncodedDataset,
    read_part10,
)
from dicom_listener.syntaxes import ACCEPTED_SYNTAXES, LOSSY, is_uid
from segmentation.volume import SlicePlane

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
    acquired_at
        Aware: Acquisition DateTime, else Acquisition, Content or Series Date with Time, in the
        object's own offset from UTC, else in the zone that was given. None when none is written.
    lossy
        Lossy compression was applied at some time: never to be measured.
    rescale_slope, rescale_intercept
        To Hounsfield units; None when not written.
    planes
        Where its slices lie, one for each frame; empty for all that is no image with position,
        orientation and pixel spacing of every frame.
    number_of_frames
        1 for a single-frame image and for what is no image.
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
    "convolution_kernel": _tag("ConvolutionKernel"),
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
_OFFSET: Final = _tag("TimezoneOffsetFromUTC")
_CHARACTER_SET: Final = _tag("SpecificCharacterSet")
_FRAME_OF_REFERENCE: Final = _tag("FrameOfReferenceUID")
_IMAGE_TYPE: Final = _tag("ImageType")
_LOSSY: Final = _tag("LossyImageCompression")
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
        _CHARACTER_SET,
        _FRAME_OF_REFERENCE,
        _IMAGE_TYPE,
        _LOSSY,
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


class Values:
    """Typed reading of the raw values of a data set; what can't be read is absent."""

    def __init__(self, values: Mapping[int, bytes], *, little_endian: bool) -> None:
        self._values = values
        self._order = "<" if little_endian else ">"
        self._encodings = _encodings(self.code(_CHARACTER_SET, separated=False))

    def code(self, tag: int, *, separated: bool = True) -> str:
        """A value of the default repertoire; the first one of several when ``separated``."""
        text = self._values.get(tag, b"").decode("ascii", "replace")
        return (text.split("\\")[0] if separated else text).strip(" \0")

    def codes(self, tag: int) -> tuple[str, ...]:
        """All values of the default repertoire."""
        text = self._values.get(tag, b"").decode("ascii", "replace").strip(" \0")
        return tuple(part.strip(" \0") for part in text.split("\\")) if text else ()

    def text(self, tag: int) -> str:
        """A value in the object's own character set; what is wrong in it is replaced, not lost."""
        return _decode(self._values.get(tag, b""), self._encodings).strip(" \0")

    def whole_number(self, tag: int) -> int | None:
        """IS."""
        try:
            return int(self.code(tag))
        except ValueError:
            return None

    def numbers(self, tag: int, count: int) -> tuple[float, ...] | None:
        """DS with exactly ``count`` finite values."""
        try:
            numbers = tuple(float(part) for part in self.codes(tag))
        except ValueError:
            return None
        finite = len(numbers) == count and all(math.isfinite(number) for number in numbers)
        return numbers if finite else None

    def number(self, tag: int) -> float | None:
        """DS with one finite value."""
        numbers = self.numbers(tag, 1)
        return numbers[0] if numbers else None

    def short(self, tag: int, *, signed: bool = False) -> int | None:
        """US or SS."""
        value = self._values.get(tag, b"")
        if len(value) < 2:
            return None
        number: int = struct.unpack(self._order + ("h" if signed else "H"), value[:2])[0]
        return number


def parse_header(encoded: EncodedDataset, zone: tzinfo | None = None) -> ObjectHeader:
    """The header of a data set that was parsed with (at least) ``HEADER_TAGS``.

    ``zone`` is that of the scanner's clock where the object names none; None is the zone of this
    machine.

    Raises
    ------
    HeaderError
        ``missing_uid`` or ``bad_uid`` for SOP Class, SOP Instance, Study or Series Instance UID,
        ``unknown_syntax``, or ``pixel_data_length`` when native pixel data don't fill the matrix.
    """
    if encoded.transfer_syntax_uid not in ACCEPTED_SYNTAXES:
        raise HeaderError("unknown_syntax", "The transfer syntax is not one of those taken in.")
    values = Values(encoded.values, little_endian=encoded.little_endian)
    uids = {name: _required_uid(values, name, tag) for name, tag in _UIDS.items()}
    frame_of_reference = values.code(_FRAME_OF_REFERENCE)
    numbers = {name: values.whole_number(tag) for name, tag in _WHOLE_NUMBERS.items()}
    frames = max(values.whole_number(_FRAMES) or 1, 1)
    _check_pixel_length(encoded, values, frames)
    lossy = encoded.transfer_syntax_uid in LOSSY or values.code(_LOSSY) == "01"
    return ObjectHeader(
        transfer_syntax_uid=str(encoded.transfer_syntax_uid),
        frame_of_reference_uid=frame_of_reference if is_uid(frame_of_reference) else None,
        image_type=tuple(part.upper() for part in values.codes(_IMAGE_TYPE)),
        acquired_at=_acquired_at(values, zone),
        lossy=lossy,
        rescale_slope=values.number(_SLOPE),
        rescale_intercept=values.number(_INTERCEPT),
        planes=_planes(values) if frames == 1 and encoded.pixels is not None else (),
        number_of_frames=frames,
        patient_id=values.text(_TEXTS["patient_id"]),
        patient_name=values.text(_TEXTS["patient_name"]),
        series_description=values.text(_TEXTS["series_description"]),
        convolution_kernel=values.text(_TEXTS["convolution_kernel"]),
        modality=values.code(_CODES["modality"]),
        patient_birth_date=values.code(_CODES["patient_birth_date"]),
        rescale_type=values.code(_CODES["rescale_type"]),
        series_number=numbers["series_number"],
        instance_number=numbers["instance_number"],
        acquisition_number=numbers["acquisition_number"],
        **uids,
    )


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
        encoded = read_part10(memoryview(mapped), HEADER_TAGS)[1]
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
    if span is None or span.encapsulated:
        return
    rows, columns = values.short(_ROWS) or 0, values.short(_COLUMNS) or 0
    bits = span.word_bytes * 8 or values.short(_BITS_ALLOCATED) or 0
    samples = values.short(_SAMPLES) or 1
    pixels = rows * columns * frames
    if values.code(_PHOTOMETRIC) == "YBR_FULL_422":
        samples = 2
    wanted = (pixels * samples * bits + 7) // 8
    if span.stop - span.start < wanted:
        raise HeaderError(
            "pixel_data_length",
            f"The pixel data have {span.stop - span.start} bytes where the matrix needs {wanted}.",
        )


def _planes(values: Values) -> tuple[SlicePlane, ...]:
    position = values.numbers(_POSITION, 3)
    orientation = values.numbers(_ORIENTATION, 6)
    spacing = values.numbers(_SPACING, 2)
    rows, columns = values.short(_ROWS), values.short(_COLUMNS)
    if not (position and orientation and spacing and rows and columns):
        return ()
    x, y, z = position
    a, b, c, d, e, f = orientation
    between_rows, between_columns = spacing
    cosines = (a, b, c, d, e, f)
    return (SlicePlane((x, y, z), cosines, (between_rows, between_columns), rows, columns),)


_OFFSET_PATTERN = re.compile(r"([+-])(\d\d)(\d\d)")
_TIME_PATTERN = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,6})\d*)?)?)?")
_DATE_PATTERN = re.compile(r"(\d{4})[.]?(\d\d)[.]?(\d\d)")


def _zone(text: str) -> tzinfo | None:
    found = _OFFSET_PATTERN.fullmatch(text)
    if not found:
        return None
    delta = timedelta(hours=int(found[2]), minutes=int(found[3]))
    try:
        return timezone(delta if found[1] == "+" else -delta)
    except ValueError:
        return None


def _moment(date: str, time: str, zone: tzinfo | None) -> datetime | None:
    """DA and TM (also their ACR-NEMA forms with dots and colons) as an aware time."""
    day, hour = _DATE_PATTERN.fullmatch(date), _TIME_PATTERN.fullmatch(time)
    if not day or not hour:
        return None
    microsecond = int((hour[4] or "0").ljust(6, "0"))
    try:
        naive = datetime(  # noqa: DTZ001 - made aware on the next line
            int(day[1]),
            int(day[2]),
            int(day[3]),
            int(hour[1]),
            int(hour[2] or 0),
            min(int(hour[3] or 0), 59),  # 60 is a leap second
            microsecond,
        )
        return naive.replace(tzinfo=zone) if zone else naive.astimezone()
    except (ValueError, OverflowError):
        return None


def _acquired_at(values: Values, zone: tzinfo | None) -> datetime | None:
    own_zone = _zone(values.code(_OFFSET)) or zone
    combined = values.code(_ACQUISITION_DATE_TIME)
    date, rest = combined[:8], combined[8:]
    time, suffix = (
        re.split(r"(?=[+-])", rest, maxsplit=1) if re.search("[+-]", rest) else (rest, "")
    )
    moment = _moment(date, time, _zone(suffix) or own_zone)
    if moment:
        return moment
    for date_tag, time_tag in _DATES:
        moment = _moment(values.code(date_tag), values.code(time_tag), own_zone)
        if moment:
            return moment
    return None


def _encodings(character_sets: str) -> list[str]:
    """Python's codecs for Specific Character Set; unknown terms are left out."""
    known = [term.strip() for term in character_sets.split("\\")]
    known = [term for term in known if term in python_encoding]
    return list(convert_encodings(known)) if known else ["iso8859"]


def _decode(value: bytes, encodings: list[str]) -> str:
    if len(encodings) == 1 and b"\x1b" not in value:
        return value.decode(encodings[0], "replace")
    try:
        return decode_bytes(value, encodings, {0x5C, 0x5E, 0x3D})  # backslash, caret, equals sign
    except (LookupError, ValueError, UserWarning):
        return value.decode("latin-1")
