"""CT objects in files: where their frames lie, and their frames in Hounsfield units, one by one.

Native pixel data are taken straight from the file's bytes, compressed ones go through pydicom's
decoders. There is never more in memory than one frame, however large the object; only one that was
sent deflated is inflated whole.
"""

import io
import logging
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.decoders.base import get_decoder
from pydicom.tag import Tag
from pydicom.uid import (
    JPEG2000,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from dicom_listener.codestreams import (
    END_OF_CODESTREAM,
    lossless_jpeg,
    read_codestream,
    starts_codestream,
)
from dicom_listener.encoded import DatasetError, PixelSpan, parse_dataset, split_syntax
from dicom_listener.headers import (
    HEADER_TAGS,
    HeaderCode,
    HeaderError,
    ObjectHeader,
    frames_of,
    parse_header,
)
from dicom_listener.hounsfield import Layout, to_hu
from dicom_listener.syntaxes import ENCAPSULATED, MULTI_FRAME_CT
from dicom_listener.values import Values
from segmentation.volume import SlicePlane

LOGGER = logging.getLogger(__name__)

MAXIMUM_FRAME_PIXELS: Final = 1 << 24
"""Rows times columns, 4096 x 4096; CT has 512 x 512, and 2048 x 2048 at most."""

LAST_BYTES: Final = 16
"""Within so many bytes of a compressed frame's end its codestream ends; the rest is padding."""

SLOPES: Final = (1e-6, 1e3)
"""Rescale slopes, plus or minus, outside of these are no scale of Hounsfield units."""

MAXIMUM_INTERCEPT: Final = 1e6
"""Nor are intercepts beyond this; 32-bit extended scales use -8192."""

PixelCode = (
    HeaderCode
    | Literal["unreadable", "no_plane", "lossy", "not_hu", "not_grey", "bad_pixels", "undecodable"]
)

_BITS_ALLOCATED: Final = int(Tag("BitsAllocated"))
_BITS_STORED: Final = int(Tag("BitsStored"))
_HIGH_BIT: Final = int(Tag("HighBit"))
_REPRESENTATION: Final = int(Tag("PixelRepresentation"))
_PADDING: Final = int(Tag("PixelPaddingValue"))
_PADDING_LIMIT: Final = int(Tag("PixelPaddingRangeLimit"))
_PHOTOMETRIC: Final = int(Tag("PhotometricInterpretation"))
_SAMPLES: Final = int(Tag("SamplesPerPixel"))
_SLOPE: Final = int(Tag("RescaleSlope"))
_INTERCEPT: Final = int(Tag("RescaleIntercept"))
_RESCALE_TYPE: Final = int(Tag("RescaleType"))

PIXEL_TAGS: Final = HEADER_TAGS | {
    _BITS_ALLOCATED,
    _BITS_STORED,
    _HIGH_BIT,
    _REPRESENTATION,
    _PADDING,
    _PADDING_LIMIT,
    _PHOTOMETRIC,
    _SAMPLES,
}

DECODERS: Final[dict[str, str]] = {
    JPEGLosslessSV1: "gdcm",
    JPEGLossless: "gdcm",
    JPEGLSLossless: "pyjpegls",
    JPEG2000Lossless: "pylibjpeg",
    JPEG2000: "pylibjpeg",
    RLELossless: "pydicom",
}
"""The fastest of pydicom's plugins that is installed, and for JPEG-LS the one that raises an error
where GDCM ends the process; for others pydicom chooses."""


class PixelError(ValueError):
    """A slice that can't be read as Hounsfield units.

    Attributes
    ----------
    code
        What is wrong; a ``HeaderError`` passes its code on.
    text
        One sentence.
    """

    def __init__(self, code: PixelCode, text: str) -> None:
        super().__init__(text)
        self.code: PixelCode = code
        self.text = text


@dataclass(frozen=True, eq=False)
class Image:
    """A CT object in a file that can be measured: where its frames are, and how to read them.

    Attributes
    ----------
    planes
        Where each frame lies.
    identity
        Size, time of the last change in ns, and inode of the file when it was looked at.
    """

    path: Path
    identity: tuple[int, int, int]
    header: ObjectHeader
    _layout: Layout
    _rescales: Sequence[tuple[float, float]]
    _span: PixelSpan
    _start: int
    _inflated: memoryview | None

    @property
    def planes(self) -> tuple[SlicePlane, ...]:
        return self.header.planes

    def frames(self) -> Iterator[NDArray[np.int16]]:
        """Each frame's (rows, columns) pixels in HU, one at a time.

        HU are slope x stored value + intercept (PS3.3, C.11.1), rounded and clipped to int16;
        pixels that carry the padding value become ``PADDING_HU``.

        Raises
        ------
        PixelError
            When they can't be read or decoded.
        """
        try:
            with self._open() as file:
                file.seek(self._start + self._span.start)
                frames = self._decoded(file) if self._span.encapsulated else self._native(file)
                for (slope, intercept), words in zip(self._rescales, frames, strict=True):
                    yield to_hu(words, self._layout, slope, intercept)
        except OSError as error:
            raise _unreadable(error) from error

    def _open(self) -> BinaryIO:
        return self.path.open("rb") if self._inflated is None else io.BytesIO(self._inflated)

    def _native(self, file: BinaryIO) -> Iterator[NDArray[Any]]:
        layout = self._layout
        for _ in self.planes:
            words = np.frombuffer(_exactly(file, layout.frame_bytes), layout.dtype)
            yield words.reshape(layout.rows, layout.columns)

    def _decoded(self, file: BinaryIO) -> Iterator[NDArray[Any]]:
        for frame in _encoded_frames(file, self._span.fragments, len(self.planes)):
            yield _decode(frame, self.header.transfer_syntax_uid, self._layout)


def open_image(path: Path) -> Image:
    """What a file holds, checked as far as that can be without decoding its pixels.

    Raises
    ------
    PixelError
        As ``read_volume``.
    """
    try:
        data, identity = _mapped(path)
    except OSError as error:
        raise _unreadable(error) from error
    try:
        syntax, start = split_syntax(data)
        encoded = parse_dataset(data[start:], syntax, PIXEL_TAGS)
        header = parse_header(encoded)
    except (DatasetError, HeaderError) as error:
        raise PixelError(error.code, error.text) from error
    if encoded.pixels is None:
        raise PixelError("no_pixel_data", "The object has no pixels.")
    if header.sop_class_uid not in {CTImageStorage, *MULTI_FRAME_CT}:
        raise PixelError("not_hu", "The object is no CT image.")
    if header.lossy:
        raise PixelError("lossy", "The image was compressed with loss; it is not measured.")
    if not header.planes:
        raise PixelError("no_plane", "The object does not tell where each of its slices lies.")
    values = Values(encoded.values, little_endian=encoded.little_endian)
    if values.code(_PHOTOMETRIC) != "MONOCHROME2" or values.integer(_SAMPLES) not in (None, 1):
        raise PixelError("not_grey", "The image is no plain grey-scale image.")
    layout = _layout(values, header.planes[0])
    _check_span(encoded.pixels, syntax, layout, header.number_of_frames)
    inflated = syntax == DeflatedExplicitVRLittleEndian
    return Image(
        path=path,
        identity=identity,
        header=header,
        _layout=layout,
        _rescales=[_rescale(frame) for frame in frames_of(encoded, header.number_of_frames)],
        _span=encoded.pixels,
        _start=0 if inflated else start,
        _inflated=encoded.data if inflated else None,
    )


def _unreadable(error: OSError) -> PixelError:
    return PixelError("unreadable", f"A slice can't be read: {error.strerror}.")


def _mapped(path: Path) -> tuple[memoryview, tuple[int, int, int]]:
    """A file's bytes, of which only those that are looked at are read, and its identity."""
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        identity = state.st_size, state.st_mtime_ns, state.st_ino
        if state.st_size == 0:
            return memoryview(b""), identity
        # Not closed by hand: views of it may live on in the traceback of an error.
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)), identity


