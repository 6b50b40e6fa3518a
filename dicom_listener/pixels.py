"""From spooled files to a volume in Hounsfield units. Runs in the analysis processes.

Native pixel data are taken straight from the file's bytes (0.3 ms a slice of 512 x 512); compressed
ones go through pydicom's decoders.
"""

import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.utils import pixel_array
from pydicom.tag import Tag
from pydicom.uid import (
    JPEG2000,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from dicom_listener.encoded import DatasetError, EncodedDataset, read_part10
from dicom_listener.headers import (
    HEADER_TAGS,
    HeaderCode,
    HeaderError,
    ObjectHeader,
    Values,
    parse_header,
)
from segmentation.volume import SlicePlane, Volume, assemble, check_stack

LOGGER = logging.getLogger(__name__)

PADDING_HU: Final = -1024
"""What pixels outside of the scanner's circle become: air, the lowest value of 12-bit CT."""

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
    JPEGLSLossless: "gdcm",
    JPEG2000Lossless: "pylibjpeg",
    JPEG2000: "pylibjpeg",
    RLELossless: "pydicom",
}
"""The fastest of pydicom's plugins that is installed; for others pydicom chooses."""


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


def read_volume(paths: Sequence[Path]) -> Volume:
    """The volume of a series, (k, j, i) int16 in HU; the files may be in any order.

    Raises
    ------
    PixelError
        When one of the files can't be read, or holds no Hounsfield units of full fidelity.
    GeometryError
        When the slices are no volume (``segmentation.volume.check_stack``).
    """
    slices = [read_slice(path) for path in paths]
    stack = check_stack([plane for plane, _ in slices])
    return assemble(stack, [pixels for _, pixels in slices])


def read_slice(path: Path) -> tuple[SlicePlane, NDArray[np.int16]]:
    """Where a single-frame CT slice lies, and its (rows, columns) pixels in HU.

    HU are slope x stored value + intercept (PS3.3, C.11.1), rounded and clipped to int16; pixels
    that carry the padding value (PS3.3, C.7.5.1.1.2) become ``PADDING_HU``.

    Raises
    ------
    PixelError
        As ``read_volume``.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PixelError("unreadable", f"A slice can't be read: {error.strerror}.") from error
    try:
        _, encoded = read_part10(data, PIXEL_TAGS)
        header = parse_header(encoded)
    except (DatasetError, HeaderError) as error:
        raise PixelError(error.code, error.text) from error
    values = Values(encoded.values, little_endian=encoded.little_endian)
    if encoded.pixels is None:
        raise PixelError("no_pixel_data", "The object has no pixels.")
    if header.plane is None:
        raise PixelError("no_plane", "The object is no single slice with a position.")
    if header.lossy:
        raise PixelError("lossy", "The image was compressed with loss; it is not measured.")
    if values.code(_PHOTOMETRIC) != "MONOCHROME2" or values.short(_SAMPLES) not in (None, 1):
        raise PixelError("not_grey", "The image is no plain grey-scale image.")
    stored = _stored_values(data, encoded, header.plane, values)
    return header.plane, _to_hu(stored, header, values)


def _stored_values(
    data: bytes, encoded: EncodedDataset, plane: SlicePlane, values: Values
) -> NDArray[Any]:
    """(rows, columns) stored values, sign extended and free of what other bits hold."""
    allocated = values.short(_BITS_ALLOCATED) or 0
    stored = values.short(_BITS_STORED) or allocated
    high = values.short(_HIGH_BIT)
    high = stored - 1 if high is None else high
    signed = values.short(_REPRESENTATION) == 1
    if allocated not in (8, 16, 32) or not 0 < stored <= high + 1 <= allocated:
        raise PixelError("bad_pixels", "The description of the pixels contradicts itself.")
    span = encoded.pixels
    assert span is not None
    if span.word_bytes:
        raise PixelError("bad_pixels", "The pixels are floating point numbers.")
    if span.encapsulated:
        pixels = _decode(data, encoded.transfer_syntax_uid)
        if pixels.shape != (plane.rows, plane.columns):
            raise PixelError("bad_pixels", "The decoded pixels don't fill the matrix.")
        return pixels
    order = "<" if encoded.little_endian else ">"
    pixels = np.frombuffer(
        encoded.data,
        dtype=f"{order}{'i' if signed else 'u'}{allocated // 8}",
        count=plane.rows * plane.columns,
        offset=span.start,
    ).reshape(plane.rows, plane.columns)
    if stored == allocated:
        return pixels
    # Bits above the high bit may hold overlays (retired) or rubbish; the shift to the right is
    # arithmetic for signed values.
    return (pixels << (allocated - 1 - high)) >> (allocated - stored)


def _decode(data: bytes, transfer_syntax_uid: str) -> NDArray[Any]:
    try:
        return pixel_array(
            pydicom.dcmread(io.BytesIO(data)),
            raw=True,
            decoding_plugin=DECODERS.get(transfer_syntax_uid, ""),
        )
    except (RuntimeError, ValueError, AttributeError, NotImplementedError) as error:
        LOGGER.warning("Pixels can't be decoded: %s", error)
        raise PixelError("undecodable", "The compressed pixels can't be decoded.") from error


def _to_hu(stored: NDArray[Any], header: ObjectHeader, values: Values) -> NDArray[np.int16]:
    slope, intercept = header.rescale_slope, header.rescale_intercept
    if slope is None or intercept is None or slope == 0:
        raise PixelError("not_hu", "The image has no rescale slope and intercept.")
    if header.rescale_type not in ("", "HU"):
        raise PixelError("not_hu", f"The image is in {header.rescale_type}, not in HU.")
    limits = np.iinfo(np.int16)
    low, high = int(stored.min()), int(stored.max())
    whole = slope == 1 and intercept.is_integer()
    if (
        whole
        and all(limits.min <= n <= limits.max for n in (low, high))
        and (limits.min <= low + intercept <= high + intercept <= limits.max)
    ):
        hu = stored.astype(np.int16) + np.int16(intercept)
    else:
        exact = stored.astype(np.float64) * slope + intercept
        hu = np.clip(np.rint(exact), limits.min, limits.max).astype(np.int16)
    signed = values.short(_REPRESENTATION) == 1
    padding = values.short(_PADDING, signed=signed)
    if padding is not None:
        limit = values.short(_PADDING_LIMIT, signed=signed)
        first, last = sorted((padding, padding if limit is None else limit))
        if first <= high and last >= low:
            hu[(stored >= first) & (stored <= last)] = PADDING_HU
    return hu
