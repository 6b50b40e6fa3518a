"""A data set as the bytes it came in: checked to its end, without decoding what is not needed.

pydicom reads leniently: a value that the transfer cut short is handed over short, without a word.
Before an object is acknowledged it must be known to be whole, so its elements are walked here,
every length checked, and only the values that are asked for are kept (as bytes). Walking a CT slice
takes about 0.1 ms. Sequences of defined length are checked as a whole, not inside; ``read_items``
looks into those that matter.
"""

import struct
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

MAXIMUM_DEPTH = 32
"""Sequences nested deeper than this are no data set but an attack on the stack."""

MAXIMUM_ELEMENTS: Final = 2_000_000
"""More elements and items than this, which take some seconds to walk, are not looked through; an
enhanced object of 4000 frames has a tenth of it."""

MAXIMUM_VALUE_BYTES: Final = 1 << 16
"""A wanted value longer than this is no value of its element, and absent."""

MAXIMUM_INFLATED_BYTES = 512 << 20
"""A deflated data set that grows beyond this, which is held in memory, is refused."""

DEFLATED_GROWTH: Final = (64, 64 << 20)
"""So is one that grows to more than so many times its size, unless that is less than the second
number of bytes. Scans grow to twice or five times their size; a bomb to a thousand times."""

DatasetCode = Literal["not_dicom", "truncated", "garbled", "too_large"]

_INFLATED_AT_ONCE = 1 << 20
_DEFLATED_AT_ONCE = 1 << 16

_UNDEFINED = 0xFFFFFFFF
_ITEM = 0xFFFEE000
_ITEM_END = 0xFFFEE00D
_SEQUENCE_END = 0xFFFEE0DD
_LONG_VRS = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
TRANSFER_SYNTAX_UID: Final = int(Tag("TransferSyntaxUID"))
_PIXEL_DATA: Final = 0x7FE00010
_FLOAT_PIXEL_DATA: Final = (0x7FE00008, 0x7FE00009)
SHARED_GROUPS: Final = int(Tag("SharedFunctionalGroupsSequence"))
PER_FRAME_GROUPS: Final = int(Tag("PerFrameFunctionalGroupsSequence"))
_SEQUENCES: Final = frozenset((SHARED_GROUPS, PER_FRAME_GROUPS))


class DatasetError(ValueError):
    """Bytes that are not a whole data set.

    Attributes
    ----------
    code
        ``not_dicom``, ``truncated``, ``garbled`` or ``too_large``.
    text
        One sentence.
    """

    def __init__(self, code: DatasetCode, text: str) -> None:
        super().__init__(text)
        self.code: DatasetCode = code
        self.text = text


@dataclass(frozen=True)
class PixelSpan:
    """Where the pixel data lie in ``EncodedDataset.data``.

    Attributes
    ----------
    start, stop
        Offsets of the value: the first byte, and the one after the last.
    encapsulated
        Whether the value is a sequence of fragments (compressed).
    word_bytes
        Size of one number when floating point pixel data are given, else 0.
    fragments
        How many there are after the basic offset table, when encapsulated.
    """

    start: int
    stop: int
    encapsulated: bool
    word_bytes: int = 0
    fragments: int = 0


class Span(NamedTuple):
    """Where a value lies in ``EncodedDataset.data``, and whether what is in it is implicit VR."""

    start: int
    stop: int
    implicit: bool


@dataclass(frozen=True, eq=False)
class EncodedDataset:
    """A data set that was walked to its end.

    Attributes
    ----------
    transfer_syntax_uid
        How it is encoded.
    data
        The encoded elements, inflated if they were deflated.
    values
        Tag to bytes, for the wanted top-level elements that have a value of defined length.
    sequences
        Where the functional groups of a multi-frame object lie, by tag.
    pixels
        The pixel data, if there are any.
    """

    transfer_syntax_uid: str
    data: memoryview
    values: Mapping[int, bytes]
    sequences: Mapping[int, Span]
    pixels: PixelSpan | None

    @property
    def little_endian(self) -> bool:
        """Byte order of the numbers."""
        return self.transfer_syntax_uid != ExplicitVRBigEndian


@dataclass(frozen=True)
class _Found:
    values: dict[int, bytes]
    sequences: dict[int, Span]
    pixels: list[PixelSpan]


def parse_dataset(
    data: bytes | memoryview, transfer_syntax_uid: str, wanted: Collection[int]
) -> EncodedDataset:
    """Walk a data set (without preamble and file meta) and keep the values of ``wanted`` tags.

    Raises
    ------
    DatasetError
        ``truncated`` when an element, item or sequence reaches beyond the end or has none;
        ``garbled`` when what stands there can't be elements; ``too_large`` when a deflated data
        set grows beyond ``MAXIMUM_INFLATED_BYTES``, or there are more than ``MAXIMUM_ELEMENTS``.
    """
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        data = _inflate(data)
    view = memoryview(data)
    found = _Found({}, {}, [])
    walker = _Walker(view, little_endian=transfer_syntax_uid != ExplicitVRBigEndian)
    implicit = transfer_syntax_uid == ImplicitVRLittleEndian
    try:
        walker.walk_top(frozenset(wanted), found, implicit=implicit)
    except struct.error as error:
        raise DatasetError("truncated", "The data set ends within an element.") from error
    pixels = found.pixels[0] if found.pixels else None
    return EncodedDataset(transfer_syntax_uid, view, found.values, found.sequences, pixels)