def _layout(values: Values, plane: SlicePlane) -> Layout:
    allocated = values.integer(_BITS_ALLOCATED) or 0
    stored = values.integer(_BITS_STORED) or allocated
    high = values.integer(_HIGH_BIT)
    high = stored - 1 if high is None else high
    signed = values.integer(_REPRESENTATION) == 1
    if allocated not in (8, 16, 32) or not 0 < stored <= high + 1 <= allocated:
        raise PixelError("bad_pixels", "The description of the pixels contradicts itself.")
    if plane.rows * plane.columns > MAXIMUM_FRAME_PIXELS:
        raise PixelError("too_large", "The image has more pixels than any CT image has.")
    first, last = 1, 0
    padding = values.integer(_PADDING, signed=signed)
    if padding is not None:
        limit = values.integer(_PADDING_LIMIT, signed=signed)
        first, last = sorted((padding, padding if limit is None else limit))
    return Layout(
        rows=plane.rows,
        columns=plane.columns,
        allocated=allocated,
        stored=stored,
        high=high,
        signed=signed,
        little_endian=values.little_endian,
        padding=(first, last),
    )


def _check_span(span: PixelSpan, syntax: str, layout: Layout, frames: int) -> None:
    """The pixel data are in the form that syntax and matrix let expect."""
    if span.word_bytes:
        raise PixelError("bad_pixels", "The pixels are floating point numbers.")
    if span.encapsulated != (syntax in ENCAPSULATED):
        raise PixelError("bad_pixels", "The pixel data are not in their transfer syntax.")
    if span.encapsulated:
        # What is compressed are the stored bits alone (PS3.5, 8.2).
        wrong = layout.high != layout.stored - 1
    else:
        # Up to a row is padding; more is another matrix than the one that is described.
        beyond = span.stop - span.start - layout.frame_bytes * frames
        swapped = layout.allocated == 8 and not layout.little_endian  # OW (PS3.5, A.3)
        wrong = beyond >= max(layout.frame_bytes // layout.rows, 2) or swapped
    if wrong:
        raise PixelError("bad_pixels", "The pixel data don't agree with their description.")


def _rescale(frame: Values) -> tuple[float, float]:
    """Slope and intercept to HU."""
    slope, intercept = frame.number(_SLOPE), frame.number(_INTERCEPT)
    if slope is None or intercept is None:
        raise PixelError("not_hu", "The image has no rescale slope and intercept.")
    unit = frame.code(_RESCALE_TYPE)
    if unit not in ("", "HU"):
        raise PixelError("not_hu", f"The image is in {unit[:16]}, not in HU.")
    if not (SLOPES[0] <= abs(slope) <= SLOPES[1] and abs(intercept) <= MAXIMUM_INTERCEPT):
        raise PixelError("not_hu", "Rescale slope and intercept are those of no CT image.")
    return slope, intercept


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise PixelError("truncated", "The file has become shorter.")
    return data


def _encoded_frames(file: BinaryIO, fragments: int, frames: int) -> Iterator[bytes]:
    """The compressed frames, one at a time, of encapsulated pixel data (PS3.5, A.4).

    Offset tables are not looked at. Where there are more fragments than frames, a frame begins with
    each fragment that a codestream begins with.
    """
    (table,) = struct.unpack("<4xL", _exactly(file, 8))
    file.seek(table, os.SEEK_CUR)
    parts: list[bytes] = []
    found = 0
    for _ in range(fragments):
        (length,) = struct.unpack("<4xL", _exactly(file, 8))
        fragment = _exactly(file, length)
        if parts and frames > 1 and (fragments == frames or starts_codestream(fragment)):
            found += 1
            if found == frames:
                break
            yield b"".join(parts)
            parts = []
        parts.append(fragment)
    if found + 1 != frames:
        raise PixelError("undecodable", f"The pixel data hold other than {frames} frames.")
    yield b"".join(parts)


def _decode(frame: bytes, syntax: str, layout: Layout) -> NDArray[Any]:
    """One frame's layout."""
    if syntax != RLELossless:
        codestream = read_codestream(frame)
        # Decoders fill up what is missing at the end of a codestream, and say nothing.
        if codestream is None or END_OF_CODESTREAM not in frame[-LAST_BYTES:]:
            raise PixelError("undecodable", "A compressed frame is not what its syntax says.")
        if not codestream.reversible:
            raise PixelError("lossy", "A frame was compressed with loss; it is not measured.")
        size = (codestream.rows, codestream.columns, codestream.components)
        if size != (layout.rows, layout.columns, 1):
            raise PixelError("bad_pixels", "The compressed pixels don't fill the matrix.")
    if syntax in (JPEGLosslessSV1, JPEGLossless):
        bare = lossless_jpeg(frame)
        if bare is None:
            raise PixelError("undecodable", "A compressed frame is not what its syntax says.")
        frame = bare
    items = struct.pack("<HHLHHL", 0xFFFE, 0xE000, 0, 0xFFFE, 0xE000, len(frame)) + frame
    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "bits_allocated": layout.allocated,
        "bits_stored": layout.stored,
        "pixel_representation": int(layout.signed),
        "photometric_interpretation": "MONOCHROME2",
        "pixel_keyword": "PixelData",
        "decoding_plugin": DECODERS.get(syntax, ""),
    }
    try:
        pixels, _ = get_decoder(syntax).as_array(items, raw=True, validate=False, **options)
    except (RuntimeError, ValueError, AttributeError, NotImplementedError, LookupError) as error:
        LOGGER.warning("Pixels can't be decoded: %s", error)
        raise PixelError("undecodable", "The compressed pixels can't be decoded.") from error
    if pixels.shape != (layout.rows, layout.columns):
        raise PixelError("bad_pixels", "The decoded pixels don't fill the matrix.")
    return pixels
