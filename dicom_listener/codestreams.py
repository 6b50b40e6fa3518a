"""What a compressed frame says of itself, before a decoder is let at it.

The header of an object says how large its frames are and whether they were compressed with loss;
the codestream says so too, and it is the one that counts for what a decoder makes of it.
"""

import struct
from dataclasses import dataclass
from typing import Final

_FIRST_MARKER: Final = 0xFFC0
_SOI: Final = 0xFFD8
_SOS: Final = 0xFFDA
_SOC: Final = 0xFF4F
_SIZ: Final = 0xFF51
_COD: Final = 0xFF52
_SOT: Final = 0xFF90
_DHT: Final = 0xFFC4
_DRI: Final = 0xFFDD
_UNNEEDED: Final = frozenset((*range(0xFFE0, 0xFFF0), 0xFFFE, 0xFFDB))
"""APPn, COM, and quantization tables, which lossless JPEG has no use for."""
_LOSSLESS_FRAME: Final = 0xFFC3
_JPEG_LS_FRAME: Final = 0xFFF7
_FRAMES: Final = frozenset({*range(0xFFC0, 0xFFD0), _JPEG_LS_FRAME} - {0xFFC4, 0xFFC8, 0xFFCC})

END_OF_CODESTREAM: Final = b"\xff\xd9"
"""EOI of JPEG and JPEG-LS, EOC of JPEG 2000."""

MAXIMUM_SEGMENTS: Final = 1000
"""Marker segments before the first scan or tile-part, beyond which it is looked for no more."""


@dataclass(frozen=True)
class Codestream:
    """One compressed frame.

    Attributes
    ----------
    reversible
        Whether its coding gives back every bit that was put in: lossless JPEG without point
        transform (ISO 10918-1, annex H), JPEG-LS with NEAR 0 (ISO 14495-1), JPEG 2000 with the
        5-3 wavelet (ISO 15444-1; it may still have been cut short).
    """

    rows: int
    columns: int
    components: int
    reversible: bool


def read_codestream(data: bytes | memoryview) -> Codestream | None:
    """Of a JPEG, JPEG-LS, JPEG 2000 or HTJ2K codestream; None of anything else."""
    try:
        (first,) = struct.unpack_from(">H", data, 0)
        if first == _SOI:
            return _jpeg(data)
        return _jpeg_2000(data) if first == _SOC else None
    except (struct.error, IndexError):
        return None


def starts_codestream(data: bytes | memoryview) -> bool:
    """Whether a fragment begins with the start marker of one of these and the marker after it."""
    return bytes(data[:3]) == b"\xff\xd8\xff" or bytes(data[:4]) == b"\xff\x4f\xff\x51"


def _jpeg(data: bytes | memoryview) -> Codestream | None:
    at, kind, size = 2, 0, (0, 0, 0)
    for _ in range(MAXIMUM_SEGMENTS):
        marker, length = struct.unpack_from(">HH", data, at)
        if marker < _FIRST_MARKER or length < 2:
            return None
        if marker in _FRAMES:
            kind = marker
            size = struct.unpack_from(">HHB", data, at + 5)
        elif marker == _SOS and kind:
            # NEAR of JPEG-LS; where Ss and Se, the spectral band or the predictor, are for others.
            near = data[at + 5 + 2 * data[at + 4]]
            shift = data[at + 7 + 2 * data[at + 4]] & 0x0F
            lossless = kind == _LOSSLESS_FRAME or (kind == _JPEG_LS_FRAME and near == 0)
            return Codestream(*size, reversible=lossless and shift == 0)
        at += 2 + length
    return None


def _jpeg_2000(data: bytes | memoryview) -> Codestream | None:
    at, size = 2, (0, 0, 0)
    for _ in range(MAXIMUM_SEGMENTS):
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == _SIZ:
            right, bottom, left, top = struct.unpack_from(">LLLL", data, at + 6)
            (components,) = struct.unpack_from(">H", data, at + 38)
            size = (bottom - top, right - left, components)
        elif marker == _COD:
            return Codestream(*size, reversible=data[at + 13] == 1)
        elif marker == _SOT:
            return None
        at += 2 + length
    return None


def lossless_jpeg(data: bytes) -> bytes | None:
    """A lossless JPEG frame of one component without what its decoder need not see.

    The decoder that is used ends the whole process over some codestreams that are none, even over a
    comment. So each segment is looked at before, and the unneeded ones are left out. None when one
    is wrong, or is none that belongs there (ISO 10918-1, annexes B and H).
    """
    kept, at = [data[:2]], 2
    tables: set[int] = set()
    try:
        for _ in range(MAXIMUM_SEGMENTS):
            marker, length = struct.unpack_from(">HH", data, at)
            segment = data[at : at + 2 + length]
            body = segment[4:]
            if marker == _SOS:
                count, _, table, predictor, band, _ = struct.unpack("6B", body)
                right = count == 1 and table >> 4 in tables and 1 <= predictor <= 7 and band == 0
                return b"".join((*kept, data[at:])) if right else None
            if marker == _LOSSLESS_FRAME:
                precision, _, _, count, _, sampling, _ = struct.unpack(">BHH4B", body)
                right = 2 <= precision <= 16 and count == 1 and sampling == 0x11
            elif marker == _DHT:
                found = _huffman_tables(body)
                tables.update(found)
                right = bool(found)
            elif marker == _DRI:
                right = len(body) == 2
            else:
                right = marker in _UNNEEDED and length >= 2
                segment = b""
            if not right:
                return None
            kept.append(segment)
            at += 2 + length
    except (struct.error, IndexError):
        pass
    return None


def _huffman_tables(body: bytes) -> list[int]:
    """Which tables a DHT segment defines; none when it is wrong."""
    found = []
    while body:
        lengths, symbols = body[1:17], body[17 : 17 + sum(body[1:17])]
        codes = sum(count << 15 - n for n, count in enumerate(lengths))
        if (
            body[0] > 3
            or not 0 < sum(lengths) == len(symbols)
            or codes > 0xFFFF
            or max(symbols) > 16
        ):
            return []
        found.append(body[0])
        body = body[17 + len(symbols) :]
    return found