def read_items(
    encoded: EncodedDataset, span: Span, wanted: Collection[int]
) -> Iterator[dict[int, Span]]:
    """Where the ``wanted`` elements of each item of a sequence lie, item by item.

    Raises
    ------
    DatasetError
        ``garbled`` when what is in the sequence can't be items, or reaches beyond its end.
    """
    walker = _Walker(encoded.data, little_endian=encoded.little_endian)
    try:
        yield from walker.items(span, frozenset(wanted))
    except (struct.error, DatasetError) as error:
        raise DatasetError("garbled", "A sequence can't be read.") from error


def _inflate(data: bytes | memoryview) -> memoryview:
    """What was deflated, piece by piece: no more than the bound is ever held, and that once."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    growth, always = DEFLATED_GROWTH
    bound = min(max(growth * len(data), always), MAXIMUM_INFLATED_BYTES)
    inflated = bytearray()
    deflated = memoryview(data)
    for start in range(0, len(data), _DEFLATED_AT_ONCE):
        tail: bytes | memoryview = deflated[start : start + _DEFLATED_AT_ONCE]
        more = True
        while more and not inflater.eof:
            try:
                piece = inflater.decompress(tail, _INFLATED_AT_ONCE)
            except zlib.error as error:
                raise DatasetError("garbled", "The deflated data set can't be inflated.") from error
            if len(inflated) + len(piece) > bound:
                raise DatasetError("too_large", "The deflated data set grows beyond all measure.")
            inflated += piece
            tail = inflater.unconsumed_tail
            more = len(piece) == _INFLATED_AT_ONCE  # it may hold back some, of no bytes of the tail
        if inflater.eof:
            return memoryview(inflated).toreadonly()
    raise DatasetError("truncated", "The deflated data set ends too early.")


def first_fragment(encoded: EncodedDataset) -> memoryview:
    """The first fragment of encapsulated pixel data, after the offset table; empty if none."""
    span = encoded.pixels
    if span is None or not span.fragments:
        return memoryview(b"")
    (table,) = struct.unpack_from("<L", encoded.data, span.start + 4)  # always little endian
    start = span.start + 16 + table
    (length,) = struct.unpack_from("<L", encoded.data, start - 4)
    return encoded.data[start : start + length]


class _Walker:
    """One pass over the elements of a data set (PS3.5, chapter 7)."""

    def __init__(self, view: memoryview, *, little_endian: bool) -> None:
        order = "<" if little_endian else ">"
        self._view = view
        self._end = len(view)
        self._left = MAXIMUM_ELEMENTS
        head = struct.Struct(f"{order}HH2sH")
        self._head: Callable[..., tuple[int, int, bytes, int]] = head.unpack_from
        self._long: Callable[..., tuple[int]] = struct.Struct(f"{order}L").unpack_from

    def walk_top(self, wanted: frozenset[int], found: _Found, *, implicit: bool) -> None:
        """Every element up to the end of the data."""
        at = 0
        while self._end - at >= 8:
            tag, start, length, inner = self.header(at, implicit=implicit)
            if length == _UNDEFINED:
                left = self._left
                at = self._skip_undefined(tag, start, implicit=inner, depth=0)
                if tag == _PIXEL_DATA:
                    # One header is the offset table's, one the delimiter's.
                    fragments = max(left - self._left - 2, 0)
                    found.pixels.append(
                        PixelSpan(start, at, encapsulated=True, fragments=fragments)
                    )
            else:
                at = self.inside(start, length, self._end)
                if tag == _PIXEL_DATA:
                    found.pixels.append(PixelSpan(start, at, encapsulated=False))
                elif tag in _FLOAT_PIXEL_DATA:
                    size = 4 if tag == _FLOAT_PIXEL_DATA[0] else 8
                    found.pixels.append(PixelSpan(start, at, encapsulated=False, word_bytes=size))
                elif tag in wanted and length <= MAXIMUM_VALUE_BYTES:
                    found.values[tag] = bytes(self._view[start:at])
            if tag in _SEQUENCES:
                found.sequences[tag] = Span(start, at, inner)
        if any(self._view[at:]):
            raise DatasetError("truncated", "The data set ends within an element.")

    def header(self, at: int, *, implicit: bool) -> tuple[int, int, int, bool]:
        """Tag, offset of the value, its length, and whether this element was implicit."""
        self._left -= 1
        if self._left < 0:
            raise DatasetError("too_large", "The data set has more elements than any has.")
        group, element, vr, length = self._head(self._view, at)
        tag = group << 16 | element
        if implicit or group == 0xFFFE:  # items and delimiters never carry a VR
            return tag, at + 8, self._long(self._view, at + 4)[0], implicit
        if vr in _LONG_VRS:
            return tag, at + 12, self._long(self._view, at + 8)[0], vr == b"UN"
        if vr.isalpha() and vr.isupper():
            return tag, at + 8, length, False
        # Some writers fall back to implicit inside private sequences, and pydicom follows.
        return tag, at + 8, self._long(self._view, at + 4)[0], True

    def inside(self, start: int, length: int, end: int) -> int:
        """The offset after a value, if that is not beyond ``end``."""
        stop = start + length
        if stop > end:
            raise DatasetError(
                "truncated",
                f"An element wants {length} bytes where {max(end - start, 0)} are left.",
            )
        return stop

    def _skip_undefined(self, tag: int, start: int, *, implicit: bool, depth: int) -> int:
        """The offset after a value of undefined length: a sequence, or fragments of pixel data.

        ``implicit`` holds inside UN of undefined length (PS3.5, 6.2.2, note 4).
        """
        if tag in (_ITEM, _ITEM_END, _SEQUENCE_END):
            raise DatasetError("garbled", "An item stands outside of a sequence.")
        if depth > MAXIMUM_DEPTH:
            raise DatasetError("garbled", "Sequences are nested too deeply.")
        at = start
        while True:
            item, value, length, _ = self.header(at, implicit=implicit)
            if item == _SEQUENCE_END:
                return value
            if item != _ITEM:
                raise DatasetError("garbled", "Something else than an item stands in a sequence.")
            if length != _UNDEFINED:
                at = self.inside(value, length, self._end)
            elif tag == _PIXEL_DATA:
                raise DatasetError("garbled", "A fragment of pixel data has no length.")
            else:
                at = self._skip_item(value, implicit=implicit, depth=depth)

    def _skip_item(self, start: int, *, implicit: bool, depth: int) -> int:
        """The offset after an item of undefined length."""
        at = start
        while True:
            tag, value, length, element_implicit = self.header(at, implicit=implicit)
            if tag == _ITEM_END:
                return value
            if length == _UNDEFINED:
                at = self._skip_undefined(tag, value, implicit=element_implicit, depth=depth + 1)
            else:
                at = self.inside(value, length, self._end)

    def items(self, span: Span, wanted: frozenset[int]) -> Iterator[dict[int, Span]]:
        """The wanted elements of each item of a sequence."""
        at = span.start
        while at < span.stop:
            tag, at, length, _ = self.header(at, implicit=span.implicit)
            if tag == _SEQUENCE_END:
                return
            if tag != _ITEM:
                raise DatasetError("garbled", "Something else than an item stands in a sequence.")
            undefined = length == _UNDEFINED
            end = span.stop if undefined else self.inside(at, length, span.stop)
            found: dict[int, Span] = {}
            tag = _ITEM
            while at < end and tag != _ITEM_END:
                tag, start, length, implicit = self.header(at, implicit=span.implicit)
                if length == _UNDEFINED:
                    at = self._skip_undefined(tag, start, implicit=implicit, depth=1)
                else:
                    at = self.inside(start, length, end)
                if tag in wanted:
                    found[tag] = Span(start, at, implicit)
            if undefined != (tag == _ITEM_END):
                raise DatasetError("garbled", "An item has no end.")
            yield found


def split_part10(data: bytes | memoryview) -> tuple[Mapping[int, bytes], int]:
    """File meta values by tag, and the offset of the data set, of a DICOM file (PS3.10, 7.1).

    Raises
    ------
    DatasetError
        ``not_dicom`` without the prefix DICM; ``truncated`` within the file meta.
    """
    view = memoryview(data)
    if len(view) < 144 or bytes(view[128:132]) != b"DICM":
        raise DatasetError("not_dicom", "This is not a DICOM file.")
    walker = _Walker(view, little_endian=True)
    meta: dict[int, bytes] = {}
    at = 132
    while len(view) - at >= 12 and bytes(view[at : at + 2]) == b"\x02\x00":
        tag, start, length, _ = walker.header(at, implicit=False)
        at = walker.inside(start, length, len(view))
        meta[tag] = bytes(view[start:at])
    return meta, at


def split_syntax(data: bytes | memoryview) -> tuple[str, int]:
    """Transfer syntax and offset of the data set of a DICOM file (PS3.10, 7.1).

    Raises
    ------
    DatasetError
        As ``split_part10``; ``garbled`` when no transfer syntax is named.
    """
    meta, at = split_part10(data)
    syntax = meta.get(TRANSFER_SYNTAX_UID, b"").decode("ascii", "replace").strip(" \0")
    if not syntax:
        raise DatasetError("garbled", "The file meta information names no transfer syntax.")
    return syntax, at


def read_part10(data: bytes | memoryview, wanted: Collection[int]) -> EncodedDataset:
    """The data set of a DICOM file (PS3.10, 7.1).

    Raises
    ------
    DatasetError
        ``not_dicom`` without the prefix DICM; else as ``parse_dataset``.
    """
    syntax, at = split_syntax(data)
    return parse_dataset(memoryview(data)[at:], syntax, wanted)
